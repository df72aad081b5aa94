use std::collections::HashSet;

use http::header::{self, HeaderName, HeaderValue};

use super::template;
use crate::config::file::{EditsSection, HeadersSection, RouteTable, or_empty};
use crate::config::place::{Located, Place};
use crate::config::report::Report;
use crate::config::resolved::{HeaderEdits, HeaderRules};
use crate::config::value::{HeaderText, Key, Table, Text};
use crate::name::FieldValue;

/// What belongs to one connection or frames the message: the proxy writes these itself (RFC 9110 section 7.6.1, RFC 9112
/// section 6). Host is in their company on the way to the target: `preserve_host` decides on it.
const OWNED: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
];

/// Headers whose values are never shown.
const SECRET: [HeaderName; 4] =
    [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE, header::SET_COOKIE];

/// The changes of a route's headers.
pub(super) fn rules(route: &RouteTable, report: &mut Report) -> HeaderRules {
    let section = or_empty::<HeadersSection>(&route.headers);
    let request = or_empty::<EditsSection>(&section.request);
    let response = or_empty::<EditsSection>(&section.response);
    for (name, place) in names(request) {
        if name.eq_ignore_ascii_case("host") {
            let help = "`preserve_host` says which Host reaches the target";
            report.fault_with_help(place, "`host` is written by the proxy itself", help);
        }
    }
    HeaderRules { request: edits(request, report), response: edits(response, report) }
}

fn edits(section: &EditsSection, report: &mut Report) -> HeaderEdits {
    let (set, add) = (section.set(), section.add());
    for table in [&set, &add] {
        owned(table, report);
    }
    let edits = HeaderEdits { set: pairs(&set, report), add: pairs(&add, report), remove: removed(section, report) };
    for (name, place) in keys(&section.set) {
        if edits.remove.iter().any(|removed| removed.as_str().eq_ignore_ascii_case(name)) {
            report.fault(place, format!("`{}` is both set and removed", name.escape_debug()));
        }
    }
    edits
}

/// Names and values of a table, with placeholders; a name that is none, or is there twice, is a fault.
pub(super) fn pairs(table: &Table<HeaderText>, report: &mut Report) -> Vec<(HeaderName, FieldValue)> {
    named(table, report, |name, text, report| {
        let mut value = template::field(text, report)?;
        value.set_sensitive(SECRET.contains(name));
        Some(value)
    })
}

/// Names and values of a table, in which every character stands for itself.
pub(super) fn literals(table: &Table<HeaderText>, report: &mut Report) -> Vec<(HeaderName, HeaderValue)> {
    named(table, report, |name, text, _| {
        let mut value = text.value.0.clone();
        value.set_sensitive(SECRET.contains(name));
        Some(value)
    })
}

fn named<V>(
    table: &Table<HeaderText>,
    report: &mut Report,
    read: impl Fn(&HeaderName, &Located<HeaderText>, &mut Report) -> Option<V>,
) -> Vec<(HeaderName, V)> {
    let mut seen = HashSet::new();
    let mut pairs = Vec::with_capacity(table.0.len());
    for (key, text) in &table.0 {
        let Some(name) = name(key, report) else { continue };
        if !seen.insert(name.clone()) {
            report.fault(key.place, format!("the header `{name}` is there twice"));
        }
        if let Some(value) = read(&name, text, report) {
            pairs.push((name, value));
        }
    }
    pairs
}

/// The headers that the access log holds.
pub(super) fn logged(list: &[Located<Text>], report: &mut Report) -> Vec<HeaderName> {
    let mut names = Vec::with_capacity(list.len());
    for text in list {
        let Some(name) = name(&text.as_ref().map(|text| text.0.clone()), report) else { continue };
        if SECRET.contains(&name) {
            report.fault(text.place, format!("`{name}` is a secret, and not for a log"));
        } else if names.contains(&name) {
            report.fault(text.place, format!("the header `{name}` is there twice"));
        } else {
            names.push(name);
        }
    }
    names
}

/// Reports headers that only the proxy may write.
pub(super) fn owned(table: &Table<HeaderText>, report: &mut Report) {
    for (key, _) in &table.0 {
        refuse_owned(&key.value, key.place, report);
    }
}

/// The headers that a server which is asked first gives to a request.
pub(super) fn copied(list: &[Located<Text>], report: &mut Report) -> Vec<HeaderName> {
    let mut names = Vec::with_capacity(list.len());
    for text in list {
        refuse_owned(&text.value.0, text.place, report);
        if text.value.0.eq_ignore_ascii_case("host") {
            report.fault(text.place, "`host` is written by the proxy itself");
        }
        let Some(name) = name(&text.as_ref().map(|text| text.0.clone()), report) else { continue };
        if names.contains(&name) {
            report.fault(text.place, format!("the header `{name}` is there twice"));
        } else {
            names.push(name);
        }
    }
    names
}

fn removed(section: &EditsSection, report: &mut Report) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for text in section.remove() {
        refuse_owned(&text.value.0, text.place, report);
        names.extend(name(&text.map(|text| text.0), report));
    }
    names
}

fn name(text: &Located<String>, report: &mut Report) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(text.value.as_bytes());
    if name.is_err() {
        report.fault(text.place, format!("\"{}\" is not the name of a header", text.value.escape_debug()));
    }
    name.ok()
}

fn refuse_owned(name: &str, place: Place, report: &mut Report) {
    if let Some(owned) = OWNED.iter().find(|owned| owned.as_str().eq_ignore_ascii_case(name)) {
        let help = "it frames the message, or belongs to one connection: what is set here would break the next one";
        report.fault_with_help(place, format!("`{owned}` is written by the proxy itself"), help);
    }
}

/// Every header name of a section with its place.
fn names(section: &EditsSection) -> Vec<(&str, Place)> {
    let removed = section.remove.value().into_iter().flatten().map(|text| (text.value.0.as_str(), text.place));
    keys(&section.set).chain(keys(&section.add)).chain(removed).collect()
}

fn keys(key: &Key<Table<HeaderText>>) -> impl Iterator<Item = (&str, Place)> {
    key.value().into_iter().flat_map(|table| &table.0).map(|(name, _)| (name.value.as_str(), name.place))
}
