mod counts;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use self::counts::Counts;
use super::pace::{Mark, Pace};
use super::registry::ConnectionId;
use super::snapshot::{Snapshot, TlsLabel};
use super::state::State;
use crate::drain::{Leash, Order};
use crate::net::{ClientAddress, ListenAddress, SocketId};
use crate::outcome::{Outcome, Phase};
use crate::telemetry::{HandshakeSide, Held, Line, Meters, NO_ROUTE, RouteMeter, Subject, Tracers, Traffic};

/// The longest host that is kept: the longest name that DNS has, in its own form (RFC 1035 section 2.3.4).
pub const HOST_SHOWN_MAX: usize = 255;

/// What is known of one client connection while it lives, for its own task, its requests and the operator.
///
/// It may outlive its guard in a request's task; what it counts for does not.
#[derive(Debug)]
pub struct Connection {
    id: ConnectionId,
    listener: ListenAddress,
    peer: ClientAddress,
    opened: Instant,
    state: AtomicU8,
    /// Microseconds after `opened`.
    state_since: AtomicU64,
    meters: Arc<Meters>,
    reached_target: AtomicBool,
    traffic: Traffic,
    pace: Pace,
    leash: Leash,
    tracers: Arc<Tracers>,
    socket: OnceLock<SocketId>,
    /// What a trusted PROXY header has said of the client.
    named: OnceLock<ClientAddress>,
    /// It has a route: whoever asks at each request need not look into the details.
    routed: AtomicBool,
    /// Where in memory the target's name is that was noted last; the details hold it, so that no other can be there.
    target: AtomicUsize,
    /// The same of the rules that have admitted it last.
    admitted: AtomicUsize,
    details: Mutex<Details>,
}

#[derive(Debug)]
struct Details {
    /// Where the client came to, once it has been asked for.
    destination: Option<ListenAddress>,
    host: Option<Box<str>>,
    target: Option<Arc<str>>,
    protocol: &'static str,
    tls: Option<TlsLabel>,
    /// None once the connection is over: nothing is counted for it any more.
    counted: Option<Counts>,
    route: Option<Arc<RouteMeter>>,
    failure: Option<Outcome>,
    error: Option<Box<str>>,
    request: Option<Box<str>>,
    settled_in: u64,
    settled_out: u64,
}

impl Connection {
    pub(super) fn new(
        id: ConnectionId,
        listener: ListenAddress,
        client: ClientAddress,
        active: Held,
        tracers: &Arc<Tracers>,
        meters: &Arc<Meters>,
    ) -> Self {
        let details = Details {
            destination: None,
            host: None,
            target: None,
            protocol: "-",
            tls: None,
            counted: Some(Counts { _active: active, slot: None, slots: Vec::new() }),
            route: None,
            failure: None,
            error: None,
            request: None,
            settled_in: 0,
            settled_out: 0,
        };
        Self {
            id,
            listener,
            peer: client,
            opened: Instant::now(),
            state: AtomicU8::new(State::Accepted.code()),
            state_since: AtomicU64::new(0),
            meters: Arc::clone(meters),
            reached_target: AtomicBool::new(false),
            traffic: Traffic::default(),
            pace: Pace::default(),
            leash: Leash::default(),
            tracers: Arc::clone(tracers),
            socket: OnceLock::new(),
            named: OnceLock::new(),
            routed: AtomicBool::new(false),
            target: AtomicUsize::new(0),
            admitted: AtomicUsize::new(0),
            details: Mutex::new(details),
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Our address that it came to.
    #[must_use]
    pub fn listener(&self) -> ListenAddress {
        self.listener
    }

    /// When it was accepted.
    #[must_use]
    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// Where the client comes from: the socket's peer, or what a trusted PROXY header said.
    #[must_use]
    pub fn client(&self) -> ClientAddress {
        self.named.get().copied().unwrap_or(self.peer)
    }

    /// The other end of its socket, where that is not the client.
    #[must_use]
    pub fn peer(&self) -> Option<ClientAddress> {
        Some(self.peer).filter(|peer| *peer != self.client())
    }

    /// Takes the client's address from a trusted PROXY header, which comes once.
    pub fn set_client(&self, client: ClientAddress) {
        let _first_counts = self.named.set(client);
    }

    /// Takes the address that the client came to from a trusted PROXY header.
    pub fn set_destination(&self, destination: ListenAddress) {
        self.details().destination = Some(destination);
    }

    /// The very address that the client came to: where a PROXY header came before it, what that said; else our end of its
    /// socket.
    ///
    /// A listener of one address tells by itself. Only behind one of all addresses is the system asked, and that once, and
    /// of the descriptor: whoever wants to know has no hold of the socket.
    #[must_use]
    pub fn destination(&self) -> ListenAddress {
        if let Some(known) = self.details().destination {
            return known;
        }
        if !self.listener.ip().is_unspecified() {
            return self.listener;
        }
        match self.socket().and_then(|socket| socket.near_end(self.peer)) {
            Some(asked) => {
                self.set_destination(asked);
                asked
            }
            // The client has gone, or its socket was never told: any address of ours, in the client's own family.
            None => match self.client().ip() {
                IpAddr::V4(_) => ListenAddress::new((Ipv4Addr::UNSPECIFIED, self.listener.port()).into()),
                IpAddr::V6(_) => ListenAddress::new((Ipv6Addr::UNSPECIFIED, self.listener.port()).into()),
            },
        }
    }

    /// What it is doing, as operators see it: from the order to drain on that is [`State::Draining`].
    #[must_use]
    pub fn state(&self) -> State {
        let state = self.entered();
        if state != State::Closed && self.leash.order().is_some() { State::Draining } else { state }
    }

    /// The phase that it is in, draining or not.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.entered().phase()
    }

    /// The state that it has entered, whatever it has been told since, and for how long it has been in it by now.
    #[must_use]
    pub fn stage(&self, now: Instant) -> (State, Duration) {
        let since = Duration::from_micros(self.state_since.load(Ordering::Acquire));
        (self.entered(), now.saturating_duration_since(self.opened).saturating_sub(since))
    }

    /// What the client speaks, as far as that is known.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        self.details().protocol
    }

    /// Its route, once it has one.
    #[must_use]
    pub fn route(&self) -> Option<Arc<RouteMeter>> {
        self.details().route.clone()
    }

    /// The client's socket; none if it was never told.
    #[must_use]
    pub fn socket(&self) -> Option<SocketId> {
        self.socket.get().copied()
    }

    pub(super) fn set_socket(&self, socket: SocketId) {
        let _first_counts = self.socket.set(socket);
    }

    fn entered(&self) -> State {
        State::from_code(self.state.load(Ordering::Acquire))
    }

    /// Goes to the next state; the lifecycle event is a debug line of target `smartproxy::connection`.
    pub fn enter(&self, to: State) {
        let from = State::from_code(self.state.swap(to.code(), Ordering::AcqRel));
        if from == to {
            return;
        }
        // The one reading of the clock at a change of state; the phases' metrics are made of it.
        let now = micros(self.opened.elapsed());
        let since = self.state_since.swap(now, Ordering::AcqRel);
        let after = Duration::from_micros(now.saturating_sub(since));
        match from {
            State::Sniffing if to != State::Closed => self.meters.sniffed(after),
            State::Handshaking if to != State::Closed => self.meters.shook_hands(HandshakeSide::Client, after),
            State::Accepted
            | State::Sniffing
            | State::Routing
            | State::Handshaking
            | State::Connecting
            | State::Relaying
            | State::Serving
            | State::HalfClosed
            | State::Draining
            | State::Closed => {}
        }
        tracing::debug!(
            target: "smartproxy::connection",
            connection = self.id.0,
            from = from.as_str(),
            to = to.as_str(),
            after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
        );
        self.trace(None, "state", |line| {
            self.name(line);
            line.field("from", from.as_str());
            line.field("to", to.as_str());
            line.number("after_ms", u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        });
    }

    /// The bytes moved.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// What the connection's task waits on to be told to end.
    #[must_use]
    pub fn leash(&self) -> &Leash {
        &self.leash
    }

    /// Tells it to end.
    pub fn order(&self, order: Order) {
        let before = self.state();
        self.leash.pull(order);
        tracing::debug!(
            target: "smartproxy::connection",
            connection = self.id.0,
            from = before.as_str(),
            to = self.state().as_str(),
            ?order,
        );
        self.trace(None, "order", |line| {
            self.name(line);
            line.field("order", order.as_str());
        });
    }

    /// Tells those who watch it, if there are any, of something that has happened to it, on this route if not on its own.
    pub fn trace(&self, route: Option<&str>, kind: &str, fill: impl Fn(&mut Line)) {
        if self.tracers.is_watching() {
            let (own, client) = (self.route_name(), self.client());
            let subject = Subject { connection: self.id.0, client, route: route.unwrap_or(&own) };
            self.tracers.tell(subject, kind, &fill);
        }
    }

    /// Writes whom an event is of.
    pub fn name(&self, line: &mut Line) {
        line.number("connection", self.id.0);
        line.field("client", &self.client().to_string());
        line.field("route", &self.route_name());
    }

    /// Notes SNI or host that the client asks for, as much of it as [`HOST_SHOWN_MAX`].
    pub fn set_host(&self, host: &str) {
        let (host, _too_long) = host.split_at(host.floor_char_boundary(HOST_SHOWN_MAX));
        let mut details = self.details();
        // The next request of a connection mostly asks for the same.
        if details.host.as_deref() != Some(host) {
            details.host = Some(host.into());
        }
    }

    /// Notes what the client speaks: `tcp`, `tls`, `http/1.1` or `h2`.
    pub fn set_protocol(&self, protocol: &'static str) {
        self.details().protocol = protocol;
    }

    /// Notes what TLS with the client came to.
    pub fn set_tls(&self, tls: TlsLabel) {
        self.details().tls = Some(tls);
    }

    /// Notes that a connection to a target stands: whatever comes, this connection did not fail to reach one.
    pub fn set_target(&self, target: &Arc<str>) {
        self.reached_target.store(true, Ordering::Release);
        self.set_trying(target);
    }

    /// Notes the target that is being connected to, which is not to say that it will be reached.
    pub fn set_trying(&self, target: &Arc<str>) {
        let address = Arc::as_ptr(target).addr();
        // The next request of a connection mostly goes to the same.
        if self.target.load(Ordering::Acquire) != address {
            let mut details = self.details();
            details.target = Some(Arc::clone(target));
            self.target.store(address, Ordering::Release);
        }
    }

    /// Whether a target was ever reached.
    #[must_use]
    pub fn reached_target(&self) -> bool {
        self.reached_target.load(Ordering::Acquire)
    }

    /// Notes that a request of it failed before a target was reached.
    pub fn set_failure(&self, failure: Outcome) {
        self.details().failure = Some(failure);
    }

    /// Notes in words what went wrong, for the access log.
    pub fn set_error(&self, error: &str) {
        self.details().error = Some(error.into());
    }

    /// Notes the id that its client has been told, of a request that was not read.
    pub fn set_request(&self, id: &str) {
        self.details().request = Some(id.into());
    }

    /// The id of a request that was not read.
    #[must_use]
    pub fn request(&self) -> Option<Box<str>> {
        self.details().request.clone()
    }

    /// What went wrong, in words.
    #[must_use]
    pub fn error(&self) -> Option<Box<str>> {
        self.details().error.clone()
    }

    /// The last such failure, if no target was ever reached: then that is how the connection ended, however politely.
    #[must_use]
    pub fn failure(&self) -> Option<Outcome> {
        if self.reached_target() { None } else { self.details().failure }
    }

    /// The name of its route, or `-`.
    #[must_use]
    pub fn route_name(&self) -> Arc<str> {
        self.details().route.as_ref().map_or_else(|| NO_ROUTE.into(), |route| Arc::clone(route.name()))
    }

    /// Marks what it has moved up to now, for its rates.
    pub(super) fn mark_pace(&self) {
        self.pace.mark(self.moved(self.opened.elapsed()));
    }

    fn moved(&self, at: Duration) -> Mark {
        Mark { at, inward: self.traffic.bytes_in(), outward: self.traffic.bytes_out() }
    }

    /// The connection as the operator sees it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let age = self.opened.elapsed();
        let state_since = Duration::from_micros(self.state_since.load(Ordering::Acquire));
        let moved = self.moved(age);
        let rate = self.pace.rate(moved);
        let details = self.details();
        Snapshot {
            id: self.id.0,
            client: self.client(),
            peer: (self.client() != self.peer).then_some(self.peer),
            listener: self.listener,
            route: details.route.as_ref().map(|route| Arc::clone(route.name())),
            host: details.host.clone(),
            target: details.target.clone(),
            state: self.state(),
            age_seconds: age.as_secs_f64(),
            state_seconds: age.saturating_sub(state_since).as_secs_f64(),
            bytes_in: moved.inward,
            bytes_out: moved.outward,
            bytes_in_per_second: rate.inward,
            bytes_out_per_second: rate.outward,
            protocol: details.protocol,
            tls: details.tls,
        }
    }

    fn details(&self) -> MutexGuard<'_, Details> {
        // The details are right whatever panicked beside them: each is set in one step.
        self.details.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
