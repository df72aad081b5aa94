use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::StatusCode;
use serde::Serialize;

use super::answer::{Answer, json, text};
use super::query::{self, NAMES_SHOWN_MAX, ROWS_SHOWN};
use crate::generation::Generation;
use crate::server::Control;
use crate::tls::{Certificate, ServerPolicy};

/// The certificates of the running generation.
#[derive(Serialize)]
struct Certificates {
    /// How many there are.
    matched: usize,
    /// How many of them are shown at most.
    limit: usize,
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
    let limit = match query::limit(query) {
        Ok(limit) => limit.unwrap_or(ROWS_SHOWN),
        Err(problem) => return text(StatusCode::BAD_REQUEST, problem + "\n"),
    };
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
        let certificates = found.into_iter().map(|(one, users)| Row::of(&one, users, now)).collect();
        Self { matched, limit, certificates }
    }
}

impl Users {
    fn add(&mut self, routes: impl Iterator<Item = String>, count: usize) {
        self.count += count;
        self.routes.extend(routes.take(NAMES_SHOWN_MAX.saturating_sub(self.routes.len())));
    }
}

impl Row {
    fn of(certificate: &Certificate, users: Users, now: SystemTime) -> Self {
        let (names, addresses) = (certificate.names(), certificate.addresses());
        let shown = names.iter().map(ToString::to_string).chain(addresses.iter().map(ToString::to_string));
        let not_after = seconds(certificate.not_after());
        Self {
            source: certificate.source().into(),
            names: shown.take(NAMES_SHOWN_MAX).collect(),
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

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use serde_json::{Value, json};

    use super::*;
    use crate::generation::Source;
    use crate::telemetry::Meters;

    /// What is shown of routes, each with these domains and a certificate of its own for them; or of this many times the same.
    fn shown(routes: &[Vec<String>], times: usize, limit: usize) -> Value {
        let mut text = String::from("admin.socket = \"\"\n");
        for (number, domains) in routes.iter().flat_map(|domains| vec![domains; times]).enumerate() {
            // Another port, so that no route stands in the way of another.
            let _ = write!(
                text,
                "[[routes]]\nname = \"r{number}\"\nmatch.ports = [{}]\nmatch.domains = {domains:?}\n\
                 tls = {{ mode = \"terminate\", certificate = \"self-signed\" }}\ntargets = [\"10.0.0.1:80\"]\n",
                8_000 + number
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.toml");
        std::fs::write(&path, text).unwrap();
        let generation = Source::new(&path, Arc::new(Meters::new())).unwrap().load(None).unwrap();
        serde_json::to_value(Certificates::of(&generation, limit, SystemTime::now())).unwrap()
    }

    #[test]
    fn one_certificate_above_the_limit_is_counted_and_not_shown_and_the_limit_is_said() {
        for certificates in [2, 3] {
            let routes: Vec<_> = (0..certificates).map(|number| vec![format!("s{number}.test")]).collect();
            let answer = shown(&routes, 1, 2);
            assert_eq!(answer["certificates"].as_array().unwrap().len(), 2);
            assert_eq!((&answer["matched"], &answer["limit"]), (&json!(certificates), &json!(2)));
        }
    }

    #[test]
    fn one_name_or_route_of_a_certificate_above_the_limit_is_counted_and_not_shown() {
        // One made for these names is for localhost and its addresses too.
        let own = shown(&[vec!["s.test".into()]], 1, 1)["certificates"][0]["name_count"].as_u64().unwrap();
        let own = usize::try_from(own).unwrap() - 1;
        for each in [NAMES_SHOWN_MAX, NAMES_SHOWN_MAX + 1] {
            let domains = (own..each).map(|number| format!("s{number}.test")).collect();
            let answer = shown(&[domains], each, 1);
            let only = &answer["certificates"][0];
            for (list, count) in [("names", "name_count"), ("routes", "route_count")] {
                assert_eq!(only[list].as_array().unwrap().len(), NAMES_SHOWN_MAX, "{list}");
                assert_eq!(only[count], json!(each), "{count}");
            }
        }
    }
}
