//! Every way that the proxy has of taking a connection to a target, each with its client and its target.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::LazyLock;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConfig};

use super::certificates::CERTIFICATES;
use super::peer::Peer;
use std::sync::Arc;

/// The host that every client asks for.
pub(crate) const HOST: &str = "shop.test";

/// A handler, and how it speaks to both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Passthrough,
    Tcp,
    TerminateTcp,
    ReencryptTcp,
    Http,
    TerminateHttp,
    ReencryptHttp,
}

impl Way {
    pub(crate) const ALL: [Self; 7] = [
        Self::Passthrough,
        Self::Tcp,
        Self::TerminateTcp,
        Self::ReencryptTcp,
        Self::Http,
        Self::TerminateHttp,
        Self::ReencryptHttp,
    ];
    /// Those that relay bytes untouched.
    pub(crate) const RELAYS: [Self; 4] = [Self::Passthrough, Self::Tcp, Self::TerminateTcp, Self::ReencryptTcp];
    /// Those that serve requests.
    pub(crate) const REQUESTS: [Self; 3] = [Self::Http, Self::TerminateHttp, Self::ReencryptHttp];

    /// A route of this kind, with whatever else it is to have, as lines.
    pub(crate) fn route(self, name: &str, ip: &str, target: impl fmt::Display, more: &str) -> String {
        let kind = match self {
            Self::Passthrough => "tls.mode = \"passthrough\"",
            Self::Tcp => "protocol = \"tcp\"",
            Self::TerminateTcp => "protocol = \"tcp\"\ntls.mode = \"terminate\"",
            Self::ReencryptTcp => "protocol = \"tcp\"\ntls.mode = \"terminate-and-reencrypt\"",
            Self::Http => "",
            Self::TerminateHttp => "tls.mode = \"terminate\"",
            Self::ReencryptHttp => "tls.mode = \"terminate-and-reencrypt\"",
        };
        let certificate = "tls.certificate = { certificate = \"server.pem\", key = \"server.key\" }";
        let upstream = "tls.upstream = { ca = \"ca.pem\", server_name = \"target.test\" }";
        let certificate = if self.terminates() { certificate } else { "" };
        let upstream = if self.reencrypts() { upstream } else { "" };
        format!(
            "\n[[routes]]\nname = \"{name}\"\nmatch.ports = [\"{ip}:0\"]\n{kind}\n{certificate}\n{upstream}\n{more}\n\
             targets = [\"{target}\"]\n"
        )
    }

    pub(crate) fn terminates(self) -> bool {
        match self {
            Self::Passthrough | Self::Tcp | Self::Http => false,
            Self::TerminateTcp | Self::ReencryptTcp | Self::TerminateHttp | Self::ReencryptHttp => true,
        }
    }

    pub(crate) fn reencrypts(self) -> bool {
        self == Self::ReencryptTcp || self == Self::ReencryptHttp
    }

    pub(crate) fn serves_requests(self) -> bool {
        Self::REQUESTS.contains(&self)
    }

    /// A client that has come as far as the proxy's choice of a target: through the handshake, or with its ClientHello or its
    /// request sent.
    pub(crate) fn client(self, address: SocketAddr) -> Peer {
        let mut client = self.silent_client(address);
        match self {
            Self::Passthrough => client.send(&HELLO),
            Self::Http | Self::TerminateHttp | Self::ReencryptHttp => client.request(HOST, "/"),
            Self::Tcp | Self::TerminateTcp | Self::ReencryptTcp => {}
        }
        client
    }

    /// A client that has done its handshake, if there is one, and nothing else.
    pub(crate) fn silent_client(self, address: SocketAddr) -> Peer {
        let client = Peer::connect(address);
        if self.terminates() { client.tls(HOST, &CERTIFICATES.client(&[])) } else { client }
    }

    /// The target's end of what the client has opened, which has read what [`Way::client`] has sent.
    pub(crate) fn target(self, listener: &TcpListener) -> Peer {
        let mut target = self.silent_target(Peer::accept(listener), &CERTIFICATES.server());
        match self {
            Self::Passthrough => target.expect(&HELLO),
            Self::Http | Self::TerminateHttp | Self::ReencryptHttp => {
                let request = target.message();
                assert_eq!((request.path(), request.field("host")), ("/", HOST));
            }
            Self::Tcp | Self::TerminateTcp | Self::ReencryptTcp => {}
        }
        target
    }

    /// The target's end, after its handshake if there is one.
    pub(crate) fn silent_target(self, target: Peer, config: &Arc<ServerConfig>) -> Peer {
        if self.reencrypts() { target.tls_server(config) } else { target }
    }

    /// Payload that [`Way::client`] has sent.
    pub(crate) fn opening_length(self) -> u64 {
        if self == Self::Passthrough { HELLO.len() as u64 } else { 0 }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Passthrough => "passthrough",
            Self::Tcp => "tcp",
            Self::TerminateTcp => "terminate-tcp",
            Self::ReencryptTcp => "reencrypt-tcp",
            Self::Http => "http",
            Self::TerminateHttp => "terminate-http",
            Self::ReencryptHttp => "reencrypt-http",
        })
    }
}

/// A real ClientHello for [`HOST`], with a post-quantum key share.
pub(crate) static HELLO: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let name = ServerName::try_from(HOST).unwrap();
    let mut connection = ClientConnection::new(CERTIFICATES.client(&[]), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
});

/// An address of loopback for the numbered case of a table, each with a listener of its own.
pub(crate) fn case_ip(number: usize) -> String {
    // From 127.0.1.1 on; the addresses below are named in the tests themselves.
    format!("127.0.{}.{}", 1 + number / 200, 1 + number % 200)
}

/// Payload that is nowhere like itself.
pub(crate) fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index.wrapping_mul(31) ^ (index >> 8)) as u8).collect()
}

/// Plays every case of a table at once, each on a thread of its own, and reports all that fail.
pub(crate) fn play<C: Sync + fmt::Display>(cases: &[C], run: impl Fn(usize, &C) + Sync) {
    let failed: Vec<String> = std::thread::scope(|scope| {
        let run = &run;
        let play = |(number, case)| scope.spawn(move || run(number, case));
        let threads: Vec<_> = cases.iter().enumerate().map(play).collect();
        let results = threads.into_iter().zip(cases);
        results
            .filter_map(|(thread, case)| thread.join().err().map(|panic| format!("{case}: {}", said(&*panic))))
            .collect()
    });
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no text)");
    // The daemon's own story is told once, when it goes out of scope.
    text.split("\n--- log").next().unwrap_or(text).to_owned()
}
