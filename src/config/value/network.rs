use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::kind::{Problem, TextKind};

/// An IP network; an address alone is the network of that address.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Network(pub(in crate::config) IpNet);

impl TextKind for Network {
    fn expected() -> String {
        "a network such as \"10.0.0.0/8\" or \"2001:db8::/32\"".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
        let network: IpNet = text.parse().ok().or_else(address).ok_or_else(|| {
            Problem::new(format!("\"{}\" is not an IP address or network", text.escape_debug()))
                .help("write it as \"10.0.0.0/8\", \"2001:db8::/32\" or \"10.1.2.3\"")
        })?;
        // One of the two was meant: the network, or the address alone. Which one decides who is let in.
        if network != network.trunc() {
            let problem = Problem::new(format!("\"{text}\" is an address inside of a network"));
            let help =
                format!("write \"{}\" for the network, or \"{}\" for the address", network.trunc(), network.addr());
            return Err(problem.help(help));
        }
        Ok(Self(network))
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// Reads an IP address or network as the configuration writes it, for the command line.
///
/// # Errors
/// What is wrong with the text, and what to write instead.
pub fn parse_network(text: &str) -> Result<IpNet, String> {
    Network::parse(text).map(|Network(network)| network).map_err(Problem::into_sentence)
}

/// An address to listen on, or `""` for none.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct AddressOrOff(pub(in crate::config) Option<SocketAddr>);

impl TextKind for AddressOrOff {
    fn expected() -> String {
        "an address such as \"127.0.0.1:9900\", or \"\" for off".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(|address| Self(Some(address))).map_err(|_| {
            Problem::new(format!("\"{}\" is not an IP address with a port", text.escape_debug()))
                .help("write it as \"127.0.0.1:9900\" or \"[::1]:9900\", or \"\" for off")
        })
    }

    fn text(&self) -> String {
        self.0.map_or_else(String::new, |address| address.to_string())
    }
}
