use std::fmt;

use super::normal::normalize_path;
use super::rewrite::PathPrefix;

/// Which request paths a route stands for: `match.path`.
///
/// - `/api/`, ending in a slash, is a prefix on a segment boundary: `/api/` and everything below. `/api` itself is not
///   taken (as with nginx's `location /api/` and Caddy's `/api/*`): to a target those are two resources, relative links
///   resolve differently from them, and who wants both writes a second route. `/` is every path.
/// - `/api`, not ending in a slash, is this path and no other.
/// - `/users/{id}` has a parameter: exactly one segment, not an empty one. `/users/{id}/` is a prefix with a parameter.
/// - `/files/{*rest}` is everything below `/files/`, with at least one character: unlike `/files/` it does not take
///   `/files/` itself.
///
/// Paths are compared byte by byte, in the form that [`normalize_path`] gives; a pattern may be written in any form
/// (`/café`, `/caf%c3%a9`) as long as it has one. Path parameters (`;x`) are no part of that form, and so a pattern with
/// one is refused: it would stand for more paths than it says. A pattern is shown, and compared with `==`, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    text: Box<str>,
    segments: Box<[Segment]>,
    end: End,
}

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Segment {
    /// This text, in normal form.
    Literal(Box<str>),
    /// `{id}`: any text.
    Parameter,
}

/// What may follow the segments of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    /// Nothing.
    Exact,
    /// A slash, and anything.
    Prefix,
    /// A slash, and one character or more.
    Rest,
}

/// How narrow a pattern is; of two that meet one path, the greater one is the more specific.
///
/// Patterns of a fixed number of segments go before open-ended ones; then more segments; then literal segments before
/// parameters, from the left; then `{*rest}` before a plain prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathSpecificity {
    fixed: bool,
    segments: usize,
    literal: Box<[bool]>,
    rest: bool,
}

/// Why a text is not a path pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPathPattern {
    /// It does not begin with a slash.
    #[error("a path begins with /")]
    Relative,
    /// A `?` or `#`.
    #[error("a path holds no query and no fragment; leave out what begins with ? or #")]
    Delimiter,
    /// A brace elsewhere than around a whole segment.
    #[error("a parameter is a whole segment, as in /users/{{id}} or /files/{{*rest}}")]
    Brace,
    /// A parameter without a name, or with characters that no name has.
    #[error("a parameter has a name of letters, digits and underscores, as in {{id}} or {{*rest}}")]
    ParameterName,
    /// Two parameters of one name.
    #[error("two parameters have the same name")]
    DuplicateParameter,
    /// `{*rest}` elsewhere than at the end.
    #[error("{{*rest}} may only be the last segment")]
    RestNotLast,
    /// A star, as other proxies have it.
    #[error(
        "a star stands for nothing here; end the path in / for all that is below it, or write {{id}} for one segment and a final {{*rest}} for the rest"
    )]
    Star,
    /// A segment that no normalised path has.
    #[error(
        "an empty segment, a . or .. segment, path parameters (;), an encoded or backward slash, a control character or a lone % can never be met; write the path as it is once it is normalised"
    )]
    NotNormal,
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with the text; its writer is to blame.
    pub fn parse(text: &str) -> Result<Self, InvalidPathPattern> {
        let inner = text.strip_prefix('/').ok_or(InvalidPathPattern::Relative)?;
        if inner.contains(['?', '#']) {
            return Err(InvalidPathPattern::Delimiter);
        }
        let mut segments = Vec::new();
        let mut names = Vec::new();
        let mut end = End::Exact;
        let mut parts = inner.split('/').peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            if last && part.is_empty() {
                end = End::Prefix;
                break;
            }
            if part.contains('*') && !part.starts_with('{') {
                return Err(InvalidPathPattern::Star);
            }
            match Part::parse(part)? {
                Part::Literal(literal) => segments.push(Segment::Literal(literal)),
                Part::Parameter(name) => {
                    unique(&mut names, name)?;
                    segments.push(Segment::Parameter);
                }
                Part::Rest(_) if !last => return Err(InvalidPathPattern::RestNotLast),
                Part::Rest(name) => {
                    unique(&mut names, name)?;
                    end = End::Rest;
                }
            }
        }
        Ok(Self { text: text.into(), segments: segments.into(), end })
    }

    /// Whether every path that it takes is the prefix, or below it.
    #[must_use]
    pub fn is_below(&self, prefix: &PathPrefix) -> bool {
        let mut segments = self.segments.iter();
        prefix.as_str().split('/').skip(1).all(|wanted| match segments.next() {
            Some(Segment::Literal(literal)) => **literal == *wanted,
            Some(Segment::Parameter) | None => false,
        })
    }

    /// Whether a path, in normal form, is one of this pattern's. A path without a slash in front never is.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let mut path = path;
        for segment in &self.segments {
            let Some(below) = path.strip_prefix('/') else { return false };
            path = match segment {
                Segment::Literal(literal) => match below.strip_prefix(&**literal) {
                    Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
                    Some(_) | None => return false,
                },
                Segment::Parameter => {
                    let rest = below.trim_start_matches(|character| character != '/');
                    if rest.len() == below.len() {
                        return false;
                    }
                    rest
                }
            };
        }
        match self.end {
            End::Exact => path.is_empty(),
            End::Prefix => path.starts_with('/'),
            End::Rest => path.len() > 1 && path.starts_with('/'),
        }
    }

    /// Whether every path of `other` is also one of this pattern.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let pairs = self.segments.iter().zip(&other.segments);
        let all = pairs.into_iter().all(|(outer, inner)| match (outer, inner) {
            (Segment::Parameter, _) => true,
            (Segment::Literal(outer), Segment::Literal(inner)) => outer == inner,
            (Segment::Literal(_), Segment::Parameter) => false,
        });
        let Some(deeper) = other.segments.len().checked_sub(self.segments.len()) else { return false };
        all && match self.end {
            End::Exact => deeper == 0 && other.end == End::Exact,
            End::Prefix => deeper > 0 || other.end != End::Exact,
            End::Rest => deeper > 0 || other.end == End::Rest,
        }
    }

    /// How narrow this pattern is.
    #[must_use]
    pub fn specificity(&self) -> PathSpecificity {
        PathSpecificity {
            fixed: self.end == End::Exact,
            segments: self.segments.len(),
            literal: self.segments.iter().map(|segment| matches!(segment, Segment::Literal(_))).collect(),
            rest: self.end == End::Rest,
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// One segment of a pattern as it is written.
enum Part<'a> {
    Literal(Box<str>),
    Parameter(&'a str),
    Rest(&'a str),
}

impl<'a> Part<'a> {
    fn parse(text: &'a str) -> Result<Self, InvalidPathPattern> {
        if let Some(name) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            if name.contains(['{', '}']) {
                return Err(InvalidPathPattern::Brace);
            }
            let (part, name): (fn(&'a str) -> Self, _) = match name.strip_prefix('*') {
                Some(name) => (Self::Rest, name),
                None => (Self::Parameter, name),
            };
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || !name.bytes().all(allowed) {
                return Err(InvalidPathPattern::ParameterName);
            }
            return Ok(part(name));
        }
        if text.contains(['{', '}']) {
            return Err(InvalidPathPattern::Brace);
        }
        let path = format!("/{text}");
        let normal = normalize_path(&path).map_err(|_| InvalidPathPattern::NotNormal)?;
        // Its normal form is broader than what it says.
        if text.contains(';') || text.to_ascii_uppercase().contains("%3B") {
            return Err(InvalidPathPattern::NotNormal);
        }
        match normal.strip_prefix('/') {
            Some(segment) if !segment.is_empty() && !segment.contains('/') => Ok(Self::Literal(segment.into())),
            Some(_) | None => Err(InvalidPathPattern::NotNormal),
        }
    }
}

fn unique<'a>(names: &mut Vec<&'a str>, name: &'a str) -> Result<(), InvalidPathPattern> {
    if names.contains(&name) {
        return Err(InvalidPathPattern::DuplicateParameter);
    }
    names.push(name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::parse(text).unwrap()
    }

    #[test]
    fn a_pattern_takes_what_it_says() {
        let cases: [(&str, &[&str], &[&str]); 9] = [
            ("/", &["/", "/a", "/a/b/"], &["", "*", "a"]),
            ("/api", &["/api"], &["/api/", "/api/x", "/apix", "/ap", "/", "/API"]),
            ("/api/", &["/api/", "/api/x", "/api/x/y/"], &["/api", "/apix", "/apix/", "/x/api/"]),
            ("/users/{id}", &["/users/7", "/users/a%20b"], &["/users/", "/users", "/users/7/", "/users/7/x"]),
            ("/users/{id}/", &["/users/7/", "/users/7/x/y"], &["/users/7", "/users/", "/users"]),
            ("/users/{id}/posts", &["/users/7/posts"], &["/users/posts", "/users/7/8/posts", "/users/7/posts/"]),
            ("/files/{*rest}", &["/files/a", "/files/a/b/"], &["/files/", "/files", "/filesa"]),
            ("/{*rest}", &["/a", "/a/"], &["/", ""]),
            ("/{a}/{*rest}", &["/a/b", "/a/b/c"], &["/a/", "/a"]),
        ];
        for (text, inside, outside) in cases {
            for path in inside {
                assert!(pattern(text).matches(path), "{text} {path}");
            }
            for path in outside {
                assert!(!pattern(text).matches(path), "{text} {path}");
            }
        }
    }

    #[test]
    fn a_pattern_may_be_written_in_any_form_and_is_shown_as_written() {
        for text in ["/caf\u{e9}/", "/caf%c3%a9/", "/%63af%C3%A9/"] {
            assert!(pattern(text).matches(&normalize_path("/caf%c3%A9/menu").unwrap()), "{text}");
            assert_eq!(pattern(text).to_string(), text);
        }
    }

    #[test]
    fn each_rule_refuses_what_breaks_it() {
        let cases = [
            ("", InvalidPathPattern::Relative),
            ("api/", InvalidPathPattern::Relative),
            ("/api?x=1", InvalidPathPattern::Delimiter),
            ("/api#top", InvalidPathPattern::Delimiter),
            ("/a{id}", InvalidPathPattern::Brace),
            ("/{id}.json", InvalidPathPattern::Brace),
            ("/{a}-{b}", InvalidPathPattern::Brace),
            ("/{id", InvalidPathPattern::Brace),
            ("/id}", InvalidPathPattern::Brace),
            ("/{}", InvalidPathPattern::ParameterName),
            ("/{*}", InvalidPathPattern::ParameterName),
            ("/{a b}", InvalidPathPattern::ParameterName),
            ("/{id*}", InvalidPathPattern::ParameterName),
            ("/{id}/{id}", InvalidPathPattern::DuplicateParameter),
            ("/{id}/{*id}", InvalidPathPattern::DuplicateParameter),
            ("/{*rest}/", InvalidPathPattern::RestNotLast),
            ("/api/*", InvalidPathPattern::Star),
            ("/*.php", InvalidPathPattern::Star),
            ("/{*rest}/a", InvalidPathPattern::RestNotLast),
            ("//", InvalidPathPattern::NotNormal),
            ("/a//b", InvalidPathPattern::NotNormal),
            ("/a/../b", InvalidPathPattern::NotNormal),
            ("/a/%2e", InvalidPathPattern::NotNormal),
            ("/a%2Fb", InvalidPathPattern::NotNormal),
            ("/a\\b", InvalidPathPattern::NotNormal),
            ("/100%", InvalidPathPattern::NotNormal),
            ("/a;x/", InvalidPathPattern::NotNormal),
            ("/a%3bx", InvalidPathPattern::NotNormal),
            ("/a\n", InvalidPathPattern::NotNormal),
        ];
        for (text, fault) in cases {
            assert_eq!(PathPattern::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn the_narrower_of_two_overlapping_patterns_is_the_more_specific() {
        let ranked = [
            "/api/v1/users",
            "/api/v1/{id}",
            "/api/{version}/users",
            "/api/v1/",
            "/api/{*rest}",
            "/api/",
            "/{x}/",
            "/",
        ];
        for pair in ranked.windows(2) {
            assert!(pattern(pair[0]).specificity() > pattern(pair[1]).specificity(), "{pair:?}");
        }
        assert_eq!(pattern("/{a}/").specificity(), pattern("/{b}/").specificity());
    }

    #[test]
    fn covering_is_containing_every_path() {
        let covers = |outer: &str, inner: &str| pattern(outer).covers(&pattern(inner));
        for (outer, inner) in [
            ("/", "/a"),
            ("/", "/{*rest}"),
            ("/api/", "/api/{*rest}"),
            ("/api/", "/api/v1/"),
            ("/api/", "/api/{id}"),
            ("/{a}", "/{b}"),
            ("/{a}", "/x"),
            ("/{*rest}", "/a"),
            ("/caf\u{e9}", "/caf%C3%A9"),
        ] {
            assert!(covers(outer, inner), "{outer} {inner}");
        }
        for (outer, inner) in [
            ("/api/", "/api"),
            ("/api/{*rest}", "/api/"),
            ("/api/v1/", "/api/"),
            ("/x", "/{a}"),
            ("/{a}", "/{a}/"),
            ("/{a}", "/{*rest}"),
            ("/{a}/", "/{*rest}"),
        ] {
            assert!(!covers(outer, inner), "{outer} {inner}");
        }
    }

    fn patterns() -> impl Strategy<Value = PathPattern> {
        let segment = prop::sample::select(vec!["a", "b", "{p}"]);
        let end = prop::sample::select(vec!["", "/", "/{*rest}"]);
        (prop::collection::vec(segment, 0..4), end).prop_map(|(segments, end)| {
            let mut text = String::new();
            for (place, segment) in segments.iter().enumerate() {
                text.push('/');
                text.push_str(&segment.replace('p', &format!("p{place}")));
            }
            text.push_str(end);
            PathPattern::parse(if text.is_empty() { "/" } else { &text }).unwrap()
        })
    }

    proptest! {
        #[test]
        fn a_covered_pattern_takes_nothing_alone_and_is_never_the_broader_one(
            outer in patterns(),
            inner in patterns(),
            path in "(/[abc]{1,2}){0,4}/?",
        ) {
            if outer.covers(&inner) {
                prop_assert!(!inner.matches(&path) || outer.matches(&path));
                prop_assert!(inner.specificity() >= outer.specificity());
            }
            prop_assert!(outer.covers(&outer));
        }

        #[test]
        fn no_text_makes_reading_or_matching_panic(text in "\\PC*", path in "\\PC*") {
            for text in [text.clone(), format!("/{text}")] {
                if let Ok(pattern) = PathPattern::parse(&text) {
                    let _ = pattern.matches(&path);
                }
            }
        }
    }
}
