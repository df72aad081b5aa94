//! The connect helper against sockets on loopback, and what it records.

mod failing;
mod health;
mod leaving;
mod names;
mod securing;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::connection::{ConnectionGuard, Gate, Registry};
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::telemetry::{AccessLog, ConnectResult, Meters};
use crate::upstream::balance::{Algorithm, Member};
use crate::upstream::target::TargetPort;

/// A client's connection on a route, and what it takes to connect it.
struct World {
    guard: ConnectionGuard,
    meters: Arc<Meters>,
    meter: Arc<RouteMeter>,
    targets: Targets,
    timeouts: Timeouts,
    client: ClientAddress,
    listener: ListenAddress,
}

impl World {
    async fn new(members: Vec<Member>) -> Self {
        let meters = Arc::new(Meters::new());
        let registry = Arc::new(Registry::new(Arc::clone(&meters), AccessLog::off()));
        let client = ClientAddress::new("192.0.2.7:50000".parse().unwrap());
        let listener = ListenAddress::new("127.0.0.1:443".parse().unwrap());
        let guard = ConnectionGuard::open(&registry, Arc::new(Gate::new(1)).enter().await, listener, client);
        let long = Duration::from_secs(20);
        Self {
            guard,
            meter: meters.route("shop"),
            meters,
            targets: Targets::new(members, Algorithm::RoundRobin),
            timeouts: Timeouts { connect: long, connect_total: long, tls_handshake: long },
            client,
            listener,
        }
    }

    fn plan(&self) -> Plan<'_> {
        Plan {
            targets: &self.targets,
            client: self.client,
            listener: self.listener,
            tls: None,
            proxy_header: None,
            timeouts: &self.timeouts,
            meter: &self.meter,
            connection: self.guard.connection(),
        }
    }

    fn order(&self) -> Order<'_> {
        self.targets.order(self.client.ip())
    }

    async fn connect(&self) -> Result<Connected, ConnectError> {
        connect(&self.plan()).await
    }

    /// Asserts how often attempts have ended in which way, in all, and that nothing is counted as open but `open`.
    fn assert_recorded(&self, expected: &[(ConnectResult, u64)], open: u32) {
        let text = self.meters.text();
        let mut recorded: Vec<&str> =
            text.lines().filter(|line| line.starts_with("smartproxy_upstream_connects_total{")).collect();
        let mut expected: Vec<String> = expected
            .iter()
            .map(|(result, count)| {
                let result = result.as_str();
                format!("smartproxy_upstream_connects_total{{result=\"{result}\",route=\"shop\"}} {count}")
            })
            .collect();
        recorded.sort_unstable();
        expected.sort_unstable();
        assert_eq!(recorded, expected);
        assert_eq!(self.targets.all().map(|(target, _)| target.in_flight()).sum::<u32>(), open);
    }
}

fn at(address: SocketAddr) -> Member {
    member(TargetHost::Address(address.ip()), TargetPort::Fixed(address.port()))
}

fn member(host: TargetHost, port: TargetPort) -> Member {
    Member { target: Arc::new(Target::new(host, port)), weight: NonZeroU16::MIN, backup: false, health: None }
}

async fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address where nobody listens, as long as the socket is kept: its port is taken, but not open.
fn refusing() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A target whose queue is full, so that the system drops whoever else wants to connect; while it is kept.
struct Silent {
    address: SocketAddr,
    _listener: socket2::Socket,
    _queue: Vec<std::net::TcpStream>,
}

impl Silent {
    fn new(address: SocketAddr) -> std::io::Result<Self> {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&address.into())?;
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut queue = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
            queue.push(stream);
        }
        Ok(Self { address, _listener: listener, _queue: queue })
    }

    fn anywhere() -> Self {
        Self::new((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
    }

    /// One on another address, with a listener of the same port that does answer.
    async fn beside_one_that_answers(ip: [u8; 4]) -> (TcpListener, SocketAddr, Self) {
        loop {
            let (listener, address) = listening().await;
            // Another test may have the port on the other address: then there are others.
            if let Ok(silent) = Self::new((ip, address.port()).into()) {
                return (listener, address, silent);
            }
        }
    }

    /// Connections of this machine that are being made to it.
    fn waiting(&self) -> usize {
        let port = format!(":{:04X}", self.address.port());
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let being_made = |line: &&str| {
            let mut fields = line.split_whitespace().skip(2);
            let (remote, state) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
            // TCP_SYN_SENT of the kernel's net/tcp_states.h.
            remote.ends_with(&port) && state == "02"
        };
        table.lines().filter(being_made).count()
    }
}

#[tokio::test]
async fn a_connection_is_recorded_and_counted_until_it_is_dropped() {
    let (listener, address) = listening().await;
    let world = World::new(vec![at(address)]).await;
    let mut connected = world.connect().await.unwrap();
    assert_eq!(connected.address.socket(), address);
    assert_eq!(connected.target.label().to_string(), address.to_string());
    assert!(connected.stream.agreed().is_none());
    world.assert_recorded(&[(ConnectResult::Connected, 1)], 1);
    let connection = world.guard.connection();
    assert!(connection.reached_target());
    assert_eq!(connection.state(), State::Connecting);
    assert_eq!(connection.snapshot().target.as_deref(), Some(&*address.to_string()));

    let (mut peer, _) = listener.accept().await.unwrap();
    connected.stream.write_all(b"ping").await.unwrap();
    let mut bytes = [0; 4];
    peer.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"ping");
    drop(connected);
    world.assert_recorded(&[(ConnectResult::Connected, 1)], 0);
    assert_eq!(peer.read(&mut bytes).await.unwrap(), 0);
}

#[tokio::test]
async fn a_preserved_port_is_the_one_that_the_client_came_to() {
    let (_listener, address) = listening().await;
    let mut world = World::new(vec![member(TargetHost::Address(address.ip()), TargetPort::Preserve)]).await;
    world.listener = ListenAddress::new(SocketAddr::new(IpAddr::from([192, 0, 2, 1]), address.port()));
    assert_eq!(world.connect().await.unwrap().address.socket(), address);
}

#[tokio::test]
async fn targets_of_both_families_are_connected_to() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let address = listener.local_addr().unwrap();
    let world = World::new(vec![at(address)]).await;
    assert_eq!(world.connect().await.unwrap().address.socket(), address);
}
