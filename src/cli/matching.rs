use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;

use super::arguments::MatchOptions;
use super::blocked;
use super::check::{refuse, refuse_config};
use super::exit::{ExitStatus, fail};
use super::hello;
use super::output::{complain, print, print_json};
use super::pick::{Known, Pick};
use super::question::Question;
use crate::config::Config;
use crate::generation::Source;
use crate::handler::{Gets, Route, Site, TurnedDown, foretell, foretell_path};
use crate::http::Host;
use crate::name::{Unrewritable, normalize_path};
use crate::outcome::Cause;
use crate::route::{ConnectionFacts, RequestFacts, TlsFacts, TlsHandling, TlsVersion, explain};
use crate::sniff::ClientHello;
use crate::telemetry::Meters;

/// What one address says to it.
#[derive(Serialize)]
struct Answer {
    address: String,
    /// Why the client would be turned down, if it would be.
    refused: Option<Refused>,
    /// What else the client has to bring.
    note: Option<String>,
    /// The targets that it would go to, if it is served and goes to any.
    pick: Option<Pick>,
    /// What the target gets as path and query, if the route rewrites them.
    path: Option<String>,
    /// What the recorded ClientHello says, if there is one.
    hello: Option<Said>,
    routes: Vec<Verdict>,
}

/// What a ClientHello says, as far as routing asks.
#[derive(Serialize)]
struct Said {
    server_name: Option<String>,
    alpn: Vec<String>,
    tls_versions: Vec<&'static str>,
    ech: bool,
}

/// How the daemon would turn the client down, in the words of its access log.
#[derive(Serialize)]
struct Refused {
    phase: &'static str,
    party: &'static str,
    cause: &'static str,
    meaning: &'static str,
    client_gets: String,
    /// Which rule of the configuration it breaks, where more can be said than what the cause means.
    why: Option<String>,
}

#[derive(Serialize)]
struct Verdict {
    route: String,
    taken: bool,
    reason: String,
}

/// Says which route would take a URL or a connection, and why each other one would not; and whether the daemon would then
/// serve the client.
pub(super) fn explain_match(options: &MatchOptions) -> ExitStatus {
    let hello = match options.hello.as_deref().map(hello::read).transpose() {
        Ok(hello) => hello,
        Err(status) => return status,
    };
    let question = match Question::parse(options, hello) {
        Ok(question) => question,
        Err(problem) => {
            complain(problem);
            return ExitStatus::Usage;
        }
    };
    let config = match Config::from_file(&options.config.config) {
        Ok(config) => config,
        Err(error) => return refuse_config(&error),
    };
    // Certificates and whom routes let in are part of the answer.
    let source = match Source::new(&options.config.config, Arc::new(Meters::new())) {
        Ok(source) => source,
        Err(error) => return fail(ExitStatus::System, &error),
    };
    let generation = match source.assemble(&config, None) {
        Ok(generation) => generation,
        Err(error) => return refuse(&error),
    };
    for warning in &generation.warnings {
        complain(format_args!("warning: {warning}"));
    }
    let sites = generation.sites.values().filter(|site| site.address.port() == question.port);
    let known = Known::ask(&config.admin.socket);
    let answers: Vec<_> = sites.map(|site| ask(&question, &config, site, &known)).collect();
    if answers.is_empty() && !options.json {
        complain(blocked::nowhere(question.port, &config));
    }
    let printed = if options.json { print_json(&answers) } else { print(&describe(&answers)) };
    let served = answers.iter().any(|answer| answer.refused.is_none());
    if printed == ExitStatus::Ok && !served { ExitStatus::No } else { printed }
}

fn ask(question: &Question, config: &Config, site: &Site, known: &Known) -> Answer {
    let alpn: [Box<[u8]>; 2] = [Box::from(*b"h2"), Box::from(*b"http/1.1")];
    let (alpn, versions): (&[Box<[u8]>], &[TlsVersion]) = match &question.hello {
        Some(hello) => (&hello.alpn, hello.tls_versions),
        None => (&alpn, &[TlsVersion::Tls12, TlsVersion::Tls13]),
    };
    let offered = TlsFacts { server_name: question.server_name.as_ref(), alpn, versions };
    let here = config.routes.iter().filter(|route| route.addresses.contains(&site.address));
    let tls = question.tls.unwrap_or_else(|| here.map(|route| route.rule.tls).any(|tls| tls != TlsHandling::Plain));
    let request = question.request.as_ref();
    let facts = ConnectionFacts { client: question.from, tls: tls.then_some(offered), speaks_http: request.is_some() };
    let taken = foretell(site, &facts, request);
    let foretold = taken.and_then(|route| {
        let path = request.map_or(Ok(None), |request| foretell_path(route, request))?;
        Ok((route, path))
    });
    let served = foretold.as_ref().ok().map(|(route, _)| *route);
    let host = request.and_then(|request| Host::of(request).ok());
    let path = request.and_then(|request| normalize_path(request.uri().path()).ok());
    let request_facts = match (request, &host, &path) {
        (Some(request), Some(host), Some(path)) => {
            Some(RequestFacts { host: host.name(), path, method: request.method(), headers: request.headers() })
        }
        _ => None,
    };
    let verdicts = explain(&site.table, &facts, request_facts.as_ref());
    let why = match taken {
        Ok(_) => foretold.is_err().then(|| Unrewritable.to_string()),
        Err(down) if down.outcome.cause == Cause::Blocked => {
            let taker = verdicts.iter().find(|verdict| verdict.taken);
            let route = taker.and_then(|taker| config.routes.iter().find(|route| route.rule.name == taker.route));
            route.and_then(|route| blocked::by_which_list(question, route))
        }
        Err(_) => None,
    };
    let verdict = |verdict: crate::route::Verdict<'_>| match &foretold {
        Err(down) if verdict.taken => Verdict {
            route: verdict.route.to_string(),
            taken: false,
            reason: format!("would take it, but the client is turned down ({})", down.outcome.cause.as_str()),
        },
        Ok(_) | Err(_) => {
            Verdict { route: verdict.route.to_string(), taken: verdict.taken, reason: verdict.reason.to_string() }
        }
    };
    let disabled = config.disabled.iter().filter(|route| route.addresses.contains(&site.address));
    let disabled =
        disabled.map(|route| Verdict { route: route.name.to_string(), taken: false, reason: blocked::OFF.to_owned() });
    Answer {
        address: site.address.to_string(),
        refused: foretold.as_ref().err().map(|down| Refused::of(down, why)),
        note: served.and_then(|route| note(route)),
        pick: served.and_then(|route| Pick::of(route, question.from, known)),
        path: foretold.as_ref().ok().and_then(|(_, path)| path.as_ref().map(ToString::to_string)),
        hello: question.hello.as_ref().map(Said::of),
        routes: verdicts.into_iter().map(verdict).chain(disabled).collect(),
    }
}

fn note(route: &Route) -> Option<String> {
    let required = route.tls.as_ref().is_some_and(|policy| policy.requires_client_certificate());
    let certificate = required.then_some("the client has to show a certificate that tls.client_auth accepts");
    let password = route.http.basic_auth.as_ref();
    let password = password.map(|_| "each request has to show a user's name and password (security.basic_auth)");
    let asked = route.http.forward_auth.as_ref();
    let asked = asked.map(|_| "another server is asked first about each request (security.forward_auth)");
    let notes: Vec<&str> = [certificate, password, asked].into_iter().flatten().collect();
    if notes.is_empty() { None } else { Some(notes.join("; ")) }
}

impl Said {
    fn of(hello: &ClientHello) -> Self {
        let ClientHello { server_name, alpn, tls_versions, ech } = hello;
        Self {
            server_name: server_name.as_ref().map(ToString::to_string),
            alpn: alpn.iter().map(|protocol| protocol.escape_ascii().to_string()).collect(),
            tls_versions: tls_versions.iter().map(|version| version.as_str()).collect(),
            ech: *ech,
        }
    }

    fn describe(&self) -> String {
        let Self { server_name, alpn, tls_versions, ech } = self;
        let name = server_name.as_deref().map_or("no name".into(), |name| format!("the name {name}"));
        let listed = |list: &[&str], none: &str| if list.is_empty() { none.to_owned() } else { list.join(", ") };
        let alpn: Vec<_> = alpn.iter().map(String::as_str).collect();
        let ech = if *ech { "; an encrypted hello is inside, or the look of one" } else { "" };
        let (versions, alpn) = (listed(tls_versions, "none of ours"), listed(&alpn, "none"));
        format!("hello: {name}; TLS versions: {versions}; ALPN: {alpn}{ech}")
    }
}

impl Refused {
    fn of(down: &TurnedDown, why: Option<String>) -> Self {
        let TurnedDown { outcome, gets } = down;
        Self {
            phase: outcome.phase.as_str(),
            party: outcome.party.as_str(),
            cause: outcome.cause.as_str(),
            meaning: outcome.cause.meaning(),
            client_gets: match gets {
                Gets::Status(status) => status.to_string(),
                Gets::UnknownName => "the TLS alert unrecognized_name".into(),
                Gets::Close => "nothing: the connection is closed".into(),
            },
            why,
        }
    }
}

fn describe(answers: &[Answer]) -> String {
    let mut text = String::new();
    for answer in answers {
        let taker = answer.routes.iter().find(|verdict| verdict.taken);
        // Writing to a String cannot fail.
        let _ = match (&answer.refused, taker) {
            (Some(Refused { cause, meaning, client_gets, .. }), _) => {
                writeln!(text, "{}: refused: {cause}: {meaning} The client gets {client_gets}.", answer.address)
            }
            (None, Some(taker)) => writeln!(text, "{}: route {} {}", answer.address, taker.route, taker.reason),
            (None, None) => writeln!(text, "{}: no route", answer.address),
        };
        if let Some(why) = answer.refused.as_ref().and_then(|refused| refused.why.as_ref()) {
            let _ = writeln!(text, "  why: {why}");
        }
        if let Some(said) = &answer.hello {
            let _ = writeln!(text, "  {}", said.describe());
        }
        if let Some(pick) = &answer.pick {
            let _ = writeln!(text, "  {}", pick.describe());
        }
        if let Some(path) = &answer.path {
            let _ = writeln!(text, "  path: the target gets {path}");
        }
        if let Some(note) = &answer.note {
            let _ = writeln!(text, "  note: {note}");
        }
        for verdict in answer.routes.iter().filter(|verdict| !verdict.taken) {
            let _ = writeln!(text, "  {}: {}", verdict.route, verdict.reason);
        }
    }
    text
}
