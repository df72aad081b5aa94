use std::fmt;

use http::HeaderValue;

/// What a text may hold of the request that it is written for: `{host}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placeholder {
    /// `{client_ip}`: the client's address.
    ClientIp,
    /// `{host}`: the request's host, without port.
    Host,
    /// `{request_id}`: the request's id.
    RequestId,
    /// `{route}`: the route's name.
    Route,
    /// `{tls_version}`: `1.2` or `1.3`, of the client's connection.
    TlsVersion,
    /// `{sni}`: the server name that the client asked for in TLS.
    Sni,
    /// `{user}`: the user whose password the client has shown.
    User,
    /// `{path}`: the request's path.
    Path,
    /// `{path_and_query}`: the request's path and query.
    PathAndQuery,
    /// `{status}`: the status of the answer.
    Status,
}

impl Placeholder {
    /// The name between the braces.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientIp => "client_ip",
            Self::Host => "host",
            Self::RequestId => "request_id",
            Self::Route => "route",
            Self::TlsVersion => "tls_version",
            Self::Sni => "sni",
            Self::User => "user",
            Self::Path => "path",
            Self::PathAndQuery => "path_and_query",
            Self::Status => "status",
        }
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{{{}}}", self.as_str())
    }
}

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// Itself; never empty, and never beside another literal.
    Literal(Box<str>),
    /// What the request says.
    Placeholder(Placeholder),
}

/// A text with placeholders, read once and written for each request. `{{` and `}}` in it stand for one brace each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template(Box<[Piece]>);

/// Why a text is no template; its writer is to blame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A `{` or `}` alone.
    #[error("a brace without its other half")]
    Brace,
    /// A placeholder that is none, or none here.
    #[error("`{{{0}}}` is not a placeholder")]
    Unknown(Box<str>),
}

impl Template {
    /// Reads a text that may hold the `allowed` placeholders.
    ///
    /// # Errors
    /// The first thing in the text that is neither literal nor one of these.
    pub fn parse(text: &str, allowed: &[Placeholder]) -> Result<Self, InvalidTemplate> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, braces) = rest.split_at(at);
            literal.push_str(before);
            if let Some((brace, after)) = [("{", "{{"), ("}", "}}")]
                .into_iter()
                .find_map(|(brace, twice)| Some((brace, braces.strip_prefix(twice)?)))
            {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            let (name, after) =
                braces.strip_prefix('{').and_then(|open| open.split_once('}')).ok_or(InvalidTemplate::Brace)?;
            if name.contains('{') {
                return Err(InvalidTemplate::Brace);
            }
            let known = allowed.iter().find(|placeholder| placeholder.as_str() == name);
            let placeholder = known.ok_or_else(|| InvalidTemplate::Unknown(name.into()))?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
            }
            pieces.push(Piece::Placeholder(*placeholder));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        Ok(Self(pieces.into()))
    }

    /// Reads a text of another language, such as JSON or HTML, in which braces have a meaning of their own: only `{name}` of
    /// an `allowed` name is a placeholder, and everything else stands for itself, doubled braces too.
    ///
    /// # Errors
    /// A word of lower-case letters between braces that is no placeholder.
    pub fn parse_embedded(text: &str, allowed: &[Placeholder]) -> Result<Self, InvalidTemplate> {
        let (template, unknown) = Self::embedded(text, allowed);
        unknown.map_or(Ok(template), |name| Err(InvalidTemplate::Unknown(name)))
    }

    /// The same for a text that may hold such words of its own.
    #[must_use]
    pub fn of_page(text: &str, allowed: &[Placeholder]) -> Self {
        Self::embedded(text, allowed).0
    }

    /// The template, and the first word between braces that is no placeholder.
    fn embedded(text: &str, allowed: &[Placeholder]) -> (Self, Option<Box<str>>) {
        let mut unknown = None;
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, brace) = rest.split_at(at);
            literal.push_str(before);
            let inner = brace.get(1..).unwrap_or_default();
            let length = inner.bytes().take_while(|byte| byte.is_ascii_lowercase() || *byte == b'_').count();
            let (name, after) = inner.split_at(length);
            let Some(after) = after.strip_prefix('}').filter(|_| length > 0) else {
                literal.push('{');
                rest = inner;
                continue;
            };
            match allowed.iter().find(|placeholder| placeholder.as_str() == name) {
                Some(placeholder) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
                    }
                    pieces.push(Piece::Placeholder(*placeholder));
                }
                None => {
                    unknown.get_or_insert_with(|| name.into());
                    literal.push('{');
                    literal.push_str(name);
                    literal.push('}');
                }
            }
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        (Self(pieces.into()), unknown)
    }

    /// Whether the placeholder is in it.
    #[must_use]
    pub fn names(&self, placeholder: Placeholder) -> bool {
        self.0.contains(&Piece::Placeholder(placeholder))
    }

    /// Its pieces, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The text, if it is the same for every request.
    #[must_use]
    pub fn fixed(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Writes it for one request; `value` writes what a placeholder stands for, or nothing.
    pub fn expand(&self, mut value: impl FnMut(Placeholder, &mut String)) -> String {
        let mut text = String::with_capacity(64);
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Placeholder(placeholder) => value(*placeholder, &mut text),
            }
        }
        text
    }
}

/// The value of a header that the configuration gives.
#[derive(Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// The same for every request.
    Fixed(HeaderValue),
    /// With placeholders.
    Template {
        /// The text.
        text: Template,
        /// Whether it is a secret, which nothing shows and HPACK keeps out of its tables.
        sensitive: bool,
    },
}

impl FieldValue {
    /// The value for one request; `None` if nothing is left of it, or if what a placeholder stands for cannot be in a
    /// header: no line end, and nothing else that could end the field, gets into one.
    pub fn expand(&self, value: impl FnMut(Placeholder, &mut String)) -> Option<HeaderValue> {
        match self {
            Self::Fixed(fixed) => Some(fixed.clone()),
            Self::Template { text, sensitive } => {
                let text = text.expand(value);
                let text = text.trim_matches([' ', '\t']);
                // The name of a user may be of any script.
                let mut field = HeaderValue::from_bytes(text.as_bytes()).ok().filter(|field| !field.is_empty())?;
                field.set_sensitive(*sensitive);
                Some(field)
            }
        }
    }

    /// Whether the placeholder is in it.
    #[must_use]
    pub fn names(&self, placeholder: Placeholder) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Template { text, .. } => text.names(placeholder),
        }
    }

    /// Says whether it is a secret.
    pub fn set_sensitive(&mut self, secret: bool) {
        match self {
            Self::Fixed(value) => value.set_sensitive(secret),
            Self::Template { sensitive, .. } => *sensitive = secret,
        }
    }
}

impl fmt::Debug for FieldValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(value) => value.fmt(formatter),
            Self::Template { sensitive: true, .. } => formatter.write_str("Sensitive"),
            Self::Template { text, sensitive: false } => text.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Placeholder; 3] = [Placeholder::Host, Placeholder::Route, Placeholder::Sni];

    fn expanded(text: &str) -> Result<String, InvalidTemplate> {
        Template::parse(text, &ALL).map(|template| {
            template.expand(|placeholder, out| out.push_str(&placeholder.as_str().to_ascii_uppercase()))
        })
    }

    #[test]
    fn placeholders_are_written_and_doubled_braces_are_braces() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("{host}", "HOST"),
            ("a{host}{route}b", "aHOSTROUTEb"),
            ("{{host}}", "{host}"),
            ("{{{host}}}", "{HOST}"),
            ("}}{{", "}{"),
            ("{{}}", "{}"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(Template::parse("a{{b", &ALL).unwrap().fixed(), Some("a{b"));
        assert_eq!(Template::parse("{host}", &ALL).unwrap().fixed(), None);
    }

    #[test]
    fn what_is_no_placeholder_is_named() {
        for text in ["{", "}", "a}b", "{host", "{{}", "{ho{st}"] {
            assert_eq!(expanded(text), Err(InvalidTemplate::Brace), "{text}");
        }
        for (text, name) in [("{hots}", "hots"), ("{}", ""), ("{path}", "path"), ("{ host }", " host ")] {
            assert_eq!(expanded(text), Err(InvalidTemplate::Unknown(name.into())), "{text}");
        }
    }

    #[test]
    fn in_another_language_only_whole_names_are_placeholders() {
        let page = |text: &str| Template::of_page(text, &ALL).expand(|_, out| out.push('!'));
        for (text, expected) in [
            ("{\"a\":{\"b\":\"{host}\"}}", "{\"a\":{\"b\":\"!\"}}"),
            ("a{color:red}{}{{host}}{", "a{color:red}{}{!}{"),
            ("{Host}}", "{Host}}"),
        ] {
            assert_eq!(page(text), expected, "{text}");
            assert!(Template::parse_embedded(text, &ALL).is_ok(), "{text}");
        }
        assert_eq!(Template::parse_embedded("{hots}", &ALL), Err(InvalidTemplate::Unknown("hots".into())));
        assert_eq!(page("{hots}{host}"), "{hots}!");
    }

    #[test]
    fn a_field_that_would_be_empty_or_hold_a_line_end_is_none() {
        let field = |value: &'static str| {
            let template = Template::parse("{host} ", &ALL).unwrap();
            FieldValue::Template { text: template, sensitive: true }.expand(|_, out| out.push_str(value))
        };
        assert_eq!(field("a.test").unwrap(), "a.test");
        assert!(field("a.test").unwrap().is_sensitive());
        assert_eq!(field(""), None);
        for forged in ["a\r\nx: y", "a\nb", "a\0b", "a\rb", "a\u{7f}"] {
            assert_eq!(field(forged), None, "{forged:?}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let mut field =
            FieldValue::Template { text: Template::parse("s3cret {host}", &ALL).unwrap(), sensitive: false };
        assert!(format!("{field:?}").contains("s3cret"));
        field.set_sensitive(true);
        assert!(!format!("{field:?}").contains("s3cret"));
    }

    proptest! {
        #[test]
        fn any_text_with_its_braces_doubled_is_itself(text in any::<String>()) {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(expanded(&doubled), Ok(text));
        }

        #[test]
        fn no_value_makes_a_field_that_is_not_one(text in any::<String>(), value in any::<String>()) {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            let template = Template::parse(&format!("{doubled}{{host}}"), &ALL).unwrap();
            let field = FieldValue::Template { text: template, sensitive: false }.expand(|_, out| out.push_str(&value));
            if let Some(field) = field {
                let sound = |byte: &u8| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f);
                prop_assert!(field.as_bytes().iter().all(sound) && !field.is_empty());
            }
        }
    }
}
