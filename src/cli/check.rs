use std::path::Path;
use std::sync::Arc;

use super::client::count;
use super::exit::{ExitStatus, fail};
use super::output::{complain, print};
use crate::config;
use crate::generation::{LoadError, Source};
use crate::outcome::with_causes;
use crate::telemetry::Meters;

/// Does all that `run` does before it binds: reads the file, and everything that it names.
pub(super) fn check(path: &Path) -> ExitStatus {
    super::logging::for_commands();
    let source = match Source::new(path, Arc::new(Meters::new())) {
        Ok(source) => source,
        Err(error) => return fail(ExitStatus::System, &error),
    };
    match source.load(None) {
        Ok(generation) => print(&format!(
            "{}: right: {} on {}\n",
            path.display(),
            count(generation.routes.len(), "route"),
            count(generation.sites.len(), "address")
        )),
        Err(error) => refuse(&error),
    }
}

/// Prints why there is no generation.
pub(super) fn refuse(error: &LoadError) -> ExitStatus {
    match error {
        LoadError::Config(error) => refuse_config(error),
        LoadError::Faults(faults) => {
            complain(faults);
            ExitStatus::Config
        }
        LoadError::NotFile { .. } => fail(ExitStatus::Data, error),
    }
}

/// Prints why there is no configuration.
pub(super) fn refuse_config(error: &config::LoadError) -> ExitStatus {
    complain(with_causes(error));
    match error {
        config::LoadError::Missing { .. } => ExitStatus::NoInput,
        config::LoadError::Unreadable { source, .. } => ExitStatus::of_io(source),
        config::LoadError::TooLarge { .. } | config::LoadError::NotText { .. } => ExitStatus::Data,
        config::LoadError::Faults(_) => ExitStatus::Config,
    }
}
