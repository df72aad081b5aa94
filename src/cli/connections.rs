use std::fmt::Write;
use std::io::{self, IsTerminal};

use http::{Method, StatusCode};
use ratatui::crossterm::terminal::size as size_of_terminal;
use serde::Deserialize;

use super::arguments::{ConnectionsOptions, FilterOptions, KillOptions};
use super::client::{ask, understood, unexpected};
use super::exit::ExitStatus;
use super::output::{complain, print};
use super::quantity::{age, count, grouped, size};
use super::socket::Errand;
use crate::config::nearest;

/// How many routes are named to someone who has named none of them.
const ROUTES_SHOWN_MAX: usize = 20;

/// What the daemon lists.
#[derive(Debug, Deserialize)]
pub(super) struct Connections {
    /// How many there are, of which these may be the first.
    pub(super) matched: usize,
    pub(super) connections: Vec<Row>,
}

/// One connection, as the daemon shows it.
#[derive(Debug, Deserialize)]
pub(super) struct Row {
    pub(super) id: u64,
    pub(super) client: String,
    pub(super) listener: String,
    pub(super) route: String,
    pub(super) host: Option<String>,
    pub(super) target: Option<String>,
    pub(super) state: String,
    pub(super) age_seconds: f64,
    pub(super) state_seconds: f64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) bytes_in_per_second: u64,
    pub(super) bytes_out_per_second: u64,
    pub(super) protocol: String,
    pub(super) tls: Option<Tls>,
}

/// TLS with the client.
#[derive(Debug, Deserialize)]
pub(super) struct Tls {
    version: String,
    group: Option<String>,
}

/// What the daemon says of a filter that it does not know.
#[derive(Deserialize)]
struct UnknownRoute {
    routes: Vec<String>,
}

/// Lists the live connections.
pub(super) fn list(options: &ConnectionsOptions) -> ExitStatus {
    let mut query = filters(&options.filter);
    query.extend(options.sort.as_ref().map(|column| format!("sort={column}")));
    query.extend(options.reverse.then(|| "reverse=yes".to_owned()));
    query.extend(options.limit.map(|rows| format!("limit={rows}")));
    let path = format!("/connections?{}", query.join("&"));
    match ask(&options.daemon, Errand::Connections, Method::GET, &path) {
        Ok((StatusCode::OK, body)) if options.daemon.json => print(&format!("{body}\n")),
        Ok((StatusCode::OK, body)) => match understood::<Connections>(&body) {
            Ok(list) => {
                let printed = print(&table(&list.connections, width()));
                let shown = list.connections.len();
                if shown < list.matched {
                    complain(format!("{shown} of {} are shown", grouped(list.matched)));
                }
                printed
            }
            Err(status) => status,
        },
        Ok((status, body)) => refused(status, &body, options.filter.route.as_deref()),
        Err(status) => status,
    }
}

/// The pairs of a query that stand for the filters.
fn filters(options: &FilterOptions) -> Vec<String> {
    let FilterOptions { route, client, target, state, older, younger, bytes } = options;
    let mut query = Vec::new();
    query.extend(route.as_ref().map(|route| format!("route={}", percent_encoded(route))));
    query.extend(client.map(|client| format!("client={}", percent_encoded(&client.to_string()))));
    query.extend(target.as_ref().map(|target| format!("target={}", percent_encoded(target))));
    query.extend(state.as_ref().map(|state| format!("state={state}")));
    query.extend(older.map(|older| format!("older_seconds={}", older.as_secs_f64())));
    query.extend(younger.map(|younger| format!("younger_seconds={}", younger.as_secs_f64())));
    query.extend(bytes.map(|bytes| format!("bytes={bytes}")));
    query
}

/// Says what the daemon has against the filters.
pub(super) fn refused(status: StatusCode, body: &str, route: Option<&str>) -> ExitStatus {
    match (route, serde_json::from_str::<UnknownRoute>(body)) {
        (Some(route), Ok(UnknownRoute { routes })) if status == StatusCode::BAD_REQUEST => {
            complain(unknown_route(route, &routes));
            ExitStatus::Usage
        }
        (Some(_) | None, Ok(_) | Err(_)) => unexpected(status, body),
    }
}

/// Names the route that was meant, or those that there are.
fn unknown_route(wanted: &str, routes: &[String]) -> String {
    let shown = wanted.escape_debug();
    if let Some(near) = nearest(wanted, routes.iter().map(String::as_str)) {
        return format!("the daemon has no route `{shown}`; did you mean `{near}`?");
    }
    let listed: Vec<_> = routes.iter().take(ROUTES_SHOWN_MAX).map(|name| format!("`{name}`")).collect();
    let more = match routes.len().saturating_sub(ROUTES_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("the daemon has no route `{shown}`; its routes are {}{more}", listed.join(", "))
}

/// A value of a query, in the bytes that a URI may have (RFC 3986 section 2.3).
pub(super) fn percent_encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

/// What was ended, or would be.
#[derive(Deserialize)]
struct Killed {
    killed: usize,
    not_found: Vec<u64>,
}

/// Ends live connections.
pub(super) fn kill(options: &KillOptions) -> ExitStatus {
    let mut query: Vec<_> = options.id.iter().map(|id| format!("id={id}")).collect();
    query.extend(filters(&options.filter));
    query.extend(options.dry_run.then(|| "dry_run=yes".to_owned()));
    let path = format!("/connections/kill?{}", query.join("&"));
    match ask(&options.daemon, Errand::Kill, Method::POST, &path) {
        Ok((StatusCode::OK, body)) => match understood::<Killed>(&body) {
            Ok(killed) => tell_killed(&killed, &body, options),
            Err(status) => status,
        },
        Ok((status, body)) => refused(status, &body, options.filter.route.as_deref()),
        Err(status) => status,
    }
}

fn tell_killed(outcome: &Killed, body: &str, options: &KillOptions) -> ExitStatus {
    let Killed { killed, not_found } = outcome;
    let printed = if options.daemon.json {
        print(&format!("{body}\n"))
    } else if *killed == 0 {
        ExitStatus::Ok
    } else {
        let done = if options.dry_run { "would be killed" } else { "killed" };
        print(&format!("{} {done}\n", count(*killed, "connection")))
    };
    if !not_found.is_empty() {
        let numbers: Vec<_> = not_found.iter().map(ToString::to_string).collect();
        let numbers = numbers.join(", ");
        complain(format!("no live connection has the number {numbers}; `smartproxy connections` lists them"));
    } else if *killed == 0 {
        complain("no live connection is such; `smartproxy connections` with the same filters lists none either");
    }
    if printed == ExitStatus::Ok && (*killed == 0 || !not_found.is_empty()) { ExitStatus::No } else { printed }
}

const COLUMNS: usize = 15;

/// What is left out first where the terminal is too narrow for all, by place in the table.
const DISPENSABLE: [usize; 7] = [2, 5, 9, 4, 13, 14, 6];

/// How wide a line may be: the terminal, or without limit where no person reads.
fn width() -> Option<usize> {
    let terminal = io::stdout().is_terminal().then(size_of_terminal).and_then(Result::ok);
    terminal.map(|(columns, _rows)| usize::from(columns))
}

/// The rows under their headings, each column as wide as it needs; as many columns as the width has room for.
fn table(rows: &[Row], width: Option<usize>) -> String {
    const HEADINGS: [&str; COLUMNS] = [
        "ID", "CLIENT", "LISTENER", "ROUTE", "PROTOCOL", "TLS", "HOST", "TARGET", "STATE", "FOR", "AGE", "IN", "OUT",
        "IN/S", "OUT/S",
    ];
    let mut cells: Vec<[String; COLUMNS]> = vec![HEADINGS.map(ToOwned::to_owned)];
    cells.extend(rows.iter().map(|row| {
        [
            row.id.to_string(),
            row.client.clone(),
            row.listener.clone(),
            row.route.clone(),
            row.protocol.clone(),
            row.tls.as_ref().map_or_else(|| "-".into(), Tls::shown),
            row.host.clone().unwrap_or_else(|| "-".into()),
            row.target.clone().unwrap_or_else(|| "-".into()),
            row.state.clone(),
            age(row.state_seconds),
            age(row.age_seconds),
            size(row.bytes_in),
            size(row.bytes_out),
            size(row.bytes_in_per_second),
            size(row.bytes_out_per_second),
        ]
    }));
    let mut widths = [0; COLUMNS];
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut shown = [true; COLUMNS];
    for dispensable in DISPENSABLE {
        let needed: usize = widths.iter().zip(shown).filter(|(_, shown)| *shown).map(|(width, _)| width + 2).sum();
        if width.is_some_and(|width| needed > width + 2)
            && let Some(shown) = shown.get_mut(dispensable)
        {
            *shown = false;
        }
    }
    let mut text = String::new();
    for row in &cells {
        let cells = row.iter().zip(widths).zip(shown).filter(|(_, shown)| *shown);
        let line: Vec<_> = cells.map(|((cell, width), _)| format!("{cell:width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

impl Tls {
    fn shown(&self) -> String {
        match &self.group {
            Some(group) => format!("{}/{group}", self.version),
            None => self.version.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_route_is_answered_with_what_was_meant_or_with_what_there_is() {
        let routes = ["shop", "blog"].map(ToOwned::to_owned);
        assert!(unknown_route("shopp", &routes).ends_with("did you mean `shop`?"));
        assert!(unknown_route("elsewhere", &routes).ends_with("its routes are `shop`, `blog`"));
        let many: Vec<_> = (0..=ROUTES_SHOWN_MAX).map(|number| format!("route-{number}")).collect();
        assert!(unknown_route("elsewhere", &many).ends_with("`route-19` and 1 more"));
    }

    #[test]
    fn what_a_query_may_not_hold_is_encoded() {
        assert_eq!(percent_encoded("a-b_c.d~1"), "a-b_c.d~1");
        assert_eq!(percent_encoded("a b&c=#\u{e9}"), "a%20b%26c%3D%23%C3%A9");
    }

    #[test]
    fn columns_line_up() {
        let row = Row {
            id: 7,
            client: "127.0.0.1:50000".into(),
            listener: "127.0.0.1:443".into(),
            route: "shop".into(),
            host: None,
            target: Some("127.0.0.1:80".into()),
            state: "relaying".into(),
            age_seconds: 61.0,
            state_seconds: 60.0,
            bytes_in: 1,
            bytes_out: 2048,
            bytes_in_per_second: 0,
            bytes_out_per_second: 34,
            protocol: "http/1.1".into(),
            tls: Some(Tls { version: "1.3".into(), group: Some("X25519".into()) }),
        };
        let narrow = table(std::slice::from_ref(&row), Some(80));
        assert!(narrow.starts_with("ID  CLIENT           ROUTE  HOST  TARGET        STATE     AGE"), "{narrow}");
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
        let text = table(&[row], None);
        let lines: Vec<_> = text.lines().collect();
        let headings = "ID  CLIENT           LISTENER       ROUTE  PROTOCOL  TLS         HOST  TARGET        STATE     FOR   \
                        AGE   IN  OUT   IN/S  OUT/S";
        assert_eq!(lines[0], headings);
        let cells = "7   127.0.0.1:50000  127.0.0.1:443  shop   http/1.1  1.3/X25519  -     127.0.0.1:80  relaying  1m0s  \
                     1m1s  1B  2KiB  0B    34B";
        assert_eq!(lines[1], cells);
    }
}
