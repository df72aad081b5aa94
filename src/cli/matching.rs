use std::fmt::Write;
use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde::Serialize;

use super::arguments::MatchOptions;
use super::check::refuse_config;
use super::exit::ExitStatus;
use super::output::{complain, print};
use crate::config::Config;
use crate::name::{HostName, normalize_path};
use crate::net::ListenAddress;
use crate::route::{ConnectionFacts, RequestFacts, Table, TlsFacts, TlsHandling, TlsVersion, explain};

/// What is asked about.
struct Question {
    /// Whether TLS is spoken; `None` is as the address's routes want it.
    tls: Option<bool>,
    host: Option<HostName>,
    port: u16,
    /// The path, if it is a request.
    path: Option<String>,
    method: Method,
    headers: HeaderMap,
}

/// What one address says to it.
#[derive(Serialize)]
struct Answer {
    address: String,
    routes: Vec<Verdict>,
}

#[derive(Serialize)]
struct Verdict {
    route: String,
    taken: bool,
    reason: String,
}

/// Says which route would take a URL or a connection, and why each other one would not.
pub(super) fn explain_match(options: &MatchOptions) -> ExitStatus {
    let question = match Question::parse(options) {
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
    let addresses = config.listeners.iter().map(|listener| listener.address.value);
    let answers: Vec<_> = addresses
        .filter(|address| address.port() == question.port)
        .map(|address| question.ask(&config, address, options))
        .collect();
    if answers.is_empty() && !options.json {
        complain(format!("no route listens on port {}", question.port));
    }
    let printed = if options.json { json(&answers) } else { print(&describe(&answers)) };
    let taken = answers.iter().flat_map(|answer| &answer.routes).any(|verdict| verdict.taken);
    if printed == ExitStatus::Ok && !taken { ExitStatus::No } else { printed }
}

impl Question {
    fn parse(options: &MatchOptions) -> Result<Self, String> {
        let text = &options.what;
        let uri = Uri::from_str(text).map_err(|error| format!("{text}: {error}"))?;
        let tls = match uri.scheme_str() {
            Some("http") => Some(false),
            Some("https") => Some(true),
            None => None,
            Some(other) => {
                return Err(format!("{text}: {other} is not a scheme of ours; use http, https, or HOST:PORT"));
            }
        };
        let authority = uri.authority().ok_or_else(|| format!("{text}: neither a URL nor HOST:PORT"))?;
        let port = match (authority.port_u16(), tls) {
            (Some(port), _) => port,
            (None, Some(true)) => 443,
            (None, Some(false)) => 80,
            (None, None) => return Err(format!("{text}: the port is missing, as in {text}:443")),
        };
        let path = tls.map(|_| uri.path().to_owned());
        let method = options.method.parse().map_err(|_| format!("{}: not a method", options.method))?;
        let mut headers = HeaderMap::new();
        for header in &options.headers {
            let (name, value) = parse_header(header).ok_or_else(|| format!("{header}: write it as NAME:VALUE"))?;
            headers.append(name, value);
        }
        // An address is no host name: it meets the routes without a name.
        Ok(Self { tls, host: HostName::parse(authority.host()).ok(), port, path, method, headers })
    }

    fn ask(&self, config: &Config, address: ListenAddress, options: &MatchOptions) -> Answer {
        let rules: Vec<_> =
            config.routes.iter().filter(|route| route.addresses.contains(&address)).map(|route| &route.rule).collect();
        let wants_tls = rules.iter().any(|rule| rule.tls != TlsHandling::Plain);
        let table = Table::new(rules.into_iter().map(|rule| Arc::new(rule.clone())));
        let alpn: [Box<[u8]>; 2] = [Box::from(*b"h2"), Box::from(*b"http/1.1")];
        let offered = TlsFacts {
            server_name: self.host.as_ref(),
            alpn: &alpn,
            versions: &[TlsVersion::Tls12, TlsVersion::Tls13],
        };
        let tls = self.tls.unwrap_or(wants_tls).then_some(offered);
        let connection = ConnectionFacts { client: options.from, tls, speaks_http: self.path.is_some() };
        let path = self.path.as_deref().map(normalize_path);
        let request = match &path {
            None => None,
            Some(Ok(path)) => {
                Some(RequestFacts { host: self.host.as_ref(), path, method: &self.method, headers: &self.headers })
            }
            Some(Err(fault)) => {
                let refused = Verdict { route: "-".into(), taken: false, reason: format!("400: {fault}") };
                return Answer { address: address.to_string(), routes: vec![refused] };
            }
        };
        let verdicts = explain(&table, &connection, request.as_ref());
        let routes = verdicts
            .into_iter()
            .map(|verdict| Verdict {
                route: verdict.route.to_string(),
                taken: verdict.taken,
                reason: verdict.reason.to_string(),
            })
            .collect();
        Answer { address: address.to_string(), routes }
    }
}

fn parse_header(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}

fn json(answers: &[Answer]) -> ExitStatus {
    match serde_json::to_string(answers) {
        Ok(text) => print(&format!("{text}\n")),
        Err(error) => super::exit::fail(ExitStatus::System, &error),
    }
}

fn describe(answers: &[Answer]) -> String {
    let mut text = String::new();
    for answer in answers {
        let taker = answer.routes.iter().find(|verdict| verdict.taken);
        // Writing to a String cannot fail.
        let _ = match taker {
            Some(taker) => writeln!(text, "{}: route {} {}", answer.address, taker.route, taker.reason),
            None => writeln!(text, "{}: no route", answer.address),
        };
        for verdict in answer.routes.iter().filter(|verdict| !verdict.taken) {
            let _ = writeln!(text, "  {}: {}", verdict.route, verdict.reason);
        }
    }
    text
}
