use std::future::poll_fn;
use std::pin::Pin;

use tokio::io::AsyncWrite;

use super::*;
use crate::net::{Ending, Transport};

async fn finish(stream: &mut (impl Transport + ?Sized), ending: Ending) {
    poll_fn(|context| Pin::new(&mut *stream).poll_finish(context, ending)).await.unwrap();
}

async fn connected() -> (ClientTls<TcpStream>, TargetTls<TcpStream>) {
    let authority = Authority::new();
    let server = policy(parameters(fixed(&authority.issue(&["a.test"]))));
    let parameters = ClientParameters {
        verification: Verification::Authorities(authority.authorities()),
        server_name: None,
        client_certificate: None,
        alpn: Vec::new(),
    };
    let client = ClientPolicy::new(parameters, &SystemAuthorities::new()).unwrap();
    let (near, far) = tcp_pair().await;
    let target = TargetName::from(host("a.test"));
    let (server, client) = tokio::join!(accept(far, &server, None, soon()), connect(near, &client, &target, soon()));
    (server.unwrap(), client.unwrap())
}

/// What `from` says before it finishes reaches `to`, the ending is told apart, and the other direction still works.
async fn half_close(mut from: impl Transport, mut to: impl Transport, ending: Ending) {
    from.write_all(b"last words").await.unwrap();
    finish(&mut from, ending).await;
    let mut seen = Vec::new();
    let read = to.read_to_end(&mut seen).await;
    assert_eq!(seen, b"last words");
    match ending {
        Ending::Whole => assert!(read.is_ok()),
        Ending::Truncated => assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof),
    }
    to.write_all(b"answer").await.unwrap();
    finish(&mut to, Ending::Whole).await;
    let mut answer = Vec::new();
    from.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
    // Twice is as good as once.
    finish(&mut to, Ending::Whole).await;
    finish(&mut from, ending).await;
}

#[tokio::test]
async fn close_notify_and_bare_fin_are_told_apart_and_both_leave_the_other_direction_open() {
    for ending in [Ending::Whole, Ending::Truncated] {
        let (client, target) = connected().await;
        half_close(client, target, ending).await;
        let (client, target) = connected().await;
        half_close(target, client, ending).await;
    }
}

#[tokio::test]
async fn the_socket_below_closes_in_order_though_the_peer_still_sends() {
    let (mut client, mut target) = connected().await;
    target.write_all(&[7; 20_000]).await.unwrap();
    target.flush().await.unwrap();
    client.write_all(b"enough").await.unwrap();
    finish(&mut client, Ending::Whole).await;
    let read = async {
        let mut seen = Vec::new();
        target.read_to_end(&mut seen).await.unwrap();
        drop(target);
        seen
    };
    let (seen, ()) = tokio::join!(read, close_in_order(client.into_below(), soon()));
    assert_eq!(seen, b"enough");
}

#[tokio::test]
async fn large_and_gathered_writes_arrive_whole() {
    let (mut client, mut target) = connected().await;
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|index| index.to_le_bytes()[0]).collect();
    let write = async {
        assert!(client.is_write_vectored());
        let (first, second) = bytes.split_at(1000);
        let slices = [io::IoSlice::new(first), io::IoSlice::new(second)];
        let count = client.write_vectored(&slices).await.unwrap();
        assert!(count > first.len());
        client.write_all(&bytes[count..]).await.unwrap();
        finish(&mut client, Ending::Whole).await;
    };
    let mut seen = Vec::new();
    let ((), read) = tokio::join!(write, target.read_to_end(&mut seen));
    read.unwrap();
    assert!(seen == bytes);
}

#[test]
fn the_streams_stay_small_enough_to_be_moved() {
    // Every stage of a connection has room for one.
    assert!(size_of::<ClientTls<crate::net::Prefixed<TcpStream>>>() <= 64);
    // On the heap where it is held.
    assert!(size_of::<TargetTls<TcpStream>>() <= 1536);
}
