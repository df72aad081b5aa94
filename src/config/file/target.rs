use std::num::NonZeroU16;

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::section::section;
use crate::config::report::Report;
use crate::config::resolved::{Host, Target, TargetPort};
use crate::config::value::{KeyDoc, Kind, Problem, TextKind, Whole, decimal, found, integer};

section! {
    /// A target with more than an address.
    TargetTable {
        /// A host name or an IP address.
        host: Host [required],
        /// 1 to 65535, or "preserve" for the port that the client came to.
        port: TargetPort [required],
        /// Its share, 1 to 256, against the other targets.
        weight: Whole<1, 256> = Whole(1),
        /// Whether it is only tried when no other target is left.
        backup: bool = false,
    }
}

const PRESERVE: &str = "preserve";

impl Kind for Target {
    fn expected() -> String {
        "a target such as \"10.0.0.1:8080\" or { host = \"app.internal\", port = 8080 }".into()
    }

    fn decode(value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<Self> {
        let read = match value.get_ref() {
            DeValue::String(text) => parse(text),
            DeValue::Table(_) => {
                let table = TargetTable::decode(value, report)?;
                let weight = u16::try_from(table.weight().0).unwrap_or(u16::MAX);
                let (host, port) = (table.host.value()?.clone(), *table.port.value()?);
                return Some(Self { host, port, weight, backup: table.backup() });
            }
            other => Err(found(&Self::expected(), other)),
        };
        read.map_err(|problem| problem.report(value.span().into(), report)).ok()
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "type": "string" }, TargetTable::schema()] })
    }

    fn show(&self) -> Json {
        self.to_string().into()
    }

    fn keys() -> Vec<KeyDoc> {
        TargetTable::keys()
    }
}

fn parse(text: &str) -> Result<Target, Problem> {
    if text.contains("://") {
        let problem = Problem::new(format!("\"{}\" is not a target", text.escape_debug()));
        return Err(problem.help("write \"HOST:PORT\", without scheme and path; TLS to the target is `tls.mode`"));
    }
    if is_socket_path(text) {
        let problem = Problem::new("a Unix socket as a target is not built yet");
        return Err(problem.help("a target is written \"HOST:PORT\", as \"127.0.0.1:8080\" or \"app.internal:8080\""));
    }
    let no_port = || {
        let help = format!("write it as \"{}:8080\"", text.escape_debug());
        Problem::new(format!("the target \"{}\" has no port", text.escape_debug())).help(help)
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(no_port)?;
    if host.contains(':') && !host.starts_with('[') {
        let problem = Problem::new(format!("\"{}\" is not a target", text.escape_debug()));
        return Err(problem.help("write an IPv6 address in brackets: \"[2001:db8::1]:8080\""));
    }
    let port = if port == PRESERVE { Some(TargetPort::Preserve) } else { decimal(port).and_then(fixed) };
    let port = port.ok_or_else(|| Problem::new("a target's port goes from 1 to 65535, or is \"preserve\""))?;
    Ok(Target { host: <Host as TextKind>::parse(host)?, port, weight: 1, backup: false })
}

/// Whether this is how other programs write the path of a Unix socket; `unix:80` is a port of the host `unix`.
fn is_socket_path(text: &str) -> bool {
    let path = text.strip_prefix("unix:").unwrap_or(text);
    path.starts_with(['/', '.', '@'])
}

fn fixed(port: u16) -> Option<TargetPort> {
    NonZeroU16::new(port).map(TargetPort::Fixed)
}

impl Kind for TargetPort {
    fn expected() -> String {
        "a port from 1 to 65535, or \"preserve\"".into()
    }

    fn decode(value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<Self> {
        let read = match value.get_ref() {
            DeValue::String(text) if text == PRESERVE => Some(Self::Preserve),
            other => integer(other).and_then(fixed),
        };
        if read.is_none() {
            let problem = match value.get_ref() {
                DeValue::Integer(number) => Problem::new(format!("expected {}, found {number}", Self::expected())),
                DeValue::String(text) => {
                    Problem::new(format!("expected {}, found \"{}\"", Self::expected(), text.escape_debug()))
                }
                other => found(&Self::expected(), other),
            };
            problem.report(value.span().into(), report);
        }
        read
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": u16::MAX }, { "const": PRESERVE }] })
    }

    fn show(&self) -> Json {
        match self {
            Self::Fixed(port) => port.get().into(),
            Self::Preserve => PRESERVE.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_and_written_back() {
        for text in ["10.0.0.1:8080", "app.internal:1", "[::1]:65535", "app.internal:preserve"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_text_that_is_no_target_is_refused() {
        for text in [
            "",
            "a",
            ":80",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "::1:80",
            "[10.0.0.1]:80",
            "http://a:80",
            "a b:1",
            "unix:/a",
            "/a:1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
