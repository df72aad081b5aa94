//! Bodies in pieces of any size, both ways, while the system may begin to refuse pipes.

use proptest::collection::vec;
use proptest::prelude::*;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{mirror, payload, post};
use crate::http::tests::world::{PATIENCE, Route, Scripted, World};
use crate::net::pipe::tests::{Place, set_fault};

/// Bytes written at once, and what a reader takes at once.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![3 => 1_usize..3000, 2 => 3000_usize..70_000, 1 => 70_000_usize..400_000], 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the pieces are in which bodies come and are taken, and wherever the system begins to refuse.
    #[test]
    fn bytes_out_are_bytes_in_both_ways(
        writes in sizes(), reads in sizes(), narrow in any::<bool>(), fails_at in proptest::option::of(0_usize..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let target = Scripted::new(|peer, _| mirror(peer)).await;
            let world = World::http1(Route::to(&[target.address])).await;
            let client = world.client().await;
            if narrow {
                SockRef::from(&client.0).set_recv_buffer_size(64 * 1024).unwrap();
                SockRef::from(&client.0).set_send_buffer_size(64 * 1024).unwrap();
            }
            let (mut reading, mut writing) = client.0.into_split();
            let sent = payload(writes.iter().sum(), 12);
            let send = async {
                writing.write_all(post(sent.len()).as_bytes()).await.unwrap();
                let mut rest = &sent[..];
                for (turn, size) in writes.iter().enumerate() {
                    if fails_at == Some(turn) {
                        set_fault(Some((if turn % 2 == 0 { Place::Fill } else { Place::Drain }, libc::EINVAL)));
                    }
                    let (now, later) = rest.split_at(*size);
                    writing.write_all(now).await.unwrap();
                    tokio::task::yield_now().await;
                    rest = later;
                }
            };
            let receive = async {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(reading.read_u8().await.unwrap());
                }
                let (mut seen, mut sizes) = (Vec::new(), reads.iter().cycle());
                while seen.len() < sent.len() {
                    let mut chunk = vec![0; *sizes.next().unwrap()];
                    let count = reading.read(&mut chunk).await.unwrap();
                    assert!(count > 0, "{} of {}", seen.len(), sent.len());
                    seen.extend_from_slice(&chunk[..count]);
                    tokio::task::yield_now().await;
                }
                seen
            };
            let ((), seen) = timeout(PATIENCE, async { tokio::join!(send, receive) }).await.unwrap();
            set_fault(None);
            assert!(seen == sent);
            drop((reading, writing));
            let lines = world.end().await;
            let all = sent.len();
            assert!(lines[0].contains(&format!("cause=finished bytes_in={all} bytes_out={all} ")), "{lines:?}");
        });
    }
}
