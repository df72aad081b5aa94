use std::io;

use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::ahead::ReadAhead;
use super::client::{ClientPolicy, TargetName};
use super::stream::{BUFFER_MAX, TargetTls};
use super::verdict::verdict;
use crate::name::HostName;
use crate::net::Transport;
use crate::outcome::{Cause, Outcome, Party, Phase};

/// Why there is no TLS with a target.
#[derive(Debug, thiserror::Error)]
pub enum TargetTlsError {
    /// The deadline passed.
    #[error("the target did not complete the TLS handshake in time")]
    Timeout,
    /// The target closed in the middle.
    #[error("the target closed during the TLS handshake")]
    Closed,
    /// The target reset in the middle.
    #[error("the target reset the connection during the TLS handshake")]
    Reset,
    /// The network failed in another way.
    #[error("the connection to the target failed during the TLS handshake")]
    Socket(#[source] io::Error),
    /// The target's certificate does not verify.
    #[error("{}", verdict(.0))]
    Verify(#[source] rustls::Error),
    /// What the target sent is no TLS.
    #[error("the target does not answer in TLS; is this its TLS port?")]
    NotTls(#[source] rustls::Error),
    /// The target and the proxy found no common ground.
    #[error("the TLS handshake with the target failed")]
    Failed(#[source] rustls::Error),
    /// The target does not speak HTTP/2, which it was to.
    #[error("the target does not agree to HTTP/2 (h2 by ALPN); set upstream_protocol to \"auto\" or \"http1\"")]
    NotAgreed,
    /// The target's name is none that TLS can ask for.
    #[error(
        "{0} cannot be asked for as a TLS server name; set tls.upstream.server_name to the name in the target's certificate"
    )]
    Name(HostName),
}

impl TargetTlsError {
    /// How a connection that ended so is recorded.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let (party, cause) = match self {
            Self::Timeout => (Party::Target, Cause::UpstreamTlsTimeout),
            Self::Closed
            | Self::Reset
            | Self::Socket(_)
            | Self::Verify(_)
            | Self::NotTls(_)
            | Self::Failed(_)
            | Self::NotAgreed => (Party::Target, Cause::UpstreamTls),
            Self::Name(_) => (Party::Proxy, Cause::UpstreamTls),
        };
        Outcome::new(Phase::UpstreamHandshake, party, cause)
    }

    fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => return Self::Closed,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                return Self::Reset;
            }
            _ => {}
        }
        match error.downcast::<rustls::Error>() {
            Ok(error) => match error {
                rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_) => Self::Verify(error),
                rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => Self::NotTls(error),
                _ => Self::Failed(error),
            },
            Err(error) => Self::Socket(error),
        }
    }
}

/// Encrypts a connection to a target: the handshake, and by the policy the verification of the target's certificate.
///
/// `target` is what the configuration calls the target by; the policy's own `server_name` goes before it. A target that
/// refuses our client certificate under TLS 1.3 says so only after the handshake: the first read fails then.
///
/// # Errors
/// Why there is no TLS. By then the connection is closed; the target has been sent the alert that RFC 8446 asks for.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub async fn connect<S: Transport>(
    stream: S,
    policy: &ClientPolicy,
    target: &TargetName,
    deadline: Instant,
) -> Result<TargetTls<S>, TargetTlsError> {
    let name = policy.name_for(target).map_err(TargetTlsError::Name)?;
    let connecting =
        TlsConnector::from(policy.config().clone())
            .connect_with(name, ReadAhead::new(stream), |connection| connection.set_buffer_limit(Some(BUFFER_MAX)));
    match timeout_at(deadline, connecting).await {
        Ok(Ok(stream)) => {
            let stream = TargetTls::new(stream);
            if stream.agreed().alpn.is_none() && policy.must_agree() {
                return Err(TargetTlsError::NotAgreed);
            }
            Ok(stream)
        }
        Ok(Err(error)) => Err(match TargetTlsError::from_io(error) {
            TargetTlsError::Failed(error) if policy.must_agree() && is_disagreement(&error) => {
                TargetTlsError::NotAgreed
            }
            error => error,
        }),
        Err(_elapsed) => Err(TargetTlsError::Timeout),
    }
}

fn is_disagreement(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::NoApplicationProtocol
            | rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)
    )
}
