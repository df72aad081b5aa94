use tracing_subscriber::EnvFilter;

use super::kind::{Problem, TextKind};
use super::suggest::nearest;

/// A level of the log, or tracing filter directives.
#[derive(Clone, Debug)]
pub(in crate::config) struct LogLevel(pub(in crate::config) String);

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

impl TextKind for LogLevel {
    fn expected() -> String {
        "error, warn, info, debug, trace, or tracing filter directives".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = || Problem::new(format!("\"{}\" is not a log level", text.escape_debug()));
        // The filter's own parser cuts at byte positions of the trimmed text (tracing-subscriber 0.3.23): a space before a
        // directive shifts them, and with letters of more than one byte it panics.
        if !text.is_ascii() {
            return Err(wrong().help("directives are written in ASCII, as \"info,smartproxy::tls=debug\""));
        }
        let text = text.split(',').map(str::trim).collect::<Vec<_>>().join(",");
        // The filter would take any lone word for the name of a module to trace, a typing error too.
        let word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if word && !LEVELS.contains(&text.as_str()) {
            return Err(match nearest(&text, LEVELS) {
                Some(near) => wrong().help(format!("did you mean `{near}`?")),
                None => wrong().help(
                    "write error, warn, info, debug, trace, or directives such as \"info,smartproxy::tls=debug\"",
                ),
            });
        }
        match EnvFilter::builder().parse(&text) {
            Ok(_) => Ok(Self(text)),
            Err(why) => Err(Problem::new(format!("\"{}\" is not a log filter: {why}", text.escape_debug()))),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn level(text: &str) -> Option<String> {
        LogLevel::parse(text).ok().map(|level| level.text())
    }

    #[test]
    fn spaces_around_directives_do_not_count() {
        assert_eq!(level("info "), Some("info".into()));
        assert_eq!(level(" inof"), None);
        assert_eq!(level(" info , smartproxy::tls=debug "), Some("info,smartproxy::tls=debug".into()));
    }

    #[test]
    fn letters_of_more_than_one_byte_are_a_fault() {
        assert_eq!(level(" \u{1e119}=debug"), None);
        assert_eq!(level("größe=debug"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_filter_or_a_fault(text in any::<String>(), near in "[ =\\[\\]{},:_a-z\u{1e119}é-]{0,20}") {
            let _ = (level(&text), level(&near));
        }
    }
}
