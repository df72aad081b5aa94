use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;

use crate::head::Headers;

/// The longest name and password together, in bytes; tokens in a password's place are as long as some kilobytes.
pub const CREDENTIALS_MAX: usize = 4096;

/// The name and the password that a client shows (RFC 7617).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: Box<str>,
    password: Box<[u8]>,
}

/// Why a request shows no credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCredentials {
    /// No `Authorization`.
    #[error("the request shows no user name and password")]
    Missing,
    /// More than one, of which the target could believe another one.
    #[error("the request has more than one Authorization field")]
    Repeated,
    /// Another scheme than `Basic`.
    #[error("the request's Authorization is not of the scheme Basic")]
    Scheme,
    /// What follows `Basic` is not base64.
    #[error("the request's Authorization is not base64")]
    Encoding,
    /// More than [`CREDENTIALS_MAX`].
    #[error("the request's user name and password are longer than {CREDENTIALS_MAX} bytes")]
    TooLong,
    /// No colon, a name that is not UTF-8, control characters.
    #[error("the request's user name and password are not well formed")]
    Malformed,
}

impl Credentials {
    /// Reads the credentials of a request.
    ///
    /// # Errors
    /// There are none, or what is there does not follow RFC 7617.
    pub fn of(headers: &Headers) -> Result<Self, NoCredentials> {
        let mut fields = headers.get_all(AUTHORIZATION);
        let field = fields.next().ok_or(NoCredentials::Missing)?;
        if fields.next().is_some() {
            return Err(NoCredentials::Repeated);
        }
        let (scheme, rest) = field.as_bytes().split_at_checked(5).ok_or(NoCredentials::Scheme)?;
        if !scheme.eq_ignore_ascii_case(b"basic") || !rest.starts_with(b" ") {
            return Err(NoCredentials::Scheme);
        }
        let encoded = rest.trim_ascii();
        if encoded.len() > CREDENTIALS_MAX.div_ceil(3) * 4 {
            return Err(NoCredentials::TooLong);
        }
        let bytes = STANDARD.decode(encoded).map_err(|_| NoCredentials::Encoding)?;
        if bytes.len() > CREDENTIALS_MAX {
            return Err(NoCredentials::TooLong);
        }
        // A password may hold colons, a name may not (RFC 7617 section 2); neither may hold control characters.
        let colon = bytes.iter().position(|byte| *byte == b':').ok_or(NoCredentials::Malformed)?;
        let (user, password) = (bytes.get(..colon).unwrap_or_default(), bytes.get(colon + 1..).unwrap_or_default());
        let user = std::str::from_utf8(user).map_err(|_| NoCredentials::Malformed)?;
        if user.chars().any(char::is_control) || password.iter().any(u8::is_ascii_control) {
            return Err(NoCredentials::Malformed);
        }
        Ok(Self { user: user.into(), password: password.into() })
    }

    /// Whose they are said to be.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn password(&self) -> &[u8] {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(fields: &[&[u8]]) -> Result<Credentials, NoCredentials> {
        let mut headers = Headers::new();
        for field in fields {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(field).unwrap());
        }
        Credentials::of(&headers)
    }

    fn encoded(bytes: &[u8]) -> Result<Credentials, NoCredentials> {
        of(&[format!("Basic {}", STANDARD.encode(bytes)).as_bytes()])
    }

    pub(in crate::auth) fn credentials(user: &str, password: &str) -> Credentials {
        encoded(format!("{user}:{password}").as_bytes()).unwrap()
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        let aladdin = Credentials { user: "Aladdin".into(), password: (*b"open sesame").into() };
        for field in ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "bAsIc   QWxhZGRpbjpvcGVuIHNlc2FtZQ== "] {
            assert_eq!(of(&[field.as_bytes()]).as_ref(), Ok(&aladdin), "{field}");
        }
        let test = of(&[b"Basic dGVzdDoxMjPCow=="]).unwrap();
        assert_eq!((test.user(), test.password()), ("test", "123£".as_bytes()));
        // The first colon divides.
        let colons = encoded(b"a::b:").unwrap();
        assert_eq!((colons.user(), colons.password()), ("a", &b":b:"[..]));
        let empty = encoded(b":").unwrap();
        assert_eq!((empty.user(), empty.password()), ("", &b""[..]));
        assert_eq!(format!("{test:?}"), "Credentials");
    }

    #[test]
    fn what_does_not_follow_the_standard_is_told_apart() {
        assert_eq!(of(&[]), Err(NoCredentials::Missing));
        let right = b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        assert_eq!(of(&[right, right]), Err(NoCredentials::Repeated));
        for field in
            ["", "Basic", "Bas", "Bearer abc", "BasicQWxhZGRpbjpvcGVu", "Basic:QWxh", "Digest x=y", "Basic\tQQ=="]
        {
            assert_eq!(of(&[field.as_bytes()]), Err(NoCredentials::Scheme), "{field}");
        }
        for field in [
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZR==",
            "Basic a:b",
            "Basic QQ== QQ==",
            "Basic QWxh,Basic QWxh",
            "Basic YTpi\u{e9}",
        ] {
            assert_eq!(of(&[field.as_bytes()]), Err(NoCredentials::Encoding), "{field}");
        }
        for bytes in [
            &b""[..],
            b"alice",
            b"\xff\xfe:x",
            b"a\0:b",
            b"a\r\nx-user: root:b",
            b"a\x7f:b",
            b"a:b\n",
            b"a:\0",
            "a\u{85}:b".as_bytes(),
        ] {
            assert_eq!(encoded(bytes), Err(NoCredentials::Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn credentials_of_the_greatest_length_are_read_and_one_byte_more_is_not() {
        let of_length = |length: usize| encoded(&[b"a:", &vec![b'x'; length - 2][..]].concat());
        assert_eq!(of_length(CREDENTIALS_MAX).unwrap().password().len(), CREDENTIALS_MAX - 2);
        for longer in [CREDENTIALS_MAX + 1, CREDENTIALS_MAX + 2, CREDENTIALS_MAX + 3, 60 * 1024] {
            assert_eq!(of_length(longer), Err(NoCredentials::TooLong), "{longer}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_is_read_holds_nothing_that_ends_a_line(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(credentials) = encoded(&bytes) {
                prop_assert!(!credentials.user().chars().any(|character| character.is_control() || character == ':'));
                let again = [credentials.user().as_bytes(), b":", credentials.password()].concat();
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
