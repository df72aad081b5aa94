use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use crate::net::{BoundListener, Sharing};

/// Where the demo listens, and where its own upstreams do.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) http: u16,
    pub(super) https: u16,
    pub(super) tcp: u16,
    pub(super) admin: u16,
    pub(super) http_upstream: u16,
    pub(super) https_upstream: u16,
}

/// The sockets of the ports: bound once and handed to the daemon, so that no other process can have a port in between.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) ports: Ports,
    pub(super) routes: Vec<BoundListener>,
    pub(super) admin: BoundListener,
}

impl Listeners {
    /// Binds all of them, at their usual ports where those are free.
    pub(super) fn bind() -> io::Result<Self> {
        let mut routes = Vec::new();
        let mut route = |wanted| {
            let listener = bind(wanted)?;
            let port = listener.local_address().port();
            routes.push(listener);
            Ok::<_, io::Error>(port)
        };
        let (http, https, tcp) = (route(8080)?, route(8443)?, route(8000)?);
        let (http_upstream, https_upstream) = (route(0)?, route(0)?);
        let admin = bind(9900)?;
        let ports = Ports { http, https, tcp, admin: admin.local_address().port(), http_upstream, https_upstream };
        Ok(Self { ports, routes, admin })
    }
}

/// The wanted port if it is free, else one of the system's choice.
fn bind(wanted: u16) -> io::Result<BoundListener> {
    let at = |port| BoundListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Sharing::Exclusive);
    at(wanted).or_else(|_taken| at(0))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn two_at_once_have_ports_of_their_own_and_hold_them_from_the_start() {
        let (first, second) = (Listeners::bind().unwrap(), Listeners::bind().unwrap());
        let of = |listeners: &Listeners| {
            let Ports { http, https, tcp, admin, http_upstream, https_upstream } = listeners.ports;
            [http, https, tcp, admin, http_upstream, https_upstream]
        };
        let mut all = [of(&first), of(&second)].concat();
        for port in &all {
            TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).unwrap();
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 12);
    }
}
