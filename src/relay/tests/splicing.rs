//! Bytes that go through a pipe, and what happens when they cannot.

use proptest::collection::vec;
use proptest::prelude::*;
use socket2::SockRef;

use super::*;
use crate::net::pipe::let_go_of_unused_pipes;
use crate::net::pipe::tests::{Place, kept, set_fault};

/// Enough to be worth a pipe several times over.
const MUCH: usize = 3_000_003;

/// Sends so much each way at once, ends both, and asserts that all has arrived.
async fn exchange(bytes_in: usize, bytes_out: usize) {
    let (mut client, mut target, rig) = wired(PATIENT).await;
    let (sent, answer) = (payload(bytes_in, 1), payload(bytes_out, 2));
    let (mut client_reads, mut client_writes) = client.split();
    let (mut target_reads, mut target_writes) = target.split();
    let (mut seen, mut seen_answer) = (Vec::new(), Vec::new());
    timeout(LONG, async {
        tokio::try_join!(
            async {
                client_writes.write_all(&sent).await?;
                client_writes.shutdown().await
            },
            async {
                target_writes.write_all(&answer).await?;
                target_writes.shutdown().await
            },
            target_reads.read_to_end(&mut seen),
            client_reads.read_to_end(&mut seen_answer),
        )
    })
    .await
    .unwrap()
    .unwrap();
    assert!(seen == sent && seen_answer == answer);
    let traffic = Arc::clone(&rig.traffic);
    let outcome = timeout(LONG, rig.task).await.unwrap().unwrap();
    assert_eq!(outcome.cause, Cause::Finished);
    assert_eq!((traffic.bytes_in(), traffic.bytes_out()), (bytes_in as u64, bytes_out as u64));
}

#[tokio::test]
async fn much_goes_through_pipes_which_are_kept_when_they_are_empty() {
    exchange(MUCH, MUCH).await;
    assert!(kept() > 0);
}

#[tokio::test]
async fn little_does_not_unless_all_is_to() {
    exchange(5_000, 0).await;
    assert_eq!(kept() > 0, EAGER.get());
}

#[tokio::test]
async fn small_messages_go_back_to_being_copied() {
    let (mut client, mut target, rig) = wired(PATIENT).await;
    let (sent, mut seen) = (payload(MUCH, 7), vec![0; MUCH]);
    let (written, read) = tokio::join!(client.write_all(&sent), target.read_exact(&mut seen));
    written.unwrap();
    read.unwrap();
    let traffic = Arc::clone(&rig.traffic);
    eventually(|| traffic.bytes_in() == MUCH as u64).await;
    assert_eq!(kept(), 1);
    // The first of these still comes through the pipe, and is small; then nobody wants one.
    for turn in 0..3 {
        client.write_all(b"small").await.unwrap();
        target.read_exact(&mut [0; 5]).await.unwrap();
        if turn == 0 {
            let_go_of_unused_pipes();
        }
    }
    let_go_of_unused_pipes();
    assert_eq!(kept() > 0, EAGER.get());
    rig.task.abort();
}

#[tokio::test]
async fn where_there_is_no_pipe_or_no_splice_all_is_copied_and_nothing_is_lost() {
    let faults = [
        (Place::Open, libc::EMFILE),
        (Place::Fill, libc::EINVAL),
        (Place::Fill, libc::ENOSYS),
        (Place::Drain, libc::EINVAL),
        (Place::Drain, libc::EPERM),
    ];
    for fault in faults {
        set_fault(Some(fault));
        exchange(MUCH, 1_234_567).await;
        assert_eq!(kept(), 0, "{fault:?}");
    }
    set_fault(None);
}

#[tokio::test]
async fn a_pipe_that_is_not_empty_when_the_relay_ends_is_closed() {
    let (client, target, rig) = wired(PATIENT).await;
    SockRef::from(&target).set_recv_buffer_size(8 * 1024).unwrap();
    let chunk = payload(256 * 1024, 3);
    let mut written = 0;
    // Until nothing on the way takes more.
    while timeout(Duration::from_millis(200), client.writable()).await.is_ok() {
        written += client.try_write(&chunk).unwrap_or(0);
    }
    assert!(written as u64 > rig.traffic.bytes_in());
    rig.task.abort();
    let _aborted = rig.task.await;
    // The pipe of this direction had something in it. The other one has moved nothing, and tried only if it was told to.
    assert_eq!(kept(), usize::from(EAGER.get()));
}

#[tokio::test]
async fn a_reset_behind_spliced_bytes_is_passed_on_after_them() {
    for _ in 0..5 {
        let (client, mut target, rig) = wired(PATIENT).await;
        let sent = payload(MUCH, 4);
        let (mut client, read) = {
            let mut client = client;
            let send = async {
                client.write_all(&sent).await.unwrap();
                acknowledged(&client).await;
                client
            };
            let mut seen = vec![0; MUCH - 1000];
            let (client, read) = tokio::join!(send, target.read_exact(&mut seen));
            read.unwrap();
            (client, seen)
        };
        assert_eq!(client.try_read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        client.flush().await.unwrap();
        reset(client);
        let (rest, in_order) = read_all(&mut target).await;
        assert!(!in_order && [read, rest].concat() == sent);
        rig.ends(Party::Client, Cause::Reset, MUCH, 0).await;
    }
}

/// Bytes written at once, and what a reader takes at once.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![3 => 1_usize..3000, 2 => 3000_usize..70_000, 1 => 70_000_usize..400_000], 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_out_are_bytes_in_over_real_sockets(
        writes in sizes(), reads in sizes(), narrow in any::<bool>(), fails_at in proptest::option::of(0_usize..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut client, mut target, rig) = wired(PATIENT).await;
            if narrow {
                SockRef::from(&target).set_recv_buffer_size(64 * 1024).unwrap();
                SockRef::from(&client).set_send_buffer_size(64 * 1024).unwrap();
            }
            let sent = payload(writes.iter().sum(), 5);
            let send = async {
                let mut rest = &sent[..];
                for (turn, size) in writes.iter().enumerate() {
                    // From here on the system refuses, with whatever is in the pipe.
                    if fails_at == Some(turn) {
                        set_fault(Some((if turn % 2 == 0 { Place::Fill } else { Place::Drain }, libc::EINVAL)));
                    }
                    let (now, later) = rest.split_at(*size);
                    client.write_all(now).await.unwrap();
                    tokio::task::yield_now().await;
                    rest = later;
                }
                client.shutdown().await.unwrap();
            };
            let receive = async {
                let mut seen = Vec::new();
                for size in reads.iter().cycle() {
                    let mut chunk = vec![0; *size];
                    match target.read(&mut chunk).await.unwrap() {
                        0 => break,
                        count => seen.extend_from_slice(&chunk[..count]),
                    }
                    tokio::task::yield_now().await;
                }
                target.shutdown().await.unwrap();
                seen
            };
            let ((), seen) = timeout(LONG, async { tokio::join!(send, receive) }).await.unwrap();
            set_fault(None);
            assert!(seen == sent);
            rig.ends(Party::Client, Cause::Finished, sent.len(), 0).await;
        });
    }
}
