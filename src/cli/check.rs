use std::path::Path;
use std::sync::Arc;

use super::exit::{ExitStatus, fail};
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
        Ok(generation) => super::print(&format!(
            "{}: right: {} on {}\n",
            path.display(),
            count(generation.routes.len(), "route"),
            count(generation.sites.len(), "address")
        )),
        Err(error) => refuse(&error),
    }
}

fn count(number: usize, noun: &str) -> String {
    let plural = match (number, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{number} {noun}{plural}")
}

/// Prints why there is no generation.
pub(super) fn refuse(error: &LoadError) -> ExitStatus {
    match error {
        LoadError::Config(error) => refuse_config(error),
        LoadError::Faults(faults) => {
            eprintln!("{faults}");
            ExitStatus::Config
        }
        LoadError::NotFile { .. } => fail(ExitStatus::Data, error),
    }
}

/// Prints why there is no configuration.
pub(super) fn refuse_config(error: &config::LoadError) -> ExitStatus {
    eprintln!("{}", with_causes(error));
    match error {
        config::LoadError::Missing { .. } => ExitStatus::NoInput,
        config::LoadError::Unreadable { source, .. } => ExitStatus::of_io(source),
        config::LoadError::TooLarge { .. } | config::LoadError::NotText { .. } => ExitStatus::Data,
        config::LoadError::Faults(_) => ExitStatus::Config,
    }
}
