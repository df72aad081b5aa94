use std::cmp::Reverse;

use http::StatusCode;
use serde::Serialize;

use super::answer::{Answer, json, text};
use super::query;
use crate::generation::Generation;
use crate::handler::Action;
use crate::server::Control;

/// The targets of the running generation.
#[derive(Serialize)]
struct Targets {
    /// How many there are, of which these may be the first.
    matched: usize,
    targets: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    route: String,
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

/// Every target of every route, and every server that one asks first: those that are set aside first, then those with the most connections.
pub(super) fn targets(control: &Control, query: &str) -> Answer {
    let limit = match query::limit(query) {
        Ok(limit) => limit,
        Err(problem) => return text(StatusCode::BAD_REQUEST, problem + "\n"),
    };
    let mut targets = rows(&control.current().load());
    targets.sort_by_key(|row| (row.set_aside.is_none(), Reverse(row.in_flight)));
    let matched = targets.len();
    targets.truncate(limit.unwrap_or(matched));
    json(StatusCode::OK, &Targets { matched, targets })
}

fn rows(generation: &Generation) -> Vec<Row> {
    let targets = generation.routes.iter().flat_map(|route| {
        let own = match &route.action {
            Action::Forward(forward) => Some(forward.targets.all()),
            Action::Redirect(_) | Action::Respond(_) => None,
        };
        let asked = route.http.forward_auth.as_ref().map(|asked| asked.targets.all());
        own.into_iter().flatten().chain(asked.into_iter().flatten()).map(move |target| (route, target))
    });
    let rows = targets.map(|(route, (target, health))| Row {
        route: route.meter.name().to_string(),
        target: target.label().to_string(),
        in_flight: target.in_flight(),
        set_aside: health
            .and_then(|health| health.set_aside())
            .map(|aside| Aside { cause: aside.cause.as_str(), seconds: aside.since.elapsed().as_secs_f64() }),
    });
    rows.collect()
}
