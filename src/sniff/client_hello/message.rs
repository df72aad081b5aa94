use std::net::IpAddr;

use super::{ClientHello, MalformedHello};
use crate::name::HostName;
use crate::route::TlsVersion;
use crate::sniff::cursor::Cursor;

/// RFC 5246 appendix E.1 and RFC 8446 section 4.1.2.
const TLS_1_2: u16 = 0x0303;
const TLS_1_3: u16 = 0x0304;

/// RFC 5246 section 7.4.1.2: `SessionID<0..32>`.
const SESSION_ID_LENGTH_MAX: usize = 32;
const RANDOM_LENGTH: usize = 32;

// IANA, "TLS ExtensionType Values".
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// RFC 6066 section 3: `NameType.host_name`.
const NAME_HOST_NAME: u8 = 0;
/// RFC 9849 section 5: `ECHClientHelloType.outer`.
const ECH_OUTER: u8 = 0;

/// Extensions of a common hello, so that the list of those seen is allocated once.
const EXTENSIONS_EXPECTED: usize = 32;

/// Reads the body of a ClientHello, all of it.
///
/// What routing does not ask for is skipped, so that no target loses a client over an extension that we judge differently.
pub(super) fn parse(body: &[u8]) -> Result<ClientHello, MalformedHello> {
    let mut body = Cursor::new(body);
    let version = body.u16()?;
    body.take(RANDOM_LENGTH)?;
    if body.block8()?.len() > SESSION_ID_LENGTH_MAX {
        return Err(MalformedHello::SessionId);
    }
    let cipher_suites = body.block16()?;
    if cipher_suites.is_empty() || !cipher_suites.len().is_multiple_of(2) {
        return Err(MalformedHello::CipherSuites);
    }
    if body.block8()?.is_empty() {
        return Err(MalformedHello::CompressionMethods);
    }
    // RFC 5246 section 7.4.1.2: a hello may end before the list of extensions.
    let extensions = if body.is_empty() { &[][..] } else { body.block16()? };
    if !body.is_empty() {
        return Err(MalformedHello::LeftOver);
    }
    // RFC 5246 appendix E.1: a client that names a later version takes an earlier one.
    let versions = if version >= TLS_1_2 { &[TlsVersion::Tls12][..] } else { &[] };
    let mut hello = ClientHello { server_name: None, alpn: Vec::new(), tls_versions: versions, ech: false };
    read_extensions(extensions, &mut hello)?;
    Ok(hello)
}

fn read_extensions(extensions: &[u8], hello: &mut ClientHello) -> Result<(), MalformedHello> {
    let mut extensions = Cursor::new(extensions);
    let mut seen = Vec::with_capacity(EXTENSIONS_EXPECTED);
    while !extensions.is_empty() {
        let kind = extensions.u16()?;
        let content = extensions.block16()?;
        seen.push(kind);
        match kind {
            SERVER_NAME => hello.server_name = server_name(content)?,
            ALPN => hello.alpn = alpn(content)?,
            SUPPORTED_VERSIONS => hello.tls_versions = supported_versions(content)?,
            ENCRYPTED_CLIENT_HELLO => hello.ech = content.first() == Some(&ECH_OUTER),
            _ => {}
        }
    }
    // Sorted rather than compared one with all: a hello has room for 16,000 extensions.
    seen.sort_unstable();
    match seen.array_windows().find(|[one, next]| one == next) {
        Some([kind, _]) => Err(MalformedHello::DuplicateExtension(*kind)),
        None => Ok(()),
    }
}

/// RFC 6066 section 3: at most one name of each type, and of an unknown type not even the length can be known.
fn server_name(content: &[u8]) -> Result<Option<HostName>, MalformedHello> {
    let mut names = Cursor::new(sole_block16(content)?);
    let mut host_name = None;
    while !names.is_empty() {
        if names.u8()? != NAME_HOST_NAME {
            break;
        }
        if host_name.replace(names.block16()?).is_some() {
            return Err(MalformedHello::ServerNameCount);
        }
    }
    let text = host_name.ok_or(MalformedHello::ServerNameCount)?;
    let text = str::from_utf8(text).map_err(|_| MalformedHello::ServerNameEncoding)?;
    if text.parse::<IpAddr>().is_ok() {
        return Ok(None);
    }
    HostName::parse(text).map(Some).map_err(MalformedHello::ServerName)
}

fn alpn(content: &[u8]) -> Result<Vec<Box<[u8]>>, MalformedHello> {
    let mut names = Cursor::new(sole_block16(content)?);
    let mut protocols = Vec::new();
    while !names.is_empty() {
        match names.block8()? {
            [] => return Err(MalformedHello::Alpn),
            name => protocols.push(name.into()),
        }
    }
    if protocols.is_empty() { Err(MalformedHello::Alpn) } else { Ok(protocols) }
}

/// RFC 8446 section 4.2.1: where this extension stands, it alone says which versions are offered.
fn supported_versions(content: &[u8]) -> Result<&'static [TlsVersion], MalformedHello> {
    let mut content = Cursor::new(content);
    let versions = content.block8()?;
    if !content.is_empty() {
        return Err(MalformedHello::LeftOver);
    }
    let (versions, []) = versions.as_chunks() else {
        return Err(MalformedHello::SupportedVersions);
    };
    if versions.is_empty() {
        return Err(MalformedHello::SupportedVersions);
    }
    let offers = |version: u16| versions.contains(&version.to_be_bytes());
    Ok(match (offers(TLS_1_2), offers(TLS_1_3)) {
        (true, true) => &[TlsVersion::Tls12, TlsVersion::Tls13],
        (true, false) => &[TlsVersion::Tls12],
        (false, true) => &[TlsVersion::Tls13],
        (false, false) => &[],
    })
}

/// The block that is all of `content`.
fn sole_block16(content: &[u8]) -> Result<&[u8], MalformedHello> {
    let mut content = Cursor::new(content);
    let block = content.block16()?;
    if content.is_empty() { Ok(block) } else { Err(MalformedHello::LeftOver) }
}
