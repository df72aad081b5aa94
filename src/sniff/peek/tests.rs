use std::collections::VecDeque;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::sleep;

use super::*;
use crate::outcome::{Cause, Outcome, Party};
use crate::sniff::{HELLO_LENGTH_MAX, METHOD_LENGTH_MAX, PROXY_V1_LENGTH_MAX, RECORDS_MAX};

const DEADLINE: Duration = Duration::from_secs(5);

const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n";

/// A stream that gives its pieces one read at a time, and then ends.
struct Script {
    pieces: VecDeque<Bytes>,
    ending: Option<io::ErrorKind>,
    given: usize,
}

impl Script {
    fn new(bytes: &[u8], size: usize) -> Self {
        Self { pieces: bytes.chunks(size).map(Bytes::copy_from_slice).collect(), ending: None, given: 0 }
    }

    fn failing(bytes: &[u8], ending: io::ErrorKind) -> Self {
        Self { ending: Some(ending), ..Self::new(bytes, 1) }
    }
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(mut piece) = self.pieces.pop_front() else {
            return Poll::Ready(self.ending.map_or(Ok(()), |kind| Err(kind.into())));
        };
        let taken = piece.split_to(piece.len().min(buffer.remaining()));
        self.given += taken.len();
        buffer.put_slice(&taken);
        if !piece.is_empty() {
            self.pieces.push_front(piece);
        }
        Poll::Ready(Ok(()))
    }
}

/// A hello of TLS 1.2 without extensions.
fn hello() -> Vec<u8> {
    let body = [&[3, 3][..], &[0; 32], &[0], &[0, 2, 0x13, 1], &[1, 0]].concat();
    let message = [&[1, 0, 0, u8::try_from(body.len()).unwrap()][..], &body].concat();
    [&[22, 3, 1, 0, u8::try_from(message.len()).unwrap()][..], &message].concat()
}

fn deadline() -> Instant {
    Instant::now() + DEADLINE
}

async fn rest<S: AsyncRead + Unpin>(mut stream: Prefixed<S>) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    rest
}

#[tokio::test]
async fn every_opening_is_told_and_every_byte_comes_out_again_whatever_the_size_of_the_reads() {
    let tls = [&hello()[..], b"behind"].concat();
    for bytes in [&tls[..], b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", b"SSH-2.0-x\r\n"] {
        for size in [1, 2, 7, 100] {
            let stream = Prefixed::untouched(Script::new(bytes, size));
            let (opening, stream) = read_opening(stream, deadline()).await.unwrap();
            match bytes {
                [22, ..] => assert!(matches!(opening, Opening::Tls(_))),
                [b'G', ..] => assert_eq!(opening, Opening::Http1),
                [b'P', ..] => assert_eq!(opening, Opening::Http2),
                _ => assert_eq!(opening, Opening::Other),
            }
            assert_eq!(rest(stream).await, bytes);
        }
    }
}

#[tokio::test]
async fn a_header_is_taken_off_and_what_follows_it_is_left() {
    let bytes = [HEADER, &hello()].concat();
    for size in [1, 2, 7, HEADER.len(), 1000] {
        let (header, stream) = read_proxy_header(Script::new(&bytes, size), deadline()).await.unwrap();
        let Some(ProxyHeader::Proxied { source, destination }) = header else { panic!("{header:?}") };
        assert_eq!((source.to_string(), destination.port()), ("192.0.2.1:1000".into(), 443));
        let (opening, stream) = read_opening(stream, deadline()).await.unwrap();
        assert!(matches!(opening, Opening::Tls(_)));
        assert_eq!(rest(stream).await, hello());
    }
}

#[tokio::test]
async fn without_a_header_nothing_is_taken() {
    for bytes in [&hello()[..], b"POST / HTTP/1.1\r\n", b"PROXYING"] {
        let (header, stream) = read_proxy_header(Script::new(bytes, 1), deadline()).await.unwrap();
        assert_eq!(header, None);
        assert_eq!(rest(stream).await, bytes);
    }
}

#[tokio::test]
async fn a_prefix_that_decides_is_enough() {
    let (near, _far) = duplex(1);
    let stream = Prefixed::new(Bytes::from_static(b"GET / HTTP/1.1\r\n"), near);
    let (opening, stream) = read_opening(stream, deadline()).await.unwrap();
    assert_eq!(opening, Opening::Http1);
    assert_eq!(&stream.prefix()[..], b"GET / HTTP/1.1\r\n");
}

#[tokio::test(start_paused = true)]
async fn every_ending_has_its_cause_party_and_phase() {
    let ended = |phase, party, cause| Outcome::new(phase, party, cause);
    for (script, party, cause) in [
        (Script::new(b"", 1), Party::Client, Cause::Empty),
        (Script::new(b"P", 1), Party::Client, Cause::ClosedEarly),
        (Script::failing(b"P", io::ErrorKind::ConnectionReset), Party::Client, Cause::Reset),
        (Script::failing(b"", io::ErrorKind::ConnectionReset), Party::Client, Cause::Reset),
        (Script::failing(b"P", io::ErrorKind::TimedOut), Party::Client, Cause::ClosedEarly),
    ] {
        let again = Script { pieces: script.pieces.clone(), ..script };
        let error = read_proxy_header(script, deadline()).await.err().unwrap();
        assert_eq!(error.outcome(), ended(Phase::ProxyHeader, party, cause));
        let error = read_opening(Prefixed::untouched(again), deadline()).await.err().unwrap();
        assert_eq!(error.outcome(), ended(Phase::Sniff, party, cause));
    }

    let error = read_proxy_header(Script::new(b"PROXY TCP5\r\n", 99), deadline()).await.err().unwrap();
    assert_eq!(error.outcome(), ended(Phase::ProxyHeader, Party::Client, Cause::ProxyHeaderMalformed));
    let error =
        read_opening(Prefixed::untouched(Script::new(b"\x16\x03\x01\0\0", 99)), deadline()).await.err().unwrap();
    assert_eq!(error.outcome(), ended(Phase::Sniff, Party::Client, Cause::HelloMalformed));
    let long = Script::new(b"\x16\x03\x01\x01\0\x01\xff\xff\xff", 99);
    let error = read_opening(Prefixed::untouched(long), deadline()).await.err().unwrap();
    assert_eq!(error.outcome(), ended(Phase::Sniff, Party::Client, Cause::HelloTooLarge));
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_given_up_at_the_deadline() {
    for sent in [&b""[..], b"P"] {
        let begin = Instant::now();
        let (near, mut far) = duplex(64);
        far.write_all(sent).await.unwrap();
        let error = read_proxy_header(near, begin + DEADLINE).await.err().unwrap();
        assert_eq!(error.outcome(), Outcome::new(Phase::ProxyHeader, Party::Client, Cause::SniffTimeout));
        assert_eq!(begin.elapsed(), DEADLINE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_byte_a_second_does_not_restart_the_deadline() {
    let begin = Instant::now();
    let (near, mut far) = duplex(64);
    let drip = async {
        for byte in hello() {
            far.write_all(&[byte]).await.ok();
            sleep(Duration::from_secs(1)).await;
        }
    };
    let story = async {
        let (header, stream) = read_proxy_header(near, begin + DEADLINE).await.unwrap();
        assert_eq!(header, None);
        let error = read_opening(stream, begin + DEADLINE).await.err().unwrap();
        assert_eq!(error.outcome(), Outcome::new(Phase::Sniff, Party::Client, Cause::SniffTimeout));
        assert_eq!(begin.elapsed(), DEADLINE);
    };
    tokio::join!(drip, story);
}

#[tokio::test]
async fn whatever_a_client_sends_no_more_is_held_than_the_limits_say() {
    // The most that a legal hello can take: 64 KiB in 4096 records.
    let fragment = vec![0; HELLO_LENGTH_MAX / RECORDS_MAX];
    let record = [&[22, 3, 1, 0, u8::try_from(fragment.len()).unwrap()][..], &fragment].concat();
    let mut hello = record.repeat(RECORDS_MAX + 1000);
    hello[5..9].copy_from_slice(&[1, 0, 0xff, 0xfc]);
    let mut lines = b"PROXY UNKNOWN".to_vec();
    lines.resize(100_000, b'x');
    let cases = [
        (hello, HELLO_LENGTH_MAX + 5 * RECORDS_MAX),
        (vec![b'A'; 100_000], METHOD_LENGTH_MAX + 1),
        (lines, PROXY_V1_LENGTH_MAX),
    ];
    for (bytes, limit) in cases {
        for size in [1, 13, 100_000] {
            let mut script = Script::new(&bytes, size);
            let mut peek = Peek::new(Prefixed::untouched(&mut script), Phase::Sniff);
            let mut reader = HelloReader::new();
            let _answer: Result<(), SniffError> = peek
                .read_until(deadline(), |received| {
                    let done = match received {
                        [22, ..] => !matches!(reader.advance(received), Ok(Progress::NeedMore)),
                        [b'P', ..] => !matches!(ProxyHeader::read(received), Ok(Progress::NeedMore)),
                        _ => Preface::read(received) != Progress::NeedMore,
                    };
                    Ok(if done { Progress::Done(()) } else { Progress::NeedMore })
                })
                .await;
            assert!(script.given <= limit + READ_LENGTH_MAX, "{}", script.given);
        }
    }
}

#[tokio::test]
async fn the_reset_of_a_real_socket_is_told_as_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpSocket::new_v4().unwrap().connect(listener.local_addr().unwrap());
    let mut client = client.await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    client.write_all(b"\x16\x03").await.unwrap();
    accepted.readable().await.unwrap();
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let error = read_opening(Prefixed::untouched(accepted), deadline()).await.err().unwrap();
    assert_eq!(error.outcome(), Outcome::new(Phase::Sniff, Party::Client, Cause::Reset));
}
