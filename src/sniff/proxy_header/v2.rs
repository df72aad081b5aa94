use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::BufMut;

use super::checksum::crc32c;
use super::v1::mapped;
use super::{ProxyHeader, ProxyHeaderFault, ProxyHeaderFound};
use crate::sniff::Progress;
use crate::sniff::cursor::Cursor;

/// The longest block of addresses and TLVs behind the 16 fixed bytes.
///
/// The protocol allows 64 KiB; UNIX addresses take 216 bytes, and what balancers add (a VPC endpoint's id, a certificate's
/// subject, an authority) a few hundred.
pub const BLOCK_LENGTH_MAX: usize = 4096;

/// PROXY protocol, section 2.2.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and transport, length.
const FIXED_LENGTH: usize = 16;

const VERSION: u8 = 2;
const COMMAND_LOCAL: u8 = 0;
const COMMAND_PROXY: u8 = 1;

const FAMILY_UNSPEC: u8 = 0;
const FAMILY_INET: u8 = 1;
const FAMILY_INET6: u8 = 2;
const FAMILY_UNIX: u8 = 3;
const UNIX_ADDRESSES_LENGTH: usize = 216;

const TRANSPORT_UNSPEC: u8 = 0;
const TRANSPORT_STREAM: u8 = 1;
const TRANSPORT_DGRAM: u8 = 2;

/// PROXY protocol, section 2.2.3: `PP2_TYPE_CRC32C`.
const TLV_CRC32C: u8 = 3;

/// Reads what begins with [`SIGNATURE`].
pub(super) fn read(received: &[u8]) -> Result<Progress<ProxyHeaderFound>, ProxyHeaderFault> {
    let (version, command) = match received.get(SIGNATURE.len()) {
        Some(byte) => (byte >> 4, byte & 0xf),
        None => return Ok(Progress::NeedMore),
    };
    if version != VERSION {
        return Err(ProxyHeaderFault::Version);
    }
    let Some(&[_, family, high, low]) = received.get(SIGNATURE.len()..FIXED_LENGTH) else {
        return Ok(Progress::NeedMore);
    };
    let block_length = usize::from(u16::from_be_bytes([high, low]));
    if block_length > BLOCK_LENGTH_MAX {
        return Err(ProxyHeaderFault::BlockTooLong);
    }
    let length = FIXED_LENGTH.saturating_add(block_length);
    let Some(whole) = received.get(..length) else {
        return Ok(Progress::NeedMore);
    };
    let header = match command {
        // Section 2.2: the block of LOCAL, family included, is to be discarded.
        COMMAND_LOCAL => ProxyHeader::Local,
        COMMAND_PROXY => read_proxied(family, whole)?,
        _ => return Err(ProxyHeaderFault::Command),
    };
    Ok(Progress::Done(ProxyHeaderFound { header, length }))
}

fn read_proxied(family: u8, whole: &[u8]) -> Result<ProxyHeader, ProxyHeaderFault> {
    let mut block = Cursor::new(whole.get(FIXED_LENGTH..).unwrap_or_default());
    let addresses = match family >> 4 {
        // Section 2.2: the receiver is to ignore whatever follows.
        FAMILY_UNSPEC => return Ok(ProxyHeader::Unknown),
        FAMILY_INET => {
            let (source, destination) = (Ipv4Addr::from(block.array::<4>()?), Ipv4Addr::from(block.array::<4>()?));
            Some(read_ports(source.into(), destination.into(), &mut block)?)
        }
        FAMILY_INET6 => {
            let (source, destination) = (Ipv6Addr::from(block.array::<16>()?), Ipv6Addr::from(block.array::<16>()?));
            Some(read_ports(source.into(), destination.into(), &mut block)?)
        }
        FAMILY_UNIX => {
            block.take(UNIX_ADDRESSES_LENGTH)?;
            None
        }
        _ => return Err(ProxyHeaderFault::Family),
    };
    check_tlvs(block, whole)?;
    match family & 0xf {
        TRANSPORT_STREAM => Ok(addresses.unwrap_or(ProxyHeader::Unknown)),
        // The addresses of a datagram are not those of this stream.
        TRANSPORT_UNSPEC | TRANSPORT_DGRAM => Ok(ProxyHeader::Unknown),
        _ => Err(ProxyHeaderFault::Family),
    }
}

fn read_ports(source: IpAddr, destination: IpAddr, block: &mut Cursor<'_>) -> Result<ProxyHeader, ProxyHeaderFault> {
    let source = SocketAddr::new(source, block.u16()?);
    let destination = SocketAddr::new(destination, block.u16()?);
    Ok(ProxyHeader::proxied(source, destination))
}

/// Checks that the TLVs fill the block, and the checksum where there is one. What they say is not asked for.
fn check_tlvs(mut tlvs: Cursor<'_>, whole: &[u8]) -> Result<(), ProxyHeaderFault> {
    let mut checked = false;
    while !tlvs.is_empty() {
        let kind = tlvs.u8()?;
        let value_length = tlvs.u16()?;
        if kind != TLV_CRC32C {
            tlvs.take(usize::from(value_length))?;
            continue;
        }
        let before = whole.len().saturating_sub(tlvs.len());
        let value = tlvs.take(usize::from(value_length))?;
        let after = whole.len().saturating_sub(tlvs.len());
        // Section 2.2.3: the checksum is that of the whole header, with zeros in its own place.
        let parts = [whole.get(..before).unwrap_or_default(), &[0; 4], whole.get(after..).unwrap_or_default()];
        if checked || value != crc32c(parts).to_be_bytes() {
            return Err(ProxyHeaderFault::Checksum);
        }
        checked = true;
    }
    Ok(())
}

pub(super) fn encode(header: &ProxyHeader, buffer: &mut impl BufMut) {
    buffer.put_slice(SIGNATURE);
    match header {
        ProxyHeader::Local => {
            put_fixed(COMMAND_LOCAL, FAMILY_UNSPEC, TRANSPORT_UNSPEC, 0, buffer);
        }
        ProxyHeader::Unknown => {
            put_fixed(COMMAND_PROXY, FAMILY_UNSPEC, TRANSPORT_UNSPEC, 0, buffer);
        }
        ProxyHeader::Proxied { source, destination } => {
            match (source.ip(), destination.ip()) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    put_fixed(COMMAND_PROXY, FAMILY_INET, TRANSPORT_STREAM, 12, buffer);
                    buffer.put_slice(&source.octets());
                    buffer.put_slice(&destination.octets());
                }
                (source, destination) => {
                    put_fixed(COMMAND_PROXY, FAMILY_INET6, TRANSPORT_STREAM, 36, buffer);
                    buffer.put_slice(&mapped(source).octets());
                    buffer.put_slice(&mapped(destination).octets());
                }
            }
            buffer.put_u16(source.port());
            buffer.put_u16(destination.port());
        }
    }
}

fn put_fixed(command: u8, family: u8, transport: u8, block_length: u16, buffer: &mut impl BufMut) {
    buffer.put_u8(VERSION << 4 | command);
    buffer.put_u8(family << 4 | transport);
    buffer.put_u16(block_length);
}
