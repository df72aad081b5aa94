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
        // The filter would take any lone word for the name of a module to trace, a typing error too.
        let word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if word && !LEVELS.contains(&text) {
            return Err(match nearest(text, LEVELS) {
                Some(near) => wrong().help(format!("did you mean `{near}`?")),
                None => wrong().help(
                    "write error, warn, info, debug, trace, or directives such as \"info,smartproxy::tls=debug\"",
                ),
            });
        }
        match EnvFilter::builder().parse(text) {
            Ok(_) => Ok(Self(text.into())),
            Err(why) => Err(Problem::new(format!("\"{}\" is not a log filter: {why}", text.escape_debug()))),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}
