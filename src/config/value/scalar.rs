use http::{HeaderValue, Method};

use super::kind::{Problem, TextKind};

/// Any text.
#[derive(Clone, Debug)]
pub(in crate::config) struct Text(pub(in crate::config) String);

impl TextKind for Text {
    fn expected() -> String {
        "a text".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        Ok(Self(text.into()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The value of a header.
#[derive(Clone, Debug)]
pub(in crate::config) struct HeaderText(pub(in crate::config) HeaderValue);

impl TextKind for HeaderText {
    fn expected() -> String {
        "the value of a header".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if text.trim() != text {
            return Err(Problem::new("a header's value cannot begin or end with a blank"));
        }
        // The type would also take bytes above 127, whose meaning no one agrees on (RFC 9110 section 5.5).
        let value = HeaderValue::from_str(text).ok().filter(|_| text.is_ascii());
        value
            .map(Self)
            .ok_or_else(|| Problem::new("a header's value can only hold visible ASCII characters and blanks"))
    }

    fn text(&self) -> String {
        self.0.to_str().unwrap_or_default().into()
    }
}

/// A request method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct MethodName(pub(in crate::config) Method);

impl MethodName {
    const STANDARD: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
}

impl TextKind for MethodName {
    fn expected() -> String {
        "a method such as \"GET\"".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let method = Method::from_bytes(text.as_bytes())
            .map_err(|_| Problem::new(format!("\"{}\" is not a method", text.escape_debug())))?;
        // Methods are case-sensitive (RFC 9110 section 9.1): "get" would never match.
        match Self::STANDARD.iter().find(|known| known.as_str().eq_ignore_ascii_case(text)) {
            Some(known) if *known != method => Err(Problem::new(format!("methods are case-sensitive: \"{text}\""))
                .help(format!("did you mean `{known}`?"))),
            Some(_) | None => Ok(Self(method)),
        }
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// The name of an ALPN protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Alpn(pub(in crate::config) Box<[u8]>);

impl TextKind for Alpn {
    fn expected() -> String {
        "an ALPN protocol such as \"h2\"".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        // RFC 7301 section 3.1: one length byte, and not empty.
        if (1..=255).contains(&text.len()) {
            Ok(Self(text.as_bytes().into()))
        } else {
            Err(Problem::new("an ALPN protocol has 1 to 255 bytes"))
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}
