//! A connection to a peer, with TLS or without.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::peer::{Running, Service};
use crate::world::{Group, NAME, Resumption, World};

/// What both kinds have.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Where to go, and how.
#[derive(Clone)]
pub(super) struct Dial {
    pub(super) address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

impl Dial {
    pub(super) fn new(peer: &Running<'_>, service: Service, world: &World) -> Self {
        let alpn: &[&str] = if service == Service::Https { &["http/1.1"] } else { &[] };
        let tls = match service {
            Service::TlsEcho | Service::TlsSource | Service::TlsSink | Service::Https => {
                Some(world.tls(Group::X25519, Resumption::Never, alpn))
            }
            Service::Echo | Service::Source | Service::Sink | Service::Http | Service::Passthrough => None,
        };
        Self { address: peer.address(service), tls }
    }

    pub(super) fn http2(peer: &Running<'_>, world: &World) -> Self {
        let tls = Some(world.tls(Group::X25519, Resumption::Never, &["h2"]));
        Self { address: peer.address(Service::Https), tls }
    }

    pub(super) async fn open(&self) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some(config) => Box::new(secure(stream, Arc::clone(config)).await?),
        })
    }
}

pub(super) async fn secure(
    stream: TcpStream,
    config: Arc<ClientConfig>,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    TlsConnector::from(config).connect(ServerName::try_from(NAME).unwrap(), stream).await
}
