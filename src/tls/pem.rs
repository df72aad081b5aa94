use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_pemfile::Item;

use crate::disk::{self, FileError};

/// The largest PEM file that is read, in bytes: about 500 certificates, several times a system's whole list of roots.
pub const PEM_FILE_SIZE_MAX: u64 = 1024 * 1024;

/// The section of a PKCS #8 key that asks for a password (RFC 7468 section 11), and the header of older formats
/// (RFC 1421 section 4.6.1.1).
const ENCRYPTED_MARKS: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];

/// Why a PEM file gave no certificates or no key. Nothing of the file's content is ever part of it.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// It cannot be had.
    #[error(transparent)]
    File(#[from] FileError),
    /// A section of it cannot be read.
    #[error("{}: the file is not well-formed PEM: {}", .0.display(), .1)]
    Malformed(PathBuf, &'static str),
    /// It holds no certificate.
    #[error("{}: there is no certificate in the file; it needs a section that begins with -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
    /// It holds no private key.
    #[error("{}: there is no private key in the file; it needs a section that begins with -----BEGIN PRIVATE KEY-----", .0.display())]
    NoKey(PathBuf),
    /// Its key asks for a password.
    #[error("{}: the private key is encrypted, which is not supported; decrypt it with `openssl pkey -in FILE -out FILE`", .0.display())]
    EncryptedKey(PathBuf),
    /// It holds more than one private key.
    #[error("{}: there are several private keys in the file; leave the one that belongs to the certificate", .0.display())]
    SeveralKeys(PathBuf),
}

/// Reads every certificate of a PEM file, in its order; other sections are passed over.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let mut certificates = Vec::new();
    for item in items(path, &disk::bytes(path, PEM_FILE_SIZE_MAX)?)? {
        if let Item::X509Certificate(certificate) = item {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(PemError::NoCertificate(path.into()));
    }
    Ok(certificates)
}

/// Reads the one private key of a PEM file, in any of its three encodings; other sections are passed over.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    let content = disk::bytes(path, PEM_FILE_SIZE_MAX)?;
    // Asked first: the reader passes over sections of this kind as if they were not there.
    if ENCRYPTED_MARKS.iter().any(|mark| content.windows(mark.len()).any(|window| window == *mark)) {
        return Err(PemError::EncryptedKey(path.into()));
    }
    let mut found = None;
    for item in items(path, &content)? {
        let key: PrivateKeyDer<'static> = match item {
            Item::Pkcs1Key(key) => key.into(),
            Item::Pkcs8Key(key) => key.into(),
            Item::Sec1Key(key) => key.into(),
            _ => continue,
        };
        if found.replace(key).is_some() {
            return Err(PemError::SeveralKeys(path.into()));
        }
    }
    found.ok_or_else(|| PemError::NoKey(path.into()))
}

fn items(path: &Path, content: &[u8]) -> Result<Vec<Item>, PemError> {
    sections(content).map_err(|what| PemError::Malformed(path.into(), what))
}

/// The sections of a PEM text.
///
/// The reader's own error texts quote the file, and a key whose line ends were lost would be quoted with it.
fn sections(mut rest: &[u8]) -> Result<Vec<Item>, &'static str> {
    let mut items = Vec::new();
    loop {
        match rustls_pemfile::read_one_from_slice(rest) {
            Ok(Some((item, after))) => {
                items.push(item);
                rest = after;
            }
            Ok(None) => return Ok(items),
            Err(rustls_pemfile::Error::MissingSectionEnd { .. }) => {
                return Err("a section has no END line; each BEGIN and END line stands alone on its line");
            }
            Err(rustls_pemfile::Error::IllegalSectionStart { .. }) => return Err("a BEGIN line does not end in -----"),
            Err(rustls_pemfile::Error::Base64Decode(_)) => return Err("a section is not valid base64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn file(&self, content: impl AsRef<[u8]>) -> PathBuf {
            let path = self.0.path().join("file.pem");
            fs::write(&path, content).unwrap();
            path
        }
    }

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn certificates_and_key_are_found_in_one_file_between_other_text() {
        let folder = Folder::new();
        let (certificate, key) = pair();
        let path = folder.file(format!("subject: a\n{certificate}\nnote\n{key}\r\n{certificate}"));
        assert_eq!(certificates(&path).unwrap().len(), 2);
        let found = private_key(&path).unwrap();
        assert!(!format!("{found:?}").contains("MII"));
    }

    #[test]
    fn each_fault_names_the_file() {
        let folder = Folder::new();
        let (certificate, key) = pair();
        let check = |content: &str, expected: fn(&PemError) -> bool, of_key: bool| {
            let path = folder.file(content);
            let error = if of_key { private_key(&path).unwrap_err() } else { certificates(&path).unwrap_err() };
            assert!(expected(&error), "{error:?}");
            assert!(error.to_string().starts_with(path.to_str().unwrap()), "{error}");
        };
        check("", |error| matches!(error, PemError::NoCertificate(_)), false);
        check("", |error| matches!(error, PemError::NoKey(_)), true);
        check(&key, |error| matches!(error, PemError::NoCertificate(_)), false);
        check(&certificate, |error| matches!(error, PemError::NoKey(_)), true);
        check(&format!("{key}{key}"), |error| matches!(error, PemError::SeveralKeys(_)), true);
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        check(&encrypted, |error| matches!(error, PemError::EncryptedKey(_)), true);
        let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        check(legacy, |error| matches!(error, PemError::EncryptedKey(_)), true);
        check("-----BEGIN CERTIFICATE-----\nAAAA", |error| matches!(error, PemError::Malformed(..)), false);
        check("-----BEGIN CERTIFICATE", |error| matches!(error, PemError::Malformed(..)), false);
        let invalid = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        check(invalid, |error| matches!(error, PemError::Malformed(..)), false);
    }

    #[test]
    fn a_key_whose_line_ends_were_lost_is_not_quoted() {
        let (_, key) = pair();
        let body = key.lines().nth(1).unwrap().to_owned();
        let folder = Folder::new();
        let path = folder.file(key.replace('\n', ""));
        let error = private_key(&path).unwrap_err();
        assert!(matches!(error, PemError::Malformed(..)), "{error:?}");
        assert!(!format!("{error} {error:?}").contains(&body));
    }

    #[test]
    fn a_file_of_the_largest_size_is_read_and_one_byte_more_is_not() {
        let folder = Folder::new();
        let mut content = pair().0.into_bytes();
        content.resize(usize::try_from(PEM_FILE_SIZE_MAX).unwrap(), b'\n');
        assert_eq!(certificates(&folder.file(&content)).unwrap().len(), 1);
        content.push(b'\n');
        assert!(matches!(certificates(&folder.file(&content)), Err(PemError::File(FileError::TooLarge(..)))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = sections(&bytes);
        }

        #[test]
        fn no_sequence_of_pem_pieces_makes_the_reader_panic(pieces in proptest::collection::vec(
            prop::sample::select(vec!["-----BEGIN ", "-----END ", "CERTIFICATE", "PRIVATE KEY", "-----", "\n", "\r", " ", "-", "AAAA", "=", "!"]),
            0..24,
        )) {
            let _ = sections(pieces.concat().as_bytes());
        }
    }
}
