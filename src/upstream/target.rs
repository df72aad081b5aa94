use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use crate::name::HostName;
use crate::net::canonical;
use crate::telemetry::{Meters, TargetMeter};
use crate::tls::TargetName;

/// A place that connections are handed to, with what is counted for it.
///
/// It outlives a reload that does not change its host and port: the new configuration takes over the old one's `Arc`,
/// found by [`TargetKey`], and with it the count of connections. Weights belong to a route, not to a target.
#[derive(Debug)]
pub struct Target {
    key: TargetKey,
    label: Arc<str>,
    in_flight: AtomicU32,
    /// Made when shown, or at first use.
    meter: OnceLock<TargetMeter>,
}

/// What makes two targets the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetKey {
    /// Where it is.
    pub host: TargetHost,
    /// Its port.
    pub port: TargetPort,
}

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetHost {
    /// At an address.
    Address(IpAddr),
    /// At the addresses that a name has when it is connected to.
    Name(HostName),
}

/// The port of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetPort {
    /// This one.
    Fixed(u16),
    /// The one that the client came to.
    Preserve,
}

impl Target {
    /// A target that nothing is connected to.
    ///
    /// An IPv4 address mapped into IPv6 becomes the IPv4 address that it stands for.
    #[must_use]
    pub fn new(host: TargetHost, port: TargetPort) -> Self {
        let host = match host {
            TargetHost::Address(address) => TargetHost::Address(canonical(address)),
            TargetHost::Name(name) => TargetHost::Name(name),
        };
        let key = TargetKey { host, port };
        let label = key.to_string().into();
        Self { key, label, in_flight: AtomicU32::new(0), meter: OnceLock::new() }
    }

    /// What makes it this target.
    #[must_use]
    pub fn key(&self) -> &TargetKey {
        &self.key
    }

    /// Where it is.
    #[must_use]
    pub fn host(&self) -> &TargetHost {
        &self.key.host
    }

    /// Its port, for a client that came to `listener_port`.
    #[must_use]
    pub fn port(&self, listener_port: u16) -> u16 {
        match self.key.port {
            TargetPort::Fixed(port) => port,
            TargetPort::Preserve => listener_port,
        }
    }

    /// `host:port`, as in logs and metrics.
    #[must_use]
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// What a request names as its host that is for nobody else (RFC 9112 section 3.2), of a client that came to
    /// `listener_port`.
    #[must_use]
    pub fn authority(&self, listener_port: u16) -> Cow<'_, str> {
        match self.key.port {
            TargetPort::Fixed(_) => Cow::Borrowed(&self.label),
            TargetPort::Preserve => {
                let key = TargetKey { host: self.key.host.clone(), port: TargetPort::Fixed(listener_port) };
                Cow::Owned(key.to_string())
            }
        }
    }

    /// Connections to it that stand or are being made, and of one that requests share each of these.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Its metrics, among those of the process.
    pub fn meter(&self, meters: &Arc<Meters>) -> &TargetMeter {
        self.meter.get_or_init(|| meters.target(&self.label))
    }

    /// Says how many connections are in flight, where its metrics are shown.
    pub fn show_in_flight(&self) {
        if let Some(meter) = self.meter.get() {
            meter.set_in_flight(self.in_flight());
        }
    }

    /// What its certificate has to be valid for, unless the policy says otherwise.
    #[must_use]
    pub fn tls_name(&self) -> TargetName {
        match &self.key.host {
            TargetHost::Address(address) => TargetName::Address(*address),
            TargetHost::Name(name) => TargetName::Host(name.clone()),
        }
    }
}

impl fmt::Display for TargetKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            TargetHost::Address(IpAddr::V4(address)) => write!(formatter, "{address}:{}", self.port),
            TargetHost::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]:{}", self.port),
            TargetHost::Name(name) => write!(formatter, "{name}:{}", self.port),
        }
    }
}

impl fmt::Display for TargetPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(port) => port.fmt(formatter),
            Self::Preserve => formatter.write_str("preserve"),
        }
    }
}

/// One connection to a target, standing or being made; counted until it is dropped.
#[derive(Debug)]
pub struct InFlight(Arc<Target>);

impl InFlight {
    /// Counts one connection.
    #[must_use]
    pub fn new(target: &Arc<Target>) -> Self {
        target.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(target))
    }

    /// The target that it is counted for.
    #[must_use]
    pub fn target(&self) -> &Arc<Target> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_called_as_it_would_be_written() {
        let label = |host: &str, port| {
            let host = match host.parse() {
                Ok(address) => TargetHost::Address(address),
                Err(_) => TargetHost::Name(HostName::parse(host).unwrap()),
            };
            Target::new(host, port).label().to_string()
        };
        assert_eq!(label("10.0.0.1", TargetPort::Fixed(80)), "10.0.0.1:80");
        assert_eq!(label("::1", TargetPort::Fixed(80)), "[::1]:80");
        assert_eq!(label("::ffff:10.0.0.1", TargetPort::Fixed(80)), "10.0.0.1:80");
        assert_eq!(label("App.Internal", TargetPort::Preserve), "app.internal:preserve");
    }

    #[test]
    fn a_preserved_port_is_the_one_that_the_client_came_to() {
        let host = TargetHost::Address("10.0.0.1".parse().unwrap());
        assert_eq!(Target::new(host.clone(), TargetPort::Preserve).port(443), 443);
        assert_eq!(Target::new(host.clone(), TargetPort::Preserve).authority(443), "10.0.0.1:443");
        assert_eq!(Target::new(host.clone(), TargetPort::Fixed(8443)).authority(443), "10.0.0.1:8443");
        assert_eq!(Target::new(host, TargetPort::Fixed(8443)).port(443), 8443);
    }

    #[test]
    fn each_connection_counts_until_it_is_dropped() {
        let host = TargetHost::Address("10.0.0.1".parse().unwrap());
        let target = Arc::new(Target::new(host, TargetPort::Preserve));
        let (first, second) = (InFlight::new(&target), InFlight::new(&target));
        assert_eq!(target.in_flight(), 2);
        drop(first);
        assert_eq!(second.target().in_flight(), 1);
        drop(second);
        assert_eq!(target.in_flight(), 0);
    }
}
