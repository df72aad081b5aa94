use http::uri::PathAndQuery;

use super::kind::{Problem, TextKind};
use crate::name::PathPrefix;

impl TextKind for PathPrefix {
    fn expected() -> String {
        "the beginning of a path such as \"/api\"".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        Self::parse(text).map_err(|why| Problem::new(format!("\"{}\" is not a prefix: {why}", text.escape_debug())))
    }

    fn text(&self) -> String {
        self.as_str().into()
    }
}

/// The name of a proxy in `Via`, or `""` for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Pseudonym(pub(in crate::config) String);

impl TextKind for Pseudonym {
    fn expected() -> String {
        "a name such as \"smartproxy\", or \"\" for off".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        // A token (RFC 9110 section 5.6.2), or what a host may look like: `pseudonym` and `received-by` of section 7.6.3.
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:[]".contains(&byte);
        if text.bytes().all(sound) {
            Ok(Self(text.into()))
        } else {
            Err(Problem::new(format!("\"{}\" is not one word", text.escape_debug())))
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The path by which a server is asked, with its query if it has one.
#[derive(Clone, Debug)]
pub(in crate::config) struct AskedPath(pub(in crate::config) PathAndQuery);

impl TextKind for AskedPath {
    fn expected() -> String {
        "a path such as \"/api/verify\"".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let path = PathAndQuery::try_from(text).ok();
        path.filter(|path| text.starts_with('/') && path.as_str() == text)
            .map(Self)
            .ok_or_else(|| Problem::new(format!("\"{}\" is not a path", text.escape_debug())))
            .map_err(|problem| problem.help("it begins with a slash, and has no host and no #"))
    }

    fn text(&self) -> String {
        self.0.as_str().into()
    }
}
