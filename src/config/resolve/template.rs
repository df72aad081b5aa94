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
    Template::parse(text, allowed).map_err(|fault| problem(&fault, allowed, false))
}

/// Reads a text of another language, whose own braces stand for themselves.
pub(super) fn embedded(text: &str, allowed: &[Placeholder]) -> Result<Template, Problem> {
    Template::parse_embedded(text, allowed).map_err(|fault| problem(&fault, allowed, false))
}

/// The value of a header; `None` with a fault.
pub(super) fn field(text: &Located<HeaderText>, report: &mut Report) -> Option<FieldValue> {
    let written = &text.value.0;
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

fn problem(fault: &InvalidTemplate, allowed: &[Placeholder], doubling: bool) -> Problem {
    let near = match fault {
        InvalidTemplate::Brace => None,
        InvalidTemplate::Unknown(name) => nearest(name, allowed.iter().map(|placeholder| placeholder.as_str())),
    };
    let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    let (last, others) =
        names.split_last().map(|(last, others)| (last.as_str(), others.join(", "))).unwrap_or_default();
    let help = match near {
        Some(near) => format!("did you mean `{{{near}}}`?"),
        None if doubling => format!("the placeholders are {others} and {last}; a brace itself is written twice"),
        None => format!("the placeholders are {others} and {last}"),
    };
    Problem::new(fault.to_string()).help(help)
}
