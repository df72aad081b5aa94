use super::line::{Format, Line};
use super::sink::Sink;

/// Where the lines of the access log go. A slow reader costs lines, never a connection's time.
#[derive(Clone, Debug)]
pub struct AccessLog {
    format: Format,
    sink: Option<Sink>,
}

impl AccessLog {
    /// A log that writes to `sink`.
    #[must_use]
    pub fn new(format: Format, sink: Sink) -> Self {
        Self { format, sink: Some(sink) }
    }

    /// A log that keeps nothing.
    #[must_use]
    pub fn off() -> Self {
        Self { format: Format::Text, sink: None }
    }

    /// Writes one line; `fill` adds its fields and is not called when the log is off.
    pub fn write(&self, kind: &str, fill: impl FnOnce(&mut Line)) {
        let Some(sink) = &self.sink else { return };
        let mut line = Line::new(self.format, kind);
        fill(&mut line);
        sink.send(line.finish().into_bytes());
    }
}
