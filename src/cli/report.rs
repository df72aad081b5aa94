use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::check::{admin_faults, refuse, refuse_config};
use super::exit::{ExitStatus, fail};
use super::output::print_json;
use crate::config::{self, Config, Fault, Faults};
use crate::generation::{LoadError, Source};
use crate::telemetry::Meters;

/// What `check` has found, for machines.
#[derive(Debug, Serialize)]
struct Report<'a> {
    path: String,
    right: bool,
    routes: usize,
    addresses: usize,
    faults: Vec<Place<'a>>,
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

/// Does what `check` does, and prints JSON. Why a file could not be read at all is still said on standard error.
pub(super) fn check_json(path: &Path) -> ExitStatus {
    super::logging::for_commands();
    let source = match Source::new(path, Arc::new(Meters::new())) {
        Ok(source) => source,
        Err(error) => return fail(ExitStatus::System, &error),
    };
    let config = match Config::from_file(path) {
        Ok(config) => config,
        Err(config::LoadError::Faults(faults)) => return wrong(path, [&faults]),
        Err(error) => return refuse_config(&error),
    };
    let assembled = source.assemble(&config, None);
    match (assembled, admin_faults(&config)) {
        (Ok(generation), None) => print_json(&Report {
            path: path.display().to_string(),
            right: true,
            routes: generation.routes.len(),
            addresses: generation.sites.len(),
            faults: Vec::new(),
        }),
        (Ok(_), Some(faults)) | (Err(LoadError::Faults(faults)), None) => wrong(path, [&faults]),
        (Err(LoadError::Faults(named)), Some(faults)) => wrong(path, [&named, &faults]),
        (Err(error @ (LoadError::Config(_) | LoadError::NotFile { .. })), _) => refuse(&error),
    }
}

fn wrong<const N: usize>(path: &Path, faults: [&Faults; N]) -> ExitStatus {
    let faults = faults.into_iter().flat_map(Faults::iter).map(Place::of).collect();
    let report = Report { path: path.display().to_string(), right: false, routes: 0, addresses: 0, faults };
    match print_json(&report) {
        ExitStatus::Ok => ExitStatus::Config,
        failed => failed,
    }
}

impl<'a> Place<'a> {
    fn of(fault: &'a Fault) -> Self {
        let Fault { path, line, column, message, help, .. } = fault;
        Self { path: path.display().to_string(), line: *line, column: *column, message, help: help.as_deref() }
    }
}
