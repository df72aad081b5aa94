//! The access log and the table of it in docs/operations.md are the same; both logs speak the same words.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{CERTIFICATES, HOST, Peer, Proxy, Refusing, Target, Way};

/// A row of the table.
struct Row {
    field: String,
    kinds: Vec<&'static str>,
    kind_of_value: String,
    /// Whether lines may lack it.
    optional: bool,
}

fn table() -> Vec<Row> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    let (_, rest) = page.split_once("| field | lines | type | form or unit | absent |\n").unwrap();
    let rows = rest.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [field, kinds, kind_of_value, _, absent] = cells.as_slice() else { panic!("{line}") };
        Row {
            field: field.trim_matches('`').to_owned(),
            kinds: match *kinds {
                "both" => vec!["connection", "request"],
                "connection" => vec!["connection"],
                "request" => vec!["request"],
                other => panic!("{other}"),
            },
            kind_of_value: (*kind_of_value).to_owned(),
            optional: *absent != "never",
        }
    })
    .collect()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => "neither",
    }
}

/// Lines of both kinds, of clients that differ in whatever a field depends on.
fn lines() -> BTreeMap<&'static str, Vec<Value>> {
    let (http, echo, refusing) = (Target::http("target"), Target::echo(), Refusing::new());
    let (silent, silent_address) = crate::harness::listener();
    let config = Way::TerminateHttp.route("secure", "127.0.0.2", http.address, "")
        + &Way::Tcp.route("raw", "127.0.0.3", echo.address, "")
        + &Way::Tcp.route("refused", "127.0.0.4", refusing.address, "")
        + &Way::Http.route("refused-request", "127.0.0.5", refusing.address, "")
        + &Way::Http.route("silent", "127.0.0.6", silent_address, "")
        + &Way::Http.route("known", "127.0.0.9", http.address, "security.basic_auth.file = \"users.htpasswd\"")
        + &Way::Http.route("proxied", "127.0.0.8", http.address, "")
        + "[[listeners]]\naddress = \"127.0.0.8:0\"\nproxy_protocol = { trusted = [\"127.0.0.0/8\"] }\n"
        + "[[routes]]\nname = \"answer\"\nmatch.ports = [\"127.0.0.7:0\"]\nrespond = { status = 200 }\n";
    let proxy = Proxy::start(&config);
    let mut secure = Peer::connect(proxy.address("127.0.0.2")).tls(HOST, &CERTIFICATES.client(&[]));
    for _ in 0..2 {
        secure.request(HOST, "/?a=b");
        assert_eq!(secure.message().status(), 200);
    }
    secure.finish();
    let mut raw = Peer::connect(proxy.address("127.0.0.3"));
    raw.send(b"ping");
    raw.expect(b"ping");
    raw.finish();
    let mut refused = Peer::connect(proxy.address("127.0.0.4"));
    refused.send(b"ping");
    refused.rest();
    let mut refused = Peer::connect(proxy.address("127.0.0.5"));
    refused.request(HOST, "/");
    assert_eq!(refused.message().status(), 502);
    drop(refused);
    let mut proxied = Peer::connect(proxy.address("127.0.0.8"));
    proxied.send(b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 443\r\n");
    assert_eq!(proxied.get(HOST, "/").status(), 200);
    drop(proxied);
    let mut known = Peer::connect(proxy.address("127.0.0.9"));
    // `alice:correct`.
    known.send(
        format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Basic YWxpY2U6Y29ycmVjdA==\r\n\r\n").as_bytes(),
    );
    assert_eq!(known.message().status(), 200);
    drop(known);
    let mut left = Peer::connect(proxy.address("127.0.0.6"));
    left.request(HOST, "/");
    let _taken = Peer::accept(&silent);
    left.reset();
    let mut nameless = Peer::connect(proxy.address("127.0.0.7"));
    nameless.send(b"GET / HTTP/1.0\r\n\r\n");
    nameless.rest();
    let mut turned_away = Peer::connect(proxy.address("127.0.0.2"));
    turned_away.request(HOST, "/");
    assert_eq!(turned_away.message().status(), 400);
    drop(turned_away);
    proxy.line("connection", "the one turned away", |line| line["cause"] == "tls_expected");
    for route in ["secure", "raw", "refused", "refused-request", "silent", "answer", "known"] {
        proxy.line("connection", route, |line| line["route"] == route);
    }
    let kinds = ["connection", "request"].map(|kind| (kind, proxy.lines(kind)));
    proxy.finish();
    kinds.into()
}

#[test]
fn the_table_of_the_access_log_is_what_is_written() {
    let (table, lines) = (table(), lines());
    for (kind, lines) in &lines {
        assert!(lines.len() >= 5, "{lines:#?}");
        for line in lines {
            for (field, value) in line.as_object().unwrap() {
                let row = table.iter().find(|row| row.field == *field && row.kinds.contains(kind));
                let row = row.unwrap_or_else(|| panic!("{field} of a {kind} line is not in the table: {line}"));
                assert_eq!(type_of(value), row.kind_of_value, "{field}: {line}");
            }
        }
        for row in table.iter().filter(|row| row.kinds.contains(kind)) {
            let with = lines.iter().filter(|line| line.get(&row.field).is_some()).count();
            assert!(with > 0, "no {kind} line has {}: {lines:#?}", row.field);
            assert_eq!(with < lines.len(), row.optional, "{} of {kind} lines: {with} of {}", row.field, lines.len());
        }
    }
}

#[test]
fn the_daemons_log_has_the_words_of_the_access_log() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("one", "127.0.0.2", echo.address, ""));
    let event = proxy.event("ready", |_| true);
    for field in ["time", "kind", "level", "message", "module"] {
        assert!(event[field].is_string(), "{field}: {event}");
    }
    assert!(event.get("timestamp").is_none() && event.get("target").is_none(), "{event}");
    assert_eq!((&event["kind"], &event["module"]), (&"log".into(), &"smartproxy::server::daemon".into()));
    let form = |time: &str| time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>();
    drop(Peer::connect(proxy.address("127.0.0.2")));
    let line = proxy.line("connection", "the client", |_| true);
    let times = [&event, &line].map(|line| form(line["time"].as_str().unwrap()));
    assert_eq!(times[0], times[1], "both logs write the time in one form");
    proxy.finish();
}
