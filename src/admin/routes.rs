use std::collections::HashMap;

use http::StatusCode;
use serde::Serialize;

use super::answer::{Answer, json, text};
use super::query::{self, NAMES_SHOWN_MAX, ROWS_SHOWN};
use crate::generation::Generation;
use crate::handler::{Action, Forward, Route};
use crate::route::{Protocol, RouteId, TlsHandling};
use crate::server::Control;
use crate::upstream::{Health, Target};

/// The routes of the running generation.
#[derive(Serialize)]
struct Routes {
    generation: u64,
    /// How many there are.
    matched: usize,
    /// How many of them are shown at most.
    limit: usize,
    routes: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    /// Where it listens, as configured.
    listeners: Vec<String>,
    listener_count: usize,
    domains: Vec<String>,
    domain_count: usize,
    path: Option<String>,
    protocol: &'static str,
    /// `plain`, `passthrough`, `terminate` or `terminate-and-reencrypt`.
    tls: &'static str,
    /// `forward`, `redirect` or `respond`.
    action: &'static str,
    targets: Vec<TargetRow>,
    target_count: usize,
    /// How many of them are set aside.
    set_aside: usize,
    active: u64,
    requests: u64,
    /// Those of them that were answered with 5xx.
    errors: u64,
    received_bytes: u64,
    sent_bytes: u64,
}

#[derive(Serialize)]
struct TargetRow {
    target: String,
    /// Connections that stand or are being made, of all routes that have it.
    in_flight: u32,
    /// Why it is left alone, if it is.
    set_aside: Option<Aside>,
}

#[derive(Serialize)]
struct Aside {
    cause: &'static str,
    seconds: f64,
}

/// Every route with its targets, in the order of the file.
pub(super) fn show(control: &Control, query: &str) -> Answer {
    let limit = match query::limit(query) {
        Ok(limit) => limit.unwrap_or(ROWS_SHOWN),
        Err(problem) => return text(StatusCode::BAD_REQUEST, problem + "\n"),
    };
    // What living connections have moved counts too, as it does in the metrics.
    for connection in control.registry().connections() {
        connection.settle();
    }
    json(StatusCode::OK, &Routes::of(&control.current().load(), limit))
}

impl Routes {
    fn of(generation: &Generation, limit: usize) -> Self {
        let mut listeners: HashMap<RouteId, Vec<String>> = HashMap::new();
        for (address, site) in &generation.sites {
            for rule in site.table.in_order() {
                listeners.entry(rule.id).or_default().push(address.to_string());
            }
        }
        let mut listeners = |route: &Route| listeners.remove(&route.rule.id).unwrap_or_default();
        let routes = generation.routes.iter().take(limit).map(|route| Row::of(route, listeners(route))).collect();
        Self { generation: generation.number, matched: generation.routes.len(), limit, routes }
    }
}

impl Row {
    fn of(route: &Route, mut listeners: Vec<String>) -> Self {
        let (rule, counts) = (&route.rule, route.meter.counts());
        let (action, forward) = match &route.action {
            Action::Forward(forward) => ("forward", Some(forward)),
            Action::Redirect(_) => ("redirect", None),
            Action::Respond(_) => ("respond", None),
        };
        let tls = match rule.tls {
            TlsHandling::Plain => "plain",
            TlsHandling::Passthrough => "passthrough",
            TlsHandling::Terminate if forward.is_some_and(|forward| forward.tls.is_some()) => "terminate-and-reencrypt",
            TlsHandling::Terminate => "terminate",
        };
        let listener_count = listeners.len();
        listeners.truncate(NAMES_SHOWN_MAX);
        let all = || forward.into_iter().flat_map(|forward: &Forward| forward.targets.all());
        let is_aside =
            |health: Option<&std::sync::Arc<Health>>| health.is_some_and(|health| health.set_aside().is_some());
        Self {
            name: rule.name.to_string(),
            listeners,
            listener_count,
            domains: rule.domains.iter().take(NAMES_SHOWN_MAX).map(ToString::to_string).collect(),
            domain_count: rule.domains.len(),
            path: rule.path.as_ref().map(ToString::to_string),
            protocol: match rule.protocol {
                Protocol::Http => "http",
                Protocol::Tcp => "tcp",
            },
            tls,
            action,
            targets: all()
                .take(NAMES_SHOWN_MAX)
                .map(|(target, health)| TargetRow::of(target, health.map(|h| &**h)))
                .collect(),
            target_count: all().count(),
            set_aside: all().filter(|(_, health)| is_aside(*health)).count(),
            active: counts.active,
            requests: counts.requests,
            errors: counts.errors,
            received_bytes: counts.received,
            sent_bytes: counts.sent,
        }
    }
}

impl TargetRow {
    fn of(target: &Target, health: Option<&Health>) -> Self {
        let set_aside = health.and_then(Health::set_aside);
        Self {
            target: target.label().to_string(),
            in_flight: target.in_flight(),
            set_aside: set_aside
                .map(|aside| Aside { cause: aside.cause.as_str(), seconds: aside.since.elapsed().as_secs_f64() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::generation::Source;
    use crate::telemetry::Meters;

    /// What is shown of this many routes, each with this many domains, addresses and targets.
    fn shown(routes: usize, each: usize, query: &str) -> Value {
        let list = |prefix: &str, suffix: &str| {
            (1..=each).map(|number| format!("\"{prefix}{number}{suffix}\"")).collect::<Vec<_>>().join(", ")
        };
        let of = |route: usize| {
            format!(
                "[[routes]]\nname = \"r{route}\"\nmatch.ports = [{}]\nmatch.domains = [{}]\ntargets = [{}]\n",
                list("127.0.0.", ":80"),
                list("d", &format!(".r{route}.test")),
                list("10.0.0.", ":80")
            )
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.toml");
        let text = format!("admin.socket = \"\"\n{}", (0..routes).map(of).collect::<String>());
        std::fs::write(&path, text).unwrap();
        let generation = Source::new(&path, std::sync::Arc::new(Meters::new())).unwrap().load(None).unwrap();
        let Ok(limit) = query::limit(query) else { panic!("{query}") };
        serde_json::to_value(Routes::of(&generation, limit.unwrap_or(ROWS_SHOWN))).unwrap()
    }

    #[test]
    fn one_route_above_the_limit_is_counted_and_not_shown_and_the_limit_is_said() {
        for (routes, query, limit) in
            [(ROWS_SHOWN, "", ROWS_SHOWN), (ROWS_SHOWN + 1, "", ROWS_SHOWN), (2, "limit=2", 2), (3, "limit=2", 2)]
        {
            let answer = shown(routes, 1, query);
            assert_eq!(answer["routes"].as_array().unwrap().len(), routes.min(limit));
            assert_eq!((&answer["matched"], &answer["limit"]), (&json!(routes), &json!(limit)));
        }
        let all = shown(ROWS_SHOWN + 1, 1, &format!("limit={}", ROWS_SHOWN + 1));
        assert_eq!(all["routes"].as_array().unwrap().len(), ROWS_SHOWN + 1);
    }

    #[test]
    fn one_name_of_a_route_above_the_limit_is_counted_and_not_shown() {
        for each in [NAMES_SHOWN_MAX, NAMES_SHOWN_MAX + 1] {
            let answer = shown(1, each, "");
            let route = &answer["routes"][0];
            for (list, count) in
                [("listeners", "listener_count"), ("domains", "domain_count"), ("targets", "target_count")]
            {
                assert_eq!(route[list].as_array().unwrap().len(), NAMES_SHOWN_MAX, "{list}");
                assert_eq!(route[count], json!(each), "{count}");
            }
        }
    }
}
