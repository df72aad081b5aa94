use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderValue, InvalidHeaderValue};

use super::exchange::Exchange;
use crate::name::{Language, Placeholder, Template};
use crate::outcome::Cause;

/// How a client is shown that its request has failed here.
#[derive(Clone, Debug, Default)]
pub struct ErrorAnswers {
    /// Whether the cause is named. What it says of targets is for operators, who find it by the request id.
    pub show_cause: bool,
    /// Pages that stand in the place of ours, by status; the first that holds the status is taken.
    pub pages: Vec<(RangeInclusive<u16>, Arc<ErrorPage>)>,
}

/// A page of the operator's for an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    content_type: HeaderValue,
    language: Language,
    text: Template,
}

impl ErrorPage {
    /// What a page may hold of its request.
    pub const PLACEHOLDERS: [Placeholder; 3] = [Placeholder::Status, Placeholder::RequestId, Placeholder::Host];

    /// A page of that media type. Braces around anything but a placeholder are the page's own.
    ///
    /// # Errors
    /// The media type has a character that no header has.
    pub fn new(content_type: &str, text: &str) -> Result<Self, InvalidHeaderValue> {
        let text = Template::of_page(text, &Self::PLACEHOLDERS);
        Ok(Self { content_type: HeaderValue::from_str(content_type)?, language: Language::of(content_type), text })
    }
}

/// What our own answers are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Html,
    /// RFC 9457.
    Problem,
}

impl ErrorAnswers {
    /// The body for a failure, and its media type.
    pub(super) fn write(&self, status: StatusCode, cause: Cause, exchange: &Exchange) -> (HeaderValue, Bytes) {
        let code = status.as_u16();
        if let Some((_, page)) = self.pages.iter().find(|(statuses, _)| statuses.contains(&code)) {
            let text = page.text.expand(|placeholder, out| match placeholder {
                Placeholder::Status => out.push_str(status.as_str()),
                Placeholder::RequestId => page.language.write(exchange.id().as_str(), out),
                Placeholder::Host => page.language.write(exchange.host().as_str().unwrap_or_default(), out),
                _ => {}
            });
            return (page.content_type.clone(), text.into());
        }
        let cause = if self.show_cause { Some(cause.as_str()) } else { None };
        let form = exchange.accept().map_or(Form::Text, |accept| wanted(accept.to_str().unwrap_or_default()));
        let (content_type, text) = match form {
            Form::Text => ("text/plain; charset=utf-8", in_text(status, cause, exchange.id().as_str())),
            Form::Html => ("text/html; charset=utf-8", in_html(status, cause, exchange.id().as_str())),
            Form::Problem => ("application/problem+json", in_json(status, cause, exchange.id().as_str())),
        };
        (HeaderValue::from_static(content_type), text.into())
    }
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Failed")
}

fn in_text(status: StatusCode, cause: Option<&str>, id: &str) -> String {
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{} {}{cause}\nrequest id: {id}\n", status.as_str(), reason(status))
}

fn in_html(status: StatusCode, cause: Option<&str>, id: &str) -> String {
    let title = format!("{} {}", status.as_str(), reason(status));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n"
    );
    if let Some(cause) = cause {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "<p>{cause}</p>");
    }
    page.push_str("<p>request id: ");
    Language::Html.write(id, &mut page);
    page.push_str("</p>\n</html>\n");
    page
}

fn in_json(status: StatusCode, cause: Option<&str>, id: &str) -> String {
    let mut problem =
        format!("{{\"type\":\"about:blank\",\"title\":\"{}\",\"status\":{}", reason(status), status.as_str());
    if let Some(cause) = cause {
        let _ = write!(problem, ",\"cause\":\"{cause}\"");
    }
    problem.push_str(",\"request_id\":\"");
    Language::Json.write(id, &mut problem);
    problem.push_str("\"}\n");
    problem
}

/// The form that an `Accept` prefers (RFC 9110 section 12.5.1): by weight, then what it names before what it only allows,
/// then the order in which it names them. Text, if it takes none.
fn wanted(accept: &str) -> Form {
    let mut best = (0, false, Form::Text);
    for range in accept.split(',') {
        let mut parameters = range.split(';').map(str::trim);
        let (form, named) = match parameters.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "text/plain" => (Form::Text, true),
            "text/html" | "application/xhtml+xml" => (Form::Html, true),
            "application/problem+json" | "application/json" => (Form::Problem, true),
            "text/*" | "*/*" => (Form::Text, false),
            "application/*" => (Form::Problem, false),
            _ => continue,
        };
        let weight = parameters.find_map(|parameter| parameter.strip_prefix("q=").or(parameter.strip_prefix("Q=")));
        let weight = weight.map_or(1000, thousandths);
        if weight > 0 && (weight, named) > (best.0, best.1) {
            best = (weight, named, form);
        }
    }
    best.2
}

/// A weight in thousandths; one that is not well formed is none.
fn thousandths(weight: &str) -> u16 {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = fraction.bytes().chain(*b"000").take(3);
    let fraction = digits.fold(0_u16, |sum, digit| sum * 10 + u16::from(digit.wrapping_sub(b'0').min(9)));
    match whole {
        "1" => 1000,
        "0" => fraction,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_form_is_what_the_client_prefers() {
        for (accept, form) in [
            ("", Form::Text),
            ("*/*", Form::Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", Form::Html),
            ("application/json", Form::Problem),
            ("application/json, text/plain, */*", Form::Problem),
            ("application/problem+json;q=0.5, text/html;q=0.4", Form::Problem),
            ("text/html;q=0.4, text/plain;q=0.45", Form::Text),
            ("text/html;level=1;q=0.4, TEXT/HTML; Q=0.9, application/json;q=0.8", Form::Html),
            ("application/grpc", Form::Text),
            ("*/*, application/json;q=0.9", Form::Text),
            ("application/json;q=0", Form::Text),
            ("image/png, application/*", Form::Problem),
        ] {
            assert_eq!(wanted(accept), form, "{accept}");
        }
    }

    #[test]
    fn an_id_stays_a_text_in_each_form() {
        let (status, id) = (StatusCode::BAD_GATEWAY, "<b>\"x\"");
        assert_eq!(in_text(status, Some("refused"), "1"), "502 Bad Gateway: refused\nrequest id: 1\n");
        assert!(
            in_html(status, None, id).contains("&lt;b&gt;&quot;x&quot;") && !in_html(status, None, id).contains("<b>")
        );
        let problem: serde_json::Value = serde_json::from_str(&in_json(status, Some("refused"), id)).unwrap();
        assert_eq!((&problem["status"], &problem["title"]), (&502.into(), &"Bad Gateway".into()));
        assert_eq!((&problem["cause"], &problem["request_id"]), (&"refused".into(), &id.into()));
    }

    proptest! {
        #[test]
        fn any_accept_has_a_form(accept in any::<String>(), weight in "[0-9.q]{0,8}") {
            let _ = wanted(&accept);
            prop_assert!(thousandths(&weight) <= 1000);
        }
    }
}
