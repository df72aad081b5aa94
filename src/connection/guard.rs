use std::sync::Arc;

use super::gate::Place;
use super::live::Connection;
use super::registry::Registry;
use super::state::State;
use crate::drain::Counted;
use crate::net::{Claim, ClientAddress, ListenAddress, Owner};
use crate::outcome::{Cause, Outcome, Party};
use crate::telemetry::Line;

/// The life of one client connection: counted from when it is opened until it is closed or dropped.
///
/// Every +1 of a connection is in [`ConnectionGuard::open`], every -1 in the `Drop`; the outcome is recorded exactly once,
/// whether the task returns, panics or is dropped in the middle.
#[derive(Debug)]
pub struct ConnectionGuard {
    connection: Arc<Connection>,
    registry: Arc<Registry>,
    outcome: Option<Outcome>,
    /// That the client's socket is this connection's.
    claim: Option<Claim>,
    // Given back last, when all else is written: who waits for the last connection's end finds the books closed.
    _counted: Counted,
    _place: Place,
}

impl ConnectionGuard {
    /// Counts an accepted connection.
    #[must_use]
    pub fn open(registry: &Arc<Registry>, place: Place, listener: ListenAddress, client: ClientAddress) -> Self {
        let (connection, counted) = registry.insert(listener, client);
        Self {
            connection,
            registry: Arc::clone(registry),
            outcome: None,
            claim: None,
            _counted: counted,
            _place: place,
        }
    }

    /// Keeps the claim of the client's socket, which whoever has the stream closes before the guard.
    #[must_use]
    pub fn holding(mut self, claim: Claim) -> Self {
        claim.assign(Owner::Client(self.connection.id().0));
        self.connection.set_socket(claim.socket());
        self.claim = Some(claim);
        self
    }

    /// The connection, for those who watch it or write to it.
    #[must_use]
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Ends the connection with what its task says of it.
    pub fn close(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    /// What to say of a task that did not live to say it.
    fn dropped(&self) -> Outcome {
        let phase = self.connection.phase();
        if std::thread::panicking() {
            Outcome::new(phase, Party::Proxy, Cause::Internal)
        } else {
            Outcome::new(phase, Party::Operator, Cause::Cut)
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let outcome = self.outcome.unwrap_or_else(|| self.dropped());
        drop(self.claim.take());
        let connection = &self.connection;
        connection.enter(State::Closed);
        connection.settle_last(self.registry.unrouted(), outcome);
        self.registry.access_log().write("connection", |line| describe(line, connection, outcome));
        connection.trace(None, "connection", |line| describe(line, connection, outcome));
        connection.release();
        self.registry.remove(connection.id());
    }
}

fn describe(line: &mut Line, connection: &Connection, outcome: Outcome) {
    let snapshot = connection.snapshot();
    line.number("connection", snapshot.id);
    line.field("client", &snapshot.client.to_string());
    line.field_if("peer", snapshot.peer.map(|peer| peer.to_string()).as_deref());
    line.field("listener", &snapshot.listener.to_string());
    line.field("route", snapshot.route_name());
    line.field("protocol", snapshot.protocol);
    line.field_if("tls", snapshot.tls.map(|tls| tls.version));
    line.field_if("group", snapshot.tls.and_then(|tls| tls.group));
    line.field_if("host", snapshot.host.as_deref());
    line.field_if("target", snapshot.target.as_deref());
    line.field_if("request", connection.request().as_deref());
    line.field("phase", outcome.phase.as_str());
    line.field("party", outcome.party.as_str());
    line.field("cause", outcome.cause.as_str());
    line.field_if("error", connection.error().as_deref());
    line.number("bytes_in", snapshot.bytes_in);
    line.number("bytes_out", snapshot.bytes_out);
    line.seconds("duration_seconds", connection.opened().elapsed());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{Admission, Gate, HOST_SHOWN_MAX};
    use crate::drain::Order;
    use crate::outcome::Phase;
    use crate::telemetry::{AccessLog, Kept, Meters};

    fn registry() -> Arc<Registry> {
        let meters = Arc::new(Meters::new());
        let log = AccessLog::off();
        Arc::new(Registry::new(meters, log))
    }

    async fn open(registry: &Arc<Registry>, gate: &Arc<Gate>) -> ConnectionGuard {
        let listener = ListenAddress::new("127.0.0.1:443".parse().unwrap());
        let client = ClientAddress::new("127.0.0.1:50000".parse().unwrap());
        ConnectionGuard::open(registry, gate.enter().await, listener, client)
    }

    #[tokio::test]
    async fn every_way_to_end_gives_everything_back_and_is_counted_once() {
        let (registry, gate) = (registry(), Arc::new(Gate::new(10)));
        let route = registry.meters().route("shop");
        let admission = Admission { max_connections_per_ip: 9, ..Admission::default() };
        let enter = |guard: &ConnectionGuard| {
            let connection = guard.connection();
            connection.set_route(&route);
            connection.keep_slot(admission.admit(connection.client().ip()).unwrap());
        };

        let closed = open(&registry, &gate).await;
        enter(&closed);
        let dropped = open(&registry, &gate).await;
        enter(&dropped);
        dropped.connection().enter(State::Connecting);
        let panicked = open(&registry, &gate).await;
        enter(&panicked);
        panicked.connection().enter(State::Relaying);
        // A request's task may still hold the connection when its guard is gone.
        let straggler = Arc::clone(panicked.connection());
        assert_eq!((registry.live(), gate.live(), route.live(), admission.load.live()), (3, 3, Some(3), 3));

        closed.close(Outcome::new(Phase::Relay, Party::Client, Cause::Finished));
        drop(dropped);
        let task = tokio::spawn(async move {
            let _panicked = panicked;
            panic!("as a fault of ours would");
        });
        assert!(task.await.unwrap_err().is_panic());

        assert_eq!((registry.live(), gate.live(), route.live(), admission.load.live()), (0, 0, Some(0), 0));
        straggler.set_route(&route);
        straggler.keep_slot(admission.admit(straggler.client().ip()).unwrap());
        assert_eq!((route.live(), admission.load.live()), (Some(0), 0));
        let text = registry.meters().text();
        for ending in [
            r#"{cause="finished",party="client",phase="relay",route="shop"} 1"#,
            r#"{cause="cut",party="operator",phase="connect",route="shop"} 1"#,
            r#"{cause="internal",party="proxy",phase="relay",route="shop"} 1"#,
        ] {
            assert!(text.contains(&format!("connections_closed_total{ending}")), "{ending} in {text}");
        }
        assert!(text.contains("smartproxy_connections_accepted_total 3"));
    }

    #[tokio::test]
    async fn each_change_of_state_is_one_line_of_the_debug_log() {
        let kept = Kept::default();
        let log = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("smartproxy::connection=debug")
            .with_writer(move || log.clone())
            .with_ansi(false)
            .finish();
        let _default = tracing::subscriber::set_default(subscriber);
        let (registry, gate) = (registry(), Arc::new(Gate::new(1)));
        let guard = open(&registry, &gate).await;
        // The states of a relay, from the first to the last, and of a task that says one twice.
        let steps = [State::Sniffing, State::Routing, State::Connecting, State::Relaying, State::HalfClosed];
        for state in steps {
            guard.connection().enter(state);
            guard.connection().enter(state);
        }
        let number = guard.connection().id().0;
        guard.close(Outcome::new(Phase::Relay, Party::Client, Cause::Finished));
        let text = kept.text();
        let told: Vec<_> = text.lines().filter(|line| line.contains(&format!("connection={number} "))).collect();
        let states = [&[State::Accepted][..], &steps, &[State::Closed]].concat();
        assert_eq!(told.len(), states.len() - 1, "{text}");
        for (line, pair) in told.iter().zip(states.windows(2)) {
            let expected = format!("from=\"{}\" to=\"{}\" after_ms=", pair[0].as_str(), pair[1].as_str());
            assert!(line.contains("DEBUG") && line.contains(&expected), "{line}: {expected}");
        }
    }

    #[tokio::test]
    async fn an_order_to_all_is_also_for_those_who_come_later() {
        let (registry, gate) = (registry(), Arc::new(Gate::new(10)));
        let before = open(&registry, &gate).await;
        registry.order(Order::Cut);
        let after = open(&registry, &gate).await;
        for guard in [before, after] {
            assert_eq!(guard.connection().leash().order(), Some(Order::Cut));
        }
    }

    #[tokio::test]
    async fn bytes_of_a_living_connection_are_settled_and_none_is_counted_twice() {
        let (registry, gate) = (registry(), Arc::new(Gate::new(10)));
        let guard = open(&registry, &gate).await;
        let route = registry.meters().route("shop");
        guard.connection().set_route(&route);
        guard.connection().traffic().add_in(10);
        guard.connection().settle();
        guard.connection().settle();
        assert!(registry.meters().text().contains(r#"smartproxy_received_bytes_total{route="shop"} 10"#));
        guard.connection().traffic().add_in(5);
        drop(guard);
        assert!(registry.meters().text().contains(r#"smartproxy_received_bytes_total{route="shop"} 15"#));
    }

    #[tokio::test]
    async fn bytes_of_a_connection_that_never_gets_a_route_count_as_its_end_does() {
        let (registry, gate) = (registry(), Arc::new(Gate::new(10)));
        let guard = open(&registry, &gate).await;
        guard.connection().traffic().add_in(3);
        guard.connection().traffic().add_out(7);
        // It may get a route yet.
        registry.settle();
        assert!(registry.meters().text().contains("smartproxy_received_bytes_total{route=\"-\"} 0"));
        guard.close(Outcome::new(Phase::Serve, Party::Client, Cause::RequestMalformed));
        registry.settle();
        let text = registry.meters().text();
        for series in ["received_bytes_total{route=\"-\"} 3", "sent_bytes_total{route=\"-\"} 7"] {
            assert!(text.contains(&format!("smartproxy_{series}")), "{series} in {text}");
        }
        assert!(text.contains("cause=\"request_malformed\",party=\"client\",phase=\"serve\",route=\"-\"} 1"), "{text}");
    }

    #[tokio::test]
    async fn a_route_that_went_and_came_back_counts_who_stayed_anew() {
        let (registry, gate) = (registry(), Arc::new(Gate::new(10)));
        let guard = open(&registry, &gate).await;
        let before = Admission { max_connections: 1, ..Admission::default() };
        let connection = guard.connection();
        connection.keep_slot(before.admit(connection.client().ip()).unwrap());
        assert!(connection.is_admitted(&before.clone()), "a reload keeps the counts of a route that stays");
        let after = Admission { max_connections: 1, ..Admission::default() };
        assert!(!connection.is_admitted(&after));
        connection.keep_slot(after.admit(connection.client().ip()).unwrap());
        assert_eq!((before.load.live(), after.load.live()), (1, 1));
        drop(guard);
        assert_eq!((before.load.live(), after.load.live()), (0, 0));
    }

    #[tokio::test]
    async fn a_host_is_shown_as_far_as_its_longest_and_cut_between_characters() {
        let (registry, gate) = (registry(), Arc::new(Gate::new(10)));
        let guard = open(&registry, &gate).await;
        let shown = |host: &str| {
            guard.connection().set_host(host);
            guard.connection().snapshot().host.unwrap().into_string()
        };
        let longest = "a".repeat(HOST_SHOWN_MAX);
        assert_eq!(shown(&longest), longest);
        assert_eq!(shown(&format!("{longest}b")), longest);
        assert_eq!(shown(&format!("{}\u{e9}", "a".repeat(HOST_SHOWN_MAX - 1))), "a".repeat(HOST_SHOWN_MAX - 1));
    }

    #[tokio::test]
    async fn the_peer_is_shown_where_it_is_not_the_client() {
        let (registry, gate) = (registry(), Arc::new(Gate::new(10)));
        let guard = open(&registry, &gate).await;
        assert_eq!(guard.connection().snapshot().peer, None);
        guard.connection().set_client(ClientAddress::new("192.0.2.7:40000".parse().unwrap()));
        let snapshot = guard.connection().snapshot();
        let shown = (snapshot.client.to_string(), snapshot.peer.map(|peer| peer.to_string()));
        assert_eq!(shown, ("192.0.2.7:40000".into(), Some("127.0.0.1:50000".into())));
    }
}
