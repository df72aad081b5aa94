use std::fmt::Write;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::arguments::{ConnectionsOptions, KillOptions};
use super::client::{age, ask, understood, unexpected};
use super::exit::ExitStatus;
use super::output::{complain, print, print_json};
use super::socket::Errand;
use crate::config::nearest;

/// How many routes are named to someone who has named none of them.
const ROUTES_SHOWN_MAX: usize = 20;

/// The rows of the table.
#[derive(Deserialize)]
struct Connections {
    connections: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    id: u64,
    client: String,
    route: String,
    host: Option<String>,
    target: Option<String>,
    state: String,
    age_seconds: f64,
    bytes_in: u64,
    bytes_out: u64,
    protocol: String,
}

/// What the daemon says of a filter that it does not know.
#[derive(Deserialize)]
struct UnknownRoute {
    routes: Vec<String>,
}

/// Lists the live connections.
pub(super) fn list(options: &ConnectionsOptions) -> ExitStatus {
    let mut query = Vec::new();
    if let Some(route) = &options.route {
        query.push(format!("route={}", percent_encoded(route)));
    }
    if let Some(state) = &options.state {
        query.push(format!("state={state}"));
    }
    if let Some(older) = options.older {
        query.push(format!("older_seconds={}", older.as_secs_f64()));
    }
    let path = format!("/connections?{}", query.join("&"));
    match ask(&options.daemon, Errand::Connections, Method::GET, &path) {
        Ok((StatusCode::OK, body)) if options.daemon.json => print(&format!("{body}\n")),
        Ok((StatusCode::OK, body)) => match understood::<Connections>(&body) {
            Ok(list) => print(&table(&list.connections)),
            Err(status) => status,
        },
        Ok((StatusCode::BAD_REQUEST, body)) => match (&options.route, serde_json::from_str::<UnknownRoute>(&body)) {
            (Some(route), Ok(UnknownRoute { routes })) => {
                complain(unknown_route(route, &routes));
                ExitStatus::Usage
            }
            (Some(_), Err(_)) | (None, _) => unexpected(StatusCode::BAD_REQUEST, &body),
        },
        Ok((status, body)) => unexpected(status, &body),
        Err(status) => status,
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
fn percent_encoded(value: &str) -> String {
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

/// What was ended.
#[derive(Serialize)]
struct Killed {
    killed: u64,
}

/// Ends one live connection.
pub(super) fn kill(options: &KillOptions) -> ExitStatus {
    let path = format!("/connections/{}/kill", options.id);
    match ask(&options.daemon, Errand::Kill, Method::POST, &path) {
        Ok((StatusCode::OK, _)) if options.daemon.json => print_json(&Killed { killed: options.id }),
        Ok((StatusCode::OK, body)) => print(&body),
        Ok((StatusCode::NOT_FOUND, _)) => {
            complain(format!("no live connection has the number {}; `smartproxy connections` lists them", options.id));
            ExitStatus::No
        }
        Ok((status, body)) => unexpected(status, &body),
        Err(status) => status,
    }
}

/// The rows under their headings, each column as wide as it needs.
fn table(rows: &[Row]) -> String {
    const HEADINGS: [&str; 9] = ["ID", "CLIENT", "ROUTE", "HOST", "TARGET", "STATE", "AGE", "IN", "OUT"];
    let mut cells: Vec<[String; 9]> = vec![HEADINGS.map(ToOwned::to_owned)];
    cells.extend(rows.iter().map(|row| {
        [
            row.id.to_string(),
            row.client.clone(),
            format!("{} ({})", row.route, row.protocol),
            row.host.clone().unwrap_or_else(|| "-".into()),
            row.target.clone().unwrap_or_else(|| "-".into()),
            row.state.clone(),
            age(row.age_seconds),
            row.bytes_in.to_string(),
            row.bytes_out.to_string(),
        ]
    }));
    let mut widths = [0; 9];
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &cells {
        let line: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
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
            route: "shop".into(),
            host: None,
            target: Some("127.0.0.1:80".into()),
            state: "relaying".into(),
            age_seconds: 61.0,
            bytes_in: 1,
            bytes_out: 2,
            protocol: "tcp".into(),
        };
        let text = table(&[row]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "ID  CLIENT           ROUTE       HOST  TARGET        STATE     AGE   IN  OUT");
        assert_eq!(lines[1], "7   127.0.0.1:50000  shop (tcp)  -     127.0.0.1:80  relaying  1m1s  1   2");
    }
}
