//! From the mirror of the text to a [`Config`]: defaults, paths, and the rules that hold across keys.
//!
//! Whatever returns `None` here has a fault in the report, or stands on a value that has one.

mod action;
mod admin;
mod authentication;
pub(super) mod comeback;
mod contradiction;
mod cross;
mod errors;
mod headers;
mod hsts;
mod listen;
mod policy;
mod redirect;
mod rewrite;
mod route;
mod template;
mod tls;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::file::section::Section;
use super::file::{AdminSection, CertificateTable, DefaultsSection, LogSection, Root, ServerSection, listed, or_empty};
use super::place::{Located, Place};
use super::report::Report;
use super::resolved::{Admin, CertificateFiles, Config, Log, LogFormat, Server};
use super::source::Source;
use super::value::{FilePath, LogForm};
use crate::telemetry::RequestDetail;

/// The shortest time between two looks for what has leaked. What two looks in a row see is told of, and a thread may be held
/// up for a good part of a second on a machine that has too much to do.
const LEAK_CHECK_MIN: Duration = Duration::from_secs(1);

/// What every step needs to know.
struct Context<'a> {
    source: &'a Source,
    folder: PathBuf,
    defaults: &'a DefaultsSection,
    /// Whether `[[certificates]]` has, or tries to have, an entry.
    certificates: bool,
}

impl Context<'_> {
    fn path(&self, file: &Located<FilePath>) -> Located<PathBuf> {
        Located::new(self.folder.join(&file.value.0), file.place)
    }

    /// The line of a place, from 1, to name it in a fault about another place.
    fn line(&self, place: Place) -> usize {
        self.source.line_index(place.start) + 1
    }

    fn certificate(&self, table: &CertificateTable) -> Option<CertificateFiles> {
        Some(self.files(table.certificate.located()?, table.key.located()?))
    }

    fn files(&self, certificate: &Located<FilePath>, key: &Located<FilePath>) -> CertificateFiles {
        CertificateFiles { certificate: self.path(certificate), key: self.path(key) }
    }
}

/// Resolves a file; `whole` is whether all of its text could be read.
pub(super) fn config(root: &Root, whole: bool, source: Arc<Source>, report: &mut Report) -> Config {
    // What is left of a text with syntax errors would break rules that the whole text keeps.
    let mut ignored = Report::default();
    let report = if whole { report } else { &mut ignored };
    let context = Context {
        source: &source,
        folder: source.path().parent().unwrap_or(Path::new("")).into(),
        defaults: or_empty(&root.defaults),
        certificates: root.certificates.value().map_or(root.certificates.written().is_some(), |list| !list.is_empty()),
    };
    let checked = route::routes(root, &context, report);
    cross::check(&checked, &context, report);
    let listeners = listen::listeners(root, &checked, &context, report);
    comeback::check(&checked, &listeners, &context, report);
    if checked.is_empty() && !route::any_faulty(root) {
        let place = root.routes.written().unwrap_or_default();
        let help = "add a [[routes]] section with `name`, `match.ports` and `targets`";
        report.fault_with_help(place, "no route: nothing would be served", help);
    }
    Config {
        server: server(or_empty(&root.server), report),
        log: log(or_empty(&root.log), report),
        admin: admin::admin(or_empty(&root.admin), &checked, &context, report),
        defaults: policy::defaults(context.defaults, &context, report),
        listeners,
        certificates: listed(&root.certificates).iter().filter_map(|table| context.certificate(&table.value)).collect(),
        disabled: route::disabled(root),
        routes: checked.into_iter().map(|checked| checked.route).collect(),
        source: Arc::clone(&source),
    }
}

/// The operator's way in, when nothing else of the file is asked for.
pub(super) fn admin_alone(section: &AdminSection, source: &Source) -> Admin {
    let folder = source.path().parent().unwrap_or(Path::new("")).into();
    let context = Context { source, folder, defaults: DefaultsSection::empty(), certificates: false };
    admin::admin(section, &[], &context, &mut Report::default())
}

fn server(section: &ServerSection, report: &mut Report) -> Server {
    let leak_check = section.leak_check().0;
    if leak_check.is_some_and(|every| every < LEAK_CHECK_MIN)
        && let Some(written) = section.leak_check.located()
    {
        let help = "write \"1s\" or more, or \"0s\" for never";
        report.fault_with_help(written.place, "`leak_check` is too short to tell a leak from a moment's delay", help);
    }
    Server {
        workers: count(section.workers().0),
        max_connections: count(section.max_connections().0),
        shutdown_timeout: section.shutdown_timeout().0,
        leak_check,
    }
}

fn log(section: &LogSection, report: &mut Report) -> Log {
    let format = match section.format() {
        LogForm::Text => LogFormat::Text,
        LogForm::Json => LogFormat::Json,
    };
    let detail = RequestDetail { mask: section.mask_query().0, headers: headers::logged(&section.headers(), report) };
    Log { level: section.level().0, format, access: section.access(), detail }
}

/// A count of which 0 means that there is none.
fn count(number: u32) -> Option<NonZeroUsize> {
    usize::try_from(number).ok().and_then(NonZeroUsize::new)
}
