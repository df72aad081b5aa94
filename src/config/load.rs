use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fault::Faults;
use super::report::Report;
use super::source::Source;
use super::{Admin, Config, file, resolve};

/// The largest configuration file that is read, in bytes: 100,000 routes of 600 bytes.
pub const FILE_SIZE_MAX: u64 = 64 * 1024 * 1024;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such file.
    #[error("{path} does not exist; name the configuration file with -c FILE")]
    Missing {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The file is there, but it cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The path as it was given.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is larger than [`FILE_SIZE_MAX`].
    #[error("{path} is larger than {FILE_SIZE_MAX} bytes")]
    TooLarge {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The file is not text.
    #[error("{path} is not UTF-8 text, at byte {offset}")]
    NotText {
        /// The path as it was given.
        path: PathBuf,
        /// The first byte that is not UTF-8, from 0.
        offset: usize,
    },
    /// The file breaks rules.
    #[error("{0}")]
    Faults(Faults),
}

impl Config {
    /// Reads a configuration file; paths in it are relative to its folder.
    ///
    /// # Errors
    /// The file cannot be read, or the faults in it: the operator is to blame.
    pub fn from_file(path: &Path) -> Result<Self, LoadError> {
        let text = read(path, FILE_SIZE_MAX)?;
        Self::from_text(&text, path).map_err(LoadError::Faults)
    }

    /// Reads a configuration from its text; `path` is what faults name, and its folder is what paths are relative to.
    ///
    /// # Errors
    /// Every fault in the text: its writer is to blame.
    pub fn from_text(text: &str, path: &Path) -> Result<Self, Faults> {
        let source = Arc::new(Source::new(path.into(), text));
        let mut report = Report::default();
        let (root, whole) = file::read(text, &source, &mut report);
        let config = resolve::config(&root, whole, source.clone(), &mut report);
        match report.finish(&source) {
            Some(faults) => Err(faults),
            None => Ok(config),
        }
    }
}

impl Default for Admin {
    /// What holds where nobody has written anything.
    fn default() -> Self {
        resolve::admin_alone(&file::read_admin(""), &Source::new(PathBuf::new(), ""))
    }
}

impl Admin {
    /// Reads the operator's way in out of a configuration file, whatever else is wrong with the file: who asks the daemon to
    /// judge a faulty file has to find the daemon first. What is missing, or cannot be understood, is as if nobody wrote it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn from_file(path: &Path) -> Result<Self, LoadError> {
        let bytes = read_bytes(path, FILE_SIZE_MAX)?;
        let text = String::from_utf8_lossy(&bytes);
        let source = Source::new(path.into(), &text);
        Ok(resolve::admin_alone(&file::read_admin(&text), &source))
    }
}

fn read(path: &Path, size_max: u64) -> Result<String, LoadError> {
    String::from_utf8(read_bytes(path, size_max)?)
        .map_err(|error| LoadError::NotText { path: path.into(), offset: error.utf8_error().valid_up_to() })
}

fn read_bytes(path: &Path, size_max: u64) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => LoadError::Missing { path: path.into() },
        _ => LoadError::Unreadable { path: path.into(), source },
    };
    let mut bytes = Vec::new();
    // The length of a pipe is not known before it is read.
    File::open(path).map_err(unreadable)?.take(size_max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > size_max {
        return Err(LoadError::TooLarge { path: path.into() });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AdminSocket;

    #[test]
    fn a_missing_file_is_an_error_of_its_own_and_never_an_empty_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let error = Config::from_file(&folder.path().join("absent.toml")).unwrap_err();
        assert!(matches!(error, LoadError::Missing { .. }), "{error}");
        let error = Config::from_file(folder.path()).unwrap_err();
        assert!(matches!(error, LoadError::Unreadable { .. }), "{error}");
    }

    #[test]
    fn a_file_of_the_largest_size_is_read_and_one_byte_more_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        std::fs::write(&path, "# 45678").unwrap();
        assert_eq!(read(&path, 7).unwrap(), "# 45678");
        assert!(matches!(read(&path, 6), Err(LoadError::TooLarge { .. })));
    }

    #[test]
    fn the_way_in_is_found_in_a_file_with_any_fault_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        let at = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            match Admin::from_file(&path).unwrap().socket {
                AdminSocket::At(path) => path.value.strip_prefix(folder.path()).unwrap().display().to_string(),
                AdminSocket::Default(_) => "default".into(),
                AdminSocket::Off => "off".into(),
            }
        };
        for (text, expected) in [
            (&b"[admin]\nsocket = \"a.sock\"\n[[routes]]\ntagets = 1\n"[..], "a.sock"),
            (b"admin.socket = \"a.sock\"\n[[routes]]\nname = = 1\n", "a.sock"),
            (b"[[routes\nname = \"a\"\n[admin]\nsocket = \"a.sock\"\n", "a.sock"),
            (b"a = \"\"\"\n[[routes]]\n  [admin] # x\nlisten = 5\nsocket = \"a.sock\"\n[[routes]]\n= 5", "a.sock"),
            (b"[admin]\nsocket = \"a.sock\"\nlisten = \"nowhere\"\nother = \"\xff\"\n", "a.sock"),
            (b"[admin]\nsocket = \"\"\n[nothing]\n", "off"),
            (b"[admin]\nsocket = 5\n", "default"),
            (b"admin = 5\n", "default"),
            (b"<html>\n", "default"),
            (b"\xff\xfe\x00", "default"),
            (b"", "default"),
        ] {
            assert_eq!(at(text), expected, "{}", text.escape_ascii());
        }
        assert!(matches!(Admin::from_file(&folder.path().join("absent.toml")), Err(LoadError::Missing { .. })));
    }

    #[test]
    fn a_file_that_is_no_text_is_refused_with_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        std::fs::write(&path, b"a = \"\xff\"").unwrap();
        assert!(matches!(read(&path, 100), Err(LoadError::NotText { offset: 5, .. })));
    }
}
