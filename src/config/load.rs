use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fault::Faults;
use super::report::Report;
use super::source::Source;
use super::{Config, file, resolve};

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

fn read(path: &Path, size_max: u64) -> Result<String, LoadError> {
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
    String::from_utf8(bytes)
        .map_err(|error| LoadError::NotText { path: path.into(), offset: error.utf8_error().valid_up_to() })
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_file_that_is_no_text_is_refused_with_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        std::fs::write(&path, b"a = \"\xff\"").unwrap();
        assert!(matches!(read(&path, 100), Err(LoadError::NotText { offset: 5, .. })));
    }
}
