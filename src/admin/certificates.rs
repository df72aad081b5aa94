use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::StatusCode;
use serde::Serialize;

use super::answer::{Answer, json, text};
use super::query::pairs;
use crate::generation::Generation;
use crate::server::Control;
use crate::tls::{Certificate, ServerPolicy};

/// Certificates that are shown unless more are asked for.
const LIMIT: usize = 1_000;

/// Names and routes that are shown of one; how many there are is said too.
const SHOWN_MAX: usize = 16;

/// The certificates of the running generation.
#[derive(Serialize)]
struct Certificates {
    /// How many there are, of which these may be the first.
    matched: usize,
    certificates: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    /// Its files, or how it was made.
    source: String,
    names: Vec<String>,
    name_count: usize,
    /// The routes that may show it.
    routes: Vec<String>,
    route_count: usize,
    /// Whether the operator's address shows it.
    admin: bool,
    /// Seconds since 1970.
    not_before: i64,
    /// Seconds since 1970.
    not_after: i64,
    /// Below zero once it has expired.
    expires_in_seconds: i64,
}

/// What shows a certificate.
#[derive(Default)]
struct Users {
    routes: Vec<String>,
    count: usize,
    admin: bool,
}

/// Every certificate that clients or operators may be shown, the next to expire first.
pub(super) fn show(control: &Control, query: &str) -> Answer {
    let mut limit = LIMIT;
    for (key, value) in pairs(query) {
        match (key.as_str(), value.parse()) {
            ("limit", Ok(rows)) => limit = rows,
            _ => return text(StatusCode::BAD_REQUEST, "the query may be limit=NUMBER\n"),
        }
    }
    json(StatusCode::OK, &Certificates::of(&control.current().load(), limit, SystemTime::now()))
}

impl Certificates {
    fn of(generation: &Generation, limit: usize, now: SystemTime) -> Self {
        // By policy first, since a hundred thousand routes have a handful of them; then by the certificate itself.
        let mut policies: HashMap<*const ServerPolicy, (&ServerPolicy, Users)> = HashMap::new();
        for route in generation.routes.iter() {
            let Some(policy) = &route.tls else { continue };
            let (_, of_policy) = policies.entry(Arc::as_ptr(policy)).or_insert_with(|| (&**policy, Users::default()));
            of_policy.add(std::iter::once(route.rule.name.to_string()), 1);
        }
        let mut users: HashMap<*const Certificate, (Arc<Certificate>, Users)> = HashMap::new();
        for (policy, of_policy) in policies.into_values() {
            for certificate in policy.certificates() {
                let known = users.entry(Arc::as_ptr(certificate));
                let (_, users) = known.or_insert_with(|| (Arc::clone(certificate), Users::default()));
                users.add(of_policy.routes.iter().cloned(), of_policy.count);
            }
        }
        if let Some(tls) = &generation.operators.tls {
            let own = &tls.certificate;
            users.entry(Arc::as_ptr(own)).or_insert_with(|| (Arc::clone(own), Users::default())).1.admin = true;
        }
        let mut found: Vec<_> = users.into_values().collect();
        found.sort_by(|(a, _), (b, _)| a.not_after().cmp(&b.not_after()).then_with(|| a.source().cmp(b.source())));
        let matched = found.len();
        found.truncate(limit);
        Self { matched, certificates: found.into_iter().map(|(one, users)| Row::of(&one, users, now)).collect() }
    }
}

impl Users {
    fn add(&mut self, routes: impl Iterator<Item = String>, count: usize) {
        self.count += count;
        self.routes.extend(routes.take(SHOWN_MAX.saturating_sub(self.routes.len())));
    }
}

impl Row {
    fn of(certificate: &Certificate, users: Users, now: SystemTime) -> Self {
        let (names, addresses) = (certificate.names(), certificate.addresses());
        let shown = names.iter().map(ToString::to_string).chain(addresses.iter().map(ToString::to_string));
        let not_after = seconds(certificate.not_after());
        Self {
            source: certificate.source().into(),
            names: shown.take(SHOWN_MAX).collect(),
            name_count: names.len() + addresses.len(),
            routes: users.routes,
            route_count: users.count,
            admin: users.admin,
            not_before: seconds(certificate.not_before()),
            not_after,
            expires_in_seconds: not_after.saturating_sub(seconds(now)),
        }
    }
}

/// Seconds since 1970, below zero before.
fn seconds(time: SystemTime) -> i64 {
    let whole = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => whole(since.as_secs()),
        Err(before) => whole(before.duration().as_secs()).saturating_neg(),
    }
}
