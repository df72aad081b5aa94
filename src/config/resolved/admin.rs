use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::CertificateFiles;
use crate::config::place::Located;

/// `[admin]`: the operator's way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The Unix socket of the client commands.
    pub socket: AdminSocket,
    /// The address of the HTTP pages, or `None` for no pages.
    pub listen: Option<Located<SocketAddr>>,
    /// What opens the HTTP address; `None` is that whoever reaches it may read.
    pub token: Option<AdminToken>,
    /// Whether `/metrics` is answered there without the token.
    pub public_metrics: bool,
    /// TLS of the HTTP address; `None` is plain HTTP.
    pub tls: Option<AdminTls>,
}

/// The Unix socket of the client commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminSocket {
    /// None.
    Off,
    /// The usual path, which nobody wrote: if its folder is missing, that is a warning.
    Default(PathBuf),
    /// A path that the file names: if its folder is missing, that is a fault.
    At(Located<PathBuf>),
}

/// Where the token of the HTTP address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminToken {
    /// In the configuration itself.
    Written(Token),
    /// In a file of its own.
    File(Located<PathBuf>),
}

/// TLS of the HTTP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminTls {
    /// What operators are shown.
    pub certificate: CertificateFiles,
    /// Who must have signed the certificates that operators show; `None` is that none is asked for.
    pub client_ca: Option<Located<PathBuf>>,
}

/// A secret that operators show. Nothing that prints it shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Too short to be a secret.
    #[error("a token has at least {} characters", Token::LENGTH_MIN)]
    Short,
    /// Longer than a header field should be.
    #[error("a token has at most {} characters", Token::LENGTH_MAX)]
    Long,
    /// It could not be sent.
    #[error("a token holds letters, digits and `-._~+/` only, and `=` at its end")]
    Character,
}

impl Token {
    /// 128 random bits in hexadecimal.
    pub const LENGTH_MIN: usize = 32;

    /// Much more than anybody makes: 1024 bits in hexadecimal are half of it.
    pub const LENGTH_MAX: usize = 512;

    /// Takes a text for a token.
    ///
    /// # Errors
    /// It is none; the operator is to blame.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        // `b64token` of RFC 6750 section 2.1: what may stand in the field.
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        if !text.trim_end_matches('=').bytes().all(sound) {
            return Err(InvalidToken::Character);
        }
        match text.len() {
            0..Self::LENGTH_MIN => Err(InvalidToken::Short),
            Self::LENGTH_MIN..=Self::LENGTH_MAX => Ok(Self(text.into())),
            _ => Err(InvalidToken::Long),
        }
    }

    /// The secret itself.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(••••••••)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_each_bound_is_taken_and_one_beyond_it_is_not() {
        let of = |length| Token::parse(&"x".repeat(length)).map(|_| ());
        assert_eq!(of(Token::LENGTH_MIN), Ok(()));
        assert_eq!(of(Token::LENGTH_MIN - 1), Err(InvalidToken::Short));
        assert_eq!(of(Token::LENGTH_MAX), Ok(()));
        assert_eq!(of(Token::LENGTH_MAX + 1), Err(InvalidToken::Long));
        let padded = "AZaz09-._~+/".repeat(3) + "==";
        assert_eq!(Token::parse(&padded).unwrap().secret(), padded);
        for odd in ["=", "a=b", "a b", "ä", "a\n", "\"", ","] {
            assert_eq!(Token::parse(&(odd.to_owned() + &"x".repeat(40))), Err(InvalidToken::Character), "{odd:?}");
        }
    }
}
