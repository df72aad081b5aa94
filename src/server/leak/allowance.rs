use std::time::Duration;

use crate::connection::State;
use crate::handler::{Action, Route, Site};

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
    /// Without a byte either way.
    quiet: Duration,
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
        let (relay, client, request) = (&route.relay, &route.http.connection, &route.http.timeouts);
        let connecting = match &route.action {
            // A target of HTTP/2 has `connect` for its settings, after the connection stands.
            Action::Forward(forward) => forward.timeouts.connect_total.saturating_add(forward.timeouts.connect),
            Action::Redirect(_) | Action::Respond(_) => Duration::ZERO,
        };
        // One after the other at most: a request that waits for its head, its body, a target and the answer moves nothing.
        let quiet = [
            relay.idle,
            client.keep_alive,
            client.request_head,
            client.body,
            connecting,
            request.response_head,
            request.body,
            request.tunnel,
        ];
        Self {
            sniff: Duration::ZERO,
            linger: relay.linger.max(client.linger),
            handshake: route.handshake,
            connecting,
            half_closed: relay.half_closed,
            quiet: quiet.into_iter().fold(Duration::ZERO, Duration::saturating_add),
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
            quiet: self.quiet.max(other.quiet),
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
        match state {
            State::HalfClosed => self.half_closed.saturating_add(self.linger),
            State::Accepted
            | State::Sniffing
            | State::Routing
            | State::Handshaking
            | State::Connecting
            | State::Relaying
            | State::Serving
            | State::Draining
            | State::Closed => self.quiet.saturating_add(self.linger),
        }
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

#[cfg(test)]
impl Allowance {
    /// One second to linger, `short` for each state of a moment.
    pub(super) fn for_test(short: Duration, connecting: Duration, quiet: Duration, lifetime: Option<Duration>) -> Self {
        let linger = Duration::from_secs(1);
        Self { sniff: short, linger, handshake: short, connecting, half_closed: short, quiet, lifetime }
    }
}
