use serde_json::{Value as Json, json};

use super::kind::{Problem, TextKind};
use super::suggest::nearest;

/// Declares a kind that is one of a few words; those after `unbuilt` are known, and refused as not built yet; those after
/// `meant` are others' words for something that is written elsewhere, each with what to write.
macro_rules! words {
    (
        $(#[doc = $doc:literal])+ $name:ident { $($variant:ident = $word:literal,)+ }
        $(unbuilt $($later:literal),+)? $(meant $($other:literal => $help:literal),+)?
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::config) enum $name {
            $(#[doc = $word] $variant,)+
        }

        impl $name {
            const WORDS: &'static [&'static str] = &[$($word),+];
            const UNBUILT: &'static [&'static str] = &[$($($later),+)?];
            const MEANT: &'static [(&'static str, &'static str)] = &[$($(($other, $help)),+)?];
        }

        impl TextKind for $name {
            fn expected() -> String {
                one_of(Self::WORDS)
            }

            fn parse(text: &str) -> Result<Self, Problem> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(unknown(text, Self::WORDS, Self::UNBUILT, Self::MEANT)),
                }
            }

            fn text(&self) -> String {
                match self {
                    $(Self::$variant => $word.into(),)+
                }
            }

            fn text_schema() -> Json {
                json!({ "enum": Self::WORDS })
            }
        }
    };
}

words!(
    /// The form of a log line.
    LogForm { Text = "text", Json = "json", }
);
words!(
    /// What is spoken on the plain or decrypted stream.
    ProtocolWord { Http = "http", Tcp = "tcp", }
    meant
        "https" => "TLS from the client is tls.mode = \"terminate\"; to the target too, \"terminate-and-reencrypt\"",
        "tls" => "TLS is tls.mode = \"passthrough\" (relayed unread) or \"terminate\"",
        "h2" => "leave `protocol` out: \"http\" is HTTP/1.1 and, with TLS, HTTP/2"
);
words!(
    /// What is done with TLS.
    TlsMode {
        Passthrough = "passthrough",
        Terminate = "terminate",
        TerminateAndReencrypt = "terminate-and-reencrypt",
    }
);
words!(
    /// A TLS version.
    Version { Tls12 = "1.2", Tls13 = "1.3", }
);
words!(
    /// Whether a client shows a certificate.
    AuthMode { None = "none", Optional = "optional", Required = "required", }
);
words!(
    /// A certificate that is not in a file.
    CertificateWord { SelfSigned = "self-signed", } unbuilt "auto"
);
words!(
    /// What [defaults] says is not for this route.
    OffWord { Off = "off", }
);
words!(
    /// How a target is chosen.
    Algorithm {
        RoundRobin = "round-robin",
        Random = "random",
        LeastConnections = "least-connections",
        IpHash = "ip-hash",
    } unbuilt "hash"
);
words!(
    /// The version of a PROXY header.
    ProxyHeader { V1 = "v1", V2 = "v2", }
);
words!(
    /// What HTTP targets are spoken to in.
    UpstreamWord { Http1 = "http1", Http2 = "h2", H2c = "h2c", Auto = "auto", }
);

impl Algorithm {
    /// How a lone word would be written as `load_balancing`.
    pub(in crate::config) fn as_section(text: &str) -> String {
        let near = nearest(text, Self::WORDS.iter().copied()).unwrap_or("round-robin");
        format!("{{ algorithm = \"{near}\" }}")
    }
}

impl TlsMode {
    /// How a lone word would be written as `tls`.
    pub(in crate::config) fn as_section(text: &str) -> String {
        let near = nearest(text, Self::WORDS.iter().copied()).unwrap_or("terminate");
        format!("{{ mode = \"{near}\" }}")
    }
}

fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [word] => format!("\"{word}\""),
        [front @ .., last] => {
            let front: Vec<String> = front.iter().map(|word| format!("\"{word}\"")).collect();
            format!("{} or \"{last}\"", front.join(", "))
        }
    }
}

fn unknown(text: &str, words: &[&str], unbuilt: &[&str], meant: &[(&str, &str)]) -> Problem {
    if unbuilt.contains(&text) {
        return Problem::new(format!("\"{text}\" is not built yet")).help(format!("write {}", one_of(words)));
    }
    let problem = Problem::new(format!("expected {}, found \"{}\"", one_of(words), text.escape_debug()));
    if let Some((_, help)) = meant.iter().find(|(other, _)| *other == text) {
        return problem.help(*help);
    }
    // Of words as short as "v1" and "1.2" each is near to each other.
    match nearest(text, words.iter().copied()).filter(|near| near.len() > 3) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem,
    }
}
