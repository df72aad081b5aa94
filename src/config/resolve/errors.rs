use std::path::{Path, PathBuf};

use super::Context;
use crate::config::file::{DefaultsSection, RouteTable};
use crate::config::place::Located;
use crate::config::report::Report;
use crate::config::resolved::{ErrorAnswers, ErrorPage};
use crate::config::value::{FilePath, Key, Table, error_statuses};

/// The media type of a page, by the end of its name.
const MEDIA_TYPES: [(&str, &str); 5] = [
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("json", "application/json"),
    ("xml", "application/xml"),
];

/// What `[defaults]` says.
pub(super) fn of_defaults(section: &DefaultsSection, context: &Context<'_>, report: &mut Report) -> ErrorAnswers {
    ErrorAnswers { show_cause: section.show_cause(), pages: sorted(pages(&section.error_pages, context, report)) }
}

/// What a route says, status by status, or else the defaults, whose faults are reported there.
pub(super) fn of_route(route: &RouteTable, context: &Context<'_>, report: &mut Report) -> ErrorAnswers {
    let mut own = pages(&route.error_pages, context, report);
    let defaults = pages(&context.defaults.error_pages, context, &mut Report::default());
    for page in defaults {
        if own.iter().all(|other| other.statuses != page.statuses) {
            own.push(page);
        }
    }
    let show_cause = route.show_cause.value().copied().unwrap_or_else(|| context.defaults.show_cause());
    ErrorAnswers { show_cause, pages: sorted(own) }
}

fn pages(key: &Key<Table<FilePath>>, context: &Context<'_>, report: &mut Report) -> Vec<ErrorPage> {
    let mut pages = Vec::new();
    for (status, file) in key.value().into_iter().flat_map(|table| &table.0) {
        let statuses = error_statuses(&status.value).map_err(|problem| problem.report(status.place, report));
        let path = context.path(file);
        let media_type = media_type(&path, report);
        if let (Ok(statuses), Some(media_type)) = (statuses, media_type) {
            pages.push(ErrorPage { statuses, path, media_type });
        }
    }
    pages
}

/// A single status goes before its class.
fn sorted(mut pages: Vec<ErrorPage>) -> Vec<ErrorPage> {
    pages.sort_by_key(|page| (page.statuses.clone().count(), *page.statuses.start()));
    pages
}

fn media_type(path: &Located<PathBuf>, report: &mut Report) -> Option<&'static str> {
    let end = Path::extension(&path.value).and_then(|end| end.to_str()).unwrap_or_default().to_ascii_lowercase();
    let known = MEDIA_TYPES.iter().find(|(name, _)| *name == end);
    if known.is_none() {
        let help = "let its name end in .html, .txt, .json or .xml";
        report.fault_with_help(path.place, "what the page is written in is not known", help);
    }
    known.map(|(_, media_type)| *media_type)
}
