use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;
use crate::head::{Headers, RequestParts, ResponseParts};

/// Larger than any head and body here.
const PIPE: usize = 64 * 1024;

const CHUNKED_BODY: &str = "5;a=b\r\nhello\r\n1\r\n,\r\n0\r\nT: u\r\n\r\n";

/// Heads that are mostly sound, with each kind of thing that two readers might see differently.
fn heads() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        6 => Just("POST /a?b=c HTTP/1.1"),
        1 => Just("GET http://a.test?x HTTP/1.1"),
        1 => Just("OPTIONS * HTTP/1.1"),
        1 => Just("CONNECT a.test:443 HTTP/1.1"),
        1 => Just("GET / HTTP/1.0"),
        1 => Just("PURGE //x/..;/%2f HTTP/1.1"),
        1 => Just("GET  / HTTP/1.1"),
        1 => Just("GET /\u{e9} HTTP/1.1"),
    ];
    let field = prop::sample::select(vec![
        "Host: a.test",
        "Content-Length: 5",
        "Content-Length: 0",
        "Content-Length:\t3 ",
        "Content-Length: 05",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length : 5",
        "Content-Length",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: CHUNKED\t",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: x, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding:\u{b}chunked",
        "Transfer_Encoding: chunked",
        "X-Empty:",
        "X-Blank: \t ",
        "X-High: \u{e9}\u{fc}",
        "X:y",
        " X: y",
        "X: y\rZ: w",
        "X: y\nContent-Length: 7",
        "Connection: close",
        "Connection: keep-alive, x",
        "Expect: 100-continue",
        "Upgrade: websocket",
    ]);
    let changes = proptest::collection::vec(
        (any::<prop::sample::Index>(), prop::sample::select(&b"\r\n\0 \t:,;aZ\xff\x7f"[..])),
        0..2,
    );
    (line, proptest::collection::vec(field, 0..4), changes, 0_u8..4).prop_map(|(line, fields, changes, change)| {
        let mut head = format!("{line}\r\n").into_bytes();
        for field in fields {
            head.extend_from_slice(field.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        for (place, byte) in changes.into_iter().filter(|_| change == 0) {
            let place = place.index(head.len());
            head[place] = byte;
        }
        head
    })
}

/// What hyper's server makes of a request: its head and its body, unless it refuses it.
async fn through_hyper_server(wire: Vec<u8>) -> Option<(RequestParts, Bytes)> {
    let seen: Arc<Mutex<Option<(RequestParts, Bytes)>>> = Arc::default();
    let (mut client, server) = duplex(PIPE);
    client.write_all(&wire).await.unwrap();
    client.shutdown().await.unwrap();
    let service = service_fn(|request: http::Request<Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let (parts, body) = request.into_parts();
            if let Ok(body) = body.collect().await {
                seen.lock().unwrap().get_or_insert((parts.into(), body.to_bytes()));
            }
            Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
        }
    });
    let _result = hyper::server::conn::http1::Builder::new()
        .max_headers(FIELDS_MAX)
        .half_close(true)
        .serve_connection(TokioIo::new(server), service)
        .await;
    seen.lock().unwrap().take()
}

/// What hyper's client makes of an answer to `asked`: its head and its body, unless it refuses it.
async fn through_hyper_client(wire: Vec<u8>, asked: &Method) -> Option<(ResponseParts, Bytes)> {
    let (client, mut server) = duplex(PIPE);
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(FIELDS_MAX)
        .handshake(TokioIo::new(client))
        .await
        .ok()?;
    let connection = tokio::spawn(connection);
    let mut request = http::Request::new(Full::<Bytes>::default());
    *request.method_mut() = asked.clone();
    let answer = async {
        let mut request = [0; 1];
        server.read_exact(&mut request).await.unwrap();
        server.write_all(&wire).await.unwrap();
        server.shutdown().await.unwrap();
    };
    let (answer, ()) = tokio::join!(sender.send_request(request), answer);
    let (parts, body) = answer.ok()?.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    connection.abort();
    Some((parts.into(), body))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The bytes of a body as they follow a head, and what they are.
fn body_of(length: Length) -> (Vec<u8>, Vec<u8>) {
    match length {
        Length::Empty => (vec![], vec![]),
        Length::Known(length) => {
            let body = vec![b'x'; usize::try_from(length.min(10_000)).unwrap()];
            (body.clone(), body)
        }
        Length::Chunked => (CHUNKED_BODY.into(), b"hello,".into()),
        Length::UntilClose => (b"until the end".into(), b"until the end".into()),
    }
}

/// Those of one name side by side, as hyper gives them.
fn grouped(headers: Headers) -> Headers {
    HeaderMap::from(headers).into()
}

proptest! {
    #[test]
    fn what_we_accept_hyper_accepts_alike(head in heads()) {
        let ours = request(&head);
        let Ok(Some(ours)) = ours else { return Ok(()) };
        prop_assume!(!matches!(ours.length, Length::Known(10_001..)));
        let (body, content) = body_of(ours.length);
        let mut wire = head.clone();
        wire.extend_from_slice(&body);
        let told = block_on(through_hyper_server(wire));
        let Some((parts, told)) = told else {
            return Err(TestCaseError::fail(format!("hyper refuses {:?}", String::from_utf8_lossy(&head))));
        };
        prop_assert_eq!((&parts.method, &parts.uri), (&ours.method, &ours.uri));
        prop_assert_eq!((parts.version, parts.headers), (ours.version, grouped(ours.headers)));
        prop_assert_eq!(told.to_vec(), content);
    }

    #[test]
    fn answers_that_we_accept_hyper_accepts_alike(
        head in heads(),
        line in prop::sample::select(vec![
            "HTTP/1.1 200 OK", "HTTP/1.1 200 ", "HTTP/1.1 200", "HTTP/1.0 404 Other", "HTTP/1.1 204 No Content",
            "HTTP/1.1 304 Not Modified", "HTTP/1.1 599 x\ty",
        ]),
        asked in prop::sample::select(vec![Method::GET, Method::HEAD, Method::POST]),
    ) {
        let fields = head.windows(2).position(|pair| pair == b"\r\n").unwrap_or(0);
        let head = [line.as_bytes(), &head[fields..]].concat();
        let Ok(Some(ours)) = response(&head, &asked) else { return Ok(()) };
        prop_assume!(!matches!(ours.length, Length::Known(10_001..)));
        let (body, content) = body_of(ours.length);
        let wire = [head.as_slice(), &body].concat();
        let told = block_on(through_hyper_client(wire, &asked));
        let Some((parts, told)) = told else {
            return Err(TestCaseError::fail(format!("hyper refuses {:?}", String::from_utf8_lossy(&head))));
        };
        let ours_of = (ours.status, ours.version, grouped(ours.headers));
        prop_assert_eq!((parts.status, parts.version, parts.headers), ours_of);
        let reason = parts.extensions.get::<hyper::ext::ReasonPhrase>().map(hyper::ext::ReasonPhrase::as_bytes);
        prop_assert_eq!(reason, ours.reason.as_ref().map(ReasonPhrase::as_bytes));
        prop_assert_eq!(told.to_vec(), content);
    }
}
