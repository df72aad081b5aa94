use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::failure::{FailedAttempt, Failure};
use super::socket::{self, Begun};
use super::{Connected, Plan};
use crate::net::{Claim, Owner, TargetAddress};
use crate::outcome::with_causes;
use crate::sniff::{ProxyHeader, ProxyVersion};
use crate::telemetry::{ConnectResult, HandshakeSide};
use crate::tls::{self, ClientPolicy, TargetTls, TargetTlsError};
use crate::upstream::stream::Stream;
use crate::upstream::target::{InFlight, Target};

/// One attempt to connect: counted for its target and recorded exactly once, as connected, as failed, or, if it is
/// dropped before it has come to either, as cancelled.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    plan: &'a Plan<'a>,
    target: &'a Arc<Target>,
    address: Option<TargetAddress>,
    started: Instant,
    /// When all attempts must be over.
    deadline: Instant,
    recorded: bool,
    _in_flight: InFlight,
}

impl<'a> Attempt<'a> {
    /// Begins at `started`, which is now.
    pub(super) fn begin(plan: &'a Plan<'a>, target: &'a Arc<Target>, started: Instant, deadline: Instant) -> Self {
        plan.connection.set_trying(target.label());
        let in_flight = InFlight::new(target);
        Self { plan, target, address: None, started, deadline, recorded: false, _in_flight: in_flight }
    }

    /// When a stage that may take as long as `limit` has to be over, and what it means if it is not: never later than all
    /// attempts.
    pub(super) fn limit(&self, limit: Duration, passed: Failure) -> (Instant, Failure) {
        match Instant::now().checked_add(limit) {
            Some(at) if at < self.deadline => (at, passed),
            Some(_) | None => (self.deadline, Failure::TotalTimeout),
        }
    }

    /// The first half: a TCP connection to one address of the target.
    pub(super) async fn open(mut self, address: IpAddr) -> Result<Opened<'a>, FailedAttempt> {
        let port = self.target.port(self.plan.listener.port());
        let address = TargetAddress::new(SocketAddr::new(address, port));
        self.address = Some(address);
        let owner = Owner::Target(self.plan.connection.id().0);
        let begun = match socket::begin(address, owner) {
            Ok(Begun::Stands(tcp, claim)) => return Ok(Opened { tcp, claim, address, attempt: self }),
            Ok(begun @ (Begun::Waits(..) | Begun::Short)) => begun,
            Err(error) => return Err(self.failed(Failure::from_socket(error))),
        };
        let (at, passed) = self.limit(self.plan.timeouts.connect, Failure::Timeout);
        // On the heap, so that a connection that stands for days need not keep room for what it took to open it.
        match timeout_at(at, Box::pin(socket::complete(begun, address, owner))).await {
            Ok(Ok((tcp, claim))) => Ok(Opened { tcp, claim, address, attempt: self }),
            Ok(Err(error)) => Err(self.failed(Failure::from_socket(error))),
            Err(_elapsed) => Err(self.failed(passed)),
        }
    }

    async fn send_header(&self, tcp: &mut TcpStream, version: ProxyVersion) -> Result<(), Failure> {
        let header = match self.plan.client {
            // An address that nobody has would be taken for the client's.
            client if client.is_unknown() => ProxyHeader::Unknown,
            client => ProxyHeader::Proxied { source: client, destination: self.plan.connection.destination() },
        };
        let mut bytes = BytesMut::new();
        header.encode(version, &mut bytes);
        let (at, passed) = self.limit(self.plan.timeouts.connect, Failure::Timeout);
        match timeout_at(at, tcp.write_all(&bytes)).await {
            Ok(written) => written.map_err(Failure::from_socket),
            Err(_elapsed) => Err(passed),
        }
    }

    async fn encrypt(&self, tcp: TcpStream, policy: &ClientPolicy) -> Result<TargetTls<TcpStream>, Failure> {
        let (at, passed) = self.limit(self.plan.timeouts.tls_handshake, Failure::TlsTimeout);
        let meters = self.plan.meter.meters();
        let begun = Instant::now();
        match tls::connect(tcp, policy, &self.target.tls_name(), at).await {
            Ok(stream) => {
                let agreed = stream.agreed();
                let (version, group) = (agreed.version.as_str(), agreed.key_exchange);
                meters.handshake_done(HandshakeSide::Target, version, group, agreed.resumed);
                meters.shook_hands(HandshakeSide::Target, begun.elapsed());
                Ok(stream)
            }
            Err(error) => {
                meters.handshake_failed(HandshakeSide::Target, error.outcome().cause);
                Err(match error {
                    TargetTlsError::Timeout => passed,
                    TargetTlsError::Closed
                    | TargetTlsError::Reset
                    | TargetTlsError::Socket(_)
                    | TargetTlsError::Verify(_)
                    | TargetTlsError::NotTls(_)
                    | TargetTlsError::Failed(_)
                    | TargetTlsError::NotAgreed
                    | TargetTlsError::Name(_) => Failure::Tls(error),
                })
            }
        }
    }

    fn connected(mut self, stream: Stream, address: TargetAddress) -> Connected {
        self.record(ConnectResult::Connected);
        self.trace(ConnectResult::Connected.as_str(), None);
        let took = self.started.elapsed();
        self.plan.meter.connected(took);
        self.target.meter(self.plan.meter.meters()).connected(took);
        self.plan.connection.set_target(self.target.label());
        Connected { stream, target: Arc::clone(self.target), address, in_flight: InFlight::new(self.target) }
    }

    /// Ends the attempt with why it failed.
    pub(super) fn failed(mut self, failure: Failure) -> FailedAttempt {
        self.record(failure.result());
        let failed = FailedAttempt {
            target: Arc::clone(self.target.label()),
            address: self.address,
            failure,
            elapsed: self.started.elapsed(),
        };
        self.log(failed.failure.outcome().cause.as_str(), Some(&failed.failure));
        failed
    }

    fn record(&mut self, result: ConnectResult) {
        self.recorded = true;
        self.plan.meter.connect(result);
        self.target.meter(self.plan.meter.meters()).attempt(result);
    }

    fn log(&self, cause: &'static str, failure: Option<&Failure>) {
        tracing::debug!(
            target: "smartproxy::connect",
            connection = self.plan.connection.id().0,
            target = %self.target.label(),
            address = self.address.map(tracing::field::display),
            cause,
            error = failure.map(|failure| tracing::field::display(with_causes(failure))),
            elapsed_ms = self.elapsed_ms(),
        );
        self.trace(cause, failure);
    }

    fn trace(&self, result: &'static str, failure: Option<&Failure>) {
        let Plan { connection, meter, .. } = self.plan;
        connection.trace(Some(meter.name()), "connect", |line| {
            connection.name(line);
            line.field("target", self.target.label());
            line.field_if("address", self.address.map(|address| address.to_string()).as_deref());
            line.field("result", result);
            line.field_if("error", failure.map(|failure| with_causes(failure).to_string()).as_deref());
            line.number("elapsed_ms", self.elapsed_ms());
        });
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.recorded {
            let result = ConnectResult::Cancelled;
            self.record(result);
            self.log(result.as_str(), None);
        }
    }
}

/// An attempt whose TCP connection stands.
#[derive(Debug)]
pub(super) struct Opened<'a> {
    tcp: TcpStream,
    // After the socket.
    claim: Claim,
    address: TargetAddress,
    attempt: Attempt<'a>,
}

impl Opened<'_> {
    /// The second half: what goes first on the connection, and the record of it.
    pub(super) async fn establish(self) -> Result<Connected, FailedAttempt> {
        let Self { mut tcp, claim, address, attempt } = self;
        if let Some(version) = attempt.plan.proxy_header
            && let Err(failure) = Box::pin(attempt.send_header(&mut tcp, version)).await
        {
            return Err(attempt.failed(failure));
        }
        let Some(policy) = attempt.plan.tls else { return Ok(attempt.connected(Stream::plain(tcp, claim), address)) };
        // On the heap, so that connections without TLS need not keep room for a handshake.
        match Box::pin(attempt.encrypt(tcp, policy)).await {
            Ok(stream) => Ok(attempt.connected(Stream::tls(stream, claim), address)),
            Err(failure) => Err(attempt.failed(failure)),
        }
    }
}
