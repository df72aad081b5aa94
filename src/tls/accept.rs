use std::io;

use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::agreed::Agreed;
use super::ahead::ReadAhead;
use super::refuse::{Alert, close_in_order, refuse};
use super::server::ServerPolicy;
use super::stream::{BUFFER_MAX, ClientSession, ClientTls};
use crate::name::HostName;
use crate::net::Transport;
use crate::outcome::{Cause, Outcome, Party, Phase};

/// Why a client's handshake came to nothing. The client has been told, and its connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The deadline passed.
    #[error("the client did not complete the TLS handshake in time")]
    Timeout,
    /// The client closed in the middle.
    #[error("the client closed during the TLS handshake")]
    ClosedEarly,
    /// The client reset in the middle.
    #[error("the client reset the connection during the TLS handshake")]
    Reset,
    /// The network failed in another way.
    #[error("the client's connection failed during the TLS handshake")]
    Socket(#[source] io::Error),
    /// No certificate covers the name that the client asks for.
    #[error("no certificate covers the server name that the client asks for")]
    NoCertificate,
    /// The client's certificate is missing, or does not verify.
    #[error("the client's certificate is not accepted")]
    ClientCertificate(#[source] rustls::Error),
    /// The client does not speak TLS as we do, or did not accept what it was shown.
    #[error("the TLS handshake with the client failed")]
    Failed(#[source] rustls::Error),
    /// The proxy could not go on.
    #[error("the TLS handshake failed for a reason of the proxy's own")]
    Internal(#[source] rustls::Error),
}

impl HandshakeError {
    /// How a connection that ended so is recorded.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let (party, cause) = match self {
            Self::Timeout => (Party::Client, Cause::HandshakeTimeout),
            Self::ClosedEarly => (Party::Client, Cause::ClosedEarly),
            Self::Reset => (Party::Client, Cause::Reset),
            Self::Socket(_) | Self::Failed(_) => (Party::Client, Cause::HandshakeFailed),
            Self::NoCertificate => (Party::Proxy, Cause::NoCertificate),
            Self::ClientCertificate(_) => (Party::Client, Cause::ClientCertificate),
            Self::Internal(_) => (Party::Proxy, Cause::HandshakeFailed),
        };
        Outcome::new(Phase::Handshake, party, cause)
    }

    fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => return Self::ClosedEarly,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                return Self::Reset;
            }
            _ => {}
        }
        match error.downcast::<rustls::Error>() {
            Ok(error) => Self::from_library(error),
            Err(error) => Self::Socket(error),
        }
    }

    fn from_library(error: rustls::Error) -> Self {
        match error {
            rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_) => {
                Self::ClientCertificate(error)
            }
            rustls::Error::EncryptError
            | rustls::Error::FailedToGetCurrentTime
            | rustls::Error::FailedToGetRandomBytes
            | rustls::Error::HandshakeNotComplete
            | rustls::Error::BadMaxFragmentSize
            | rustls::Error::InconsistentKeys(_)
            | rustls::Error::General(_)
            | rustls::Error::Other(_) => Self::Internal(error),
            _ => Self::Failed(error),
        }
    }
}

/// Terminates TLS: the handshake with a client whose ClientHello asks for `server_name`.
///
/// The certificate is decided by `server_name` before the handshake. Without one that covers it the client gets the alert
/// `unrecognized_name`; on any other failure it gets the alert that RFC 8446 section 6.2 asks for. `stream` still has the
/// whole ClientHello in front.
///
/// # Errors
/// Why there is no TLS. By then the connection is closed, in order where that was possible.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub async fn accept<S: Transport>(
    stream: S,
    policy: &ServerPolicy,
    server_name: Option<&HostName>,
    deadline: Instant,
) -> Result<ClientTls<S>, HandshakeError> {
    let Some(offer) = policy.offer(server_name) else {
        refuse(stream, Alert::UnrecognizedName, deadline).await;
        return Err(HandshakeError::NoCertificate);
    };
    let accepting = TlsAcceptor::from(offer.config)
        .accept_with(ReadAhead::new(stream), |connection| connection.set_buffer_limit(Some(BUFFER_MAX)))
        .into_fallible();
    let stream = match timeout_at(deadline, accepting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err((error, stream))) => {
            let error = HandshakeError::from_io(error);
            match error {
                // The library has written its alert.
                HandshakeError::ClientCertificate(_) | HandshakeError::Failed(_) | HandshakeError::Internal(_) => {
                    close_in_order(stream.into_below(), deadline).await;
                }
                HandshakeError::Timeout
                | HandshakeError::ClosedEarly
                | HandshakeError::Reset
                | HandshakeError::Socket(_)
                | HandshakeError::NoCertificate => drop(stream),
            }
            return Err(error);
        }
        Err(_elapsed) => return Err(HandshakeError::Timeout),
    };
    // A completed handshake has chosen; if not, the library broke its word, and that is our fault before a client.
    let Some(certificate) = offer.certificate.certificate() else {
        return Err(HandshakeError::Internal(rustls::Error::HandshakeNotComplete));
    };
    let (_, connection) = stream.get_ref();
    let session = ClientSession {
        agreed: Agreed::read(connection),
        server_name: server_name.cloned(),
        certificate,
        policy: policy.id().clone(),
        authenticated: connection.peer_certificates().is_some(),
    };
    Ok(ClientTls::new(stream, session))
}
