//! The bounds of the histograms, in seconds.
//!
//! Each histogram has a series per bound, so there are only as many as tell an operator something: steps of about 2.5, as
//! in the client libraries' own default, from the fastest that the phase is in one machine to the default of its timeout.

/// Phases that are a round trip or two: reading a hello, a handshake, connecting. 250 us is a handshake on loopback, 10 s
/// the default of `timeouts.tls_handshake`.
pub(super) const PHASE: &[f64] =
    &[0.000_25, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Requests, and the wait for their answers; 60 s is the default of `timeouts.response_head`.
pub(super) const REQUEST: &[f64] =
    &[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Whole connections, from a request on a connection of its own to tunnels that last for days.
pub(super) const CONNECTION: &[f64] =
    &[0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0];
