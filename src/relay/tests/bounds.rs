//! What one relay may take: memory, and its worker's time.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::script::{Read, Script};
use super::*;
use crate::net::buffer;
use crate::relay::half::{Half, SHARE, TURN_READS};

/// Two streams and two directions of 32 bytes each, the timer (112, tokio's), the marks of progress (112) and references.
/// It grows by what the two transports are larger than a bare socket. An idle connection holds this, its guard and no more.
const LARGEST: usize = 448;

#[tokio::test]
async fn the_future_is_small() {
    let ((client, _far), (target, _away)) = (pair().await, pair().await);
    let (traffic, leash) = (Traffic::default(), Leash::default());
    let future = relay(client, target, &PATIENT, Instant::now(), &traffic, &leash, |_| {});
    let size = size_of_val(&future);
    assert!(size <= LARGEST, "{size} bytes");
}

#[tokio::test]
async fn a_busy_connection_lets_others_run_after_its_share_of_reads() {
    let ((near, _client_peer), (far, _target_peer)) = (pair().await, pair().await);
    let (client, _) = Script::new(near, vec![Read::Endless], vec![]);
    let (target, seen) = Script::new(far, vec![], vec![]);
    let (traffic, leash) = (Traffic::default(), Leash::default());
    let mut future = pin!(relay(client, target, &PATIENT, Instant::now(), &traffic, &leash, |_| {}));
    let share = TURN_READS as usize * SHARE;
    for turn in 1..=3 {
        poll_fn(|context| {
            assert!(future.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(seen.lock().unwrap().bytes.len(), turn * share);
    }
    // And it comes back by itself.
    let (near, _client_peer) = pair().await;
    let (client, _) = Script::new(near, vec![Read::Endless], vec![]);
    let (near, _target_peer) = pair().await;
    let rig = Rig::start(client, Script::new(near, vec![], vec![]).0, PATIENT);
    let traffic = Arc::clone(&rig.traffic);
    eventually(|| traffic.bytes_in() > 4 * share as u64).await;
    rig.task.abort();
}

#[tokio::test]
async fn a_direction_holds_at_most_one_buffer_and_none_once_it_is_taken() {
    let ((near, _client_peer), (far, _target_peer)) = (pair().await, pair().await);
    let writes =
        vec![script::Write::Take(1), script::Write::Pending, script::Write::Take(usize::MAX), script::Write::Stall];
    let (mut source, _) = Script::new(near, vec![Read::Endless], vec![]);
    let (mut sink, seen) = Script::new(far, vec![], writes);
    let mut half = Half::new();
    assert_eq!(half.held(), 0);
    let mut step = async || {
        poll_fn(|context| {
            let polled = half.poll(context, &mut source, &mut sink, &mut TURN_READS.clone(), false, |_| {});
            assert!(polled.is_pending());
            Poll::Ready(())
        })
        .await;
        half.held()
    };
    // One byte of a full read was taken; the rest is held, and nothing more is read.
    assert_eq!(step().await, buffer::SIZE - 1);
    // It goes at once, and the next read is held whole.
    assert_eq!(step().await, buffer::SIZE);
    assert_eq!(step().await, buffer::SIZE);
    assert_eq!(seen.lock().unwrap().bytes.len(), buffer::SIZE);
}

#[tokio::test]
async fn a_sink_that_passes_nothing_on_is_given_one_large_read_and_is_known_to_keep_the_source_waiting() {
    let ((near, _source_peer), (far, _sink_peer)) = (pair().await, pair().await);
    let (mut source, _) = Script::new(near, vec![Read::Endless], vec![]);
    let mut sink = Script::new(far, vec![], vec![]).0.never_flushing();
    let mut half = Half::new();
    let taken = std::cell::Cell::new(0);
    for _ in 0..3 {
        poll_fn(|context| {
            let count = |bytes| taken.set(taken.get() + bytes);
            assert!(half.poll(context, &mut source, &mut sink, &mut TURN_READS.clone(), false, count).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!((taken.get(), half.held()), (buffer::SIZE as u64, 0));
        assert!(half.is_blocked() && half.is_undelivered());
    }
}
