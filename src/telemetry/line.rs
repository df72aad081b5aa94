use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `time kind key=value ...`; values with spaces, quotes or control characters are quoted as in JSON.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// A value as a line of text has it.
#[must_use]
pub fn quoted(value: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=');
    if !value.is_empty() && value.bytes().all(plain) {
        value.into()
    } else {
        // A JSON string escapes control characters, so a peer can forge no line; serialising a str cannot fail.
        serde_json::Value::from(value).to_string().into()
    }
}

/// One line of the access log, built field by field in one pass.
#[derive(Debug)]
pub struct Line {
    format: Format,
    text: String,
}

impl Line {
    /// A line of `kind` that happened now.
    #[must_use]
    pub fn new(format: Format, kind: &str) -> Self {
        let mut line = Self { format, text: String::with_capacity(384) };
        match format {
            Format::Text => {
                line.time();
                line.text.push(' ');
                line.text.push_str(kind);
            }
            Format::Json => {
                line.text.push_str("{\"time\":\"");
                line.time();
                line.text.push('"');
                line.field("kind", kind);
            }
        }
        line
    }

    /// Adds a text.
    pub fn field(&mut self, key: &str, value: &str) {
        self.key(key);
        match self.format {
            Format::Text => self.text.push_str(&quoted(value)),
            Format::Json => self.text.push_str(&serde_json::Value::from(value).to_string()),
        }
    }

    /// Adds a text if there is one.
    pub fn field_if(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.field(key, value);
        }
    }

    /// Adds a number.
    pub fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{value}");
    }

    /// Adds any value.
    pub fn value(&mut self, key: &str, value: &serde_json::Value) {
        match value {
            serde_json::Value::String(text) => self.field(key, text),
            other => {
                self.key(key);
                let _ = write!(self.text, "{other}");
            }
        }
    }

    /// Adds a duration in seconds, to the microsecond.
    pub fn seconds(&mut self, key: &str, value: Duration) {
        self.key(key);
        let _ = write!(self.text, "{}.{:06}", value.as_secs(), value.subsec_micros());
    }

    /// The finished line, with its end of line.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.format == Format::Json {
            self.text.push('}');
        }
        self.text.push('\n');
        self.text
    }

    fn key(&mut self, key: &str) {
        match self.format {
            Format::Text => {
                self.text.push(' ');
                self.text.push_str(key);
                self.text.push('=');
            }
            Format::Json => {
                let _ = write!(self.text, ",\"{key}\":");
            }
        }
    }

    fn time(&mut self) {
        // RFC 3339 in UTC; the formatter is the log's own, so that both logs sort together.
        let _ = SystemTime.format_time(&mut Writer::new(&mut self.text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: Format) -> String {
        let mut line = Line::new(format, "connection");
        line.field("host", "shop.example.com");
        line.field("odd", "a \"b\"\nc=d");
        line.field("empty", "");
        line.field_if("absent", None);
        line.number("bytes_in", 12);
        line.seconds("duration_seconds", Duration::from_micros(1_000_042));
        line.finish()
    }

    #[test]
    fn a_text_line_quotes_what_could_forge_a_field_or_a_line() {
        let text = line(Format::Text);
        let (_time, rest) = text.split_once(' ').unwrap();
        assert_eq!(
            rest,
            "connection host=shop.example.com odd=\"a \\\"b\\\"\\nc=d\" empty=\"\" bytes_in=12 duration_seconds=1.000042\n"
        );
    }

    #[test]
    fn a_json_line_is_one_object() {
        let parsed: serde_json::Value = serde_json::from_str(&line(Format::Json)).unwrap();
        assert_eq!(parsed["kind"], "connection");
        assert_eq!(parsed["odd"], "a \"b\"\nc=d");
        assert_eq!(parsed["bytes_in"], 12);
        assert_eq!(parsed["duration_seconds"], 1.000_042);
        assert!(parsed["time"].as_str().unwrap().ends_with('Z'));
    }
}
