use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use super::addresses::Schedule;
use super::failure::{ConnectError, FailedAttempt};

/// Tries the addresses of one target beside each other, each a little after the one before, and gives the first
/// connection that stands. The attempts that are still being made then are dropped.
///
/// `start` makes an attempt, with everything that records it, before anything of it is polled. Failures go to `error`.
///
/// # Cancel safety
/// Dropping the future drops every attempt.
pub(super) async fn race<T, F>(
    found: &[IpAddr],
    mut start: impl FnMut(IpAddr) -> F,
    error: &mut ConnectError,
) -> Option<T>
where
    F: Future<Output = Result<T, FailedAttempt>>,
{
    let mut schedule = Schedule::new(found);
    let mut running: Vec<Pin<Box<F>>> = Vec::new();
    let mut timer = pin!(sleep_until(Instant::now()));
    poll_fn(|context| {
        loop {
            if let Some(stands) = poll_running(&mut running, &mut schedule, error, context) {
                return Poll::Ready(Some(stands));
            }
            let now = Instant::now();
            if let Some(address) = schedule.take(now) {
                running.push(Box::pin(start(address)));
                continue;
            }
            let Some(next) = schedule.next(now) else {
                return if running.is_empty() { Poll::Ready(None) } else { Poll::Pending };
            };
            if !elapsed(timer.as_mut(), next, context) {
                return Poll::Pending;
            }
        }
    })
    .await
}

fn poll_running<T, F>(
    running: &mut Vec<Pin<Box<F>>>,
    schedule: &mut Schedule,
    error: &mut ConnectError,
    context: &mut Context<'_>,
) -> Option<T>
where
    F: Future<Output = Result<T, FailedAttempt>>,
{
    let mut stands = None;
    running.retain_mut(|attempt| {
        if stands.is_some() {
            return true;
        }
        match attempt.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(Ok(connection)) => {
                stands = Some(connection);
                false
            }
            Poll::Ready(Err(failed)) => {
                if failed.failure.is_final() {
                    schedule.stop();
                } else {
                    schedule.failed();
                }
                error.add(failed);
                false
            }
        }
    });
    stands
}

/// Whether the moment has come; if not, the task is woken then.
fn elapsed(mut timer: Pin<&mut Sleep>, at: Instant, context: &mut Context<'_>) -> bool {
    if timer.deadline() != at {
        timer.as_mut().reset(at);
    }
    timer.poll(context).is_ready()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::upstream::connect::{ATTEMPT_DELAY, Failure};

    /// What an attempt at an address comes to, and after how many milliseconds.
    type Plays = [(&'static str, u64, Result<(), Failure>)];

    /// How an attempt ended, and how many milliseconds after the start of the race.
    type End = (String, u128, &'static str);

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<End>>>);

    struct Ended(IpAddr, Instant, Log, &'static str);

    impl Drop for Ended {
        fn drop(&mut self) {
            self.2.0.lock().unwrap().push((self.0.to_string(), self.1.elapsed().as_millis(), self.3));
        }
    }

    fn failed(failure: Failure) -> FailedAttempt {
        FailedAttempt { target: "t".into(), address: None, failure, elapsed: Duration::ZERO }
    }

    /// Runs the race; gives the winner, when it stood, how each attempt ended in the order of ending, and the failures.
    async fn run(plays: &Plays) -> (Option<IpAddr>, u128, Vec<End>, ConnectError) {
        let (begin, log, mut error) = (Instant::now(), Log::default(), ConnectError::default());
        let found: Vec<IpAddr> = plays.iter().map(|(address, _, _)| address.parse().unwrap()).collect();
        let start = |address: IpAddr| {
            let (_, after, result) = plays.iter().find(|(text, _, _)| text.parse() == Ok(address)).unwrap();
            let ended = Ended(address, begin, log.clone(), "cancelled");
            async move {
                let mut ended = ended;
                tokio::time::sleep(Duration::from_millis(*after)).await;
                ended.3 = if result.is_ok() { "connected" } else { "failed" };
                match result {
                    Ok(()) => Ok(address),
                    Err(Failure::OutOfDescriptors(_)) => {
                        Err(failed(Failure::OutOfDescriptors(std::io::Error::from_raw_os_error(libc::EMFILE))))
                    }
                    Err(_) => Err(failed(Failure::Refused)),
                }
            }
        };
        let winner = race(&found, start, &mut error).await;
        let at = begin.elapsed().as_millis();
        let ends = log.0.lock().unwrap().clone();
        (winner, at, ends, error)
    }

    fn end(address: &str, at: u128, end: &'static str) -> End {
        (address.to_owned(), at, end)
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_answers_in_time_is_the_only_one_tried() {
        let (winner, at, ends, _) = run(&[("::1", 249, Ok(())), ("10.0.0.1", 0, Ok(()))]).await;
        assert_eq!((winner, at), ("::1".parse().ok(), 249));
        assert_eq!(ends, [end("::1", 249, "connected")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_is_overtaken_after_the_delay_and_cancelled() {
        let (winner, at, ends, error) = run(&[("::1", 60_000, Ok(())), ("10.0.0.1", 10, Ok(()))]).await;
        assert_eq!((winner, at), ("10.0.0.1".parse().ok(), ATTEMPT_DELAY.as_millis() + 10));
        assert_eq!(ends, [end("10.0.0.1", 260, "connected"), end("::1", 260, "cancelled")]);
        assert!(error.attempts.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_earlier_address_may_still_win_while_the_later_is_tried() {
        let (winner, at, ends, _) = run(&[("::1", 300, Ok(())), ("10.0.0.1", 100, Ok(()))]).await;
        assert_eq!((winner, at), ("::1".parse().ok(), 300));
        assert_eq!(ends, [end("::1", 300, "connected"), end("10.0.0.1", 300, "cancelled")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_starts_the_next_at_once() {
        let plays = [("::1", 5, Err(Failure::Refused)), ("10.0.0.1", 5, Err(Failure::Refused)), ("::2", 5, Ok(()))];
        let (winner, at, ends, error) = run(&plays).await;
        assert_eq!((winner, at), ("::2".parse().ok(), 15));
        assert_eq!(ends, [end("::1", 5, "failed"), end("10.0.0.1", 10, "failed"), end("::2", 15, "connected")]);
        assert_eq!(error.attempts.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_failure_does_not_hold_up_the_others() {
        let plays = [
            ("::1", 300, Err(Failure::Refused)),
            ("10.0.0.1", 1_000, Err(Failure::Refused)),
            ("::2", 1_000, Err(Failure::Refused)),
        ];
        let (winner, at, ends, error) = run(&plays).await;
        // The third is started by the first one's failure, before its own 500 ms.
        assert_eq!((winner, at, error.attempts.len()), (None, 1_300, 3));
        assert_eq!(ends, [end("::1", 300, "failed"), end("10.0.0.1", 1_250, "failed"), end("::2", 1_300, "failed")]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_descriptors_no_more_are_started_but_what_runs_may_win() {
        let emfile = Failure::OutOfDescriptors(std::io::Error::from_raw_os_error(libc::EMFILE));
        let plays = [("::1", 400, Ok(())), ("10.0.0.1", 0, Err(emfile)), ("::2", 0, Ok(()))];
        let (winner, at, _, error) = run(&plays).await;
        assert_eq!((winner, at, error.attempts.len()), ("::1".parse().ok(), 400, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_race_without_addresses_is_over_at_once() {
        let (winner, at, ends, _) = run(&[]).await;
        assert_eq!((winner, at, ends.len()), (None, 0, 0));
    }
}
