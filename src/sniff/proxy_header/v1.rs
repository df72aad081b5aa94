use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use bytes::BufMut;

use super::{ProxyHeader, ProxyHeaderFault, ProxyHeaderFound};
use crate::sniff::Progress;

/// The longest line, CR LF included (PROXY protocol, section 2.1).
pub const LENGTH_MAX: usize = 107;

/// What every line begins with. The space belongs to it: `PROXYING` is no header.
pub(super) const SIGNATURE: &[u8] = b"PROXY ";

pub(super) fn read(received: &[u8]) -> Result<Progress<ProxyHeaderFound>, ProxyHeaderFault> {
    let window = received.get(..LENGTH_MAX).unwrap_or(received);
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return if window.len() < LENGTH_MAX { Ok(Progress::NeedMore) } else { Err(ProxyHeaderFault::LineTooLong) };
    };
    let line = window.get(SIGNATURE.len()..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").ok_or(ProxyHeaderFault::LineEnd)?;
    Ok(Progress::Done(ProxyHeaderFound { header: read_line(line)?, length: end.saturating_add(1) }))
}

/// Reads what stands between the signature and CR LF.
fn read_line(line: &[u8]) -> Result<ProxyHeader, ProxyHeaderFault> {
    let (protocol, rest) = match line.iter().position(|byte| *byte == b' ') {
        Some(space) => line.split_at(space),
        None => (line, &[][..]),
    };
    match protocol {
        // Section 2.1: what follows UNKNOWN is to be ignored.
        b"UNKNOWN" => Ok(ProxyHeader::Unknown),
        b"TCP4" => read_addresses::<Ipv4Addr>(rest),
        b"TCP6" => read_addresses::<Ipv6Addr>(rest),
        _ => Err(ProxyHeaderFault::LineProtocol),
    }
}

fn read_addresses<A: FromStr + Into<IpAddr>>(rest: &[u8]) -> Result<ProxyHeader, ProxyHeaderFault> {
    let addresses = || {
        let mut words = str::from_utf8(rest).ok()?.strip_prefix(' ')?.split(' ');
        let source: A = words.next()?.parse().ok()?;
        let destination: A = words.next()?.parse().ok()?;
        let source = SocketAddr::new(source.into(), read_port(words.next()?)?);
        let destination = SocketAddr::new(destination.into(), read_port(words.next()?)?);
        words.next().is_none().then(|| ProxyHeader::proxied(source, destination))
    };
    addresses().ok_or(ProxyHeaderFault::LineAddress)
}

/// Reads a port without sign and leading zeros (section 2.1).
fn read_port(text: &str) -> Option<u16> {
    let plain = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    if plain { text.parse().ok() } else { None }
}

pub(super) fn encode(header: &ProxyHeader, buffer: &mut impl BufMut) {
    let line = match header {
        // Version 1 has one word for both.
        ProxyHeader::Local | ProxyHeader::Unknown => "PROXY UNKNOWN\r\n".to_owned(),
        ProxyHeader::Proxied { source, destination } => {
            let ports = (source.port(), destination.port());
            match (source.ip(), destination.ip()) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => line("TCP4", source, destination, ports),
                (source, destination) => line("TCP6", mapped(source), mapped(destination), ports),
            }
        }
    };
    buffer.put_slice(line.as_bytes());
}

fn line(protocol: &str, source: impl Into<IpAddr>, destination: impl Into<IpAddr>, ports: (u16, u16)) -> String {
    format!("PROXY {protocol} {} {} {} {}\r\n", source.into(), destination.into(), ports.0, ports.1)
}

/// The address as IPv6; an IPv4 address in its mapped form (RFC 4291 section 2.5.5.2).
pub(super) fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}
