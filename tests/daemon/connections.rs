//! The live connections: who is listed, in which order and with what; and who is ended.

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{CERTIFICATES, End, HOST, PATIENCE, Peer, Proxy, Target, Way, until};

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn ask(proxy: &Proxy, arguments: &[&str]) -> (i32, String, String) {
    said(&proxy.command(arguments).output().unwrap())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The numbers that a list holds, in its order.
fn listed(proxy: &Proxy, arguments: &[&str]) -> Vec<u64> {
    let (code, text, errors) = ask(proxy, &[&["connections", "--json"], arguments].concat());
    assert_eq!(code, 0, "{text}{errors}");
    let rows = json(&text)["connections"].as_array().unwrap().clone();
    rows.iter().map(|row| row["id"].as_u64().unwrap()).collect()
}

/// A client whose bytes have been there and back.
fn echoed(from: &str, proxy: &Proxy, ip: &str, bytes: usize) -> Peer {
    let mut client = Peer::connect_from(from, proxy.address(ip));
    let payload = vec![b'x'; bytes];
    client.send(&payload);
    client.expect(&payload);
    client
}

#[test]
fn the_list_is_narrowed_ordered_and_cut_as_asked() {
    let (echo, other) = (Target::echo(), Target::echo());
    let config =
        Way::Tcp.route("one", "127.0.0.2", echo.address, "") + &Way::Tcp.route("two", "127.0.0.3", other.address, "");
    let proxy = Proxy::start(&config);
    let _clients = [
        echoed("127.1.0.1", &proxy, "127.0.0.2", 10),
        echoed("127.1.0.2", &proxy, "127.0.0.2", 3_000),
        echoed("127.2.0.1", &proxy, "127.0.0.3", 200),
    ];
    let ids = listed(&proxy, &[]);
    let [first, second, third] = *ids.as_slice() else { panic!("{ids:?}") };
    let target = other.address.to_string();
    for (arguments, expected) in [
        (&["--route", "one"][..], &[first, second][..]),
        (&["--route", "-"], &[]),
        (&["--client", "127.1.0.0/16"], &[first, second]),
        (&["--client", "127.2.0.1"], &[third]),
        (&["--target", &target], &[third]),
        (&["--target", "127.0.0.1"], &[first, second, third]),
        (&["--state", "relaying"], &[first, second, third]),
        (&["--state", "serving"], &[]),
        (&["--older", "1h"], &[]),
        (&["--younger", "1h"], &[first, second, third]),
        (&["--bytes", "400B"], &[second, third]),
        (&["--bytes", "401B"], &[second]),
        (&["--route", "one", "--client", "127.1.0.2"], &[second]),
        (&["--sort", "bytes"], &[second, third, first]),
        (&["--sort", "in", "--reverse"], &[first, third, second]),
        (&["--sort", "client", "--reverse"], &[third, second, first]),
        (&["--sort", "age"], &[first, second, third]),
        (&["--sort", "route", "--limit", "2"], &[first, second]),
        (&["--limit", "0"], &[]),
    ] {
        assert_eq!(listed(&proxy, arguments), expected, "{arguments:?}");
    }
    let (code, text, errors) = ask(&proxy, &["connections", "--limit", "1"]);
    assert!(code == 0 && text.lines().count() == 2 && errors.contains("1 of 3 are shown"), "{text}{errors}");
    for (arguments, part) in [
        (&["--client", "127.1.0.1/16"][..], "127.1.0.0/16"),
        (&["--bytes", "10"], "10B"),
        (&["--sort", "size"], "out-rate"),
        (&["--older", "5"], "5s"),
    ] {
        let (code, text, errors) = ask(&proxy, &[&["connections"], arguments].concat());
        assert!(code == 64 && text.is_empty() && errors.contains(part), "{arguments:?}: {text}{errors}");
    }
    for query in ["colour=red", "sort=size", "client=127.1.0.1%2F16", "bytes=1k", "limit=x", "reverse=maybe"] {
        assert_eq!(proxy.ask(&format!("/connections?{query}")).0, 400, "{query}");
    }
    drop(_clients);
    proxy.finish();
}

#[test]
fn b22_a_rate_is_of_what_moves_now_and_not_of_what_has_moved() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    let client = echoed("127.0.0.1", &proxy, "127.0.0.2", 1 << 20);
    let rates = |live: &[Value]| {
        let rate = |key: &str| live[0][key].as_u64().unwrap();
        (rate("bytes_in_per_second"), rate("bytes_out_per_second"))
    };
    let live = proxy.connections_until("it has a rate", |live| {
        let (inward, outward) = rates(live);
        inward > 100_000 && outward > 100_000
    });
    assert_eq!(live[0]["bytes_in"], 1 << 20);
    // The bytes stay, and the rate goes down to nothing within the few seconds that it looks at.
    let begun = Instant::now();
    let live = proxy.connections_until("nothing moves any more", |live| rates(live) == (0, 0));
    assert!(begun.elapsed() < PATIENCE && live[0]["bytes_out"] == 1 << 20, "{live:?}");
    drop(client);
    proxy.finish();
}

#[test]
fn a_row_says_what_tls_came_to_and_for_how_long_the_connection_is_in_its_state() {
    let target = Target::http("target");
    let proxy = Proxy::start(&Way::TerminateHttp.route("secure", "127.0.0.2", target.address, ""));
    let mut client = Peer::connect(proxy.address("127.0.0.2")).tls(HOST, &CERTIFICATES.client(&[]));
    assert_eq!(client.get(HOST, "/").status(), 200);
    let row = proxy.connections().remove(0);
    assert_eq!((&row["tls"]["version"], &row["protocol"]), (&"1.3".into(), &"http/1.1".into()), "{row}");
    assert!(row["tls"]["group"].as_str().is_some_and(|group| !group.is_empty()), "{row}");
    assert!(row["state_seconds"].as_f64().unwrap() <= row["age_seconds"].as_f64().unwrap(), "{row}");
    let (_, text, _) = ask(&proxy, &["connections"]);
    let lines: Vec<_> = text.lines().collect();
    for heading in ["ID", "LISTENER", "PROTOCOL", "TLS", "FOR", "IN/S", "OUT/S"] {
        assert!(lines[0].split_whitespace().any(|word| word == heading), "{heading}: {text}");
    }
    assert!(lines[1].contains("1.3/") && lines[1].contains("serving"), "{text}");
    client.finish();
    assert_eq!(client.end(), End::Whole);
    proxy.finish();
}

#[test]
fn those_that_a_filter_names_are_ended_and_counted_and_nobody_else() {
    let echo = Target::echo();
    let config =
        Way::Tcp.route("one", "127.0.0.2", echo.address, "") + &Way::Tcp.route("two", "127.0.0.3", echo.address, "");
    let proxy = Proxy::start(&config);
    let mut of_one = [echoed("127.1.0.1", &proxy, "127.0.0.2", 1), echoed("127.1.0.2", &proxy, "127.0.0.2", 1)];
    let mut of_two = [echoed("127.1.0.1", &proxy, "127.0.0.3", 1), echoed("127.3.0.1", &proxy, "127.0.0.3", 1)];
    let all = listed(&proxy, &[]);

    // Nobody is ended by a slip: there has to be a number or a filter, and not both.
    for arguments in [&["kill"][..], &["kill", "--dry-run"], &["kill", "1", "--route", "one"]] {
        let (code, _, errors) = ask(&proxy, arguments);
        assert!(code == 64 && errors.contains("Usage"), "{arguments:?}: {errors}");
    }
    let (code, text, _) = ask(&proxy, &["kill", "--route", "one", "--dry-run"]);
    assert!(code == 0 && text == "2 connections would be killed\n", "{text}");
    let (code, text, _) = ask(&proxy, &["kill", "--client", "127.1.0.0/16", "--dry-run", "--json"]);
    let told = json(&text);
    assert!(code == 0 && told["killed"] == 3 && told["dry_run"] == true, "{text}");
    let mut named: Vec<_> = told["connections"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    named.sort_unstable();
    assert_eq!((named, listed(&proxy, &[])), (all[..3].to_vec(), all.clone()), "all live on");

    let (code, text, _) = ask(&proxy, &["kill", "--route", "one"]);
    assert!(code == 0 && text == "2 connections killed\n", "{text}");
    for client in &mut of_one {
        assert_eq!(client.end(), End::Reset);
        assert_eq!(proxy.line_of(client.ends())["cause"], "killed");
    }
    for client in &mut of_two {
        client.send(b"still");
        client.expect(b"still");
    }
    let (code, text, errors) = ask(&proxy, &["kill", "--older", "1h"]);
    assert!(code == 1 && text.is_empty() && errors.contains("no live connection is such"), "{text}{errors}");
    let (code, _, errors) = ask(&proxy, &["kill", "--route", "too"]);
    assert!(code == 64 && errors.contains("did you mean `two`?"), "{errors}");

    let (third, fourth, gone) = (all[2].to_string(), all[3].to_string(), all[0].to_string());
    let (code, text, errors) = ask(&proxy, &["kill", &third, &gone, &fourth]);
    assert!(code == 1 && text == "2 connections killed\n", "{text}{errors}");
    assert!(errors.contains(&format!("has the number {gone};")), "{errors}");
    for client in &mut of_two {
        assert_eq!(client.end(), End::Reset);
    }
    proxy.event("an operator has ended connections", |event| event["killed"] == 2);
    proxy.finish();
}

#[test]
fn a_kill_needs_the_socket_or_a_token_and_has_to_name_somebody() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("one", "127.0.0.2", echo.address, ""));
    let client = echoed("127.0.0.1", &proxy, "127.0.0.2", 1);
    let mut page = Peer::connect(proxy.admin());
    let mut socket = std::os::unix::net::UnixStream::connect(proxy.path("admin.sock")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    page.send(b"POST /connections/kill?route=one HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
    // Over HTTP it needs a token, and there is none.
    assert_eq!(page.message().status(), 403);
    for (method, query, status) in [("POST", "", 400), ("POST", "?limit=1", 400), ("GET", "?route=one", 405)] {
        use std::io::{Read, Write};
        write!(socket, "{method} /connections/kill{query} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"), "{method} {query}");
        socket = std::os::unix::net::UnixStream::connect(proxy.path("admin.sock")).unwrap();
    }
    assert_eq!(proxy.connections().len(), 1, "nobody was ended");
    drop((client, page, socket));
    proxy.finish();
}

#[test]
fn some_thousand_real_connections_are_listed_whole_and_traffic_goes_on() {
    const LIVE: usize = 2_000;
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    let address = proxy.address("127.0.0.2");
    let clients: Vec<_> = (0..LIVE).map(|_| Peer::connect(address)).collect();
    until(|| match proxy.connections().len() {
        LIVE => Ok(()),
        other => Err(format!("{other} live")),
    })
    .unwrap();
    let (code, text, errors) = ask(&proxy, &["connections", "--json", "--sort", "age", "--limit", "100"]);
    let value = json(&text);
    assert_eq!((code, value["matched"].as_u64()), (0, Some(LIVE as u64)), "{errors}");
    assert_eq!(value["connections"].as_array().unwrap().len(), 100);
    let mut busy = echoed("127.0.0.1", &proxy, "127.0.0.2", 1);
    let worst = (0..20).map(|_| {
        let begun = Instant::now();
        busy.send(b"ping");
        busy.expect(b"ping");
        begun.elapsed()
    });
    assert!(worst.max().unwrap() < Duration::from_secs(5));
    let (code, text, _) = ask(&proxy, &["kill", "--route", "echo"]);
    assert!(code == 0 && text == format!("{} connections killed\n", LIVE + 1), "{text}");
    drop((clients, busy));
    proxy.finish();
}
