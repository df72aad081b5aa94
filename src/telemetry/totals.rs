use std::sync::atomic::Ordering;

use prometheus::core::Collector;

use super::meters::Meters;
use crate::outcome::Cause;

/// What the metrics come to when no label counts but the cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Client connections accepted.
    pub accepted: u64,
    /// Those that live.
    pub active: u64,
    /// HTTP requests answered.
    pub requests: u64,
    /// Payload bytes from clients.
    pub received: u64,
    /// Payload bytes to clients.
    pub sent: u64,
    /// Connections ended, by the place of their cause in [`Cause::ALL`].
    pub causes: [u64; Cause::ALL.len()],
}

impl Totals {
    /// Connections ended.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.causes.iter().sum()
    }
}

impl Meters {
    /// The sums over every series. It looks at each one, so it costs what a scrape costs, without the text.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut causes = [0; Cause::ALL.len()];
        let series = &self.routes;
        // Those of routes that a reload has removed are sums by now.
        for family in series.closed.collect().into_iter().chain(series.forgotten.collect()) {
            for metric in family.get_metric() {
                let of_cause = metric.get_label().iter().find(|label| label.name() == "cause");
                let place =
                    of_cause.and_then(|label| Cause::ALL.iter().position(|cause| cause.as_str() == label.value()));
                if let Some(count) = place.and_then(|place| causes.get_mut(place)) {
                    *count += whole(metric.get_counter().get_value());
                }
            }
        }
        Totals {
            accepted: self.accepted.get(),
            active: sum(&series.active),
            requests: sum(&series.requests) + series.gone.requests.load(Ordering::Relaxed),
            received: sum(&series.received) + series.gone.received.load(Ordering::Relaxed),
            sent: sum(&series.sent) + series.gone.sent.load(Ordering::Relaxed),
            causes,
        }
    }
}

fn sum(metrics: &impl Collector) -> u64 {
    let families = metrics.collect();
    let metrics = families.iter().flat_map(|family| family.get_metric());
    metrics.map(|metric| whole(metric.get_counter().get_value()) + whole(metric.get_gauge().get_value())).sum()
}

/// The number that a counter or a gauge of whole numbers has; of bytes, exact up to 2^53.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are whole and not negative")]
fn whole(value: f64) -> u64 {
    value.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::outcome::{Outcome, Party, Phase};
    use crate::telemetry::StatusClass;

    #[test]
    fn totals_are_sums_over_all_routes_and_each_cause_has_its_own() {
        let meters = Arc::new(Meters::new());
        let (a, b) = (meters.route("a"), meters.route("b"));
        let moment = Duration::from_millis(1);
        meters.accepted.inc_by(3);
        let held = [a.hold(), b.hold()];
        a.moved(10, 20);
        b.moved(1, 2);
        a.request(StatusClass::Success, moment);
        b.request(StatusClass::ServerError, moment);
        let reset = Outcome::new(Phase::Relay, Party::Client, Cause::Reset);
        a.closed(reset, true, moment);
        b.closed(reset, true, moment);
        b.closed(Outcome::new(Phase::Connect, Party::Target, Cause::Refused), false, moment);
        let totals = meters.totals();
        let of = |cause| totals.causes[Cause::ALL.iter().position(|other| *other == cause).unwrap()];
        assert_eq!((totals.accepted, totals.active, totals.requests), (3, 2, 2));
        assert_eq!((totals.received, totals.sent, totals.closed()), (11, 22, 3));
        assert_eq!((of(Cause::Reset), of(Cause::Refused), of(Cause::Finished)), (2, 1, 0));
        drop(held);
        assert_eq!(meters.totals().active, 0);
    }
}
