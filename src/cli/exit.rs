use std::error::Error;
use std::io;
use std::process::{ExitCode, Termination};

use super::output::complain;
use crate::outcome::with_causes;

/// How the program ended: the codes of sysexits.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: all is well.
    Ok,
    /// 1: the answer is no, as of `match` when no route takes it, or of `drain` when connections were cut.
    No,
    /// 64: the command line is wrong.
    Usage,
    /// 65: the configuration file is not text, or too large to be one.
    Data,
    /// 66: the configuration file is missing.
    NoInput,
    /// 69: something is taken or not there, as an address or the daemon.
    Unavailable,
    /// 71: the system has failed us.
    System,
    /// 77: not permitted.
    Permission,
    /// 78: a fault in the configuration.
    Config,
}

impl ExitStatus {
    /// The process's exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::No => 1,
            Self::Usage => 64,
            Self::Data => 65,
            Self::NoInput => 66,
            Self::Unavailable => 69,
            Self::System => 71,
            Self::Permission => 77,
            Self::Config => 78,
        }
    }

    /// What an error of the system means for the exit.
    pub(super) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission,
            io::ErrorKind::NotFound => Self::NoInput,
            io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => Self::Unavailable,
            _ => Self::System,
        }
    }
}

impl Termination for ExitStatus {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

/// Says on standard error what went wrong, with its causes, and gives the status back.
pub(super) fn fail(status: ExitStatus, error: &dyn Error) -> ExitStatus {
    complain(with_causes(error));
    status
}
