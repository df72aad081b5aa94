//! The mirror of the file's text: one section per table, each key with its place, nothing checked across keys.

mod certificate;
mod or_off;
mod policy;
mod process;
mod route;
pub(super) mod section;
mod target;
mod tls;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

pub(super) use certificate::{CertificateSpec, CertificateTable};
pub(super) use or_off::OrOff;
pub(super) use policy::{
    BasicAuthSection, DefaultsSection, ForwardAuthSection, HstsSection, HstsSub, LimitsSection, PassiveHealthSection,
    SecuritySection, TimeoutsSection,
};
pub(super) use process::{AdminSection, AdminTlsSection, ListenerTable, LogSection, ServerSection};
pub(super) use route::{
    EditsSection, HeadersSection, LoadBalancingSection, MatchSection, RedirectSection, ReplaceSection, RespondSection,
    RewriteSection, RouteTable,
};
pub(super) use section::{listed, or_empty};
pub(super) use tls::{ClientAuthSection, TlsSection, UpstreamSection};

use super::place::Place;
use super::report::Report;
use super::source::Source;
use super::value::{Kind, List, Problem};
use section::{Sub, section};

section! {
    /// A whole file.
    Root {
        /// The process.
        server: Sub<ServerSection>,
        /// What is written, and how.
        log: Sub<LogSection>,
        /// The operator's way in.
        admin: Sub<AdminSection>,
        /// Only for an address that needs more than defaults.
        listeners: List<ListenerTable>,
        /// Served by SNI to every terminating route without one of its own; the names come from the certificate.
        certificates: List<CertificateTable>,
        /// What holds where a route says nothing else.
        defaults: Sub<DefaultsSection>,
        /// What is taken, and what is done with it.
        routes: List<RouteTable>,
    }
}

/// Reads the text. Whether it can be trusted to be whole, so that missing keys are truly missing, is the second half.
pub(super) fn read(text: &str, source: &Source, report: &mut Report) -> (Root, bool) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let value = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
    let mut found = if errors.is_empty() { Report::default() } else { Report::partial() };
    let root = Root::decode(&value, &mut found).unwrap_or_default();
    let lines = syntax(&errors, source, report);
    // What the parser could not read it left out or filled in: faults on such a line are echoes of the syntax, and after
    // a broken header the keys below stand in the wrong table.
    let headless = lines.iter().any(|line| source.line_text(*line).trim_start().starts_with('['));
    if !headless {
        found.retain(|place| lines.binary_search(&source.line_index(place.start)).is_err());
        report.append(found);
    }
    (root, lines.is_empty())
}

/// Reads `[admin]` alone, and as much of it as can be understood.
pub(super) fn read_admin(text: &str) -> AdminSection {
    let (section, whole) = admin_of(text);
    if whole || section.as_ref().is_some_and(|section| section.socket.written().is_some()) {
        return section.unwrap_or_default();
    }
    // After a header that is not closed, or a string, the parser finds its feet a few lines too late: from the section's own
    // header on it has nothing to stumble over.
    let mut ends = text.split_inclusive('\n').scan(0, |end, line| {
        *end += line.len();
        Some((line, *end - line.len()))
    });
    let own = ends.find(|(line, _)| line.trim_start().starts_with("[admin]"));
    let again = own.and_then(|(_, start)| text.get(start..)).and_then(|rest| admin_of(rest).0);
    again.or(section).unwrap_or_default()
}

/// `[admin]` of a text, and whether the text is without errors of syntax.
fn admin_of(text: &str) -> (Option<AdminSection>, bool) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let section = table.get_ref().get("admin").and_then(|value| AdminSection::decode(value, &mut Report::default()));
    (section, errors.is_empty())
}

/// Reports the first syntax error of each line; the rest follow from it. Gives the lines, in order.
fn syntax(errors: &[Error], source: &Source, report: &mut Report) -> Vec<usize> {
    let mut places: Vec<(Place, &str)> =
        errors.iter().map(|error| (error.span().unwrap_or_default().into(), error.message())).collect();
    places.sort_unstable();
    let mut lines: Vec<usize> = Vec::new();
    for (place, message) in places {
        let line = source.line_index(place.start);
        if lines.last() != Some(&line) {
            lines.push(line);
            reworded(message, source.text_at(place)).report(place, report);
        }
    }
    lines
}

/// The parser's message, or a better one where it takes whatever is no value for a string without its quotes.
fn reworded(message: &str, text: &str) -> Problem {
    if !message.starts_with("string values must be quoted") {
        return Problem::new(message);
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_value = |word: &&str| *word == "true" || *word == "false" || word.parse::<i64>().is_ok();
    match words.as_slice() {
        [] => Problem::new("the value is missing"),
        [_, _, ..] if words.iter().all(is_value) => {
            Problem::new("missing comma between values, expected `,`").help(format!("write {}", words.join(", ")))
        }
        [word] if ["yes", "no", "on", "off", "True", "False"].contains(word) => {
            Problem::new(format!("\"{word}\" is not a value")).help("write true or false")
        }
        // The text is not repeated: it may be a secret.
        _ => Problem::new("a string needs quotes").help("write it between double quotes"),
    }
}
