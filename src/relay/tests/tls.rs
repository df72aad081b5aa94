//! TLS on one side or both: its own end (close_notify) is passed on as an end, and nothing else is.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::*;
use crate::net::Ending;

/// TLS as the relay sees it.
struct Secure(TlsStream<TcpStream>);

impl AsyncRead for Secure {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Secure {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl Transport for Secure {
    fn tcp(&self) -> &TcpStream {
        self.0.get_ref().0
    }

    fn poll_finish(mut self: Pin<&mut Self>, context: &mut Context<'_>, ending: Ending) -> Poll<io::Result<()>> {
        match ending {
            Ending::Whole => Pin::new(&mut self.0).poll_shutdown(context),
            Ending::Truncated => Pin::new(self.0.get_mut().0).poll_shutdown(context),
        }
    }
}

/// A TLS connection: the peer's end, and the relay's.
async fn secure_pair() -> (TlsStream<TcpStream>, Secure) {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![issued.cert.der().clone()], key);
    let mut roots = RootCertStore::empty();
    roots.add(issued.cert.der().clone()).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let (far, near) = pair().await;
    let name = ServerName::try_from("localhost").unwrap();
    let (far, near) = tokio::join!(
        TlsConnector::from(Arc::new(client)).connect(name, far),
        TlsAcceptor::from(Arc::new(server.unwrap())).accept(near),
    );
    (far.unwrap().into(), Secure(near.unwrap().into()))
}

/// A TLS client, a plain target, and the relay between them.
async fn terminated() -> (TlsStream<TcpStream>, TcpStream, Rig) {
    let (client, near) = secure_pair().await;
    let (far, target) = pair().await;
    (client, target, Rig::start(near, far, PATIENT))
}

#[tokio::test]
async fn close_notify_is_an_end_of_one_direction_both_ways() {
    let (mut client, mut target, rig) = terminated().await;
    let (sent, answer) = (payload(300_000, 1), payload(500_000, 2));
    let send = async {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        let mut seen = Vec::new();
        client.read_to_end(&mut seen).await.map(|_| seen)
    };
    let respond = async {
        let (seen, in_order) = read_all(&mut target).await;
        assert!(in_order && seen == sent);
        target.write_all(&answer).await.unwrap();
        target.shutdown().await.unwrap();
    };
    let (seen, ()) = timeout(LONG, async { tokio::join!(send, respond) }).await.unwrap();
    // An end without close_notify would be an error here.
    assert!(seen.unwrap() == answer);
    rig.ends(Party::Client, Cause::Finished, sent.len(), answer.len()).await;
}

#[tokio::test]
async fn a_fin_without_close_notify_is_an_end_after_which_the_answer_still_comes() {
    let (mut client, mut target, rig) = terminated().await;
    client.write_all(b"hello").await.unwrap();
    client.flush().await.unwrap();
    client.get_mut().0.shutdown().await.unwrap();
    assert_eq!(read_all(&mut target).await, (b"hello".to_vec(), true));
    target.write_all(b"goodbye").await.unwrap();
    target.shutdown().await.unwrap();
    let mut seen = Vec::new();
    client.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, b"goodbye");
    rig.ends(Party::Client, Cause::Finished, 5, 7).await;
}

#[tokio::test]
async fn a_truncated_end_is_not_made_whole_on_the_way() {
    let (mut client, near) = secure_pair().await;
    let (mut target, far) = secure_pair().await;
    let rig = Rig::start(near, far, PATIENT);
    target.write_all(b"half an ans").await.unwrap();
    target.flush().await.unwrap();
    target.get_mut().0.shutdown().await.unwrap();
    let mut seen = Vec::new();
    let error = client.read_to_end(&mut seen).await.unwrap_err();
    assert_eq!((&seen[..], error.kind()), (&b"half an ans"[..], ErrorKind::UnexpectedEof));
    client.shutdown().await.unwrap();
    assert_eq!(target.read(&mut [0; 8]).await.unwrap(), 0);
    rig.ends(Party::Target, Cause::Finished, 0, 11).await;
}

#[tokio::test]
async fn a_reset_reaches_a_tls_client_as_a_reset_after_what_came_before_it() {
    let (mut client, mut target, rig) = terminated().await;
    let sent = payload(200_000, 3);
    target.write_all(&sent).await.unwrap();
    acknowledged(&target).await;
    reset(target);
    let mut seen = Vec::new();
    let error = timeout(LONG, client.read_to_end(&mut seen)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(seen == sent);
    rig.ends(Party::Target, Cause::Reset, 0, sent.len()).await;
}

#[tokio::test]
async fn a_reset_of_a_tls_client_and_a_broken_record_of_its_are_a_reset_for_the_target() {
    for (broken, cause) in [(false, Cause::Reset), (true, Cause::ProtocolError)] {
        let (mut client, mut target, rig) = terminated().await;
        client.write_all(b"hello").await.unwrap();
        client.flush().await.unwrap();
        target.read_exact(&mut [0; 5]).await.unwrap();
        if broken {
            // A record of application data that nothing has sealed.
            client
                .get_mut()
                .0
                .write_all(&[23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0])
                .await
                .unwrap();
        } else {
            reset_on_close(client.get_ref().0);
            drop(client);
        }
        assert!(!read_all(&mut target).await.1);
        rig.ends(Party::Client, cause, 5, 0).await;
    }
}

#[tokio::test]
async fn an_idle_end_closes_tls_in_order() {
    let (mut client, near) = secure_pair().await;
    let (far, mut target) = pair().await;
    let rig = Rig::start(near, far, Limits { idle: Duration::from_millis(50), ..PATIENT });
    assert_eq!(timeout(LONG, client.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
    assert!(read_all(&mut target).await.1);
    rig.ends(Party::Proxy, Cause::IdleTimeout, 0, 0).await;
}
