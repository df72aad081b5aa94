use std::sync::Arc;

use http::HeaderName;

use super::line::{Format, Line};
use super::mask::QueryMask;
use super::sink::Sink;

/// How much of a request's header is written, in bytes: no longer user agent is known, and a header may be as long as a head.
pub const LOGGED_FIELD_MAX: usize = 1024;

/// What a line of a request holds that is not the same for everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestDetail {
    /// What of a query is kept out of it.
    pub mask: QueryMask,
    /// Headers of the request that it holds, each as `header_NAME` with `_` for `-`.
    pub headers: Vec<HeaderName>,
}

/// Where the lines of the access log go. A slow reader costs lines, never a connection's time.
#[derive(Clone, Debug)]
pub struct AccessLog {
    format: Format,
    sink: Option<Sink>,
    detail: Arc<RequestDetail>,
}

impl AccessLog {
    /// A log that writes to `sink`.
    #[must_use]
    pub fn new(format: Format, sink: Sink) -> Self {
        Self { format, sink: Some(sink), detail: Arc::default() }
    }

    /// The same log with these details of requests.
    #[must_use]
    pub fn with_detail(self, detail: RequestDetail) -> Self {
        Self { detail: Arc::new(detail), ..self }
    }

    /// What of a request its line holds; nothing when the log is off.
    #[must_use]
    pub fn detail(&self) -> &RequestDetail {
        &self.detail
    }

    /// A log that keeps nothing.
    #[must_use]
    pub fn off() -> Self {
        Self { format: Format::Text, sink: None, detail: Arc::default() }
    }

    /// Writes one line; `fill` adds its fields and is not called when the log is off.
    pub fn write(&self, kind: &str, fill: impl FnOnce(&mut Line)) {
        let Some(sink) = &self.sink else { return };
        let mut line = Line::new(self.format, kind);
        fill(&mut line);
        sink.send(line.finish().into_bytes());
    }
}
