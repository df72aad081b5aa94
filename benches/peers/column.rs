//! What is compared.

use crate::load::{self, Work};
use crate::measure::Sample;
use crate::peer::{Kind, Purpose, Running, Service};
use crate::world::{Group, Resumption, World};

/// What a cost is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// CPU time of one operation.
    MicrosecondsEach,
    /// CPU time of a gigabyte, 10^9 bytes.
    SecondsPerGigabyte,
    /// Resident memory of one connection.
    KibibytesEach,
    /// Time from the order to the effect.
    Milliseconds,
    /// CPU time of one operation at a fixed rate; what counts is the time that an operation takes.
    AtRate,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MicrosecondsEach => "us",
            Self::SecondsPerGigabyte => "s/GB",
            Self::KibibytesEach => "KiB",
            Self::Milliseconds => "ms",
            Self::AtRate => "us at a rate",
        }
    }
}

/// One thing that every peer does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    /// What the ratio of ours to the better peer's shall not be above; in KiB for memory.
    pub(crate) goal: Option<f64>,
    work: Work,
    purpose: Purpose,
    ours_only: bool,
}

impl Column {
    pub(crate) fn all() -> Vec<Self> {
        use Unit::{AtRate, KibibytesEach, MicrosecondsEach, Milliseconds, SecondsPerGigabyte};
        let new = |name, unit, goal, work, purpose| Self { name, unit, goal, work, purpose, ours_only: false };
        let bulk = |name, goal, service, streams| {
            new(name, SecondsPerGigabyte, Some(goal), Work::Bulk { service, streams }, Purpose::BULK)
        };
        let handshake = |name, group, resumption| {
            new(name, MicrosecondsEach, Some(0.6), Work::Handshake { group, resumption }, Purpose::SMALL)
        };
        let http = |name, unit, goal, large, service| {
            let purpose = if large { Purpose::BULK } else { Purpose::SMALL };
            new(name, unit, Some(goal), Work::Http1 { service, large }, purpose)
        };
        let paced = |name, service| new(name, AtRate, Some(1.0), Work::Paced { service }, Purpose::SMALL);
        let hybrid = handshake("tls-handshake-mlkem", Group::X25519MlKem768, Resumption::Never);
        vec![
            bulk("tcp-bulk-down-1", 0.65, Service::Source, 1),
            bulk("tcp-bulk-up-1", 0.65, Service::Sink, 1),
            bulk("tcp-bulk-down-8", 0.65, Service::Source, 8),
            bulk("tcp-bulk-up-8", 0.65, Service::Sink, 8),
            new("tcp-pingpong-100", MicrosecondsEach, Some(1.0), Work::PingPong { connections: 100 }, Purpose::SMALL),
            new("tcp-connect", MicrosecondsEach, Some(0.9), Work::Connect, Purpose::SMALL),
            new("sni-connect", MicrosecondsEach, Some(0.9), Work::Passthrough, Purpose::SMALL),
            new("sni-connect-100k-routes", MicrosecondsEach, None, Work::Passthrough, Purpose::routes(100_000)),
            handshake("tls-handshake", Group::X25519, Resumption::Never),
            Self { ours_only: true, ..hybrid },
            handshake("tls-resumed", Group::X25519, Resumption::Always),
            bulk("tls-bulk-down", 0.5, Service::TlsSource, 1),
            bulk("tls-bulk-up", 0.75, Service::TlsSink, 1),
            http("http1-small", MicrosecondsEach, 0.9, false, Service::Http),
            http("http1-small-tls", MicrosecondsEach, 0.85, false, Service::Https),
            http("http1-1m", SecondsPerGigabyte, 0.8, true, Service::Http),
            http("http1-1m-tls", SecondsPerGigabyte, 0.5, true, Service::Https),
            new("http2-small", MicrosecondsEach, Some(1.0), Work::Http2 { large: false }, Purpose::SMALL),
            new("http2-1m", SecondsPerGigabyte, Some(0.8), Work::Http2 { large: true }, Purpose::BULK),
            new("idle-plain", KibibytesEach, Some(4.0), Work::Idle { service: Service::Echo }, Purpose::SMALL),
            new("idle-tls", KibibytesEach, Some(16.0), Work::Idle { service: Service::TlsEcho }, Purpose::SMALL),
            paced("latency-tcp", Service::Echo),
            paced("latency-tls", Service::TlsEcho),
            paced("latency-http1", Service::Http),
            paced("latency-http1-tls", Service::Https),
            new("reload-10k-routes", Milliseconds, None, Work::Reload, Purpose::routes(10_000)),
        ]
    }

    pub(crate) fn is_for(&self, kind: Kind) -> bool {
        match kind {
            Kind::Smartproxy => true,
            Kind::Nginx | Kind::Haproxy => !self.ours_only,
            // Without a proxy there is nothing to count but time, and nobody to do TLS with.
            Kind::Direct => matches!(self.work, Work::Paced { service: Service::Echo | Service::Http }),
        }
    }

    /// Whether what counts is the time that an operation takes.
    pub(crate) fn is_latency(&self) -> bool {
        self.unit == Unit::AtRate
    }

    /// Starts a peer, and measures it once.
    pub(crate) fn measure(&self, kind: Kind, world: &World) -> Result<Sample, String> {
        let running = Running::start(kind, world, self.purpose)?;
        load::measure(self.work, self.unit, &running, world, self.purpose)
    }
}
