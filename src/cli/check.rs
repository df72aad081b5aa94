use std::path::Path;

use serde::Serialize;

use super::arguments::CheckOptions;
use super::examination::{Examination, examine};
use super::exit::{ExitStatus, fail};
use super::output::{complain, print, print_json};
use crate::config::{self, Fault};
use crate::generation::LoadError;
use crate::outcome::with_causes;

/// Says all that there is to say of a configuration. Why a file could not be read at all is said on standard error in either
/// form.
pub(super) fn check(options: &CheckOptions) -> ExitStatus {
    let path = &options.config.config;
    let examination = match examine(path) {
        Ok(examination) => examination,
        Err(status) => return status,
    };
    if options.json { print_report(path, &examination) } else { say(path, &examination) }
}

/// For people.
fn say(path: &Path, examination: &Examination) -> ExitStatus {
    for warning in &examination.warnings {
        complain(format_args!("warning: {warning}"));
    }
    match &examination.faults {
        None => print(&format!("{}: right: {}\n", path.display(), examination.described())),
        Some(faults) => {
            complain(faults);
            ExitStatus::Config
        }
    }
}

/// What `check` has found, for machines.
#[derive(Debug, Serialize)]
struct Report<'a> {
    path: String,
    right: bool,
    routes: usize,
    addresses: usize,
    faults: Vec<Place<'a>>,
    /// More faults, which are only counted.
    omitted: usize,
    warnings: &'a [String],
}

/// One fault and its place.
#[derive(Debug, Serialize)]
struct Place<'a> {
    path: String,
    line: usize,
    column: usize,
    message: &'a str,
    help: Option<&'a str>,
}

fn print_report(path: &Path, examination: &Examination) -> ExitStatus {
    let Examination { size, faults, warnings } = examination;
    let (routes, addresses) = size.unwrap_or_default();
    let report = Report {
        path: path.display().to_string(),
        right: faults.is_none(),
        routes,
        addresses,
        faults: faults.iter().flatten().map(Place::of).collect(),
        omitted: faults.as_ref().map_or(0, config::Faults::omitted),
        warnings,
    };
    match print_json(&report) {
        ExitStatus::Ok if !report.right => ExitStatus::Config,
        status => status,
    }
}

impl<'a> Place<'a> {
    fn of(fault: &'a Fault) -> Self {
        let Fault { path, line, column, message, help, .. } = fault;
        Self { path: path.display().to_string(), line: *line, column: *column, message, help: help.as_deref() }
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
        config::LoadError::NotFile { .. } | config::LoadError::Stalled { .. } => ExitStatus::Data,
        config::LoadError::TooLarge { .. } | config::LoadError::NotText { .. } => ExitStatus::Data,
        config::LoadError::Faults(_) => ExitStatus::Config,
    }
}
