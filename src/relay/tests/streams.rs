//! Whatever the sizes of reads and writes: what comes out is what went in, and is counted.

use std::io::ErrorKind;

use proptest::collection::vec;
use proptest::prelude::*;

use super::script::{Read, Script, Write};
use super::*;
use crate::net::Ending;

/// One direction's source: chunks and pauses between them.
fn reads() -> impl Strategy<Value = Vec<Read>> {
    let chunk = (1_usize..3000, any::<u8>()).prop_map(|(length, seed)| Read::Bytes(payload(length, seed)));
    // Some are longer than the relay's buffer.
    let long = (65_000_usize..140_000, any::<u8>()).prop_map(|(length, seed)| Read::Bytes(payload(length, seed)));
    vec(prop_oneof![6 => chunk, 1 => long, 3 => Just(Read::Pending)], 0..16)
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    vec(prop_oneof![4 => (1_usize..4000).prop_map(Write::Take), 2 => Just(Write::Pending)], 0..40)
}

fn bytes_of(reads: &[Read]) -> Vec<u8> {
    reads.iter().flat_map(|read| if let Read::Bytes(bytes) = read { bytes.clone() } else { Vec::new() }).collect()
}

fn run<R>(test: impl Future<Output = R>) -> R {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_out_are_bytes_in_both_ways(
        from_client in reads(), from_target in reads(),
        to_client in writes(), to_target in writes(),
        held in any::<bool>(), truncated in any::<bool>(),
    ) {
        run(async {
            let (near, far) = pair().await;
            let (expected_in, expected_out) = (bytes_of(&from_client), bytes_of(&from_target));
            let end = if truncated { Read::Fail(ErrorKind::UnexpectedEof) } else { Read::End };
            let (mut client, client_saw) = Script::new(near, [from_client, vec![end]].concat(), to_client);
            let (target, target_saw) = Script::new(far, [from_target, vec![Read::End]].concat(), to_target);
            if held {
                client = client.holding();
            }
            let rig = Rig::start(client, target, PATIENT);
            let traffic = Arc::clone(&rig.traffic);
            let outcome = rig.task.await.unwrap();
            assert_eq!(outcome.cause, Cause::Finished);
            assert_eq!(traffic.bytes_in(), expected_in.len() as u64);
            assert_eq!(traffic.bytes_out(), expected_out.len() as u64);
            let (client_saw, target_saw) = (client_saw.lock().unwrap(), target_saw.lock().unwrap());
            assert!(target_saw.bytes == expected_in);
            assert!(client_saw.bytes == expected_out);
            let ending = if truncated { Ending::Truncated } else { Ending::Whole };
            assert_eq!((target_saw.ending, client_saw.ending), (Some(ending), Some(Ending::Whole)));
            assert!(client_saw.closed && target_saw.closed);
            assert_eq!(rig.half_closed.lock().unwrap().len(), 1);
        });
    }

    #[test]
    fn a_failure_anywhere_leaves_the_counts_exact_and_the_bytes_in_order(
        from_client in reads(), from_target in reads(),
        to_client in writes(), to_target in writes(),
        place in 0_usize..4, at in 0_usize..16,
    ) {
        run(async {
            let (near, far) = pair().await;
            let (all_in, all_out) = (bytes_of(&from_client), bytes_of(&from_target));
            let (mut from_client, mut from_target) = (from_client, from_target);
            let (mut to_client, mut to_target) = (to_client, to_target);
            let fail = |reads: &mut Vec<Read>| reads.insert(at.min(reads.len()), Read::Fail(ErrorKind::ConnectionReset));
            let refuse = |writes: &mut Vec<Write>| writes.insert(at.min(writes.len()), Write::Fail(ErrorKind::BrokenPipe));
            match place {
                0 => fail(&mut from_client),
                1 => fail(&mut from_target),
                2 => refuse(&mut to_client),
                _ => refuse(&mut to_target),
            }
            from_client.push(Read::End);
            from_target.push(Read::End);
            let sent_before = bytes_of(&match place {
                0 => from_client.iter().take_while(|read| !matches!(read, Read::Fail(_))).cloned().collect::<Vec<_>>(),
                1 => from_target.iter().take_while(|read| !matches!(read, Read::Fail(_))).cloned().collect::<Vec<_>>(),
                _ => Vec::new(),
            });
            let (client, client_saw) = Script::new(near, from_client, to_client);
            let (target, target_saw) = Script::new(far, from_target, to_target);
            let rig = Rig::start(client, target, PATIENT);
            let traffic = Arc::clone(&rig.traffic);
            let outcome = rig.task.await.unwrap();
            let (client_saw, target_saw) = (client_saw.lock().unwrap(), target_saw.lock().unwrap());
            assert!(all_in.starts_with(&target_saw.bytes) && all_out.starts_with(&client_saw.bytes));
            assert_eq!(traffic.bytes_in(), target_saw.bytes.len() as u64);
            assert_eq!(traffic.bytes_out(), client_saw.bytes.len() as u64);
            assert!(client_saw.closed && target_saw.closed);
            match (place, outcome.cause) {
                // What came before a reset is delivered, and the other side is not told that it was all.
                (0, Cause::Reset) => {
                    assert!(target_saw.bytes == sent_before && target_saw.ending.is_none());
                    assert_eq!(outcome.party, Party::Client);
                }
                (1, Cause::Reset) => {
                    assert!(client_saw.bytes == sent_before && client_saw.ending.is_none());
                    assert_eq!(outcome.party, Party::Target);
                }
                (2, Cause::Reset) => assert_eq!(outcome.party, Party::Client),
                (3, Cause::Reset) => assert_eq!(outcome.party, Party::Target),
                // The scripted refusal was behind the last write.
                (2 | 3, Cause::Finished) => assert!(target_saw.bytes == all_in && client_saw.bytes == all_out),
                other => panic!("{other:?}"),
            }
        });
    }
}
