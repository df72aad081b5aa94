//! What connections go through, told while it happens; and what the daemon's log says of whose connection, and how often.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{End, HOST, PATIENCE, Peer, Proxy, Refusing, Target, Way, field, until};

/// A `smartproxy trace` that watches already.
fn watching(proxy: &Proxy, arguments: &[&str]) -> Child {
    let mut command = proxy.command(&[&["trace"], arguments].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert!(said.starts_with("watching for"), "{said}");
    child
}

/// What it has told, once it has ended by itself.
fn told(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn events(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn a_time_is_said_as_it_was_written() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    let output = |time: &str| {
        let output = proxy.command(&["trace", "--client", "127.9.9.9", "--for", time]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(output("100ms"), (Some(0), "watching for 100ms; Ctrl-C ends it\n".into()));
    for (time, why) in
        [("0s", "no time to see anything in"), ("61m", "an hour is the longest"), ("1", "write the unit")]
    {
        let (code, errors) = output(time);
        assert!(code == Some(64) && errors.contains(&format!("'{time}'")) && errors.contains(why), "{errors}");
    }
    proxy.finish();
}

#[test]
fn a_trace_tells_what_the_wanted_connections_go_through_and_ends_by_itself() {
    let (echo, refusing, target) = (Target::echo(), Refusing::new(), Target::http("target"));
    let config = Way::Tcp.route("echo", "127.0.0.2", echo.address, "")
        + &Way::Tcp.route("refused", "127.0.0.3", refusing.address, "")
        + &Way::Http.route("web", "127.0.0.4", target.address, "");
    let proxy = Proxy::start(&config);
    let addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map(|ip| proxy.address(ip));
    let mut early = Peer::connect_from("127.7.0.1", addresses[0]);
    early.send(b"ping");
    early.expect(b"ping");
    let early_id = proxy.connections()[0]["id"].to_string();
    let by_client = watching(&proxy, &["--json", "--for", "4s", "--client", "127.7.0.0/16"]);
    let by_route = watching(&proxy, &["--json", "--for", "4s", "--route", "web"]);
    let by_id = watching(&proxy, &["--json", "--for", "4s", "--connection", &early_id]);
    let as_text = watching(&proxy, &["--for", "4s", "--client", "127.7.0.2"]);

    let begun = Instant::now();
    assert_ne!(Peer::connect_from("127.7.0.2", addresses[1]).end(), End::Silence);
    let mut web = Peer::connect_from("127.8.0.1", addresses[2]);
    assert_eq!(web.get(HOST, "/shop?x=1").status(), 200);
    web.finish();
    assert_eq!(web.end(), End::Whole);
    early.finish();
    assert_eq!(early.end(), End::Whole);

    let text = told(by_client);
    assert!(begun.elapsed() < Duration::from_secs(4) + PATIENCE);
    let of_clients = events(&text);
    let kinds = |of: &str| -> Vec<_> {
        let events = of_clients.iter().filter(|event| event["route"] == of);
        events.map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert!(
        of_clients
            .iter()
            .all(|event| event["kind"] == "end" || event["client"].as_str().unwrap().starts_with("127.7.0.")),
        "{text}"
    );
    let connect = of_clients.iter().find(|event| event["kind"] == "connect").unwrap();
    assert_eq!((&connect["result"], &connect["route"]), (&"refused".into(), &"refused".into()), "{text}");
    let wanted = ["routed", "state", "connect", "state", "connection"];
    assert!(wanted.iter().all(|kind| kinds("refused").iter().any(|one| one == kind)), "{text}");
    assert!(of_clients.iter().any(|event| event["kind"] == "accepted"), "{text}");
    assert!(of_clients.iter().any(|event| event["kind"] == "connection" && event["cause"] == "refused"), "{text}");
    let end = of_clients.last().unwrap();
    assert_eq!((&end["kind"], &end["dropped"]), (&"end".into(), &0.into()), "{text}");
    assert_eq!(end["events"].as_u64(), Some(of_clients.len() as u64 - 1), "{text}");

    let text = told(by_route);
    let of_route = events(&text);
    let request = of_route.iter().find(|event| event["kind"] == "request").unwrap();
    assert_eq!((&request["path"], &request["status"]), (&"/shop?x=1".into(), &200.into()), "{text}");
    let named = |event: &Value| event["kind"] == "end" || event["route"] == "web";
    assert!(of_route.iter().all(named), "{text}");
    assert!(of_route.iter().any(|event| event["kind"] == "connect" && event["result"] == "connected"), "{text}");

    let text = told(by_id);
    let of_one = events(&text);
    let early_id: u64 = early_id.parse().unwrap();
    let own = |event: &Value| event["kind"] == "end" || event["connection"] == early_id;
    assert!(of_one.iter().all(own) && of_one.iter().any(|event| event["kind"] == "connection"), "{text}");

    let text = told(as_text);
    assert!(text.contains(" connect connection=") && text.contains("result=refused"), "{text}");
    assert!(text.lines().last().unwrap().contains(" end events="), "{text}");
    proxy.finish();
}

#[test]
fn no_more_watch_than_may_and_whoever_leaves_makes_room() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    let watch = || {
        let mut stream = UnixStream::connect(proxy.path("admin.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /trace?seconds=60 HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        (stream, String::from_utf8_lossy(&status).into_owned())
    };
    let watchers: Vec<_> = (0..smartproxy::telemetry::TRACERS_MAX).map(|_| watch()).collect();
    assert!(watchers.iter().all(|(_, status)| status == "HTTP/1.1 200"));
    assert_eq!(watch().1, "HTTP/1.1 429");
    let output = proxy.command(&["trace", "--for", "1s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains("8 traces are running"), "{output:?}");
    drop(watchers);
    let room = until(|| match watch() {
        (_, status) if status == "HTTP/1.1 200" => Ok(()),
        (_, status) => Err(status),
    });
    room.unwrap();
    // Who is watched by nobody is served as ever, and the address of the pages does not tell.
    assert_eq!(proxy.ask("/trace").0, 404);
    for (arguments, part) in [
        (&["--for", "2h"][..], "an hour"),
        (&["--client", "shop"], "not an IP address"),
        (&["--connection", "x"], "not a connection's number"),
        (&["--route", "ecco"], "did you mean `echo`?"),
    ] {
        let output = proxy.command(&[&["trace"], arguments].concat()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(64) && errors.contains(part), "{arguments:?}: {errors}");
    }
    proxy.finish();
}

#[test]
fn a_trace_ends_with_the_daemon_and_has_told_all_of_it() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    let child = watching(&proxy, &["--json", "--for", "1h"]);
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(b"ping");
    client.expect(b"ping");
    client.finish();
    assert_eq!(client.end(), End::Whole);
    proxy.signal(rustix::process::Signal::TERM);
    proxy.ended();
    let text = told(child);
    let events = events(&text);
    assert!(events.iter().any(|event| event["kind"] == "connection" && event["cause"] == "finished"), "{text}");
    assert_eq!(events.last().unwrap()["kind"], "end", "{text}");
}

#[test]
fn the_lines_of_a_connections_log_share_its_number() {
    let target = Target::http("target");
    let config = "log.level = \"debug\"\n".to_owned() + &Way::Http.route("web", "127.0.0.2", target.address, "");
    let proxy = Proxy::start(&config);
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    assert_eq!(client.get(HOST, "/").status(), 200);
    let id = proxy.connections()[0]["id"].clone();
    client.send(b"NOT A REQUEST\r\n\r\n");
    assert_eq!(client.message().status(), 400);
    drop(client);
    let refused = proxy.event("a request is refused", |_| true);
    assert_eq!(refused["connection"], id, "{refused}");
    let closed = proxy.event_after(0, "its end", |event| event["connection"] == id && event["to"] == "closed");
    assert_eq!(field(&closed, "from"), Some("serving"));
    proxy.finish();
}

#[test]
fn a_fault_that_repeats_itself_is_said_a_few_times_and_then_counted() {
    const TIMES: usize = 40;
    let echo = Target::echo();
    let config = Way::Tcp.route("echo", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&config);
    proxy.write(&config.replace("targets", "tagets"));
    let mark = proxy.log_mark();
    for _ in 0..TIMES {
        let mut stream = UnixStream::connect(proxy.path("admin.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"POST /reload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 422");
    }
    let more = |event: &Value| event["more"].as_u64();
    let folded = proxy.event_after(mark, "a count", |event| more(event).is_some());
    let message = field(&folded, "message").unwrap();
    assert!(message.starts_with('\u{2026}') && message.contains("more like this in"), "{folded}");
    assert_eq!(folded["level"], "ERROR");
    // However long it took, none is missing: those that were said and those that were counted are all that there were.
    let all = until(|| {
        let text = proxy.log_text();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect::<Vec<_>>();
        let said = events.iter().filter(|event| {
            field(event, "message").is_some_and(|message| message.starts_with("the reload is refused"))
        });
        let (said, counted) = (said.count(), events.iter().filter_map(more).sum::<u64>());
        if said + counted as usize == TIMES { Ok(said) } else { Err(format!("{said} said, {counted} counted")) }
    });
    assert!(all.unwrap() < TIMES, "some were counted");
    proxy.write(&config);
    proxy.finish();
}

#[test]
fn b20_a_storm_of_rejected_clients_fills_no_log_but_the_access_log_which_has_them_all() {
    const CLIENTS: usize = 500;
    let echo = Target::echo();
    let security = "security = { block = [\"127.9.0.0/16\"] }";
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, security));
    let (address, mark) = (proxy.address("127.0.0.2"), proxy.log_mark());
    for number in 0..CLIENTS {
        let from = format!("127.9.{}.{}", number / 250, 1 + number % 250);
        assert_ne!(Peer::connect_from(&from, address).end(), End::Silence);
    }
    proxy.metrics_until("all are closed", |metrics| {
        metrics.sum("connections_closed_total", &[("cause", "blocked")]) == CLIENTS as i64
    });
    let all = until(|| match proxy.lines("connection").len() {
        CLIENTS => Ok(()),
        lines => Err(format!("{lines} lines")),
    });
    all.unwrap();
    assert_eq!(proxy.log_mark(), mark, "{}", proxy.log_text());
    proxy.finish();
}
