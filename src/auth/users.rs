use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::hash::{Hash, InvalidHash};
use crate::disk::{self, FileError};

/// The largest file of users that is read, in bytes: tens of thousands of them.
pub const FILE_SIZE_MAX: u64 = 4 * 1024 * 1024;

/// The longest name of a user, in bytes (that of Apache's `htpasswd`).
pub const USER_LENGTH_MAX: usize = 255;

/// Lines of one file that are reported as faulty; more of them are only counted.
pub const LINE_FAULTS_MAX: usize = 20;

/// The users of a password file, as `htpasswd -B` writes it: `name:hash`, one a line.
#[derive(Debug)]
pub struct Users {
    by_name: HashMap<Box<str>, Arc<Hash>>,
    /// The same hashes in the order of the file.
    hashes: Vec<Arc<Hash>>,
}

/// Why there are no users.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// Its file cannot be had.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nobody could come in.
    #[error("{}: the file names no user, so nobody could come in", .0.display())]
    Empty(PathBuf),
    /// Lines that are wrong, in order, [`LINE_FAULTS_MAX`] at most; and how many more there are.
    #[error("{}: {} lines are wrong", .0.display(), .1.len() + .2)]
    Lines(PathBuf, Vec<(usize, InvalidLine)>, usize),
}

/// What is wrong with a line of a password file. What it says shows no hash and no password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLine {
    /// No colon.
    #[error("the line has no `:` between a name and a hash")]
    Colon,
    /// No name, or one that no client can send or no header can hold.
    #[error(
        "a user's name has 1 to {USER_LENGTH_MAX} bytes, no control characters, and no blank at its beginning or end"
    )]
    Name,
    /// A name twice.
    #[error("`{name}` is there already, on line {first}")]
    Twice {
        /// The name.
        name: Box<str>,
        /// The line that has it.
        first: usize,
    },
    /// No hash that is accepted.
    #[error("`{name}` {fault}")]
    Hash {
        /// The name.
        name: Box<str>,
        /// What is wrong with the hash.
        fault: InvalidHash,
    },
}

impl Users {
    /// Reads a password file.
    ///
    /// # Errors
    /// The file cannot be had, or lines in it are wrong.
    pub fn load(path: &Path) -> Result<Self, UsersError> {
        let text = disk::text(path, FILE_SIZE_MAX)?;
        Self::parse(&text).map_err(|(lines, more)| match lines.as_slice() {
            [] => UsersError::Empty(path.into()),
            [_, ..] => UsersError::Lines(path.into(), lines, more),
        })
    }

    /// Reads the text of a password file: empty lines and those that begin with `#` are passed over, and so is what stands
    /// behind a second colon.
    ///
    /// # Errors
    /// Each line that is wrong, and how many more there are; none at all if the text names no user.
    pub fn parse(text: &str) -> Result<Self, (Vec<(usize, InvalidLine)>, usize)> {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let mut users = Self { by_name: HashMap::new(), hashes: Vec::new() };
        let (mut faults, mut more) = (Vec::new(), 0_usize);
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end_matches([' ', '\t', '\r']);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match user(line, index + 1, &mut seen) {
                Ok((name, hash)) => {
                    let hash = Arc::new(hash);
                    users.hashes.push(Arc::clone(&hash));
                    users.by_name.insert(name.into(), hash);
                }
                Err(fault) if faults.len() < LINE_FAULTS_MAX => faults.push((index + 1, fault)),
                Err(_) => more += 1,
            }
        }
        if faults.is_empty() && !users.hashes.is_empty() { Ok(users) } else { Err((faults, more)) }
    }

    /// How many there are; never none.
    #[must_use]
    pub fn count(&self) -> usize {
        self.hashes.len()
    }

    pub(super) fn known(&self, name: &str) -> Option<&Arc<Hash>> {
        self.by_name.get(name)
    }

    /// The hash that a password is held against whose user is not known: that of some user, always the same one for the same
    /// `number`, so that a name that is not there takes as long as some name that is.
    pub(super) fn stand_in(&self, number: u64) -> Option<&Arc<Hash>> {
        let index = number.checked_rem(self.hashes.len() as u64)?;
        self.hashes.get(usize::try_from(index).ok()?)
    }
}

fn user<'a>(line: &'a str, number: usize, seen: &mut HashMap<&'a str, usize>) -> Result<(&'a str, Hash), InvalidLine> {
    let (name, rest) = line.split_once(':').ok_or(InvalidLine::Colon)?;
    let clean = !name.chars().any(char::is_control) && name.trim() == name;
    if name.is_empty() || name.len() > USER_LENGTH_MAX || !clean {
        return Err(InvalidLine::Name);
    }
    if let Some(first) = seen.insert(name, number) {
        return Err(InvalidLine::Twice { name: name.into(), first });
    }
    let text = rest.split(':').next().unwrap_or(rest);
    let hash = Hash::parse(text).map_err(|fault| InvalidLine::Hash { name: name.into(), fault })?;
    Ok((name, hash))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "$2y$04$QEGPCtriMePEJAWU/x.4FOe584WnWo6GUUK20YzUhFa95Hn9Tx2iu";

    fn faults(text: &str) -> Vec<(usize, String)> {
        let (faults, more) = Users::parse(text).expect_err(text);
        assert_eq!(more, 0);
        faults.into_iter().map(|(line, fault)| (line, fault.to_string())).collect()
    }

    #[test]
    fn a_file_has_users_comments_and_empty_lines() {
        let users = Users::parse(&format!("# ours\n\nalice:{HASH}\r\nJürgen O'Neil:{HASH}:a remark\n\nbob:{HASH}  \n"))
            .unwrap();
        assert_eq!(users.count(), 3);
        for name in ["alice", "Jürgen O'Neil", "bob"] {
            assert_eq!(users.known(name).unwrap().verify(b"correct"), Ok(true), "{name}");
        }
        for name in ["", "Alice", "alice ", "# ours", "carol"] {
            assert!(users.known(name).is_none(), "{name}");
        }
        assert_eq!(users.stand_in(4).unwrap().text(), HASH);
    }

    #[test]
    fn every_line_that_is_wrong_is_named_without_what_is_secret() {
        let text =
            format!("alice:{HASH}\nbob\n:{HASH}\nalice:{HASH}\ncarol:{{SHA}}c2VjcmV0\n a:{HASH}\ne\x07:{HASH}\n");
        let faults = faults(&text);
        let lines: Vec<_> = faults.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7]);
        assert_eq!(faults[2].1, "`alice` is there already, on line 1");
        assert_eq!(faults[3].1, "`carol` has a password in SHA-1, and only bcrypt and argon2 are accepted");
        assert!(faults.iter().all(|(_, text)| !text.contains("c2VjcmV0")), "{faults:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_users_or_has_faults(text in "(([a-c]|[^\\x00])?:(\\$(2y|argon2id)\\$)?[^\\n]{0,80}\\n){0,6}") {
            match Users::parse(&text) {
                Ok(users) => prop_assert!(users.count() > 0),
                Err((faults, more)) => prop_assert!(faults.len() <= LINE_FAULTS_MAX && more == 0),
            }
        }
    }

    #[test]
    fn a_name_of_the_greatest_length_is_a_user_and_one_byte_more_is_not() {
        let named = |length: usize| Users::parse(&format!("{}:{HASH}", "x".repeat(length))).is_ok();
        assert!(named(USER_LENGTH_MAX) && !named(USER_LENGTH_MAX + 1));
    }

    #[test]
    fn as_many_faults_as_are_allowed_are_shown_and_the_rest_are_counted() {
        let (faults, more) = Users::parse(&"x\n".repeat(LINE_FAULTS_MAX + 3)).unwrap_err();
        assert_eq!((faults.len(), more), (LINE_FAULTS_MAX, 3));
    }

    #[test]
    fn a_file_that_cannot_be_had_or_names_nobody_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        assert!(matches!(Users::load(&path), Err(UsersError::File(FileError::Missing(_)))));
        assert!(matches!(Users::load(folder.path()), Err(UsersError::File(FileError::NotFile(_)))));
        for (content, says) in [(&b""[..], "names no user"), (b"# nobody\n\n", "names no user"), (b"\xff", "UTF-8")] {
            std::fs::write(&path, content).unwrap();
            let error = Users::load(&path).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let line = format!("alice:{HASH}\n#");
        let mut text = line.clone() + &"x".repeat(usize::try_from(FILE_SIZE_MAX).unwrap() - line.len());
        std::fs::write(&path, &text).unwrap();
        assert_eq!(Users::load(&path).unwrap().count(), 1);
        text.push('x');
        std::fs::write(&path, &text).unwrap();
        assert!(matches!(Users::load(&path), Err(UsersError::File(FileError::TooLarge(..)))));
    }
}
