use crate::config::resolved::RedirectPiece;
use crate::config::value::Problem;

const PLACEHOLDERS: &str = "the placeholders are {host}, {path} and {path_and_query}";

/// Splits the location of a redirect into literals and placeholders.
pub(super) fn pieces(text: &str) -> Result<Vec<RedirectPiece>, Problem> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::new("a location can only hold visible ASCII characters"));
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let literal = rest.split(['{', '}']).next().unwrap_or(rest);
        if !literal.is_empty() {
            pieces.push(RedirectPiece::Literal(literal.into()));
        }
        rest = rest.get(literal.len()..).unwrap_or("");
        if rest.is_empty() {
            break;
        }
        let Some((name, after)) = rest.strip_prefix('{').and_then(|open| open.split_once('}')) else {
            return Err(Problem::new("a brace without its other half").help(PLACEHOLDERS));
        };
        pieces.push(match name {
            "host" => RedirectPiece::Host,
            "path" => RedirectPiece::Path,
            "path_and_query" => RedirectPiece::PathAndQuery,
            _ => return Err(Problem::new(format!("`{{{name}}}` is not a placeholder")).help(PLACEHOLDERS)),
        });
        rest = after;
    }
    check_start(&pieces)?;
    Ok(pieces)
}

/// A location must not let the client's path choose the host: `/{path}` of `//evil.example` would.
fn check_start(pieces: &[RedirectPiece]) -> Result<(), Problem> {
    let help = "begin with https://HOST, https://{host}, or /PATH";
    let Some(RedirectPiece::Literal(start)) = pieces.first() else {
        return Err(Problem::new("a location begins with https://, http:// or /").help(help));
    };
    let authority = start.strip_prefix("https://").or(start.strip_prefix("http://"));
    match (authority, pieces.get(1)) {
        (Some(""), None) => Err(Problem::new("the location has no host").help(help)),
        (Some(""), Some(RedirectPiece::Path | RedirectPiece::PathAndQuery)) => {
            Err(Problem::new("the location would take its host from the path").help(help))
        }
        (Some(authority), _) if authority.starts_with(['/', '?', '#']) => {
            Err(Problem::new("the location has no host").help(help))
        }
        (Some(_), _) => Ok(()),
        (None, Some(_)) if &**start == "/" => {
            Err(Problem::new("the location would take its host from the path").help(help))
        }
        (None, _) if start.starts_with("//") || start.starts_with("/\\") || !start.starts_with('/') => {
            Err(Problem::new("a location begins with https://, http:// or /").help(help))
        }
        (None, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_placeholders_are_told_apart() {
        let literal = |text: &str| RedirectPiece::Literal(text.into());
        let cases = [
            (
                "https://{host}{path_and_query}",
                vec![literal("https://"), RedirectPiece::Host, RedirectPiece::PathAndQuery],
            ),
            ("https://a.com{path}?x", vec![literal("https://a.com"), RedirectPiece::Path, literal("?x")]),
            ("/new{path}", vec![literal("/new"), RedirectPiece::Path]),
            ("/", vec![literal("/")]),
        ];
        for (text, expected) in cases {
            assert_eq!(pieces(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_location_or_lets_the_path_choose_the_host_is_refused() {
        for text in [
            "",
            "a.com",
            "{path}",
            "{host}",
            "/{path}",
            "//a.com",
            "/\\a.com",
            "https://",
            "https://{path}",
            "https:///a",
            "https://{port}",
            "https://{host",
            "https://host}",
            "https://{{host}}",
            "https://a b",
            "https://a\n",
            "ftp://a",
        ] {
            assert!(pieces(text).is_err(), "{text}");
        }
    }
}
