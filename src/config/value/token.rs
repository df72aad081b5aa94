use serde_json::{Value as Json, json};

use super::kind::{Problem, TextKind};
use crate::config::resolved::Token;

/// A token of the operator's HTTP address, or `""` for none.
#[derive(Clone, Debug)]
pub(in crate::config) struct TokenOrOff(pub(in crate::config) Option<Token>);

impl TextKind for TokenOrOff {
    fn expected() -> String {
        "a token, or \"\" for none".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        // The text is not repeated: it is a secret.
        let help = "make one with `openssl rand -hex 32`";
        Token::parse(text).map(|token| Self(Some(token))).map_err(|why| Problem::new(why.to_string()).help(help))
    }

    fn text(&self) -> String {
        // Nothing shows one.
        String::new()
    }

    fn text_schema() -> Json {
        let written = json!({ "type": "string", "minLength": Token::LENGTH_MIN, "maxLength": Token::LENGTH_MAX });
        json!({ "anyOf": [{ "const": "" }, written] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown_by_whatever_prints_it() {
        let token = TokenOrOff::parse(&"s3cret".repeat(6)).unwrap();
        assert_eq!(format!("{token:?} {}", token.text()), "TokenOrOff(Some(Token(••••••••))) ");
        let problem = TokenOrOff::parse("s3cret").unwrap_err();
        assert!(!format!("{problem:?}").contains("s3cret"), "{problem:?}");
    }
}
