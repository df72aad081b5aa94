use http::{Method, StatusCode};
use serde::Deserialize;

use super::arguments::{ConnectionsOptions, KillOptions};
use super::client::{age, ask, unexpected};
use super::exit::{ExitStatus, fail};

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

/// Lists the live connections.
pub(super) fn list(options: &ConnectionsOptions) -> ExitStatus {
    let mut query = Vec::new();
    if let Some(route) = &options.route {
        query.push(format!("route={route}"));
    }
    if let Some(state) = &options.state {
        query.push(format!("state={state}"));
    }
    if let Some(older) = options.older {
        query.push(format!("older_seconds={}", older.as_secs()));
    }
    let query = query.join("&");
    if query.contains(|character: char| character.is_whitespace() || character == '#') {
        eprintln!("names of routes and states have no spaces");
        return ExitStatus::Usage;
    }
    match ask(&options.daemon, Method::GET, &format!("/connections?{query}")) {
        Ok((StatusCode::OK, body)) if options.json => super::print(&format!("{body}\n")),
        Ok((StatusCode::OK, body)) => match serde_json::from_str::<Connections>(&body) {
            Ok(list) => super::print(&table(&list.connections)),
            Err(error) => fail(ExitStatus::Unavailable, &error),
        },
        Ok((status, body)) => unexpected(status, &body),
        Err(status) => status,
    }
}

/// Ends one live connection.
pub(super) fn kill(options: &KillOptions) -> ExitStatus {
    match ask(&options.daemon, Method::POST, &format!("/connections/{}/kill", options.id)) {
        Ok((StatusCode::OK, body)) => super::print(&body),
        Ok((StatusCode::NOT_FOUND, body)) => {
            eprint!("{body}");
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
