//! The PROXY protocol, versions 1 and 2 ("The PROXY protocol", HAProxy project, revision of 2020/03/05).

mod checksum;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::net::SocketAddr;

use bytes::BufMut;

pub use v1::LENGTH_MAX as PROXY_V1_LENGTH_MAX;
pub use v2::BLOCK_LENGTH_MAX as PROXY_V2_BLOCK_LENGTH_MAX;

use super::Progress;
use super::cursor::PastEnd;
use crate::net::{ClientAddress, ListenAddress};

/// What a PROXY header says of the connection that it stands in front of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// Nothing: it is the sender's own connection (v2 `LOCAL`), as its health checks are. The socket's own addresses count.
    Local,
    /// The sender relays another's connection, and cannot say whose (v1 `UNKNOWN`; v2 `UNSPEC`, `UNIX` and datagrams).
    Unknown,
    /// The sender relays another's connection.
    Proxied {
        /// Where that client comes from.
        source: ClientAddress,
        /// The address that it connected to.
        destination: ListenAddress,
    },
}

/// A header, and how many of the first bytes it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeaderFound {
    /// What it says.
    pub header: ProxyHeader,
    /// Its length in bytes; the payload begins behind.
    pub length: usize,
}

/// The version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// The rule that a PROXY header breaks; its sender is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyHeaderFault {
    /// A v1 line does not end within its [`PROXY_V1_LENGTH_MAX`] bytes.
    #[error("the v1 line does not end within {PROXY_V1_LENGTH_MAX} bytes")]
    LineTooLong,
    /// A v1 line ends in a line feed without a carriage return.
    #[error("the v1 line does not end in CR LF")]
    LineEnd,
    /// A v1 line names another protocol than `TCP4`, `TCP6` and `UNKNOWN`.
    #[error("the v1 line names a protocol other than TCP4, TCP6 and UNKNOWN")]
    LineProtocol,
    /// A v1 line does not have two addresses of its protocol and two ports, one space apart.
    #[error("the v1 line does not have two addresses of its protocol and two ports")]
    LineAddress,
    /// The binary signature is followed by another version than 2.
    #[error("the version behind the binary signature is not 2")]
    Version,
    /// A command other than `LOCAL` and `PROXY`.
    #[error("the command is neither LOCAL nor PROXY")]
    Command,
    /// An address family or a transport that version 2 does not know.
    #[error("the address family or the transport is unknown")]
    Family,
    /// The v2 block of addresses and TLVs is longer than [`PROXY_V2_BLOCK_LENGTH_MAX`].
    #[error("the block of addresses and TLVs is longer than {PROXY_V2_BLOCK_LENGTH_MAX} bytes")]
    BlockTooLong,
    /// The v2 block is shorter than what it holds.
    #[error("a length points past the end of the header")]
    PastEnd,
    /// The CRC32C is not that of the header, not four bytes long, or there twice.
    #[error("the checksum does not match")]
    Checksum,
}

impl ProxyHeader {
    /// Looks for a header at the front of `received`: every byte of the connection so far, from its first.
    ///
    /// `None` says that the bytes are not a PROXY header and will not become one. Any strict prefix of a header needs more.
    /// At most `PROXY_V1_LENGTH_MAX` bytes are looked at before the header is whole.
    ///
    /// # Errors
    /// Which rule the header breaks. The answer is final.
    pub fn read(received: &[u8]) -> Result<Progress<Option<ProxyHeaderFound>>, ProxyHeaderFault> {
        let answer = if received.starts_with(v1::SIGNATURE) {
            v1::read(received)?
        } else if received.starts_with(v2::SIGNATURE) {
            v2::read(received)?
        } else if v1::SIGNATURE.starts_with(received) || v2::SIGNATURE.starts_with(received) {
            Progress::NeedMore
        } else {
            return Ok(Progress::Done(None));
        };
        Ok(match answer {
            Progress::NeedMore => Progress::NeedMore,
            Progress::Done(found) => Progress::Done(Some(found)),
        })
    }

    /// Writes the header to be sent in front of a connection.
    ///
    /// Where one address is IPv4 and the other IPv6, the former is written as IPv4-mapped.
    pub fn encode(&self, version: ProxyVersion, buffer: &mut impl BufMut) {
        match version {
            ProxyVersion::V1 => v1::encode(self, buffer),
            ProxyVersion::V2 => v2::encode(self, buffer),
        }
    }

    fn proxied(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::Proxied { source: ClientAddress::new(source), destination: ListenAddress::new(destination) }
    }
}

impl From<PastEnd> for ProxyHeaderFault {
    fn from(PastEnd: PastEnd) -> Self {
        Self::PastEnd
    }
}
