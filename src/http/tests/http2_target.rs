//! Targets that speak HTTP/2, played by the h2 crate's own server.

use std::future::Future;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use tokio::net::TcpStream;

use super::world::{Peer, Route, Scripted, World};
use crate::http::TargetProtocol;

pub(super) const GET: &str = "GET /a?b HTTP/1.1\r\nHost: a.test\r\n\r\n";

pub(super) fn to(target: &Scripted) -> Route {
    let mut route = Route::to(&[target.address]);
    route.protocol = TargetProtocol::Http2;
    route
}

pub(super) async fn accept(peer: Peer) -> Connection<TcpStream, Bytes> {
    h2::server::handshake(peer.0).await.unwrap()
}

/// Serves each stream by `answer` until the connection ends.
pub(super) async fn serve<F>(mut connection: Connection<TcpStream, Bytes>, answer: impl Fn(Asked) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(Asked { request, respond }));
    }
}

pub(super) struct Asked {
    pub(super) request: Request<RecvStream>,
    pub(super) respond: SendResponse<Bytes>,
}

impl Asked {
    pub(super) fn head(&mut self) -> SendStream<Bytes> {
        self.respond.send_response(Response::new(()), false).unwrap()
    }

    /// Answers with the pseudo-fields, the fields and the body of the request; with its trailers if it has any.
    pub(super) async fn echo(self) {
        let Self { request, mut respond } = self;
        let (parts, mut body) = request.into_parts();
        let mut lines = format!("{} {}\n", parts.method, parts.uri);
        for (name, value) in &parts.headers {
            lines.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
        }
        let mut bytes = lines.into_bytes();
        while let Some(data) = body.data().await {
            let Ok(data) = data else { return };
            body.flow_control().release_capacity(data.len()).unwrap();
            bytes.extend_from_slice(&data);
        }
        let Ok(trailers) = body.trailers().await else { return };
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(bytes.into(), trailers.is_none()).unwrap();
        if let Some(trailers) = trailers {
            stream.send_trailers(trailers).unwrap();
        }
    }
}

pub(super) async fn echoing() -> Scripted {
    Scripted::new(|peer, _| async move { serve(accept(peer).await, Asked::echo).await }).await
}

pub(super) async fn get(world: &World) -> (String, String) {
    let mut client = world.client().await;
    client.send(GET).await;
    let head = client.head().await;
    let body = if head.contains("chunked") { chunked(&mut client).await } else { String::new() };
    (head, body)
}

pub(super) async fn chunked(client: &mut Peer) -> String {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        while !line.ends_with("\r\n") {
            line.push_str(&client.take(1).await);
        }
        let count = usize::from_str_radix(line.trim(), 16).unwrap();
        text.push_str(&client.take(count).await);
        client.take(2).await;
        if count == 0 {
            return text;
        }
    }
}
