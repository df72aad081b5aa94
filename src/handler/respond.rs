use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};

use crate::http::{Body, Exchange, answer};

/// Answers requests by itself, always the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
    /// Headers besides those of the framing; without a `Content-Type` among them the body is plain text.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Respond {
    /// Answers a request.
    #[must_use]
    pub fn answer(&self, exchange: Exchange) -> Response<Body> {
        let mut response = answer::whole(self.status, self.body.clone(), exchange);
        let headers = response.headers_mut();
        if !self.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        }
        for (index, (name, value)) in self.headers.iter().enumerate() {
            // The first of a name replaces ours, the others join it.
            if self.headers.iter().take(index).any(|(earlier, _)| earlier == name) {
                headers.append(name, value.clone());
            } else {
                headers.insert(name, value.clone());
            }
        }
        response
    }
}
