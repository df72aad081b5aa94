use std::error::Error;
use std::io;
use std::process::{ExitCode, Termination};

use super::output::complain;
use crate::net::descriptor_advice;
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
    /// 65: the configuration file is not text, too large to be one, or no file at all.
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
    /// Every one, by code.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::No,
        Self::Usage,
        Self::Data,
        Self::NoInput,
        Self::Unavailable,
        Self::System,
        Self::Permission,
        Self::Config,
    ];

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

    /// What it means, in a sentence for the operator.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "All is well.",
            Self::No => {
                "The answer is no: match would not be served, kill has found nobody, drain has cut connections."
            }
            Self::Usage => "The command line is wrong.",
            Self::Data => "The configuration file is not text, too large to be one, or no file at all.",
            Self::NoInput => "The configuration file is missing.",
            Self::Unavailable => "An address is taken, or the daemon does not answer.",
            Self::System => "The system has failed us.",
            Self::Permission => "Not permitted.",
            Self::Config => "There is a fault in the configuration.",
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
pub(super) fn fail(status: ExitStatus, error: &(dyn Error + 'static)) -> ExitStatus {
    complain(explained(error));
    status
}

/// The error with its causes, and with the cure where it is a want of descriptors.
pub(super) fn explained(error: &(dyn Error + 'static)) -> String {
    let text = with_causes(error);
    let causes = std::iter::successors(Some(error), |&error| error.source());
    match causes.filter_map(|cause| cause.downcast_ref()).find_map(descriptor_advice) {
        Some(advice) => format!("{text}; {advice}"),
        None => text,
    }
}
