use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::cli::output::complain;

/// Names that are tried: a second one already means that somebody guesses 64 random bits.
const NAMES_TRIED_MAX: usize = 8;

/// A folder of this process's own, whose name nobody can know before; gone when dropped.
#[derive(Debug)]
pub(super) struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// Makes one among the temporary files. Only this user may look into it.
    pub(super) fn make() -> io::Result<Self> {
        let parent = std::env::temp_dir();
        let mut made = Err(io::ErrorKind::AlreadyExists.into());
        for _ in 0..NAMES_TRIED_MAX {
            // The standard library's hasher is keyed with random numbers of the system.
            let random = RandomState::new().build_hasher().finish();
            let path = parent.join(format!("smartproxy-demo-{random:016x}"));
            // mkdir(2) fails on whatever is there, a link of somebody else's too.
            made = DirBuilder::new().mode(0o700).create(&path).map(|()| Self(path));
            if made.as_ref().is_ok() || made.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists) {
                break;
            }
        }
        made
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that only this user may read.
    pub(super) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.0.join(name))?;
        file.write_all(text.as_bytes())
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            complain(format!("{} is left behind: {error}", self.0.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_private_has_a_new_name_each_time_and_is_gone_at_the_end() {
        let (first, second) = (PrivateFolder::make().unwrap(), PrivateFolder::make().unwrap());
        assert_ne!(first.path(), second.path());
        first.write("key", "secret").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(first.path()), mode(&first.path().join("key"))), (0o700, 0o600));
        assert!(first.write("key", "another").is_err(), "nothing that is there is written over");
        let path = first.path().to_path_buf();
        drop(first);
        assert!(!path.exists());
    }
}
