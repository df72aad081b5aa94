use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::connection::{Connection, ConnectionGuard, Gate, Registry};
use crate::head::{Headers, Request, Response};
use crate::http::{
    ErrorAnswers, Exchange, ForwardedPolicy, Forwarding, HeaderEdits, MinRate, Pool, Scheme, Settings, TargetProtocol,
    Timeouts, TlsNames, Version, answer, forward, serve,
};
use crate::name::PathRewrite;
use crate::net::{ClientAddress, ListenAddress};
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::telemetry::{AccessLog, Format, Kept, Meters, RouteMeter, Sink, SinkWriter};
use crate::upstream::{self, Algorithm, Member, Plan, Target, TargetHost, TargetPort, Targets};

/// No test waits for longer for what has to come.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Route {
    pub(super) settings: Settings,
    pub(super) timeouts: Timeouts,
    pub(super) forwarded: ForwardedPolicy,
    pub(super) preserve_host: bool,
    pub(super) rewrite: Option<PathRewrite>,
    pub(super) request_headers: HeaderEdits,
    pub(super) response_headers: HeaderEdits,
    pub(super) max_request_body: Option<u64>,
    pub(super) min_rate: Option<MinRate>,
    pub(super) protocol: TargetProtocol,
    targets: Targets,
    meter: Option<Arc<RouteMeter>>,
    pub(super) pool: Arc<Pool>,
    pub(super) connect: upstream::Timeouts,
}

impl Route {
    pub(super) fn to(targets: &[SocketAddr]) -> Self {
        let minute = Duration::from_secs(60);
        let member = |address: &SocketAddr| Member {
            target: Arc::new(Target::new(TargetHost::Address(address.ip()), TargetPort::Fixed(address.port()))),
            weight: NonZeroU16::MIN,
            backup: false,
            health: None,
        };
        Self {
            settings: Settings {
                request_head: minute,
                keep_alive: minute,
                body: minute,
                linger: Duration::from_secs(5),
                max_lifetime: None,
                max_request_head: 16 * 1024,
                min_rate: None,
            },
            timeouts: Timeouts {
                response_head: minute,
                body: minute,
                tunnel: minute,
                half_closed: minute,
                linger: Duration::from_secs(5),
                upstream_keep_alive: minute,
            },
            forwarded: ForwardedPolicy::default(),
            preserve_host: true,
            rewrite: None,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            max_request_body: None,
            min_rate: None,
            protocol: TargetProtocol::Http1,
            targets: Targets::new(targets.iter().map(member).collect(), Algorithm::RoundRobin),
            meter: None,
            pool: Pool::new(),
            connect: upstream::Timeouts { connect: PATIENCE, connect_total: PATIENCE, tls_handshake: PATIENCE },
        }
    }

    /// What is in use at the targets.
    pub(super) fn in_flight(&self) -> u32 {
        self.targets.all().map(|(target, _)| target.in_flight()).sum()
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<crate::http::Incoming>,
        mut exchange: Exchange,
    ) -> Response<crate::http::Body> {
        let meter = self.meter.clone().unwrap();
        exchange.set_route(&meter);
        exchange.set_errors(&Arc::new(ErrorAnswers { show_cause: true, pages: Vec::new() }));
        if request.uri().path() == "/panic" {
            panic!("as a fault of ours would");
        }
        if request.uri().path() == "/refused" {
            let refused = Outcome::new(Phase::Route, Party::Proxy, Cause::RouteConnectionLimit);
            return answer::failure(refused, exchange);
        }
        if request.uri().path() == "/own" {
            return answer::whole(http::StatusCode::OK, "own", exchange);
        }
        let connection = Arc::clone(exchange.connection());
        let plan = Plan {
            targets: &self.targets,
            client: connection.client(),
            listener: connection.listener(),
            tls: None,
            proxy_header: None,
            timeouts: &self.connect,
            meter: &meter,
            connection: &connection,
        };
        let forwarding = Forwarding {
            plan,
            protocol: self.protocol,
            policy: 0,
            pool: &self.pool,
            timeouts: &self.timeouts,
            forwarded: &self.forwarded,
            scheme: Scheme::Http,
            tls: TlsNames::default(),
            rewrite: self.rewrite.as_ref(),
            preserve_host: self.preserve_host,
            vouched: &Headers::new(),
            request_headers: &self.request_headers,
            response_headers: &self.response_headers,
            max_request_body: self.max_request_body,
            min_rate: self.min_rate,
        };
        forward(request, exchange, &forwarding).await
    }
}

/// A proxy of one route on a port of its own.
pub(super) struct World {
    pub(super) address: SocketAddr,
    pub(super) registry: Arc<Registry>,
    pub(super) route: Arc<Route>,
    outcomes: UnboundedReceiver<Outcome>,
    accepting: JoinHandle<()>,
    log: Kept,
    writer: SinkWriter,
}

impl World {
    pub(super) async fn http1(route: Route) -> Self {
        Self::start(route, Version::Http1).await
    }

    pub(super) async fn http2(route: Route) -> Self {
        Self::start(route, Version::Http2).await
    }

    async fn start(mut route: Route, version: Version) -> Self {
        let meters = Arc::new(Meters::new());
        let log = Kept::default();
        let dropped = meters.access_lines_dropped.clone();
        let (sink, writer) = Sink::start("test", log.clone(), dropped).unwrap();
        let access_log = AccessLog::new(Format::Text, sink);
        route.meter = Some(meters.route("test"));
        let registry = Arc::new(Registry::new(meters, access_log));
        let route = Arc::new(route);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, outcomes) = unbounded_channel();
        let accepting = tokio::spawn(accept(listener, version, Arc::clone(&registry), Arc::clone(&route), sender));
        Self { address, registry, route, outcomes, accepting, log, writer }
    }

    pub(super) async fn client(&self) -> Peer {
        Peer(TcpStream::connect(self.address).await.unwrap())
    }

    /// The connection that lives, of which there is one.
    pub(super) fn connection(&self) -> Arc<Connection> {
        self.registry.connections().remove(0)
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.route.pool
    }

    /// How the next connection to end has ended.
    pub(super) async fn outcome(&mut self) -> Outcome {
        timeout(PATIENCE, self.outcomes.recv()).await.expect("no connection has ended").unwrap()
    }

    pub(super) async fn cause(&mut self) -> Cause {
        self.outcome().await.cause
    }

    /// Drops the tasks of all connections.
    pub(super) fn abandon(&self) {
        self.accepting.abort();
    }

    /// Checks that nothing is left, and gives the lines of the requests.
    pub(super) async fn end(self) -> Vec<String> {
        timeout(PATIENCE, self.registry.empty()).await.expect("a connection is left");
        self.accepting.abort();
        self.route.pool.close();
        until(|| self.route.pool.standing() == 0).await;
        assert_eq!(self.route.pool.idle(), 0);
        assert!(self.route.targets.all().all(|(target, _)| target.in_flight() == 0));
        let Self { registry, route, accepting, log, writer, .. } = self;
        let _cancelled = accepting.await;
        drop(route);
        until(|| Arc::strong_count(&registry) == 1).await;
        drop(registry);
        writer.finish(PATIENCE);
        let text = log.text();
        text.lines().filter(|line| line.contains(" request request=")).map(ToOwned::to_owned).collect()
    }
}

async fn accept(
    listener: TcpListener,
    version: Version,
    registry: Arc<Registry>,
    route: Arc<Route>,
    outcomes: UnboundedSender<Outcome>,
) {
    let gate = Arc::new(Gate::new(200));
    let mut tasks = JoinSet::new();
    loop {
        let (stream, client) = listener.accept().await.unwrap();
        let here = ListenAddress::new(stream.local_addr().unwrap());
        let guard = ConnectionGuard::open(&registry, gate.enter().await, here, ClientAddress::new(client));
        let (registry, route, outcomes) = (Arc::clone(&registry), Arc::clone(&route), outcomes.clone());
        tasks.spawn(async move {
            let settings = route.settings;
            let service = move |request, exchange| Arc::clone(&route).answer(request, exchange);
            let connection = Arc::clone(guard.connection());
            let outcome = serve(stream, version, &settings, &registry, &connection, service).await;
            guard.close(outcome);
            let _ended = outcomes.send(outcome);
        });
    }
}

/// Waits for a condition that the runtime's other tasks bring about.
pub(super) async fn until(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it never came to that");
}

/// A raw socket.
pub(super) struct Peer(pub(super) TcpStream);

impl Peer {
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads a head, with its final empty line.
    pub(super) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        let reading = async {
            while !head.ends_with(b"\r\n\r\n") {
                match self.0.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&head)),
                }
            }
        };
        timeout(PATIENCE, reading).await.expect("no head came");
        String::from_utf8(head).unwrap()
    }

    pub(super) async fn take(&mut self, count: usize) -> String {
        let mut bytes = vec![0; count];
        timeout(PATIENCE, self.0.read_exact(&mut bytes)).await.expect("no bytes came").unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Reads a head and the body of the length that it gives.
    pub(super) async fn message(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let body = self.take(length).await;
        (head, body)
    }

    /// Reads to the end, which has to be in order.
    pub(super) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.expect("no end came").unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Waits for the end, in order or not.
    pub(super) async fn gone(&mut self) {
        let mut waste = [0; 4096];
        let reading = async { while self.0.read(&mut waste).await.is_ok_and(|count| count > 0) {} };
        timeout(PATIENCE, reading).await.expect("no end came");
    }

    pub(super) async fn finish(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    pub(super) fn reset(self) {
        self.0.set_zero_linger().unwrap();
    }
}

/// The value of a head's field.
pub(super) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A target that plays `script` on each connection, with the connection's number.
pub(super) struct Scripted {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Scripted {
    pub(super) async fn new<F, P>(script: F) -> Self
    where
        F: Fn(Peer, usize) -> P + Send + 'static,
        P: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tasks.spawn(script(Peer(stream), counted.fetch_add(1, Ordering::SeqCst)));
            }
        });
        Self { address, accepted, task }
    }

    /// A target that answers each request with its head as the body, until the connection ends.
    pub(super) async fn echoing() -> Self {
        Self::new(|mut peer, _| async move {
            let mut first = [0; 1];
            while peer.0.peek(&mut first).await.is_ok_and(|count| count > 0) {
                let (head, body) = peer.message().await;
                let text = format!("{head}{body}");
                peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())).await;
            }
        })
        .await
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}
