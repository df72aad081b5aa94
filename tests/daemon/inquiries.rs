//! `security.forward_auth`: another server is asked first, what it says is believed, and nobody else can say it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::harness::{
    CERTIFICATES, Curl, End, HOST, Message, Peer, Proxy, Refusing, Target, Unanswering, Way, folder_with, next_head,
    parsed_head,
};

/// Idle connections are kept for longer than a busy machine takes from one request to the next.
const KEPT: &str = "timeouts.upstream_keep_alive = \"5s\"";

/// A server that decides by the path of the request that it is asked about, and remembers what it was asked.
struct Judge {
    target: Target,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Judge {
    fn new() -> Self {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let remembered = Arc::clone(&asked);
        let target = Target::serving(move |peer| decide(peer, &remembered));
        Self { target, asked }
    }

    fn address(&self) -> SocketAddr {
        self.target.address
    }

    /// The heads that it has been sent.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn decide(mut peer: Peer, asked: &Mutex<Vec<String>>) {
    while let Some(head) = next_head(&mut peer) {
        asked.lock().unwrap().push(head.clone());
        let about = parsed_head(&head);
        let uri = about.field("x-forwarded-uri");
        let said = "remote-user: alice\r\nRemote-Groups: staff\r\nremote-groups: admins\r\n";
        let answer = match uri.split('?').next().unwrap_or_default() {
            "/no" => "HTTP/1.1 403 Forbidden\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nremote-user: nobody\r\n\
                      x-why: because\r\nconnection: keep-alive\r\ncontent-length: 7\r\n\r\ngo away"
                .into(),
            "/login" => "HTTP/1.1 302 Found\r\nlocation: https://login.test/?rd=1\r\ncontent-length: 0\r\n\r\n".into(),
            "/who" => {
                "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"judge\"\r\ncontent-length: 0\r\n\r\n"
                    .into()
            }
            "/failing" => "HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops".into(),
            "/bare" => "HTTP/1.1 204 No Content\r\n\r\n".into(),
            "/early" => format!(
                "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n{said}content-length: 0\r\n\r\n"
            ),
            "/chunked" => format!("HTTP/1.1 200 OK\r\n{said}transfer-encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n"),
            "/rest" => {
                let length: usize = uri.split('?').nth(1).and_then(|length| length.parse().ok()).unwrap_or(0);
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{}", "x".repeat(length))
            }
            "/long" => format!("HTTP/1.1 200 OK\r\n{said}content-length: 1000000\r\n\r\n{}", "x".repeat(1_000_000)),
            "/switch" => "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n".into(),
            "/odd" => "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".into(),
            "/closes" => return,
            "/silent" => {
                let _ = peer.rest();
                return;
            }
            _ => format!("HTTP/1.1 200 OK\r\n{said}content-length: 2\r\n\r\nok"),
        };
        peer.send_what_is_taken(answer.as_bytes());
    }
}

fn asking(judge: impl std::fmt::Display, more: &str) -> String {
    format!(
        "security.forward_auth = {{ targets = [\"{judge}\"], path = \"/api/verify?x=1\", \
         copy_headers = [\"remote-user\", \"Remote-Groups\"]{more} }}"
    )
}

fn get(client: &mut Peer, path: &str, fields: &str) -> Message {
    client.send(format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\n{fields}\r\n").as_bytes());
    client.message()
}

fn line_of(proxy: &Proxy, path: &str) -> Value {
    proxy.line("request", path, |line| line["path"] == path)
}

#[test]
fn who_is_let_through_comes_with_what_the_server_says_and_never_with_what_the_client_says() {
    let (target, judge) = (Target::verbatim(), Judge::new());
    let proxy = Proxy::start(&Way::Http.route("site", "127.0.0.2", target.address, &asking(judge.address(), "")));
    let address = proxy.address("127.0.0.2");
    for lie in [
        "",
        "remote-user: root\r\n",
        "Remote-User: root\r\nREMOTE-USER: root\r\nremote-groups: root\r\n",
        "remote_user: root\r\nRemote_Groups: root\r\n",
        "connection: remote-user, remote-groups\r\n",
        "connection: remote-user\r\nremote-user: root\r\n",
    ] {
        for path in ["/yes", "/chunked", "/early", "/long"] {
            let mut client = Peer::connect(address);
            let answer = get(&mut client, path, lie);
            let seen = answer.text().to_ascii_lowercase();
            assert_eq!(answer.status(), 200, "{path} {lie}");
            assert!(!seen.contains("root"), "{path} {lie}\n{seen}");
            assert_eq!(seen.replace('_', "-").matches("\r\nremote-user: ").count(), 1, "{path} {lie}\n{seen}");
            for wanted in ["remote-user: alice", "remote-groups: staff", "remote-groups: admins"] {
                assert!(seen.contains(&format!("\r\n{wanted}\r\n")), "{path} {lie}\n{seen}");
            }
            client.finish();
        }
        // The answer has none of them: then nobody has.
        let mut client = Peer::connect(address);
        let seen = get(&mut client, "/bare", lie).text().to_ascii_lowercase().replace('_', "-");
        assert!(seen.starts_with("get /bare") && !seen.contains("\r\nremote-"), "{lie}\n{seen}");
        client.finish();
    }
    assert!(judge.asked().iter().all(|head| !head.contains("root")), "nor is the server told");
    let line = line_of(&proxy, "/yes");
    assert_eq!((&line["target"], &line["cause"]), (&target.address.to_string().into(), &"finished".into()));
    proxy.finish();
}

#[test]
fn the_server_is_asked_about_the_request_and_by_what_the_proxy_knows() {
    let (target, judge) = (Target::verbatim(), Judge::new());
    let proxy =
        Proxy::start(&Way::TerminateHttp.route("site", "127.0.0.2", target.address, &asking(judge.address(), "")));
    let mut client = Way::TerminateHttp.silent_client(proxy.address("127.0.0.2"));
    let fields = "cookie: session=1\r\nauthorization: Bearer x\r\nx-forwarded-uri: /public\r\nx_forwarded_uri: /public\r\n\
                  x-forwarded-method: HEAD\r\nx-forwarded-for: 10.0.0.1\r\nx-forwarded-host: other.test\r\n\
                  x-original-url: /public\r\nX-Original-Method: HEAD\r\nx-original-uri: /public\r\nx-rewrite-url: /public\r\n\
                  if-none-match: \"a\"\r\nrange: bytes=0-1\r\ncontent-type: text/a\r\nte: trailers\r\nconnection: te, x-gone\r\n\
                  x-gone: 1\r\ncontent-length: 4\r\n";
    client.send(format!("PUT /yes?a=b%20c HTTP/1.1\r\nhost: {HOST}\r\n{fields}\r\nbody").as_bytes());
    let seen = client.message().text();
    assert!(seen.starts_with("PUT /yes?a=b%20c HTTP/1.1\r\n") && seen.ends_with("\r\n\r\nbody"), "{seen}");
    assert!(seen.contains("\r\nremote-user: alice\r\n") && seen.contains("\r\nif-none-match: \"a\"\r\n"), "{seen}");
    client.finish();
    let asked = judge.asked();
    assert_eq!(asked.len(), 1);
    let head = parsed_head(&asked[0]);
    assert_eq!(head.start, "GET /api/verify?x=1 HTTP/1.1");
    for (name, value) in [
        ("host", judge.address().to_string().as_str()),
        ("x-forwarded-method", "PUT"),
        ("x-forwarded-uri", "/yes?a=b%20c"),
        ("x-forwarded-host", HOST),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "127.0.0.1"),
        ("cookie", "session=1"),
        ("authorization", "Bearer x"),
        ("content-length", ""),
        ("content-type", ""),
        ("if-none-match", ""),
        ("range", ""),
        ("te", ""),
        ("x-gone", ""),
        ("connection", ""),
        ("via", "1.1 smartproxy"),
    ] {
        assert_eq!(head.field(name), value, "{name}: {}", asked[0]);
    }
    assert!(!asked[0].contains("/public") && !asked[0].contains("HEAD"), "{}", asked[0]);
    assert_eq!(head.field("x-request-id").len(), 32);
    assert!(seen.contains(head.field("x-request-id")), "the same request");
    proxy.finish();
}

pub(crate) fn who_is_denied_gets_the_answer_of_the_server_that_was_asked() {
    let (target, judge) = (Target::verbatim(), Judge::new());
    let more = format!("{}\n{KEPT}", asking(judge.address(), ""));
    let proxy = Proxy::start(&Way::Http.route("site", "127.0.0.2", target.address, &more));
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(format!("GET /no HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes());
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n") && head.contains("\r\nx-why: because\r\n"), "{head}");
    assert!(head.contains("\r\nset-cookie: a=1\r\n") && head.contains("\r\nset-cookie: b=2\r\n"), "{head}");
    client.expect(b"go away");
    let login = get(&mut client, "/login", "");
    assert_eq!((login.status(), login.field("location")), (302, "https://login.test/?rd=1"));
    let who = get(&mut client, "/who", "");
    assert_eq!((who.status(), who.field("www-authenticate")), (401, "Basic realm=\"judge\""));
    let failing = get(&mut client, "/failing", "");
    assert_eq!((failing.status(), failing.text().as_str()), (500, "oops"));
    client.send(format!("HEAD /no?head HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes());
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n") && head.contains("\r\ncontent-length: 7\r\n"), "{head}");
    // The body of a request that is denied goes nowhere, and the connection goes on.
    client.send(format!("POST /no?body HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 5\r\n\r\nhello").as_bytes());
    assert_eq!(client.message().status(), 403);
    // With the server's own error page, and on HTTP/1.0.
    client.send(b"GET /no?old HTTP/1.0\r\nhost: shop.test\r\n\r\n");
    assert_eq!(client.message().status(), 403);
    client.finish();
    for path in ["/no", "/login", "/who", "/failing", "/no?head", "/no?body", "/no?old"] {
        let line = line_of(&proxy, path);
        let found = (&line["cause"], &line["phase"], &line["party"], &line["target"]);
        let judge = judge.address().to_string().into();
        assert_eq!(found, (&"denied".into(), &"route".into(), &"target".into(), &judge), "{line}");
    }
    assert_eq!((target.accepted(), judge.target.accepted()), (0, 1), "its connection is kept");
    proxy.finish();
}

#[test]
fn what_cannot_be_asked_is_not_let_through() {
    let (target, judge, refusing, mute) = (Target::verbatim(), Judge::new(), Refusing::new(), Unanswering::new());
    let short = "timeouts = { response_head = \"200ms\", connect = \"200ms\", connect_total = \"300ms\" }";
    let route = |name: &str, ip: &str, judge: String| {
        Way::Http.route(name, ip, target.address, &format!("{}\n{short}", asking(judge, "")))
    };
    let config = route("asked", "127.0.0.2", judge.address().to_string())
        + &route("refusing", "127.0.0.3", refusing.address.to_string())
        + &route("mute", "127.0.0.4", mute.address.to_string())
        + &route("nameless", "127.0.0.5", "no-such-name.invalid:80".into());
    let proxy = Proxy::start(&config);
    let judge = judge.address().to_string();
    for (ip, path, status, cause, asked) in [
        ("127.0.0.2", "/closes", 502, "target_closed", judge.as_str()),
        ("127.0.0.2", "/odd", 502, "response_malformed", &judge),
        ("127.0.0.2", "/switch", 502, "response_malformed", &judge),
        ("127.0.0.2", "/silent", 504, "response_head_timeout", &judge),
        ("127.0.0.3", "/refused", 502, "refused", &refusing.address.to_string()),
        ("127.0.0.4", "/mute", 504, "connect_timeout", &mute.address.to_string()),
        ("127.0.0.5", "/nameless", 502, "resolve_failed", "no-such-name.invalid:80"),
    ] {
        let mut client = Peer::connect(proxy.address(ip));
        assert_eq!(get(&mut client, path, "").status(), status, "{path}");
        client.finish();
        let line = line_of(&proxy, path);
        assert_eq!((&line["cause"], &line["target"]), (&cause.into(), &asked.into()), "{line}");
    }
    // A client that leaves in the meantime ends the question.
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(format!("GET /silent?left HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes());
    client.reset();
    assert_eq!(target.accepted(), 0, "none of them has reached the target");
    proxy.finish();
}

#[test]
fn the_body_waits_for_the_decision_and_so_does_who_asks_whether_to_send_it() {
    let judge = Judge::new();
    let target = Target::serving(|mut peer| {
        while let Some(head) = next_head(&mut peer) {
            if head.to_ascii_lowercase().contains("expect: 100-continue") {
                peer.send_what_is_taken(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            let mut body = Vec::new();
            while !body.ends_with(b"\r\nx-end: 1\r\n\r\n") {
                body.extend(peer.receive(1));
            }
            let all = [head.as_bytes(), &body].concat();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", all.len());
            peer.send_what_is_taken(&[answer.as_bytes(), &all].concat());
        }
    });
    let proxy = Proxy::start(&Way::Http.route("site", "127.0.0.2", target.address, &asking(judge.address(), "")));
    let address = proxy.address("127.0.0.2");
    let head = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n")
    };
    // Who is denied is never told to go on.
    let mut client = Peer::connect(address);
    client.send(head("/no").as_bytes());
    assert_eq!(client.message().status(), 403);
    client.finish();
    let mut client = Peer::connect(address);
    client.send(head("/yes").as_bytes());
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    // Nor do trailers say who the client is.
    client.send(b"4\r\nbody\r\n0\r\nremote-user: root\r\nRemote_User: root\r\nremote-groups: root\r\nx-end: 1\r\n\r\n");
    let seen = client.message().text();
    assert!(seen.contains("body") && seen.contains("\r\nremote-user: alice\r\n") && !seen.contains("root"), "{seen}");
    client.finish();
    proxy.finish();
}

#[test]
fn every_ending_and_every_protocol_asks() {
    let (target, judge) = (Target::verbatim(), Judge::new());
    let socket = Target::serving(|mut peer| {
        let head = peer.head();
        assert!(head.to_ascii_lowercase().contains("\r\nremote-user: alice\r\n"), "{head}");
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
        peer.expect(b"ping");
        peer.send(b"pong");
        peer.finish();
    });
    let answering = |name: &str, ip: &str, more: &str| {
        format!("\n[[routes]]\nname = \"{name}\"\nmatch.ports = [\"{ip}:0\"]\n{more}\n")
    };
    let config = format!("defaults.{}\n", asking(judge.address(), ""))
        + &Way::TerminateHttp.route("site", "127.0.0.2", target.address, "")
        + &Way::Http.route("socket", "127.0.0.3", socket.address, "")
        + &answering("redirect", "127.0.0.4", "redirect.to = \"https://{host}/\"")
        + &answering("respond", "127.0.0.5", "respond.body = \"hello\"")
        + &Way::Http.route("open", "127.0.0.6", target.address, "security.forward_auth = \"off\"")
        + &Way::Http.route("both", "127.0.0.7", target.address, "security.basic_auth.file = \"users.htpasswd\"")
        + &Way::Http.route("blocked", "127.0.0.8", target.address, "security.block = [\"127.0.0.0/8\"]");
    let proxy = Proxy::start(&config);
    let statuses = |ip: &str| {
        let mut client = Peer::connect(proxy.address(ip));
        let statuses = (get(&mut client, "/yes", "").status(), get(&mut client, "/no", "").status());
        client.finish();
        statuses
    };
    assert_eq!(statuses("127.0.0.4"), (308, 403));
    assert_eq!(statuses("127.0.0.5"), (200, 403));
    let asked = judge.asked().len();
    assert_eq!(statuses("127.0.0.6"), (200, 200));
    // The address and the password go first.
    assert_eq!(statuses("127.0.0.7"), (401, 401));
    let mut blocked = Peer::connect(proxy.address("127.0.0.8"));
    assert_eq!(get(&mut blocked, "/yes", "").status(), 403);
    blocked.finish();
    assert_eq!(judge.asked().len(), asked, "none of these was asked about");
    let mut client = Peer::connect(proxy.address("127.0.0.3"));
    client.send(
        format!("GET /yes HTTP/1.1\r\nhost: {HOST}\r\nconnection: upgrade, remote-user\r\nupgrade: websocket\r\n\r\n")
            .as_bytes(),
    );
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.send(b"ping");
    client.expect(b"pong");
    client.finish();
    assert_eq!(client.end(), End::Whole);
    let mut client = Peer::connect(proxy.address("127.0.0.3"));
    let denied = get(&mut client, "/no", "connection: upgrade\r\nupgrade: websocket\r\n");
    assert_eq!(denied.status(), 403);
    client.finish();
    let asked = judge.asked();
    assert!(asked.iter().all(|head| !head.to_ascii_lowercase().contains("\r\nupgrade:")), "{asked:?}");
    if Curl::found() {
        let folder = folder_with("");
        let curl = |path: &str, arguments: &[&str]| {
            let to = Curl::to("https", HOST, proxy.address("127.0.0.2"), path);
            let to = to.trusting(&folder.path().join("ca.pem")).arg("--http2");
            arguments.iter().fold(to, |to, argument| to.arg(argument)).run()
        };
        let posted = curl("/yes", &["--data", "a=b", "--header", "remote-user: root"]);
        let seen = posted.body.to_ascii_lowercase();
        assert_eq!((posted.status, posted.version.as_str()), (200, "2"), "{posted:?}");
        assert!(
            seen.contains("\r\nremote-user: alice\r\n") && seen.contains("a=b") && !seen.contains("root"),
            "{seen}"
        );
        let denied = curl("/no", &["--data", "a=b"]);
        assert_eq!((denied.status, denied.body.trim()), (403, "go away"));
        assert_eq!(curl("/no", &["--head"]).status, 403);
    }
    proxy.finish();
}

#[test]
fn the_server_is_spoken_to_by_tls_and_another_takes_its_place_when_it_fails() {
    let (target, judge, refusing) = (Target::verbatim(), Judge::new(), Refusing::new());
    let asked = Arc::clone(&judge.asked);
    let config = CERTIFICATES.server();
    let secret = Target::serving(move |peer| drop(peer.try_tls_server(&config).map(|peer| decide(peer, &asked))));
    let tls = ", tls = { ca = \"ca.pem\", server_name = \"target.test\" }";
    let both = format!("{}\", \"{}", refusing.address, judge.address());
    let config = Way::Http.route("tls", "127.0.0.2", target.address, &asking(secret.address, tls))
        + &Way::Http.route("wrong", "127.0.0.3", target.address, &asking(secret.address, ", tls = {}"))
        + &Way::Http.route("plain", "127.0.0.4", target.address, &asking(secret.address, ""))
        + &Way::Http.route("two", "127.0.0.5", target.address, &asking(both, ""));
    let proxy = Proxy::start(&config);
    let status = |ip: &str, path: &str| {
        let mut client = Peer::connect(proxy.address(ip));
        let status = get(&mut client, path, "").status();
        client.finish();
        status
    };
    assert_eq!((status("127.0.0.2", "/yes"), status("127.0.0.2", "/no")), (200, 403));
    assert_eq!(status("127.0.0.3", "/untrusted"), 502);
    assert_eq!(line_of(&proxy, "/untrusted")["cause"], "upstream_tls");
    assert_ne!(status("127.0.0.4", "/yes"), 200);
    assert_eq!((status("127.0.0.5", "/yes"), status("127.0.0.5", "/no")), (200, 403));
    let (code, text) = proxy.ask("/status");
    assert!(code == 200 && text.contains(&refusing.address.to_string()), "it is set aside: {text}");
    let routes: serde_json::Value = serde_json::from_str(&proxy.ask("/routes").1).unwrap();
    let two = routes["routes"].as_array().unwrap().iter().find(|route| route["name"] == "two").unwrap();
    let [first, second] = two["asked"].as_array().unwrap().as_slice() else { panic!("{two:#}") };
    assert_eq!((&first["set_aside"]["cause"], &second["set_aside"]), (&"refused".into(), &serde_json::Value::Null));
    assert_eq!((&two["set_aside"], &two["target_count"]), (&0.into(), &1.into()), "its own target is sound: {two:#}");
    proxy.finish();
}

#[test]
fn as_much_of_an_answer_as_is_allowed_is_thrown_away_and_for_more_the_connection_is() {
    let (target, judge) = (Target::verbatim(), Judge::new());
    let more = format!("{}\n{KEPT}", asking(judge.address(), ""));
    let proxy = Proxy::start(&Way::Http.route("site", "127.0.0.2", target.address, &more));
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    let most = smartproxy::http::ANSWER_DISCARDED_MAX;
    for (length, connections) in [(most, 1), (most, 1), (most + 1, 1), (0, 2)] {
        assert_eq!(get(&mut client, &format!("/rest?{length}"), "").status(), 200);
        assert_eq!(judge.target.accepted(), connections, "{length}");
    }
    client.finish();
    proxy.finish();
}
