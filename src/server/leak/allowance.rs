use std::time::Duration;

use crate::connection::State;
use crate::handler::{Action, Route, Site};
use crate::http::{Settings, Timeouts};
use crate::relay::Limits;
use crate::upstream;

/// How long connections of one address may be in which state, by the longest of its routes: which of them a connection takes
/// may change with each request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct Allowance {
    /// Until it is known what the client speaks.
    sniff: Duration,
    /// To tell a client that it is turned away.
    linger: Duration,
    handshake: Duration,
    connecting: Duration,
    half_closed: Duration,
    /// Without a byte either way, of a relay or a tunnel.
    relaying: Duration,
    /// The same, between and within requests.
    serving: Duration,
    /// The whole life; `None` is for ever.
    lifetime: Option<Duration>,
}

impl Allowance {
    /// What the routes of a site allow.
    pub(in crate::server) fn of(site: &Site) -> Self {
        let first = Self { sniff: site.sniff, linger: site.linger, lifetime: Some(Duration::ZERO), ..Self::default() };
        let routes = site.table.in_order().filter_map(|rule| site.route(rule.id));
        routes.map(|route| Self::of_route(route)).fold(first, Self::longest)
    }

    fn of_route(route: &Route) -> Self {
        let asked = route.http.forward_auth.as_ref().map(|asked| asked.timeouts);
        let taken = match &route.action {
            Action::Forward(forward) => Some(forward.timeouts),
            Action::Redirect(_) | Action::Respond(_) => None,
        };
        let ways: Vec<_> = asked.into_iter().chain(taken).collect();
        let (client, request) = (&route.http.connection, &route.http.timeouts);
        Self { handshake: route.handshake, ..Self::of_times(&route.relay, client, request, &ways) }
    }

    /// What the times of a route allow that asks whoever it asks, and goes to a target, one after the other.
    fn of_times(relay: &Limits, client: &Settings, request: &Timeouts, ways: &[upstream::Timeouts]) -> Self {
        let sum = |times: &[Duration]| times.iter().copied().fold(Duration::ZERO, Duration::saturating_add);
        // A target of HTTP/2 has `connect` for its settings, after the connection stands.
        let connecting = |way: &upstream::Timeouts| way.connect_total.saturating_add(way.connect);
        // Each of two attempts waits for a connection that another request opens, opens its own, and a plainer one where the
        // first has no WebSockets. Whether a target takes anything of a body is asked once in `body`, so it may be cut after
        // twice of it; then the answer may take its time.
        let sent = |way: &upstream::Timeouts| {
            let attempt = [way.connect_total, connecting(way), connecting(way), request.body, request.body];
            sum(&attempt).saturating_add(request.response_head).saturating_mul(2)
        };
        // Between two bytes of a client: it says nothing, or too little; its request is sent; the target says no more; the
        // client takes no more, or a tunnel is silent.
        let waits = [client.keep_alive, client.request_head, client.body, request.body, looked_at(client.body)];
        let tunnel = request.tunnel.max(request.half_closed);
        let serving =
            sum(&waits).saturating_add(tunnel).saturating_add(sum(&ways.iter().map(sent).collect::<Vec<_>>()));
        Self {
            sniff: Duration::ZERO,
            linger: relay.linger.max(client.linger),
            handshake: Duration::ZERO,
            connecting: ways.iter().map(connecting).max().unwrap_or_default(),
            half_closed: looked_at(relay.half_closed.max(request.half_closed)),
            relaying: looked_at(relay.idle.max(request.tunnel)),
            serving,
            lifetime: relay.max_lifetime,
        }
    }

    /// The longer of each.
    pub(in crate::server) fn longest(self, other: Self) -> Self {
        Self {
            sniff: self.sniff.max(other.sniff),
            linger: self.linger.max(other.linger),
            handshake: self.handshake.max(other.handshake),
            connecting: self.connecting.max(other.connecting),
            half_closed: self.half_closed.max(other.half_closed),
            relaying: self.relaying.max(other.relaying),
            serving: self.serving.max(other.serving),
            lifetime: self.lifetime.zip(other.lifetime).map(|(a, b)| a.max(b)),
        }
    }

    /// How long a connection may be in the state; `None` where it is progress that counts.
    pub(super) fn stage(&self, state: State) -> Option<Duration> {
        match state {
            State::Accepted | State::Sniffing => Some(self.sniff.saturating_add(self.linger)),
            State::Routing => Some(self.linger),
            State::Handshaking => Some(self.handshake.saturating_add(self.linger)),
            State::Connecting => Some(self.connecting),
            State::Relaying | State::Serving | State::HalfClosed | State::Draining => None,
            State::Closed => Some(Duration::ZERO),
        }
    }

    /// How long it may move no byte in the state, in which progress counts.
    pub(super) fn quiet(&self, state: State) -> Duration {
        let time = match state {
            State::HalfClosed => self.half_closed,
            State::Relaying => self.relaying,
            State::Accepted
            | State::Sniffing
            | State::Routing
            | State::Handshaking
            | State::Connecting
            | State::Serving
            | State::Draining
            | State::Closed => self.serving,
        };
        time.saturating_add(self.linger)
    }

    /// How long it may live.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        self.lifetime.map(|lifetime| lifetime.saturating_add(self.linger))
    }

    /// How long it may still be there when it has been told to end at once.
    pub(super) fn ending(&self) -> Duration {
        self.linger
    }
}

/// How late a time may be over that is asked after eight times, as what a peer takes of the kernel's queue is: an eighth.
fn looked_at(time: Duration) -> Duration {
    time.saturating_add(time / 8)
}

#[cfg(test)]
impl Allowance {
    /// One second to linger, `short` for each state of a moment.
    pub(super) fn for_test(short: Duration, connecting: Duration, quiet: Duration, lifetime: Option<Duration>) -> Self {
        let linger = Duration::from_secs(1);
        Self {
            sniff: short,
            linger,
            handshake: short,
            connecting,
            half_closed: short,
            relaying: quiet,
            serving: quiet,
            lifetime,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whose time is the long one, an hour; all others are a second.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Long {
        None,
        Connect,
        Idle,
        HalfClosed,
        KeepAlive,
        RequestHead,
        ResponseHead,
        Body,
        Tunnel,
    }

    const ALL: [Long; 9] = [
        Long::None,
        Long::Connect,
        Long::Idle,
        Long::HalfClosed,
        Long::KeepAlive,
        Long::RequestHead,
        Long::ResponseHead,
        Long::Body,
        Long::Tunnel,
    ];

    const HOUR: Duration = Duration::from_secs(3600);

    /// What a route allows that asks as many servers.
    fn allowance(long: Long, ways: usize) -> Allowance {
        let of = |whose| if whose == long { HOUR } else { Duration::from_secs(1) };
        let linger = Duration::from_secs(1);
        let half_closed = of(Long::HalfClosed);
        let relay = Limits { idle: of(Long::Idle), half_closed, linger, max_lifetime: None };
        let client = Settings {
            request_head: of(Long::RequestHead),
            keep_alive: of(Long::KeepAlive),
            linger,
            body: of(Long::Body),
            max_lifetime: None,
            max_request_head: 1,
            min_rate: None,
        };
        let request = Timeouts {
            response_head: of(Long::ResponseHead),
            body: of(Long::Body),
            tunnel: of(Long::Tunnel),
            half_closed,
            linger,
            upstream_keep_alive: linger,
        };
        let connect = upstream::Timeouts { connect: linger, connect_total: of(Long::Connect), tls_handshake: linger };
        Allowance::of_times(&relay, &client, &request, &vec![connect; ways])
    }

    #[test]
    fn each_state_is_allowed_what_ends_it_and_what_does_not_end_it_allows_nothing() {
        // Who has the hour, and how many hours a connection of a route that also asks another server may spend in the state.
        let table = [
            // Of all attempts together, `Course` in `upstream::connect`.
            (State::Connecting, [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
            // `Patience` in `relay`, which looks eight times; an idle tunnel is relayed as well.
            (State::Relaying, [0.0, 0.0, 1.125, 0.0, 0.0, 0.0, 0.0, 0.0, 1.125]),
            (State::HalfClosed, [0.0, 0.0, 0.0, 1.125, 0.0, 0.0, 0.0, 0.0, 0.0]),
            // `http::send`, twice for the question and twice for the request; the client's and the target's body, and how late
            // `Unacknowledged` may be; and a tunnel of an HTTP/2 stream, half closed or not.
            (State::Serving, [0.0, 12.0, 0.0, 1.0, 1.0, 1.0, 4.0, 11.125, 1.0]),
        ];
        for (state, hours) in table {
            for (long, hours) in ALL.into_iter().zip(hours) {
                let allowance = allowance(long, 2);
                let allowed = allowance.stage(state).unwrap_or_else(|| allowance.quiet(state));
                let spare = allowed.checked_sub(HOUR.mul_f64(hours));
                // What the short times come to is far less than an hour.
                assert!(spare.is_some_and(|spare| spare < Duration::from_mins(1)), "{state:?} {long:?}: {allowed:?}");
            }
        }
    }

    #[test]
    fn who_only_asks_another_server_may_connect_to_it() {
        assert_eq!(allowance(Long::Connect, 0).stage(State::Connecting), Some(Duration::ZERO));
        assert!(allowance(Long::Connect, 1).stage(State::Connecting) > Some(HOUR));
    }
}
