use http::StatusCode;

use super::{headers, redirect, rewrite, template};
use crate::config::file::{LoadBalancingSection, RedirectSection, RespondSection, RouteTable, listed, or_empty};
use crate::config::place::Located;
use crate::config::report::Report;
use crate::config::resolved::{
    Action, Forward, LoadBalancing, ProxyVersion, Redirect, Respond, Target, UpstreamProtocol,
};
use crate::config::value::{Algorithm, Key, List, ProxyHeader, UpstreamWord};

/// What a route does with what it takes: exactly one of the three.
pub(super) fn resolve(table: &Located<RouteTable>, report: &mut Report) -> Option<Action> {
    let route = &table.value;
    let written = [
        ("targets", route.targets.written()),
        ("redirect", route.redirect.written()),
        ("respond", route.respond.written()),
    ];
    let written: Vec<_> = written.into_iter().filter_map(|(name, place)| Some((name, place?))).collect();
    if written.is_empty() {
        let help = "add `targets = [\"HOST:PORT\"]`, `redirect` or `respond`";
        report.fault_with_help(table.place, "the route does nothing with what it takes", help);
    }
    if let [(first, _), others @ ..] = written.as_slice() {
        for (other, place) in others {
            report.fault(*place, format!("`{other}` cannot be used with `{first}`: a route does one thing"));
        }
    }
    let forward = forward(route, report);
    let redirect = route.redirect.value().and_then(|section| resolve_redirect(section, report));
    let respond = route.respond.value().and_then(|section| resolve_respond(section, report));
    forward.map(Action::Forward).or(redirect.map(Action::Redirect)).or(respond.map(Action::Respond))
}

fn forward(route: &RouteTable, report: &mut Report) -> Option<Forward> {
    let balancing = or_empty::<LoadBalancingSection>(&route.load_balancing);
    if let Some(key) = balancing.key.written() {
        report.fault(key, "`key` belongs to the algorithm \"hash\", which is not built yet");
    }
    let targets = route.targets.located()?;
    check_targets(targets, "a route needs a target", report);
    let rewrite = rewrite::resolve(route, report)?;
    let load_balancing = match balancing.algorithm() {
        Algorithm::RoundRobin => LoadBalancing::RoundRobin,
        Algorithm::Random => LoadBalancing::Random,
        Algorithm::LeastConnections => LoadBalancing::LeastConnections,
        Algorithm::IpHash => LoadBalancing::IpHash,
    };
    let send_proxy_protocol = match &route.send_proxy_protocol {
        Key::Absent => None,
        Key::Faulty(_) => return None,
        Key::Given(_, version) => Some(match version.value {
            ProxyHeader::V1 => ProxyVersion::V1,
            ProxyHeader::V2 => ProxyVersion::V2,
        }),
    };
    let upstream_protocol = match route.upstream_protocol() {
        UpstreamWord::Http1 => UpstreamProtocol::Http1,
        UpstreamWord::Http2 => UpstreamProtocol::Http2,
        UpstreamWord::H2c => UpstreamProtocol::H2c,
        UpstreamWord::Auto => UpstreamProtocol::Auto,
    };
    Some(Forward {
        targets: listed(&route.targets).to_vec(),
        load_balancing,
        send_proxy_protocol,
        upstream_protocol,
        preserve_host: route.preserve_host(),
        rewrite,
    })
}

/// Reports a list that names no target to begin with.
pub(super) fn check_targets(targets: &Located<List<Target>>, none: &str, report: &mut Report) {
    if targets.value.is_empty() {
        report.fault(targets.place, none);
    } else if targets.value.iter().all(|target| target.value.backup) {
        let help = "a backup is tried when no other target is left; let one target be none";
        report.fault_with_help(targets.place, "every target is a backup", help);
    }
}

fn resolve_redirect(section: &RedirectSection, report: &mut Report) -> Option<Redirect> {
    let to = section.to.located()?;
    match redirect::location(&to.value.0) {
        Ok(template) => Some(Redirect { to: template, status: section.status().0 }),
        Err(problem) => {
            problem.report(to.place, report);
            None
        }
    }
}

fn resolve_respond(section: &RespondSection, report: &mut Report) -> Option<Respond> {
    let status = u16::try_from(section.status().0).ok().and_then(|status| StatusCode::from_u16(status).ok())?;
    let body = section.body().0;
    // RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5.
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    if bodiless
        && !body.is_empty()
        && let Some(place) = section.body.written()
    {
        report.fault(place, format!("a response with status {} has no body", status.as_u16()));
    }
    let table = section.headers();
    headers::owned(&table, report);
    let headers = headers::pairs(&table, report);
    let place = section.body.located().map(|body| body.place).unwrap_or_default();
    let body = template::embedded(&body, &template::IN_TEXT).map_err(|problem| problem.report(place, report)).ok()?;
    Some(Respond { status, body, headers })
}
