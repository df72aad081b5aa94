use std::fmt::{self, Debug};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::telemetry::{Format, Line};

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
        let mut fields = Fields { line: &mut line, module: None };
        event.record(&mut fields);
        let module = fields.module.take();
        line.field("module", module.as_deref().unwrap_or(event.metadata().target()));
        // Ours have none; libraries do at their lower levels.
        let spans: Vec<_> = context.event_scope().into_iter().flatten().map(|span| span.name()).collect();
        if !spans.is_empty() {
            line.field("spans", &spans.join(" < "));
        }
        writer.write_str(&line.finish())
    }
}

/// Adds what an event tells to its line.
struct Fields<'a> {
    line: &'a mut Line,
    /// The module of an event that came by the `log` crate, whose own metadata say nothing.
    module: Option<String>,
}

impl Fields<'_> {
    fn add(&mut self, field: &Field, value: Value) {
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
}
