use std::net::{Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::kind::{Kind, Problem, found};
use super::number::integer;
use crate::config::report::Report;
use crate::net::ListenAddress;

/// The most ports of one range: each is a socket per worker.
pub(in crate::config) const RANGE_PORTS_MAX: usize = 1024;

/// Where to listen: `443`, `"127.0.0.1:8443"` or `"9000-9010"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum PortSpec {
    /// A port of every address, IPv6 and IPv4; 0 lets the kernel choose.
    Port(u16),
    /// One address; port 0 lets the kernel choose.
    Address(SocketAddr),
    /// Ports of every address.
    Range(RangeInclusive<u16>),
}

impl PortSpec {
    /// The addresses to listen on.
    pub(in crate::config) fn addresses(&self) -> impl Iterator<Item = ListenAddress> + use<> {
        let (ports, ip) = match self {
            Self::Port(port) => (*port..=*port, Ipv6Addr::UNSPECIFIED.into()),
            Self::Address(address) => (address.port()..=address.port(), address.ip()),
            Self::Range(ports) => (ports.clone(), Ipv6Addr::UNSPECIFIED.into()),
        };
        ports.map(move |port| ListenAddress::new(SocketAddr::new(ip, port)))
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        if let Some((first, last)) = text.split_once('-')
            && let (Some(first), Some(last)) = (decimal(first), decimal(last))
        {
            return range(first, last);
        }
        let wrong = Problem::new(format!("\"{}\" is not a port, an address or a range", text.escape_debug()));
        Err(match decimal(text) {
            Some(port) => wrong.help(format!("write the port as a number: {port}")),
            None => wrong.help("write 443, \"127.0.0.1:8443\", \"[::1]:8443\" or \"9000-9010\""),
        })
    }
}

fn range(first: u16, last: u16) -> Result<PortSpec, Problem> {
    if first > last {
        let help = format!("did you mean \"{last}-{first}\"?");
        return Err(Problem::new("the range ends before it begins").help(help));
    }
    if first == 0 {
        return Err(Problem::new("a range begins at port 1 or above"));
    }
    let ports = usize::from(last - first) + 1;
    if ports > RANGE_PORTS_MAX {
        return Err(Problem::new(format!("the range has {ports} ports; at most {RANGE_PORTS_MAX} are allowed")));
    }
    Ok(PortSpec::Range(first..=last))
}

/// A port of digits only: `u16::from_str` would take a plus sign.
pub(in crate::config) fn decimal(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl Kind for PortSpec {
    fn expected() -> String {
        "a port such as 443, an address such as \"127.0.0.1:8443\" or a range such as \"9000-9010\"".into()
    }

    fn decode(value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<Self> {
        let read = match value.get_ref() {
            DeValue::String(text) => Self::parse(text),
            DeValue::Integer(number) => integer(value.get_ref())
                .map(Self::Port)
                .ok_or_else(|| Problem::new(format!("{number} is not a port: ports go from 0 to 65535"))),
            other => Err(found(&Self::expected(), other)),
        };
        read.map_err(|problem| problem.report(value.span().into(), report)).ok()
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "type": "integer", "minimum": 0, "maximum": u16::MAX }, { "type": "string" }] })
    }

    fn show(&self) -> Json {
        match self {
            Self::Port(port) => (*port).into(),
            Self::Address(address) => address.to_string().into(),
            Self::Range(ports) => format!("{}-{}", ports.start(), ports.end()).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_port_is_every_address_and_a_range_is_each_of_its_ports() {
        let addresses = |spec: PortSpec| spec.addresses().map(|address| address.to_string()).collect::<Vec<_>>();
        assert_eq!(addresses(PortSpec::Port(443)), ["[::]:443"]);
        assert_eq!(addresses(PortSpec::parse("127.0.0.1:0").unwrap()), ["127.0.0.1:0"]);
        assert_eq!(addresses(PortSpec::parse("9000-9001").unwrap()), ["[::]:9000", "[::]:9001"]);
        assert_eq!(addresses(PortSpec::parse("65535-65535").unwrap()), ["[::]:65535"]);
    }

    #[test]
    fn the_widest_range_is_taken_and_one_port_more_is_not() {
        let widest = PortSpec::parse("1000-2023").unwrap();
        assert_eq!(widest.addresses().count(), RANGE_PORTS_MAX);
        assert!(PortSpec::parse("1000-2024").is_err());
    }

    #[test]
    fn what_is_no_port_address_or_range_is_refused() {
        for text in ["", "443", "-", "1-", "-1", "0-5", "5-4", "+1-2", "a:1", "localhost:80", "1-70000", "::1", "[::1]"]
        {
            assert!(PortSpec::parse(text).is_err(), "{text}");
        }
    }
}
