use super::kind::{Problem, TextKind};

/// The longest realm, in bytes: each refusal holds it.
const LENGTH_MAX: usize = 128;

/// What a client that has to show a password is told of what it is for (RFC 7617 section 2).
#[derive(Clone, Debug)]
pub(in crate::config) struct Realm(pub(in crate::config) String);

impl TextKind for Realm {
    fn expected() -> String {
        "a text such as \"restricted\"".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        // It stands between quotes in a header, and clients read it in ASCII only (RFC 7617 appendix B.3).
        let sound = |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && !matches!(byte, b'"' | b'\\');
        if !text.is_empty() && text.len() <= LENGTH_MAX && text.bytes().all(sound) {
            return Ok(Self(text.into()));
        }
        let problem = Problem::new(format!("\"{}\" cannot be a realm", text.escape_debug()));
        Err(problem.help(format!("it has 1 to {LENGTH_MAX} ASCII characters, without quotes and backslashes")))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_can_stand_between_quotes() {
        for sound in ["restricted", "The team's wiki: {all} of it", &"x".repeat(LENGTH_MAX)] {
            assert!(Realm::parse(sound).is_ok(), "{sound}");
        }
        for unsound in ["", "a\"b", "a\\b", "caf\u{e9}", "a\r\nb", "a\tb", &"x".repeat(LENGTH_MAX + 1)] {
            assert!(Realm::parse(unsound).is_err(), "{unsound}");
        }
    }
}
