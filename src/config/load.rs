use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fault::Faults;
use super::report::Report;
use super::source::Source;
use super::{Admin, Config, file, resolve};
use crate::net::sys;

/// The largest configuration file that is read, in bytes: 100,000 routes of 600 bytes.
pub const FILE_SIZE_MAX: u64 = 64 * 1024 * 1024;

/// How long a pipe may take to give its whole configuration: for a program that makes it, which says something when it cannot.
pub(super) const PIPE_PATIENCE: Duration = Duration::from_secs(10);

/// How much of a pipe is read at once: what one holds (pipe(7)).
const PIPE_PIECE: usize = 64 * 1024;

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
    /// It is neither a file nor a pipe.
    #[error("{path} is {what}; a configuration is a regular file, or a pipe that somebody writes it to")]
    NotFile {
        /// The path as it was given.
        path: PathBuf,
        /// What it is, with an article.
        what: &'static str,
    },
    /// It is a pipe, and nobody has written the whole of it.
    #[error("{path} is a pipe, and no end of a configuration has come out of it within {} s", PIPE_PATIENCE.as_secs())]
    Stalled {
        /// The path as it was given.
        path: PathBuf,
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
    // Before it is opened, which takes for ever for some and rewinds a tape.
    let kind = fs::metadata(path).map_err(unreadable)?.file_type();
    let mut bytes = Vec::new();
    if kind.is_file() {
        // It grows, maybe.
        File::open(path).map_err(unreadable)?.take(size_max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    } else if kind.is_fifo() {
        bytes = read_pipe(path, size_max, PIPE_PATIENCE).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => LoadError::Stalled { path: path.into() },
            _ => unreadable(error),
        })?;
    } else {
        return Err(LoadError::NotFile { path: path.into(), what: name_of(kind) });
    }
    if bytes.len() as u64 > size_max {
        return Err(LoadError::TooLarge { path: path.into() });
    }
    Ok(bytes)
}

/// Reads a pipe to its end, one byte more than the largest size, or until there was enough time for all of it: `-c /dev/stdin` and
/// `-c <(...)` are pipes.
fn read_pipe(path: &Path, size_max: u64, patience: Duration) -> io::Result<Vec<u8>> {
    let end = Instant::now() + patience;
    let pipe = sys::open_at_once(path)?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; PIPE_PIECE]);
    while bytes.len() as u64 <= size_max {
        // A pipe that nobody has opened to write is not at its end: its writer may be about to come.
        if !sys::is_readable(&pipe, end.saturating_duration_since(Instant::now()))? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match (&pipe).read(&mut piece) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(piece.get(..count).unwrap_or_default()),
            // Another reader was faster.
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// What this is that is neither a file nor a pipe.
fn name_of(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::config::AdminSocket;

    #[test]
    fn a_missing_file_is_an_error_of_its_own_and_never_an_empty_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let error = Config::from_file(&folder.path().join("absent.toml")).unwrap_err();
        assert!(matches!(error, LoadError::Missing { .. }), "{error}");
    }

    #[test]
    fn what_is_neither_a_file_nor_a_pipe_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("a.sock");
        let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, what) in [(folder.path(), "a folder"), (&socket, "a socket"), (Path::new("/dev/null"), "a device")] {
            let error = Config::from_file(path).unwrap_err();
            assert!(matches!(error, LoadError::NotFile { what: named, .. } if named == what), "{error}");
        }
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_no_longer_than_there_is_patience() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let short = Duration::from_millis(20);
        // Nobody writes, and somebody who does not come to an end.
        assert_eq!(read_pipe(&path, 10, short).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let mut writer = File::options().read(true).write(true).open(&path).unwrap();
        writer.write_all(b"[log]").unwrap();
        assert_eq!(read_pipe(&path, 10, short).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(writer);

        let write = |text: &'static [u8]| {
            let path = path.clone();
            std::thread::spawn(move || {
                let mut writer = File::options().write(true).open(path).unwrap();
                // Whoever has read enough has gone.
                let _ = writer.write_all(text);
            })
        };
        for (text, read) in [(&b"1234567890"[..], 10), (b"12345678901", 11)] {
            let writing = write(text);
            assert_eq!(read_pipe(&path, 10, PIPE_PATIENCE).unwrap().len(), read);
            writing.join().unwrap();
        }
        let writing = write(&[b'x'; 100_000]);
        assert_eq!(read_pipe(&path, 200_000, PIPE_PATIENCE).unwrap().len(), 100_000);
        writing.join().unwrap();
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
