use std::fmt::{self, Debug};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::telemetry::{Format, Line, Speaker, quoted};

/// Writes an event as one JSON object, in the form and with the words of the access log: the two can be read as one, `time` is
/// the time in both, and `target` is where a connection goes to in both.
#[derive(Debug)]
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line::new(Format::Json, "log");
        line.field("level", event.metadata().level().as_str());
        let mut fields = Fields { line: &mut line, module: None, says_connection: false };
        event.record(&mut fields);
        let (module, says_connection) = (fields.module.take(), fields.says_connection);
        if let (false, Some(connection)) = (says_connection, Speaker::current().connection()) {
            line.number(CONNECTION, connection);
        }
        line.field("module", module.as_deref().unwrap_or(event.metadata().target()));
        // Ours have none; libraries do at their lower levels.
        let spans: Vec<_> = context.event_scope().into_iter().flatten().map(|span| span.name()).collect();
        if !spans.is_empty() {
            line.field("spans", &spans.join(" < "));
        }
        writer.write_str(&line.finish())
    }
}

/// The field that says whose connection it is.
const CONNECTION: &str = "connection";

/// The message of an event, and its other fields behind it in the form of the access log; with the connection where the event
/// itself does not say it.
#[derive(Debug)]
pub(super) struct TextFields;

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut texts = Texts { message: String::new(), others: Vec::new() };
        fields.record(&mut texts);
        if let (false, Some(connection)) = (texts.says(CONNECTION), Speaker::current().connection()) {
            texts.others.push((CONNECTION, connection.to_string()));
        }
        writer.write_str(&texts.message)?;
        let (name, equals, plain) =
            if writer.has_ansi_escapes() { ("\x1b[3m", "\x1b[0m\x1b[2m", "\x1b[0m") } else { ("", "", "") };
        for (field, value) in &texts.others {
            write!(writer, " {name}{field}{equals}={plain}{}", quoted(value))?;
        }
        Ok(())
    }
}

/// What an event says.
struct Texts {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Texts {
    fn says(&self, name: &str) -> bool {
        self.others.iter().any(|(field, _)| *field == name)
    }

    fn add(&mut self, field: &Field, value: String) {
        match field.name() {
            // What a peer has sent may be in it, and is to do nothing to a terminal.
            "message" => self.message = value.chars().fold(String::new(), harmless),
            // What the `log` crate says of an event is in the event's own metadata, or where in a library it was said.
            name if name.starts_with("log.") => {}
            name => self.others.push((name, value)),
        }
    }
}

impl Visit for Texts {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }
}

/// A message with one more of its characters. Lists of faults are in lines of their own.
fn harmless(mut message: String, next: char) -> String {
    if next.is_control() && next != '\n' {
        message.extend(next.escape_default());
    } else {
        message.push(next);
    }
    message
}

/// Adds what an event tells to its line.
struct Fields<'a> {
    line: &'a mut Line,
    says_connection: bool,
    /// The module of an event that came by the `log` crate, whose own metadata say nothing.
    module: Option<String>,
}

impl Fields<'_> {
    fn add(&mut self, field: &Field, value: Value) {
        self.says_connection |= field.name() == CONNECTION;
        match (field.name(), value) {
            ("log.target", Value::String(module)) => self.module = Some(module),
            // Where in a library's source it was said.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => self.line.value(name, &value),
        }
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::telemetry::Kept;

    #[test]
    fn an_event_is_one_object_in_the_words_of_the_access_log() {
        let kept = Kept::default();
        let output = kept.clone();
        let subscriber = tracing_subscriber::fmt().event_format(JsonLines).with_writer(move || output.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let error = io::Error::other("a \"b\"\nc");
            tracing::warn!(target = "10.0.0.1:80", live = 3_u64, share = 0.5, slow = true, %error, "not {}", "well");
            let span = tracing::info_span!("outer");
            let _entered = span.enter();
            tracing::info!(change = -1_i64, "within");
        });
        let text = kept.text();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [first, second] = lines.as_slice() else { panic!("{text}") };
        assert!(first["time"].as_str().unwrap().ends_with('Z') && first.get("timestamp").is_none(), "{first}");
        assert_eq!(
            (&first["kind"], &first["level"], &first["message"]),
            (&"log".into(), &"WARN".into(), &"not well".into())
        );
        assert_eq!((&first["target"], &first["module"]), (&"10.0.0.1:80".into(), &module_path!().into()));
        assert_eq!((&first["live"], &first["share"], &first["slow"]), (&3.into(), &0.5.into(), &true.into()));
        assert_eq!(first["error"], "a \"b\"\nc");
        assert_eq!((&second["change"], &second["spans"]), (&(-1).into(), &"outer".into()));
    }

    #[test]
    fn a_line_of_text_quotes_what_could_be_taken_for_another_field() {
        let kept = Kept::default();
        let output = kept.clone();
        let builder = tracing_subscriber::fmt().with_ansi(false).with_target(false).without_time();
        let subscriber = builder.fmt_fields(TextFields).with_writer(move || output.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let error = io::Error::other("refused, cause=none \x1b[2J");
            tracing::warn!(target = "10.0.0.1:80", %error, live = 3_u64, after = ?Some("a"), "not {}\x1b[2J\nwell", "so");
        });
        assert_eq!(
            kept.text(),
            " WARN not so\\u{1b}[2J\nwell target=10.0.0.1:80 error=\"refused, cause=none \\u001b[2J\" live=3 \
             after=\"Some(\\\"a\\\")\"\n"
        );
    }

    #[test]
    fn a_line_says_for_whose_connection_it_was_written_and_says_it_once() {
        let log = || {
            tracing::info!("before");
            Speaker::of(7).during(|| tracing::info!("within"));
            Speaker::of(7).during(|| tracing::info!(connection = 8, "named"));
        };
        let written = |json: bool| {
            let kept = Kept::default();
            let output = kept.clone();
            let builder = tracing_subscriber::fmt().with_ansi(false).with_writer(move || output.clone());
            if json {
                tracing::subscriber::with_default(builder.event_format(JsonLines).finish(), log);
            } else {
                tracing::subscriber::with_default(builder.fmt_fields(TextFields).finish(), log);
            }
            kept.text().lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let text = written(false);
        assert!(text[0].ends_with("before") && text[1].ends_with("within connection=7"), "{text:?}");
        assert!(text[2].contains("connection=8") && !text[2].contains("connection=7"), "{text:?}");
        let numbers: Vec<_> = written(true)
            .iter()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["connection"].as_u64())
            .collect();
        assert_eq!(numbers, [None, Some(7), Some(8)]);
    }
}
