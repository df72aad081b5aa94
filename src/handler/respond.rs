use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, StatusCode};

use crate::head::Response;
use crate::http::{Body, Exchange, HeaderEdits, TlsNames, answer};
use crate::name::{FieldValue, Language, Template};

/// Answers requests by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Content,
    /// Headers besides those of the framing; without a `Content-Type` among them the body is plain text.
    pub headers: Vec<(HeaderName, FieldValue)>,
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The same for every request.
    Fixed(Bytes),
    /// With placeholders, whose values are written as the language of the body needs it.
    Template(Template, Language),
}

impl Respond {
    /// Answers a request.
    #[must_use]
    pub fn answer(&self, exchange: Exchange, tls: TlsNames<'_>, edits: &HeaderEdits) -> Response<Body> {
        let body = match &self.body {
            Content::Fixed(bytes) => bytes.clone(),
            Content::Template(template, language) => Bytes::from(template.expand(|placeholder, out| {
                let mut value = String::new();
                exchange.write(placeholder, tls, &mut value);
                language.write(&value, out);
            })),
        };
        let is_empty = body.is_empty();
        answer::whole_with(self.status, body, exchange, |headers, exchange| {
            if !is_empty {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            }
            for (index, (name, value)) in self.headers.iter().enumerate() {
                let Some(value) = value.expand(|placeholder, out| exchange.write(placeholder, tls, out)) else {
                    continue;
                };
                // The first of a name replaces ours, the others join it.
                if self.headers.iter().take(index).any(|(earlier, _)| earlier == name) {
                    headers.append(name.clone(), value);
                } else {
                    headers.insert(name.clone(), value);
                }
            }
            edits.apply(headers, exchange, tls);
        })
    }
}
