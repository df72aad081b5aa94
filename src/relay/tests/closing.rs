//! {FIN, RST, silence} x {client, target} x {before, during, after data}, over loopback.

use std::io::ErrorKind;

use super::*;
use crate::drain::Order;

#[derive(Clone, Copy, Debug)]
enum Moment {
    Before,
    During,
    After,
}

const MOMENTS: [Moment; 3] = [Moment::Before, Moment::During, Moment::After];
const SIDES: [Side; 2] = [Side::Client, Side::Target];

/// More than what the relay reads at once, and little enough for the kernel to hold.
const SENT: usize = 150_001;
const ANSWERED: usize = 90_007;

/// The one that acts, the other, and the relay, at the moment; `sent` and `answered` have been sent, `Before` nothing.
struct Scene {
    actor: TcpStream,
    other: TcpStream,
    rig: Rig,
    sent: Vec<u8>,
    answered: Vec<u8>,
    /// What has been read already.
    seen_by_actor: Vec<u8>,
    seen_by_other: Vec<u8>,
}

impl Scene {
    async fn set(side: Side, moment: Moment, limits: Limits) -> Self {
        let (client, target, rig) = wired(limits).await;
        let (mut actor, mut other) = match side {
            Side::Client => (client, target),
            Side::Target => (target, client),
        };
        let (sent, answered) = match moment {
            Moment::Before => (Vec::new(), Vec::new()),
            Moment::During | Moment::After => (payload(SENT, 1), payload(ANSWERED, 2)),
        };
        let (mut seen_by_actor, mut seen_by_other) = (Vec::new(), Vec::new());
        actor.write_all(&sent).await.unwrap();
        other.write_all(&answered).await.unwrap();
        if let Moment::After = moment {
            seen_by_other.resize(sent.len(), 0);
            other.read_exact(&mut seen_by_other).await.unwrap();
            seen_by_actor.resize(answered.len(), 0);
            actor.read_exact(&mut seen_by_actor).await.unwrap();
        }
        // A reset discards what its sender's kernel still has: what counts as sent has left it.
        acknowledged(&actor).await;
        Self { actor, other, rig, sent, answered, seen_by_actor, seen_by_other }
    }

    fn counts(&self, side: Side) -> (usize, usize) {
        match side {
            Side::Client => (self.sent.len(), self.answered.len()),
            Side::Target => (self.answered.len(), self.sent.len()),
        }
    }
}

#[tokio::test]
async fn an_end_is_passed_on_after_the_last_byte_and_the_other_direction_goes_on() {
    for (side, moment) in SIDES.into_iter().flat_map(|side| MOMENTS.map(|moment| (side, moment))) {
        let mut scene = Scene::set(side, moment, PATIENT).await;
        let (bytes_in, bytes_out) = scene.counts(side);
        scene.actor.shutdown().await.unwrap();
        let (rest, in_order) = read_all(&mut scene.other).await;
        scene.seen_by_other.extend(rest);
        assert!(in_order, "{side:?} {moment:?}");
        assert!(scene.seen_by_other == scene.sent, "{side:?} {moment:?}");
        eventually(|| *scene.rig.half_closed.lock().unwrap() == [side]).await;

        // The opposite direction is open still.
        scene.other.write_all(b"last words").await.unwrap();
        scene.other.shutdown().await.unwrap();
        let (rest, in_order) = read_all(&mut scene.actor).await;
        scene.seen_by_actor.extend(rest);
        assert!(in_order, "{side:?} {moment:?}");
        assert!(scene.seen_by_actor == [&scene.answered[..], b"last words"].concat(), "{side:?} {moment:?}");

        let (extra_in, extra_out) = match side {
            Side::Client => (0, 10),
            Side::Target => (10, 0),
        };
        assert_eq!(*scene.rig.half_closed.lock().unwrap(), [side]);
        scene.rig.ends(side.party(), Cause::Finished, bytes_in + extra_in, bytes_out + extra_out).await;
    }
}

#[tokio::test]
async fn a_reset_is_passed_on_as_a_reset_after_the_bytes_that_came_before_it() {
    for (side, moment) in SIDES.into_iter().flat_map(|side| MOMENTS.map(|moment| (side, moment))) {
        let mut scene = Scene::set(side, moment, PATIENT).await;
        if let Moment::During = moment {
            // Both have sent and neither has read. What goes to the actor is on its way there before it resets.
            let wanted = scene.answered.len() as u64;
            let traffic = Arc::clone(&scene.rig.traffic);
            eventually(|| traffic.bytes_in().min(traffic.bytes_out()) >= wanted.min(SENT as u64)).await;
        }
        let (bytes_in, bytes_out) = scene.counts(side);
        reset(scene.actor);
        let (rest, in_order) = read_all(&mut scene.other).await;
        scene.seen_by_other.extend(rest);
        assert!(!in_order, "{side:?} {moment:?}");
        assert!(scene.seen_by_other == scene.sent, "{side:?} {moment:?}");
        assert!(scene.rig.half_closed.lock().unwrap().is_empty());
        scene.rig.ends(side.party(), Cause::Reset, bytes_in, bytes_out).await;
    }
}

#[tokio::test]
async fn silence_of_both_ends_both_in_order_after_idle() {
    let limits = Limits { idle: Duration::from_millis(60), ..PATIENT };
    for moment in MOMENTS {
        let mut scene = Scene::set(Side::Client, moment, limits).await;
        let (bytes_in, bytes_out) = scene.counts(Side::Client);
        let (other, actor) = (read_all(&mut scene.other).await, read_all(&mut scene.actor).await);
        assert!(other.1 && actor.1, "{moment:?}");
        scene.seen_by_other.extend(other.0);
        scene.seen_by_actor.extend(actor.0);
        assert!(scene.seen_by_other == scene.sent && scene.seen_by_actor == scene.answered, "{moment:?}");
        scene.rig.ends(Party::Proxy, Cause::IdleTimeout, bytes_in, bytes_out).await;
    }
}

#[tokio::test]
async fn silence_of_one_after_the_other_has_ended_ends_both_after_half_closed() {
    let limits = Limits { half_closed: Duration::from_millis(60), ..PATIENT };
    for (side, moment) in SIDES.into_iter().flat_map(|side| MOMENTS.map(|moment| (side, moment))) {
        let mut scene = Scene::set(side, moment, limits).await;
        let (bytes_in, bytes_out) = scene.counts(side);
        scene.actor.shutdown().await.unwrap();
        let (other, actor) = (read_all(&mut scene.other).await, read_all(&mut scene.actor).await);
        assert!(other.1 && actor.1, "{side:?} {moment:?}");
        scene.seen_by_other.extend(other.0);
        scene.seen_by_actor.extend(actor.0);
        assert!(scene.seen_by_other == scene.sent && scene.seen_by_actor == scene.answered, "{side:?} {moment:?}");
        scene.rig.ends(Party::Proxy, Cause::HalfClosedTimeout, bytes_in, bytes_out).await;
    }
}

/// Our FIN is in the kernel's queue until the peer has acknowledged it, which is no progress of the side that is waited for.
#[tokio::test]
async fn half_closed_is_not_waited_for_twice() {
    let limits = Limits { half_closed: Duration::from_secs(2), ..PATIENT };
    let mut waits = tokio::task::JoinSet::new();
    for (side, sent) in SIDES.into_iter().flat_map(|side| [0, 1].map(|sent| (side, sent))) {
        waits.spawn(async move {
            let (client, target, rig) = wired(limits).await;
            let (mut ended, mut silent) = if side == Side::Client { (client, target) } else { (target, client) };
            ended.write_all(&[7; 1][..sent]).await.unwrap();
            ended.shutdown().await.unwrap();
            assert_eq!(read_all(&mut silent).await, (vec![7; sent], true));
            let begun = Instant::now();
            assert!(read_all(&mut ended).await.1);
            let took = begun.elapsed();
            assert!(took < limits.half_closed * 7 / 4, "{side:?} {sent}: {took:?}");
            let (bytes_in, bytes_out) = if side == Side::Client { (sent, 0) } else { (0, sent) };
            rig.ends(Party::Proxy, Cause::HalfClosedTimeout, bytes_in, bytes_out).await;
            drop(silent);
        });
    }
    while let Some(done) = waits.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn an_answer_sent_before_a_reset_reaches_a_client_that_is_still_uploading() {
    for _ in 0..10 {
        let (mut client, mut target, rig) = wired(PATIENT).await;
        let (traffic, answer) = (Arc::clone(&rig.traffic), payload(100_003, 3));
        let (mut reader, mut writer) = client.split();
        let upload = async {
            let chunk = payload(64 * 1024, 4);
            loop {
                if let Err(error) = writer.write_all(&chunk).await {
                    break error.kind();
                }
            }
        };
        let respond = async {
            // The target reads some, answers, and closes with the rest unread, which the kernel makes a reset.
            target.read_exact(&mut [0; 1000]).await.unwrap();
            eventually(|| traffic.bytes_in() > 500_000).await;
            target.write_all(&answer).await.unwrap();
            acknowledged(&target).await;
            drop(target);
        };
        let receive = async {
            let mut seen = Vec::new();
            let end = reader.read_to_end(&mut seen).await;
            (seen, end.map_err(|error| error.kind()))
        };
        let (refused, _, (seen, end)) = timeout(LONG, async { tokio::join!(upload, respond, receive) }).await.unwrap();
        assert!(seen == answer);
        // The kernel tells of a reset once: either the writer or the reader has heard it.
        assert!(end == Err(ErrorKind::ConnectionReset) || refused == ErrorKind::ConnectionReset, "{end:?} {refused:?}");
        let bytes_in = traffic.bytes_in() as usize;
        rig.ends(Party::Target, Cause::Reset, bytes_in, answer.len()).await;
    }
}

#[tokio::test]
async fn a_target_that_has_ended_and_then_refuses_what_the_client_still_sends_is_a_reset() {
    let (mut client, mut target, rig) = wired(PATIENT).await;
    target.write_all(b"goodbye").await.unwrap();
    drop(target);
    let mut seen = [0; 7];
    client.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"goodbye");
    assert_eq!(client.read(&mut seen).await.unwrap(), 0);
    // The first write is answered by a reset, which a later one meets.
    eventually(|| client.try_write(b"more").is_err()).await;
    let traffic = Arc::clone(&rig.traffic);
    rig.ends(Party::Target, Cause::Reset, traffic.bytes_in() as usize, 7).await;
}

#[tokio::test]
async fn an_order_ends_the_relay_at_once_and_draining_does_not() {
    for (order, cause) in [(Order::Cut, Cause::Cut), (Order::Kill, Cause::Killed)] {
        let (mut client, mut target, rig) = wired(PATIENT).await;
        rig.leash.pull(Order::Drain);
        client.write_all(b"hello").await.unwrap();
        target.read_exact(&mut [0; 5]).await.unwrap();
        rig.leash.pull(order);
        assert!(!read_all(&mut client).await.1);
        assert!(!read_all(&mut target).await.1);
        rig.ends(Party::Operator, cause, 5, 0).await;
    }
}

#[tokio::test]
async fn a_dropped_relay_closes_both_sides() {
    let (mut client, mut target, rig) = wired(PATIENT).await;
    client.write_all(b"hello").await.unwrap();
    target.read_exact(&mut [0; 5]).await.unwrap();
    rig.task.abort();
    assert!(read_all(&mut client).await.1);
    assert!(read_all(&mut target).await.1);
}
