use http::HeaderValue;

use crate::config::place::Located;
use crate::config::report::Report;
use crate::config::value::{HeaderText, Problem, nearest};
use crate::name::{FieldValue, InvalidTemplate, Placeholder, Template};

/// What may stand in a header or a body: what is one text of harmless characters for every request.
pub(super) const IN_TEXT: [Placeholder; 7] = [
    Placeholder::ClientIp,
    Placeholder::Host,
    Placeholder::RequestId,
    Placeholder::Route,
    Placeholder::TlsVersion,
    Placeholder::Sni,
    Placeholder::User,
];

/// Reads a location or a path, in which every brace belongs to a placeholder.
pub(super) fn template(text: &str, allowed: &[Placeholder]) -> Result<Template, Problem> {
    if let Some(foreign) = foreign(text, allowed) {
        return Err(foreign);
    }
    Template::parse(text, allowed).map_err(|fault| problem(&fault, allowed, false))
}

/// Reads a text of another language, whose own braces stand for themselves.
pub(super) fn embedded(text: &str, allowed: &[Placeholder]) -> Result<Template, Problem> {
    Template::parse_embedded(text, allowed).map_err(|fault| problem(&fault, allowed, false))
}

/// The value of a header; `None` with a fault.
pub(super) fn field(text: &Located<HeaderText>, report: &mut Report) -> Option<FieldValue> {
    let written = &text.value.0;
    if let Some(foreign) = foreign(written.to_str().unwrap_or_default(), &IN_TEXT) {
        foreign.report(text.place, report);
        return None;
    }
    if !written.as_bytes().iter().any(|byte| matches!(byte, b'{' | b'}')) {
        return Some(FieldValue::Fixed(written.clone()));
    }
    let template = Template::parse(written.to_str().unwrap_or_default(), &IN_TEXT);
    let template = template.map_err(|fault| problem(&fault, &IN_TEXT, true).report(text.place, report)).ok()?;
    match template.fixed().map(HeaderValue::from_str) {
        Some(Ok(fixed)) => Some(FieldValue::Fixed(fixed)),
        Some(Err(_)) | None => Some(FieldValue::Template { text: template, sensitive: false }),
    }
}

/// nginx's variables that people write where a placeholder is meant, and what says the same here; a `$` in front of anything
/// else is itself.
const NGINX: [(&str, Option<Placeholder>); 20] = [
    ("host", Some(Placeholder::Host)),
    ("http_host", Some(Placeholder::Host)),
    ("server_name", Some(Placeholder::Host)),
    ("request_uri", Some(Placeholder::PathAndQuery)),
    ("uri", Some(Placeholder::Path)),
    ("document_uri", Some(Placeholder::Path)),
    ("remote_addr", Some(Placeholder::ClientIp)),
    ("binary_remote_addr", Some(Placeholder::ClientIp)),
    ("request_id", Some(Placeholder::RequestId)),
    ("ssl_server_name", Some(Placeholder::Sni)),
    ("ssl_protocol", Some(Placeholder::TlsVersion)),
    ("status", Some(Placeholder::Status)),
    ("scheme", None),
    ("args", None),
    ("is_args", None),
    ("query_string", None),
    ("request_method", None),
    ("server_port", None),
    ("remote_port", None),
    ("proxy_add_x_forwarded_for", None),
];

/// The first variable of nginx's in a text, `$host` or `${host}`: it would go out as it is written.
fn foreign(text: &str, allowed: &[Placeholder]) -> Option<Problem> {
    let after_dollars = text.match_indices('$').filter_map(|(at, dollar)| text.get(at + dollar.len()..));
    let names = after_dollars.map(|after| {
        let after = after.strip_prefix('{').unwrap_or(after);
        let end = after.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(after.len());
        after.get(..end).unwrap_or_default()
    });
    let (name, ours) = names.filter_map(|name| NGINX.iter().find(|(known, _)| *known == name)).next()?;
    let help = match ours.filter(|ours| allowed.contains(ours)) {
        Some(ours) => format!("write {ours}"),
        None => format!("the placeholders are {}", listed(allowed)),
    };
    Some(Problem::new(format!("`${name}` is a variable of nginx's, and would be sent as it is")).help(help))
}

/// Each placeholder, in words.
fn listed(allowed: &[Placeholder]) -> String {
    let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    let (last, others) =
        names.split_last().map(|(last, others)| (last.as_str(), others.join(", "))).unwrap_or_default();
    if others.is_empty() { last.to_owned() } else { format!("{others} and {last}") }
}

fn problem(fault: &InvalidTemplate, allowed: &[Placeholder], doubling: bool) -> Problem {
    let near = match fault {
        InvalidTemplate::Brace => None,
        InvalidTemplate::Unknown(name) => nearest(name, allowed.iter().map(|placeholder| placeholder.as_str())),
    };
    let help = match near {
        Some(near) => format!("did you mean `{{{near}}}`?"),
        None if doubling => format!("the placeholders are {}; a brace itself is written twice", listed(allowed)),
        None => format!("the placeholders are {}", listed(allowed)),
    };
    Problem::new(fault.to_string()).help(help)
}
