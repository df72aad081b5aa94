use crate::outcome::Phase;

/// What a live connection is doing. States only go forward, but for `Serving` and `Connecting`, which alternate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Accepted, nothing read.
    Accepted,
    /// Reading its first bytes.
    Sniffing,
    /// Choosing its route.
    Routing,
    /// TLS handshake with the client.
    Handshaking,
    /// Connecting to a target.
    Connecting,
    /// Relaying bytes both ways.
    Relaying,
    /// Serving HTTP requests.
    Serving,
    /// Relaying, with one side finished.
    HalfClosed,
    /// Told to end at the next good moment, whatever else it is doing.
    Draining,
    /// Ended.
    Closed,
}

impl State {
    /// Every state, in the order in which a connection goes through them.
    pub const ALL: [Self; 10] = [
        Self::Accepted,
        Self::Sniffing,
        Self::Routing,
        Self::Handshaking,
        Self::Connecting,
        Self::Relaying,
        Self::Serving,
        Self::HalfClosed,
        Self::Draining,
        Self::Closed,
    ];

    /// The name in logs and in the list of connections.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Sniffing => "sniffing",
            Self::Routing => "routing",
            Self::Handshaking => "handshaking",
            Self::Connecting => "connecting",
            Self::Relaying => "relaying",
            Self::Serving => "serving",
            Self::HalfClosed => "half_closed",
            Self::Draining => "draining",
            Self::Closed => "closed",
        }
    }

    /// The phase that a connection ends in when its task is dropped in this state.
    #[must_use]
    pub const fn phase(self) -> Phase {
        match self {
            Self::Accepted => Phase::Accept,
            Self::Sniffing => Phase::Sniff,
            Self::Routing => Phase::Route,
            Self::Handshaking => Phase::Handshake,
            Self::Connecting => Phase::Connect,
            Self::Relaying | Self::HalfClosed | Self::Draining => Phase::Relay,
            Self::Serving | Self::Closed => Phase::Serve,
        }
    }

    pub(super) const fn code(self) -> u8 {
        self as u8
    }

    pub(super) fn from_code(code: u8) -> Self {
        Self::ALL.get(usize::from(code)).copied().unwrap_or(Self::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_leads_back_to_its_state() {
        for state in State::ALL {
            assert_eq!(State::from_code(state.code()), state);
        }
    }
}
