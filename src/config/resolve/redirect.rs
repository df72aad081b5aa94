use super::template::template;
use crate::config::value::Problem;
use crate::name::{Piece, Placeholder, Template};

const PLACEHOLDERS: [Placeholder; 5] =
    [Placeholder::Host, Placeholder::Path, Placeholder::PathAndQuery, Placeholder::Route, Placeholder::RequestId];

/// Reads the location of a redirect.
pub(super) fn location(text: &str) -> Result<Template, Problem> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::new("a location can only hold visible ASCII characters"));
    }
    let template = template(text, &PLACEHOLDERS)?;
    let is_odd = |piece: &Piece| matches!(piece, Piece::Literal(text) if text.contains(['{', '}', '\\']));
    if template.pieces().iter().any(is_odd) {
        return Err(Problem::new("a location cannot hold a brace or a backward slash").help("write %7B, %7D or %5C"));
    }
    check_start(template.pieces())?;
    Ok(template)
}

/// A location must not let the client choose the host: `/{path}` of `//evil.example` would. In the place of the host only
/// what is known to be one may stand: text, `{host}`, which has been checked to be a host and no more, and `{route}`.
fn check_start(pieces: &[Piece]) -> Result<(), Problem> {
    let help = "begin with https://HOST, https://{host}, or /PATH";
    let Some((Piece::Literal(start), rest)) = pieces.split_first() else {
        return Err(Problem::new("a location begins with https://, http:// or /").help(help));
    };
    let from_path = || Problem::new("the location would take its host from the path").help(help);
    let is_safe = |piece: &Piece| matches!(piece, Piece::Placeholder(Placeholder::Host | Placeholder::Route));
    let Some(authority) = start.strip_prefix("https://").or(start.strip_prefix("http://")) else {
        if start.starts_with("//") || !start.starts_with('/') {
            return Err(Problem::new("a location begins with https://, http:// or /").help(help));
        }
        return if &**start == "/" && rest.first().is_some_and(|piece| !is_safe(piece)) {
            Err(from_path())
        } else {
            Ok(())
        };
    };
    if authority.starts_with(['/', '?', '#']) || (authority.is_empty() && rest.is_empty()) {
        return Err(Problem::new("the location has no host").help(help));
    }
    let mut named = !authority.is_empty();
    let ends = |text: &str| text.contains(['/', '?', '#']);
    if ends(authority) {
        return Ok(());
    }
    for piece in rest {
        match piece {
            Piece::Literal(text) if ends(text) => return Ok(()),
            Piece::Literal(_) => {}
            // A path begins with a slash, and so ends the host.
            Piece::Placeholder(Placeholder::Path | Placeholder::PathAndQuery) if named => return Ok(()),
            piece if is_safe(piece) => {}
            Piece::Placeholder(Placeholder::Path | Placeholder::PathAndQuery) => return Err(from_path()),
            Piece::Placeholder(placeholder) => {
                return Err(Problem::new(format!("{placeholder} cannot be part of a host")).help(help));
            }
        }
        named = true;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_with_a_host_of_their_own_or_the_requests_are_taken() {
        for text in [
            "https://{host}{path_and_query}",
            "https://{host}:8443{path}",
            "https://a.com{path}?x",
            "https://a.com?from={request_id}",
            "https://{route}.a.com/",
            "/new{path}",
            "/{host}{path}",
            "/",
            "http://a.com",
        ] {
            assert!(location(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_location_or_lets_the_client_choose_the_host_is_refused() {
        for text in [
            "",
            "a.com",
            "{path}",
            "{host}",
            "/{path}",
            "/{path_and_query}",
            "/{request_id}",
            "//a.com",
            "/\\a.com",
            "https://",
            "https://{path}",
            "https://{request_id}",
            "https://a.{request_id}",
            "https://{host}{request_id}/",
            "https:///a",
            "https://{sni}",
            "https://{port}",
            "https://{host",
            "https://host}",
            "https://{{host}}",
            "https://a b",
            "https://a\n",
            "https://a\\b",
            "ftp://a",
        ] {
            assert!(location(text).is_err(), "{text}");
        }
    }
}
