//! Time limits, in paused time.

use std::io::{ErrorKind, Read as _};
use std::os::fd::AsFd;

use super::script::{Read, Script, Seen, Write};
use super::*;
use crate::net::Ending;

const SECOND: Duration = Duration::from_secs(1);

const LIMITS: Limits = Limits {
    idle: Duration::from_secs(600),
    half_closed: Duration::from_secs(60),
    linger: Duration::from_secs(5),
    max_lifetime: None,
};

fn bytes(count: usize) -> Read {
    Read::Bytes(payload(count, 0))
}

struct Play {
    rig: Rig,
    client: Arc<Mutex<Seen>>,
    target: Arc<Mutex<Seen>>,
    /// The far ends of the two sockets, for what the kernel is to say of them.
    client_peer: TcpStream,
    target_peer: TcpStream,
}

/// A client and a target, each with what it sends and how it takes.
async fn play(limits: Limits, client: (Vec<Read>, Vec<Write>), target: (Vec<Read>, Vec<Write>)) -> Play {
    let ((near, client_peer), (far, target_peer)) = (pair().await, pair().await);
    let (near, client) = Script::new(near, client.0, client.1);
    let (far, target) = Script::new(far, target.0, target.1);
    Play { rig: Rig::start(near, far, limits), client, target, client_peer, target_peer }
}

impl Play {
    /// Asserts the end, and that it came after so long, to the precision of the timer.
    async fn ends(&mut self, party: Party, cause: Cause, after: Duration) {
        let started = Instant::now();
        let outcome = (&mut self.rig.task).await.unwrap();
        assert_eq!(outcome, Outcome::new(Phase::Relay, party, cause));
        let elapsed = started.elapsed();
        assert!(elapsed >= after && elapsed < after + SECOND / 10, "{elapsed:?} instead of {after:?}");
    }

    fn endings(&self) -> (Option<Ending>, Option<Ending>) {
        (self.client.lock().unwrap().ending, self.target.lock().unwrap().ending)
    }

    /// How the sockets below were closed: by a reset?
    async fn were_reset(mut self) -> (bool, bool) {
        (!read_all(&mut self.client_peer).await.1, !read_all(&mut self.target_peer).await.1)
    }
}

#[tokio::test(start_paused = true)]
async fn idle_counts_from_the_last_byte_of_either_direction() {
    let slow = Read::After(400 * SECOND);
    let mut play =
        play(LIMITS, (vec![slow.clone(), bytes(1)], vec![]), (vec![Read::After(700 * SECOND), bytes(1)], vec![])).await;
    play.ends(Party::Proxy, Cause::IdleTimeout, 1300 * SECOND).await;
    assert_eq!(play.endings(), (Some(Ending::Whole), Some(Ending::Whole)));
    assert_eq!(play.were_reset().await, (false, false));
}

#[tokio::test(start_paused = true)]
async fn an_idle_end_with_bytes_on_their_way_is_a_reset_not_an_end() {
    let mut play = play(LIMITS, (vec![bytes(10)], vec![]), (vec![], vec![Write::Take(4), Write::Stall])).await;
    play.ends(Party::Proxy, Cause::IdleTimeout, 600 * SECOND).await;
    assert_eq!(play.endings(), (None, None));
    assert_eq!(play.rig.traffic.bytes_in(), 4);
    assert_eq!(play.were_reset().await, (true, true));
}

#[tokio::test(start_paused = true)]
async fn half_closed_counts_from_the_end_and_from_each_byte_after_it() {
    let answer = vec![Read::After(50 * SECOND), bytes(3), Read::After(50 * SECOND), bytes(3)];
    let mut play = play(LIMITS, (vec![bytes(5), Read::End], vec![]), (answer, vec![])).await;
    play.ends(Party::Proxy, Cause::HalfClosedTimeout, 160 * SECOND).await;
    assert_eq!(play.endings(), (Some(Ending::Whole), Some(Ending::Whole)));
    assert_eq!((play.rig.traffic.bytes_in(), play.rig.traffic.bytes_out()), (5, 6));
    assert_eq!(*play.rig.half_closed.lock().unwrap(), [Side::Client]);
}

/// Takes ten bytes, and each further ten within linger of the ones before, and then no more.
fn reluctant() -> Vec<Write> {
    let ten = || [Write::After(4 * SECOND), Write::Take(10)];
    [vec![Write::Take(10)], ten().into(), ten().into(), vec![Write::Stall]].concat()
}

#[tokio::test(start_paused = true)]
async fn a_target_that_stops_taking_what_a_client_sent_before_its_end_runs_into_linger() {
    let mut play = play(LIMITS, (vec![bytes(100), Read::End], vec![]), (vec![], reluctant())).await;
    // The kernel knows of the end that is behind the bytes.
    play.client_peer.shutdown().await.unwrap();
    play.ends(Party::Target, Cause::LingerTimeout, 13 * SECOND).await;
    assert_eq!(play.rig.traffic.bytes_in(), 30);
    assert_eq!(play.endings(), (None, None));
    assert_eq!(play.were_reset().await, (true, true));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_stops_taking_what_a_client_sent_before_its_reset_is_reset_after_linger() {
    let Play { rig, client_peer, mut target_peer, target, .. } =
        play(LIMITS, (vec![bytes(100), Read::Fail(ErrorKind::ConnectionReset)], vec![]), (vec![], reluctant())).await;
    reset(client_peer);
    rig.ends(Party::Client, Cause::Reset, 30, 0).await;
    assert!(!read_all(&mut target_peer).await.1);
    assert_eq!(target.lock().unwrap().ending, None);
}

#[tokio::test(start_paused = true)]
async fn last_bytes_that_are_not_flushed_run_into_linger() {
    for (end, party, cause) in [
        (Read::End, Party::Target, Cause::LingerTimeout),
        (Read::Fail(ErrorKind::ConnectionReset), Party::Client, Cause::Reset),
        (Read::Fail(ErrorKind::TimedOut), Party::Client, Cause::Unreachable),
        (Read::Fail(ErrorKind::InvalidData), Party::Client, Cause::ProtocolError),
    ] {
        let ((near, _client_peer), (far, mut target_peer)) = (pair().await, pair().await);
        let (client, _) = Script::new(near, vec![Read::After(10 * SECOND), bytes(9), end], vec![]);
        let (target, seen) = Script::new(far, vec![], vec![]);
        let started = Instant::now();
        Rig::start(client, target.never_flushing(), LIMITS).ends(party, cause, 9, 0).await;
        let (elapsed, expected) = (started.elapsed(), 10 * SECOND + LIMITS.linger);
        assert!(elapsed >= expected && elapsed < expected + SECOND / 10, "{elapsed:?}");
        assert_eq!(seen.lock().unwrap().ending, None);
        assert!(!read_all(&mut target_peer).await.1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_a_side_cannot_be_told_is_its_loss_unless_it_has_ended_too() {
    let later = |read| vec![bytes(3), Read::After(SECOND), read];
    for (client_ends_first, cause) in [(true, Cause::Finished), (false, Cause::Reset)] {
        let ((near, _client_peer), (far, mut target_peer)) = (pair().await, pair().await);
        // After the failure, reading a socket that was reset can look like an end.
        let (first, second) = (vec![bytes(3), Read::End], later(Read::End));
        let (client, target) = if client_ends_first { (first, second) } else { (second, first) };
        let (client, _) = Script::new(near, client, vec![]);
        let (target, seen) = Script::new(far, target, vec![]);
        Rig::start(client.refusing_to_finish(), target, LIMITS).ends(Party::Client, cause, 3, 3).await;
        let in_order = cause == Cause::Finished;
        assert_eq!(seen.lock().unwrap().ending.is_some(), in_order);
        assert_eq!(read_all(&mut target_peer).await.1, in_order);
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_a_slow_peer_empties_is_progress() {
    let ((near, peer), (far, _target_peer)) = (pair().await, pair().await);
    let mut peer = peer.into_std().unwrap();
    // The kernel's queue is full before the relay's own last bytes come, which therefore do not move.
    near.writable().await.unwrap();
    while near.try_write(&[0; 64 * 1024]).is_ok() {}
    let queue = near.as_fd().try_clone_to_owned().unwrap();
    let (client, _) = Script::new(near, vec![], vec![]);
    let (target, _) = Script::new(far, vec![bytes(9), Read::End], vec![]);
    let mut rig = Rig::start(client.never_flushing(), target, LIMITS);
    let started = Instant::now();
    for _ in 0..5 {
        tokio::time::sleep(4 * SECOND).await;
        assert!(!rig.task.is_finished());
        let before = sys::unsent_bytes(&queue).unwrap();
        assert!(before > 0);
        let mut buffer = vec![0; 64 * 1024];
        while sys::unsent_bytes(&queue).unwrap() == before {
            // The kernel's own work, which no paused clock holds up.
            let _ = peer.read(&mut buffer);
        }
    }
    let outcome = (&mut rig.task).await.unwrap();
    assert_eq!(outcome, Outcome::new(Phase::Relay, Party::Client, Cause::LingerTimeout));
    // The last progress was at 20 s; it may have come right after a look.
    let elapsed = started.elapsed();
    assert!(elapsed >= 25 * SECOND && elapsed <= 31 * SECOND, "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn the_lifetime_counts_from_the_opening_whatever_moves() {
    let limits = Limits { max_lifetime: Some(100 * SECOND), ..LIMITS };
    let talk: Vec<_> = (0..100).flat_map(|_| [Read::After(3 * SECOND), bytes(7)]).collect();
    let mut play = play(limits, (talk, vec![]), (vec![], vec![])).await;
    play.ends(Party::Proxy, Cause::LifetimeReached, 100 * SECOND).await;
    assert_eq!(play.were_reset().await, (true, true));
}

#[tokio::test(start_paused = true)]
async fn limits_beyond_the_clock_are_no_limits() {
    let never = Limits {
        idle: Duration::MAX,
        half_closed: Duration::MAX,
        linger: Duration::MAX,
        max_lifetime: Some(Duration::MAX),
    };
    let day = 24 * 3600 * SECOND;
    let client = (vec![Read::After(day), bytes(1), Read::After(day), Read::End], vec![]);
    let mut play = play(never, client, (vec![Read::After(3 * day), Read::End], vec![])).await;
    play.ends(Party::Client, Cause::Finished, 3 * day).await;
}
