//! Files that a configuration names beside itself: read whole, up to a size that each reader sets.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Why a file's content cannot be had. None of the content is ever part of it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is no such file.
    #[error("{}: the file does not exist", .0.display())]
    Missing(PathBuf),
    /// The process may not read it.
    #[error("{}: the file may not be read; let the user that the proxy runs as read it", .0.display())]
    Forbidden(PathBuf),
    /// It is a folder, a pipe or a device.
    #[error("{}: this is not a file", .0.display())]
    NotFile(PathBuf),
    /// Reading it failed in another way.
    #[error("{}: the file cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// It has more bytes than its reader takes.
    #[error("{}: the file is larger than {} bytes", .0.display(), .1)]
    TooLarge(PathBuf, u64),
    /// It is not UTF-8.
    #[error("{}: the file is not UTF-8 text", .0.display())]
    NotText(PathBuf),
}

/// Reads a file of at most `size_max` bytes.
///
/// # Errors
/// The file cannot be had, or is larger: the operator is to blame.
pub fn bytes(path: &Path, size_max: u64) -> Result<Vec<u8>, FileError> {
    let classify = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => FileError::Missing(path.into()),
        io::ErrorKind::PermissionDenied => FileError::Forbidden(path.into()),
        _ => FileError::Unreadable(path.into(), error),
    };
    // Asked before it is opened: opening a pipe waits for its writer.
    if !fs::metadata(path).map_err(classify)?.is_file() {
        return Err(FileError::NotFile(path.into()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(classify)?;
    // One byte more tells a file that is larger, also one that has grown since.
    file.take(size_max.saturating_add(1)).read_to_end(&mut bytes).map_err(classify)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > size_max {
        return Err(FileError::TooLarge(path.into(), size_max));
    }
    Ok(bytes)
}

/// Reads a text file of at most `size_max` bytes.
///
/// # Errors
/// As of [`bytes()`], or the file is no UTF-8 text.
pub fn text(path: &Path, size_max: u64) -> Result<String, FileError> {
    String::from_utf8(bytes(path, size_max)?).map_err(|_| FileError::NotText(path.into()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_of_the_largest_size_is_read_and_one_byte_more_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "1234567").unwrap();
        assert_eq!(text(&path, 7).unwrap(), "1234567");
        let error = text(&path, 6).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: the file is larger than 6 bytes", path.display()));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert!(matches!(bytes(&path, 1), Err(FileError::Missing(_))));
        assert!(matches!(bytes(folder.path(), 1), Err(FileError::NotFile(_))));
        assert!(matches!(bytes(&path.join("b"), 1), Err(FileError::Missing(_))));
        fs::write(&path, b"\xff").unwrap();
        assert!(matches!(text(&path, 1), Err(FileError::NotText(_))));
        assert_eq!(bytes(&path, 1).unwrap(), b"\xff");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        // A privileged user reads it all the same.
        let closed = bytes(&path, 1);
        assert!(matches!(closed, Err(FileError::Forbidden(_))) || closed.is_ok_and(|bytes| bytes == b"\xff"));
        let under = bytes(&path.join("b"), 1).unwrap_err();
        assert!(matches!(under, FileError::Unreadable(_, ref error) if error.kind() == io::ErrorKind::NotADirectory));
    }
}
