use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// What the counters of the daemon's metrics stood at, at one moment.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    at: Instant,
    accepted: u64,
    requests: u64,
    routes: BTreeMap<String, RouteTally>,
    /// Endings by party and cause.
    endings: BTreeMap<(String, String), u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct RouteTally {
    live: u64,
    requests: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// How many by the second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) connections: f64,
    pub(super) requests: f64,
    pub(super) bytes_in: f64,
    pub(super) bytes_out: f64,
}

/// One route, as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RouteRow {
    pub(super) name: String,
    pub(super) live: u64,
    pub(super) rates: Rates,
}

/// How often something ended connections, within the time that is looked back over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CauseRow {
    pub(super) party: String,
    pub(super) cause: String,
    pub(super) count: u64,
}

/// How far back is looked for causes.
pub(super) const CAUSES_OVER: Duration = Duration::from_secs(60);

/// How far back is looked for rates: as the daemon does for those of connections.
const RATES_OVER: Duration = Duration::from_secs(5);

/// The last tallies, oldest first; as many as [`CAUSES_OVER`] needs.
#[derive(Debug, Default)]
pub(super) struct Tallies(VecDeque<Tally>);

impl Tally {
    /// Reads the metrics' text.
    pub(super) fn parse(text: &str, at: Instant) -> Self {
        let mut tally = Self { at, accepted: 0, requests: 0, routes: BTreeMap::new(), endings: BTreeMap::new() };
        for line in text.lines() {
            if let Some(sample) = line.strip_prefix("smartproxy_").and_then(Sample::parse) {
                tally.add(&sample);
            }
        }
        tally
    }

    fn add(&mut self, sample: &Sample<'_>) {
        let value = sample.value;
        let mut route = |add: fn(&mut RouteTally, u64)| {
            if let Some(name) = sample.label("route") {
                add(self.routes.entry(name).or_default(), value);
            }
        };
        match sample.name {
            "connections_accepted_total" => self.accepted = value,
            "connections_active" => route(|route, value| route.live = value),
            "received_bytes_total" => route(|route, value| route.bytes_in = value),
            "sent_bytes_total" => route(|route, value| route.bytes_out = value),
            "requests_total" => {
                route(|route, value| route.requests += value);
                self.requests += value;
            }
            "connections_closed_total" => {
                if let (Some(party), Some(cause)) = (sample.label("party"), sample.label("cause")) {
                    *self.endings.entry((party, cause)).or_default() += value;
                }
            }
            _ => {}
        }
    }
}

impl Tallies {
    /// Adds what was just read. A counter that has fallen is another daemon's: what was before says nothing of it.
    pub(super) fn add(&mut self, tally: Tally) {
        if self.0.back().is_some_and(|last| tally.accepted < last.accepted || tally.requests < last.requests) {
            self.0.clear();
        }
        // One is kept that is as old as is looked back to, or older.
        while self.0.get(1).is_some_and(|second| tally.at.duration_since(second.at) >= CAUSES_OVER) {
            self.0.pop_front();
        }
        self.0.push_back(tally);
    }

    /// The rates of the whole.
    pub(super) fn rates(&self) -> Rates {
        let Some((then, now, seconds)) = self.span(RATES_OVER) else { return Rates::default() };
        let sum = |tally: &Tally, of: fn(&RouteTally) -> u64| tally.routes.values().map(of).sum::<u64>();
        let bytes = |of| by_second(sum(now, of), sum(then, of), seconds);
        Rates {
            connections: by_second(now.accepted, then.accepted, seconds),
            requests: by_second(now.requests, then.requests, seconds),
            bytes_in: bytes(|route| route.bytes_in),
            bytes_out: bytes(|route| route.bytes_out),
        }
    }

    /// The routes, those first that move most; then those with the most connections.
    pub(super) fn routes(&self) -> Vec<RouteRow> {
        let Some(now) = self.0.back() else { return Vec::new() };
        let span = self.span(RATES_OVER);
        let mut rows: Vec<_> = now
            .routes
            .iter()
            .map(|(name, route)| {
                let rates = span.map_or_else(Rates::default, |(then, _, seconds)| {
                    let before = then.routes.get(name).copied().unwrap_or_default();
                    Rates {
                        connections: 0.0,
                        requests: by_second(route.requests, before.requests, seconds),
                        bytes_in: by_second(route.bytes_in, before.bytes_in, seconds),
                        bytes_out: by_second(route.bytes_out, before.bytes_out, seconds),
                    }
                });
                RouteRow { name: name.clone(), live: route.live, rates }
            })
            .collect();
        let moves = |row: &RouteRow| row.rates.bytes_in + row.rates.bytes_out;
        rows.sort_by(|one, other| moves(other).total_cmp(&moves(one)).then(other.live.cmp(&one.live)));
        rows
    }

    /// Why connections have ended lately, the most frequent cause first.
    pub(super) fn causes(&self) -> Vec<CauseRow> {
        let Some((then, now, _)) = self.span(CAUSES_OVER) else { return Vec::new() };
        let mut rows: Vec<_> = now
            .endings
            .iter()
            .map(|((party, cause), count)| {
                let before = then.endings.get(&(party.clone(), cause.clone())).copied().unwrap_or(0);
                CauseRow { party: party.clone(), cause: cause.clone(), count: count.saturating_sub(before) }
            })
            .filter(|row| row.count > 0)
            .collect();
        rows.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.cause.cmp(&other.cause)));
        rows
    }

    /// The last tally, the one that is as far back, and the seconds between them.
    fn span(&self, over: Duration) -> Option<(&Tally, &Tally, f64)> {
        let now = self.0.back()?;
        let far = |then: &&Tally| now.at.duration_since(then.at) >= over;
        let then = self.0.iter().rev().find(far).or_else(|| self.0.front())?;
        let seconds = now.at.duration_since(then.at).as_secs_f64();
        (seconds > 0.0).then_some((then, now, seconds))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown in three digits")]
fn by_second(now: u64, then: u64, seconds: f64) -> f64 {
    now.saturating_sub(then) as f64 / seconds
}

/// One line of the text.
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: u64,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}')?),
            None => (series, ""),
        };
        Some(Self { name, labels, value: value.parse().ok()? })
    }

    /// The value of a label. Ours have neither commas nor quotes: they are names of routes and words of the program.
    fn label(&self, key: &str) -> Option<String> {
        let pairs = self.labels.split(',').filter_map(|pair| pair.split_once('='));
        let value = pairs.into_iter().find(|(name, _)| *name == key)?.1;
        Some(value.trim_matches('"').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(begin: Instant, second: u64) -> Tally {
        let text = format!(
            "# HELP smartproxy_connections_accepted_total x\nsmartproxy_connections_accepted_total {}\n\
             smartproxy_connections_active{{route=\"shop\"}} 3\n\
             smartproxy_requests_total{{route=\"shop\",status=\"2xx\"}} {}\n\
             smartproxy_requests_total{{route=\"shop\",status=\"5xx\"}} 1\n\
             smartproxy_received_bytes_total{{route=\"shop\"}} {}\nsmartproxy_sent_bytes_total{{route=\"blog\"}} 7\n\
             smartproxy_connections_closed_total{{cause=\"refused\",party=\"target\",phase=\"connect\",route=\"shop\"}} {}\n\
             smartproxy_connections_closed_total{{cause=\"refused\",party=\"target\",phase=\"connect\",route=\"blog\"}} 1\n",
            10 * second,
            20 * second,
            1_000 * second,
            second,
        );
        Tally::parse(&text, begin + Duration::from_secs(second))
    }

    #[test]
    fn rates_are_of_the_last_seconds_and_causes_of_the_last_minute() {
        let (begin, mut tallies) = (Instant::now(), Tallies::default());
        assert_eq!((tallies.rates(), tallies.routes(), tallies.causes()), (Rates::default(), vec![], vec![]));
        for second in 1..=200 {
            tallies.add(tally(begin, second));
        }
        let rates = Rates { connections: 10.0, requests: 20.0, bytes_in: 1_000.0, bytes_out: 0.0 };
        assert_eq!(tallies.rates(), rates);
        let routes = tallies.routes();
        assert_eq!(routes.iter().map(|route| &*route.name).collect::<Vec<_>>(), ["shop", "blog"]);
        assert_eq!((routes[0].live, routes[0].rates.requests), (3, 20.0));
        let refused = CauseRow { party: "target".into(), cause: "refused".into(), count: 60 };
        assert_eq!(tallies.causes(), [refused]);
        assert!(tallies.0.len() <= 62, "{}", tallies.0.len());
        // Another daemon begins at zero.
        tallies.add(tally(begin, 0));
        assert_eq!((tallies.0.len(), tallies.rates()), (1, Rates::default()));
    }
}
