use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use serde::Serialize;

use super::answer::{Answer, json, text};
use super::query::pairs;
use crate::connection::{Registry, SHARDS};
use crate::outcome::Cause;
use crate::server::Control;
use crate::telemetry::Totals;

/// How often a sample is taken.
const EVERY: Duration = Duration::from_secs(1);

/// How many are kept: five minutes of them.
const SAMPLES_MAX: usize = 300;

/// Taking a sample looks at every series and every live connection. Where these are so many that it takes long, the next
/// sample is later, so that it is never more than a fiftieth of the control plane's time.
const REST: u32 = 50;

/// What the daemon has done of late, in steps of a second. Taken on the control plane, from the metrics.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<VecDeque<Sample>>);

/// What the metrics came to at a moment.
#[derive(Clone, Debug)]
struct Sample {
    number: u64,
    at: Instant,
    totals: Totals,
}

/// Takes samples for as long as it is polled.
pub(super) async fn keep(history: Arc<History>, registry: Arc<Registry>) {
    loop {
        let begun = Instant::now();
        let totals = count(&registry).await;
        history.add(begun, totals);
        let wait = EVERY.saturating_sub(begun.elapsed()).max(begun.elapsed().saturating_mul(REST));
        tokio::time::sleep(wait).await;
    }
}

/// The metrics' totals, with what living connections have moved. Others get their turn in between.
async fn count(registry: &Registry) -> Totals {
    for shard in 0..SHARDS {
        for connection in registry.connections_in(shard) {
            connection.settle();
        }
        tokio::task::yield_now().await;
    }
    registry.meters().totals()
}

/// The answer to `/history`.
#[derive(Serialize)]
struct Shown {
    /// Since the daemon began.
    totals: ShownTotals,
    /// What happened between one sample and the one before it, oldest first.
    samples: Vec<Step>,
    /// How far back the samples and the causes reach.
    window_seconds: f64,
    /// How connections have ended in that time, the most frequent first.
    causes: Vec<Ended>,
}

#[derive(Serialize)]
struct ShownTotals {
    accepted: u64,
    active: u64,
    requests: u64,
    received_bytes: u64,
    sent_bytes: u64,
    closed: u64,
}

#[derive(Serialize)]
struct Step {
    /// Its place in the row: to ask for what came after it.
    number: u64,
    /// How long it was.
    seconds: f64,
    accepted: u64,
    /// At its end.
    active: u64,
    requests: u64,
    received_bytes: u64,
    sent_bytes: u64,
    closed: u64,
}

#[derive(Serialize)]
struct Ended {
    cause: &'static str,
    /// Whether it is a failure.
    failure: bool,
    /// How many in the window.
    count: u64,
    /// How many since the daemon began.
    total: u64,
    meaning: &'static str,
}

/// Answers with the history; `after=NUMBER` leaves out the samples up to that one.
pub(super) async fn show(history: &History, control: &Control, query: &str) -> Answer {
    let mut after = 0;
    for (key, value) in pairs(query) {
        match (key.as_str(), value.parse()) {
            ("after", Ok(number)) => after = number,
            _ => return text(StatusCode::BAD_REQUEST, "the query may be after=NUMBER\n"),
        }
    }
    let totals = count(control.registry()).await;
    json(StatusCode::OK, &history.shown(totals, after, Instant::now()))
}

impl History {
    fn add(&self, at: Instant, totals: Totals) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = samples.back().map_or(1, |last| last.number + 1);
        // One more than are shown: each is shown as what has changed since the one before.
        if samples.len() > SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(Sample { number, at, totals });
    }

    fn shown(&self, totals: Totals, after: u64, now: Instant) -> Shown {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = samples.front();
        let before = begun.map(|first| &first.totals);
        let count = |place: usize, totals: &Totals| totals.causes.get(place).copied().unwrap_or(0);
        let mut causes: Vec<Ended> = Cause::ALL
            .iter()
            .enumerate()
            .map(|(place, cause)| Ended {
                cause: cause.as_str(),
                failure: cause.is_failure(),
                count: count(place, &totals)
                    - before.map_or(0, |before| count(place, before)).min(count(place, &totals)),
                total: count(place, &totals),
                meaning: cause.meaning(),
            })
            .filter(|ended| ended.total > 0)
            .collect();
        causes.sort_by(|a, b| b.count.cmp(&a.count).then(b.total.cmp(&a.total)));
        let pairs = samples.iter().zip(samples.iter().skip(1));
        Shown {
            samples: pairs.filter(|(_, sample)| sample.number > after).map(|(a, b)| Step::between(a, b)).collect(),
            window_seconds: begun.map_or(0.0, |first| now.saturating_duration_since(first.at).as_secs_f64()),
            causes,
            totals: ShownTotals {
                accepted: totals.accepted,
                active: totals.active,
                requests: totals.requests,
                received_bytes: totals.received,
                sent_bytes: totals.sent,
                closed: totals.closed(),
            },
        }
    }
}

impl Step {
    fn between(one: &Sample, next: &Sample) -> Self {
        // A count that falls, as bytes that are taken back do, is none.
        let step = |of: fn(&Totals) -> u64| of(&next.totals).saturating_sub(of(&one.totals));
        Self {
            number: next.number,
            seconds: next.at.saturating_duration_since(one.at).as_secs_f64(),
            accepted: step(|totals| totals.accepted),
            active: next.totals.active,
            requests: step(|totals| totals.requests),
            received_bytes: step(|totals| totals.received),
            sent_bytes: step(|totals| totals.sent),
            closed: step(Totals::closed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(accepted: u64, reset: u64) -> Totals {
        let mut causes = [0; Cause::ALL.len()];
        causes[Cause::ALL.iter().position(|cause| *cause == Cause::Reset).unwrap()] = reset;
        Totals { accepted, active: accepted - reset, requests: 0, received: accepted * 10, sent: 0, causes }
    }

    #[test]
    fn as_many_samples_as_are_kept_are_shown_and_the_oldest_goes_for_one_more() {
        let (history, begun) = (History::default(), Instant::now());
        let at = |second: u64| begun + Duration::from_secs(second);
        for second in 0..=300 {
            history.add(at(second), totals(second, 0));
        }
        let shown = history.shown(totals(300, 0), 0, at(300));
        assert_eq!((shown.samples.len(), shown.samples[0].number, shown.window_seconds), (300, 2, 300.0));
        history.add(at(301), totals(304, 4));
        let shown = history.shown(totals(304, 4), 0, at(302));
        assert_eq!((shown.samples.len(), shown.samples[0].number, shown.window_seconds), (300, 3, 301.0));
        let last = shown.samples.last().unwrap();
        assert_eq!((last.accepted, last.active, last.received_bytes, last.closed, last.seconds), (4, 300, 40, 4, 1.0));
        let newer = history.shown(totals(304, 4), 300, at(302));
        assert_eq!(newer.samples.iter().map(|step| step.number).collect::<Vec<_>>(), [301, 302]);
    }

    #[test]
    fn causes_are_those_of_the_window_and_the_older_ones_stay_as_totals() {
        let (history, begun) = (History::default(), Instant::now());
        assert!(history.shown(totals(0, 0), 0, begun).causes.is_empty());
        history.add(begun, totals(5, 2));
        let shown = history.shown(totals(9, 5), 0, begun);
        let ended = &shown.causes[0];
        assert_eq!((shown.causes.len(), ended.cause, ended.count, ended.total), (1, "reset", 3, 5));
    }
}
