use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};

use super::certificates::Tls;
use crate::config::{AdminTls, AdminToken, InvalidToken, Located, Token};
use crate::disk::{self, FileError};
use crate::route::TlsVersion;
use crate::tls::{Certificate, CertificateSource, ClientAuth, ServerParameters, ServerPolicy};

/// The most bytes of a token's file: the longest token, and a line's end.
const TOKEN_FILE_SIZE_MAX: u64 = Token::LENGTH_MAX as u64 + 2;

/// The bit of a file's mode by which users who neither own it nor are in its group may read it (inode(7)).
const READ_BY_OTHERS: u32 = 0o004;

/// Whom the operator's HTTP address answers. Read anew at each reload, so that a token or a certificate can be changed.
#[derive(Debug, Default)]
pub struct Operators {
    /// What opens it; `None` is that whoever reaches it may read, and nobody changes anything.
    pub token: Option<OperatorToken>,
    /// Whether `/metrics` is answered without the token.
    pub public_metrics: bool,
    /// TLS with operators.
    pub tls: Option<OperatorTls>,
}

/// TLS of the operator's HTTP address.
#[derive(Clone, Debug)]
pub struct OperatorTls {
    /// How it is spoken.
    pub policy: Arc<ServerPolicy>,
    /// What is shown: the names by which the address may be called.
    pub certificate: Arc<Certificate>,
}

/// What operators have to show. The secret itself is not kept.
pub struct OperatorToken(Digest);

impl OperatorToken {
    /// Keeps what is needed to know the secret again.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(digest(&SHA256, secret.as_bytes()))
    }

    /// Whether this is the secret. How long the answer takes tells nothing of it, its length included.
    #[must_use]
    pub fn is(&self, shown: &[u8]) -> bool {
        verify_slices_are_equal(self.0.as_ref(), digest(&SHA256, shown).as_ref()).is_ok()
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OperatorToken(••••••••)")
    }
}

/// Why a token's file gives none.
#[derive(Debug, thiserror::Error)]
enum TokenError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: {why}", path.display())]
    Invalid { path: PathBuf, why: InvalidToken },
}

impl Tls<'_> {
    /// Reads what `[admin]` names; faults are kept.
    pub(super) fn operators(&mut self) -> Operators {
        let admin = &self.config.admin;
        let token = match &admin.token {
            None => None,
            Some(AdminToken::Written(token)) => Some(OperatorToken::new(token.secret())),
            Some(AdminToken::File(path)) => self.token(path),
        };
        let tls = admin.tls.as_ref().and_then(|tls| self.operator_tls(tls));
        Operators { token, public_metrics: admin.public_metrics, tls }
    }

    fn token(&mut self, path: &Located<PathBuf>) -> Option<OperatorToken> {
        match read(&path.value) {
            Ok(token) => {
                if fs::metadata(&path.value).is_ok_and(|metadata| metadata.mode() & READ_BY_OTHERS != 0) {
                    self.warn(format!(
                        "{}: every user of this host can read the token, which opens kill, reload and drain; `chmod 600` it",
                        path.value.display()
                    ));
                }
                Some(OperatorToken::new(token.secret()))
            }
            Err(error) => self.fault(path.place, &error),
        }
    }

    fn operator_tls(&mut self, tls: &AdminTls) -> Option<OperatorTls> {
        let certificate = self.certificate(&tls.certificate);
        let client_auth = match &tls.client_ca {
            None => Some(ClientAuth::None),
            Some(file) => self.authorities(file).map(ClientAuth::Required),
        };
        let (certificate, client_auth) = (certificate?, client_auth?);
        let parameters = ServerParameters {
            certificates: CertificateSource::Fixed(Arc::clone(&certificate)),
            min_version: TlsVersion::Tls12,
            client_auth,
            alpn: vec![b"http/1.1".to_vec()],
        };
        match ServerPolicy::new(parameters, &self.source.tickets) {
            Ok(policy) => Some(OperatorTls { policy: Arc::new(policy), certificate }),
            Err(error) => self.fault(tls.certificate.certificate.place, &error),
        }
    }
}

/// The token in a file, which is all of it but the end of its line.
fn read(path: &Path) -> Result<Token, TokenError> {
    let text = disk::text(path, TOKEN_FILE_SIZE_MAX)?;
    let token = Token::parse(text.trim_end_matches(['\n', '\r']));
    token.map_err(|why| TokenError::Invalid { path: path.into(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_a_file_is_its_one_line_and_nothing_else_is_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.token");
        let of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&path).map(|token| token.secret().to_owned()).map_err(|error| error.to_string())
        };
        let (secret, longest) = ("0123456789abcdef".repeat(2), "x".repeat(Token::LENGTH_MAX));
        for end in ["", "\n", "\r\n"] {
            assert_eq!(of(&format!("{secret}{end}")).unwrap(), secret);
            assert_eq!(of(&format!("{longest}{end}")).unwrap(), longest);
        }
        for (text, said) in [
            ("short\n".to_owned(), "at least 32"),
            (String::new(), "at least 32"),
            (format!("{secret}\n{secret}\n"), "letters, digits"),
            (format!("{longest}x\n"), "at most 512"),
            (format!("{longest}x\r\n"), "larger than 514 bytes"),
        ] {
            let error = of(&text).unwrap_err();
            assert!(error.contains(said) && !error.contains(&secret), "{error}");
        }
        assert!(matches!(read(folder.path()), Err(TokenError::File(FileError::NotFile(_)))));
        assert!(matches!(read(&folder.path().join("none")), Err(TokenError::File(FileError::Missing(_)))));
    }

    #[test]
    fn the_token_alone_is_the_token_and_it_is_never_shown() {
        let token = OperatorToken::new("0123456789abcdef0123456789abcdef");
        assert!(token.is(b"0123456789abcdef0123456789abcdef"));
        for other in ["", "0123456789abcdef0123456789abcdeF", "0123456789abcdef", "0123456789abcdef0123456789abcdef0"] {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        assert_eq!(format!("{token:?}"), "OperatorToken(••••••••)");
    }
}
