use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::quantity::grouped;

/// How many warnings or errors of one kind are written within [`WINDOW`]; the next ones are counted. Five show whether they
/// are the same, and where they come from.
const SAID_MAX: usize = 5;

/// How long they are counted before it is said how many they were.
const WINDOW: Duration = Duration::from_secs(5);

/// How many kinds are told apart. What comes beyond them is told apart by its place in the program only, of which there are
/// some dozens.
const KINDS_MAX: usize = 256;

/// How much of a message is said again with the count.
const MESSAGE_SHOWN_MAX: usize = 120;

/// Where the counts are said, which are not counted themselves.
const TARGET: &str = "smartproxy::folds";

/// What tells two warnings of one place in the program apart: the rest, as an error's text or a connection's number, does not.
const TELLING: [&str; 6] = ["message", "log.target", "route", "target", "address", "certificate"];

/// Keeps a fault that repeats itself from filling the log: after a few of one kind within a few seconds the others are counted,
/// and the count is said once.
#[derive(Clone, Debug, Default)]
pub(super) struct Folds(Arc<Mutex<HashMap<Kind, Fold>>>);

/// Warnings or errors that say the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    callsite: Identifier,
    telling: u64,
}

#[derive(Debug)]
struct Fold {
    since: Instant,
    level: Level,
    said: usize,
    more: usize,
    message: String,
    route: Option<String>,
    target: Option<String>,
}

/// What of an event says what kind it is.
struct Telling {
    hasher: DefaultHasher,
    message: String,
    route: Option<String>,
    target: Option<String>,
}

impl Folds {
    /// Says from time to time what has been counted, for as long as it is polled.
    pub(super) async fn tell(self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tell_due(WINDOW);
        }
    }

    /// Says what has been counted, and has not been said.
    pub(super) fn finish(&self) {
        self.tell_due(Duration::ZERO);
    }

    fn tell_due(&self, window: Duration) {
        // Taken out first: what is said goes through here again.
        let due: Vec<_> = self.kinds().extract_if(|_, fold| fold.since.elapsed() >= window).collect();
        for (_, fold) in due.iter().filter(|(_, fold)| fold.more > 0) {
            fold.tell();
        }
    }

    /// Whether the event is to be written.
    fn takes(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        // Greater is less severe.
        if *metadata.level() > Level::WARN || metadata.target() == TARGET {
            return true;
        }
        let telling = Telling::of(event);
        let mut kind = Kind { callsite: metadata.callsite(), telling: telling.hasher.finish() };
        let mut kinds = self.kinds();
        if kinds.len() >= KINDS_MAX && !kinds.contains_key(&kind) {
            kind.telling = 0;
        }
        let fold = kinds.entry(kind).or_insert_with(|| Fold::new(*metadata.level(), telling));
        if fold.said < SAID_MAX {
            fold.said += 1;
            return true;
        }
        fold.more = fold.more.saturating_add(1);
        false
    }

    fn kinds(&self) -> MutexGuard<'_, HashMap<Kind, Fold>> {
        // The counts are whole even if another thread has panicked while it held the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Folds {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.takes(event)
    }
}

impl Fold {
    fn new(level: Level, telling: Telling) -> Self {
        let Telling { message, route, target, .. } = telling;
        let first = message.lines().next().unwrap_or_default();
        let message = first.chars().take(MESSAGE_SHOWN_MAX).collect();
        Self { since: Instant::now(), level, said: 0, more: 0, message, route, target }
    }

    fn tell(&self) {
        let Self { more, message, route, target, .. } = self;
        let seconds = self.since.elapsed().as_secs().max(1);
        let (count, route, to) = (grouped(*more), route.as_deref(), target.as_deref());
        if self.level == Level::ERROR {
            tracing::error!(target: TARGET, more, route, target = to, "… {count} more like this in {seconds} s: {message}");
        } else {
            tracing::warn!(target: TARGET, more, route, target = to, "… {count} more like this in {seconds} s: {message}");
        }
    }
}

impl Telling {
    fn of(event: &Event<'_>) -> Self {
        let mut telling = Self { hasher: DefaultHasher::new(), message: String::new(), route: None, target: None };
        event.record(&mut telling);
        telling
    }

    fn add(&mut self, field: &Field, text: String) {
        if TELLING.contains(&field.name()) {
            (field.name(), &text).hash(&mut self.hasher);
        }
        match field.name() {
            "message" => self.message = text,
            "route" => self.route = Some(text),
            "target" => self.target = Some(text),
            _ => {}
        }
    }
}

impl Visit for Telling {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::telemetry::Kept;

    /// What is written of what is logged in `log`, and of what is counted when that is over.
    fn written(log: impl FnOnce(&Folds)) -> Vec<String> {
        let (kept, folds) = (Kept::default(), Folds::default());
        let output = kept.clone();
        let lines = tracing_subscriber::fmt::layer().without_time().with_ansi(false).with_target(false);
        let subscriber =
            tracing_subscriber::registry().with(folds.clone()).with(lines.with_writer(move || output.clone()));
        tracing::subscriber::with_default(subscriber, || {
            log(&folds);
            folds.finish();
        });
        kept.text().lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_first_few_are_said_and_the_others_are_counted_and_said_once() {
        let lines = written(|_| {
            for number in 0..SAID_MAX + 1_204 {
                tracing::warn!(route = "shop", connection = number, error = %number, "it does not work");
            }
        });
        assert_eq!(lines.len(), SAID_MAX + 1, "{lines:#?}");
        let last = lines.last().unwrap();
        assert!(last.contains("WARN … 1,204 more like this in 1 s: it does not work"), "{last}");
        assert!(last.contains("more=1204") && last.contains("route=\"shop\""), "{last}");
        // No more than a few: nothing is counted, nothing is said twice.
        assert_eq!(written(|_| (0..SAID_MAX).for_each(|_| tracing::error!("again"))).len(), SAID_MAX);
    }

    #[test]
    fn what_differs_in_place_route_or_target_is_not_the_same_and_what_is_no_fault_is_never_counted() {
        let lines = written(|_| {
            for route in ["one", "two"] {
                (0..SAID_MAX).for_each(|_| tracing::warn!(route, "a warning"));
                (0..SAID_MAX).for_each(|_| tracing::warn!(target = route, "a warning"));
            }
            (0..SAID_MAX * 10).for_each(|_| tracing::info!("an event"));
        });
        assert_eq!(lines.len(), SAID_MAX * 14);
    }

    #[test]
    fn kinds_are_bounded_and_what_comes_beyond_is_counted_together() {
        const BEYOND: usize = 100;
        let lines = written(|folds| {
            for number in 0..KINDS_MAX + BEYOND {
                tracing::error!("fault {number}");
            }
            assert_eq!(folds.kinds().len(), KINDS_MAX + 1);
        });
        assert_eq!(lines.len(), KINDS_MAX + SAID_MAX + 1, "{:?}", lines.last());
        assert!(lines.last().unwrap().contains("… 95 more like this"), "{:?}", lines.last());
    }

    #[test]
    fn after_the_window_it_is_said_anew() {
        let lines = written(|folds| {
            let storm = || (0..SAID_MAX + 1).for_each(|_| tracing::warn!("a storm"));
            storm();
            folds.finish();
            storm();
        });
        assert_eq!(lines.len(), 2 * (SAID_MAX + 1), "{lines:#?}");
    }
}
