//! `security.basic_auth`: who is let in, what is written of them, and that nobody can say to be somebody else.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::harness::{
    BINARY, CERTIFICATES, Curl, FILE, HOST, Message, Peer, Proxy, Target, USERS, Way, folder_with, until,
};

/// `alice:correct`, `alice:wrong`, `mallory:correct` and `Jürgen:correct`.
const ALICE: &str = "Basic YWxpY2U6Y29ycmVjdA==";
const WRONG: &str = "Basic YWxpY2U6d3Jvbmc=";
const MALLORY: &str = "Basic bWFsbG9yeTpjb3JyZWN0";
const JUERGEN: &str = "Basic SsO8cmdlbjpjb3JyZWN0";

const BASIC: &str = "security.basic_auth = { file = \"users.htpasswd\", realm = \"the team's\" }";

fn ask(client: &mut Peer, fields: &str) -> Message {
    client.send(format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n{fields}\r\n").as_bytes());
    client.message()
}

fn authorized(address: SocketAddr, authorization: &str) -> Message {
    let mut client = Peer::connect(address);
    let answer = ask(&mut client, &format!("authorization: {authorization}\r\n"));
    client.finish();
    answer
}

fn refused(answer: &Message) {
    assert_eq!(answer.status(), 401, "{answer:?}");
    assert_eq!(answer.field("www-authenticate"), "Basic realm=\"the team's\", charset=\"UTF-8\"");
}

/// The line of a request with this id.
fn line_of(proxy: &Proxy, answer: &Message) -> Value {
    let id = answer.field("x-request-id");
    proxy.line("request", id, |line| line["request"] == id)
}

#[test]
fn who_shows_the_right_password_is_let_in_and_named_and_nobody_else() {
    let target = Target::verbatim();
    let more = format!("{BASIC}\nheaders.request.set = {{ \"x-remote-user\" = \"{{user}}\" }}");
    let proxy = Proxy::start(&Way::Http.route("site", "127.0.0.2", target.address, &more));
    let address = proxy.address("127.0.0.2");
    let mut client = Peer::connect(address);
    for (authorization, error) in [
        ("", "the request shows no user name and password"),
        (WRONG, "the user is not known, or has another password"),
        (MALLORY, "the user is not known, or has another password"),
        ("Bearer abc", "the request's Authorization is not of the scheme Basic"),
        ("Basic !", "the request's Authorization is not base64"),
        // `alice`, `\xff:x`, `a\r\nx-user: root:b` and `a\0:b`.
        ("Basic YWxpY2U=", "the request's user name and password are not well formed"),
        ("Basic /zp4", "the request's user name and password are not well formed"),
        ("Basic YQ0KeC11c2VyOiByb290OmI=", "the request's user name and password are not well formed"),
        ("Basic YQA6Yg==", "the request's user name and password are not well formed"),
    ] {
        let fields =
            if authorization.is_empty() { String::new() } else { format!("authorization: {authorization}\r\n") };
        // The connection stays: a browser asks again on it.
        let answer = ask(&mut client, &fields);
        refused(&answer);
        let line = line_of(&proxy, &answer);
        assert_eq!((&line["error"], &line["user"], &line["target"]), (&error.into(), &Value::Null, &Value::Null));
        assert_eq!((&line["cause"], &line["status"]), (&"unauthenticated".into(), &401.into()));
    }
    let huge = format!("authorization: Basic {}\r\n", "QUFB".repeat(4000));
    refused(&ask(&mut client, &huge));
    refused(&ask(&mut client, &format!("authorization: {ALICE}\r\nAuthorization: {ALICE}\r\n")));
    assert_eq!(target.accepted(), 0, "the target has heard of none of them");
    let mut answer = ask(&mut client, &format!("authorization: {ALICE}\r\n"));
    answer.body.make_ascii_lowercase();
    let seen = answer.text();
    assert!(seen.contains("\r\nx-remote-user: alice\r\n"), "{seen}");
    assert!(seen.contains(&format!("\r\nauthorization: {}\r\n", ALICE.to_ascii_lowercase())), "it reaches the target");
    client.finish();
    let line = proxy.line("request", "alice", |line| line["user"] == "alice");
    assert_eq!((&line["cause"], &line["status"], &line["error"]), (&"finished".into(), &200.into(), &Value::Null));
    // A name of another script is one too.
    let answer = authorized(address, JUERGEN);
    assert!(answer.text().contains("\r\nx-remote-user: J\u{fc}rgen\r\n"), "{}", answer.text());
    proxy.line("request", "J\u{fc}rgen", |line| line["user"] == "J\u{fc}rgen");
    proxy.finish();
}

#[test]
fn a_client_cannot_say_who_it_is() {
    let target = Target::verbatim();
    let set = "headers.request.set = { \"x-remote-user\" = \"{user}\" }";
    let config = Way::Http.route("site", "127.0.0.2", target.address, &format!("{BASIC}\n{set}"));
    let proxy = Proxy::start(&config);
    let address = proxy.address("127.0.0.2");
    for lie in [
        "x-remote-user: root\r\n",
        "X-Remote-User: root\r\nX-REMOTE-USER: root\r\n",
        "x_remote_user: root\r\n",
        "x-remote_user: root\r\nX_Remote-User: root\r\n",
        "connection: x-remote-user\r\n",
        "connection: x-remote-user, authorization\r\nx-remote-user: root\r\n",
    ] {
        let mut client = Peer::connect(address);
        let seen = ask(&mut client, &format!("{lie}authorization: {ALICE}\r\n")).text().to_ascii_lowercase();
        assert!(seen.contains("\r\nx-remote-user: alice\r\n") && !seen.contains("root"), "{lie}\n{seen}");
        assert_eq!(seen.replace('_', "-").matches("x-remote-user:").count(), 1, "{lie}\n{seen}");
        client.finish();
    }
    // Not behind the body either.
    let mut client = Peer::connect(address);
    let head =
        format!("POST / HTTP/1.1\r\nhost: {HOST}\r\nauthorization: {ALICE}\r\ntransfer-encoding: chunked\r\n\r\n");
    client.send(
        format!("{head}1\r\na\r\n0\r\nx-remote-user: root\r\nX_Remote_User: root\r\nx-end: 1\r\n\r\n").as_bytes(),
    );
    let seen = client.message().text().to_ascii_lowercase();
    assert!(seen.ends_with("\r\nx-end: 1\r\n\r\n") && !seen.contains("root"), "{seen}");
    assert!(seen.contains("\r\nx-remote-user: alice\r\n"), "{seen}");
    client.finish();
    // By HTTP/1.0, and each of several requests at once for itself.
    let mut client = Peer::connect(address);
    let request = |version: &str, authorization: &str| {
        format!("GET / HTTP/{version}\r\nhost: {HOST}\r\nx-remote-user: root\r\n{authorization}\r\n")
    };
    let shown = format!("authorization: {ALICE}\r\n");
    let all = [request("1.1", &shown), request("1.1", ""), request("1.1", &shown), request("1.0", "")].concat();
    client.send(all.as_bytes());
    let statuses: Vec<_> = (0..4).map(|_| client.message().status()).collect();
    assert_eq!(statuses, [200, 401, 200, 401]);
    client.finish();
    let mut client = Peer::connect(address);
    client.send(request("1.0", &shown).as_bytes());
    let seen = client.message().text();
    assert!(seen.contains("\r\nx-remote-user: alice\r\n") && !seen.contains("root"), "{seen}");
    client.finish();
    proxy.finish();
}

#[test]
fn every_ending_of_a_request_asks_and_every_protocol() {
    let target = Target::verbatim();
    let page = "error_pages = { \"401\" = \"401.html\" }\n";
    let answering = |name: &str, ip: &str, more: &str| {
        format!("\n[[routes]]\nname = \"{name}\"\nmatch.ports = [\"{ip}:0\"]\n{more}\n")
    };
    let config = format!("defaults.security.block = [\"127.0.7.0/24\"]\ndefaults.{BASIC}\n")
        + &Way::TerminateHttp.route(
            "site",
            "127.0.0.2",
            target.address,
            "headers.request.remove = [\"authorization\"]",
        )
        + &answering("redirect", "127.0.0.3", "redirect.to = \"https://{host}/\"")
        + &answering("respond", "127.0.0.4", "respond.body = \"hello {user}\"")
        + &answering("page", "127.0.0.5", &format!("{page}respond.body = \"\""))
        + &Way::Http.route("open", "127.0.0.6", target.address, "security.basic_auth = \"off\"");
    let folder = folder_with("");
    let path = folder.path().join("401.html");
    fs::write(&path, "<h1>Who are you? {status}</h1>").unwrap();
    let proxy = Proxy::start(&config.replace("401.html", path.to_str().unwrap()));
    let without = |ip: &str| {
        let mut client = Peer::connect(proxy.address(ip));
        let answer = client.get(HOST, "/");
        client.finish();
        answer
    };
    for ip in ["127.0.0.3", "127.0.0.4"] {
        refused(&without(ip));
    }
    let answer = without("127.0.0.5");
    refused(&answer);
    assert_eq!(answer.text(), "<h1>Who are you? 401</h1>");
    assert_eq!(without("127.0.0.6").status(), 200);
    assert_eq!(authorized(proxy.address("127.0.0.3"), ALICE).status(), 308);
    assert_eq!(authorized(proxy.address("127.0.0.4"), ALICE).text(), "hello alice");
    // The address goes first.
    let mut blocked = Peer::connect_from("127.0.7.1", proxy.address("127.0.0.4"));
    assert_eq!(ask(&mut blocked, &format!("authorization: {ALICE}\r\n")).status(), 403);
    blocked.finish();
    let mut client = Way::TerminateHttp.silent_client(proxy.address("127.0.0.2"));
    refused(&client.get(HOST, "/"));
    let seen = ask(&mut client, &format!("authorization: {ALICE}\r\n")).text().to_ascii_lowercase();
    assert!(!seen.contains("authorization"), "the operator has it removed: {seen}");
    client.finish();
    if Curl::found() {
        CERTIFICATES.write(folder.path());
        let curl = |user: &str| {
            let to = Curl::to("https", HOST, proxy.address("127.0.0.2"), "/");
            to.trusting(&folder.path().join("ca.pem")).arg("--http2").arg("--user").arg(user).run()
        };
        let (right, wrong) = (curl("alice:correct"), curl("alice:wrong"));
        assert_eq!((right.status, wrong.status), (200, 401), "{right:?} {wrong:?}");
    }
    proxy.finish();
}

#[test]
fn a_reload_counts_at_once_and_a_file_that_is_wrong_changes_nothing() {
    let target = Target::verbatim();
    let config = Way::Http.route("site", "127.0.0.2", target.address, BASIC);
    let mut proxy = Proxy::start(&config);
    let address = proxy.address("127.0.0.2");
    let write = |proxy: &Proxy, users: &str| fs::write(proxy.path("users.htpasswd"), users).unwrap();
    let statuses = || (authorized(address, ALICE).status(), authorized(address, JUERGEN).status());
    assert_eq!(statuses(), (200, 200));
    let (alice, juergen) = USERS.split_once('\n').unwrap();
    // Until then the file does not count, and one that is wrong never does.
    write(&proxy, "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let log = proxy.reload_refused(&config);
    assert!(log.contains("users.htpasswd:1: `alice` has a password in SHA-1"), "{log}");
    assert!(log.contains("htpasswd -B") && !log.contains("W6ph5"), "{log}");
    assert_eq!(statuses(), (200, 200));
    write(&proxy, juergen);
    proxy.reload(&config);
    assert_eq!(statuses(), (401, 200), "who was verified before and is gone");
    write(&proxy, &format!("{}\n{juergen}", alice.replace("584Wn", "584Wm")));
    proxy.reload(&config);
    assert_eq!(statuses(), (401, 200), "whose password has changed");
    write(&proxy, USERS);
    proxy.reload(&config);
    assert_eq!(statuses(), (200, 200));
    proxy.finish();
}

#[test]
fn a_password_that_is_being_verified_when_the_file_changes_is_judged_by_the_file_of_its_time() {
    let target = Target::verbatim();
    let config = Way::Http.route("site", "127.0.0.2", target.address, BASIC);
    let mut proxy = Proxy::start(&config);
    // It takes a second or so in a test's build.
    let slow = "alice:$2b$11$IpDdbtn8KIlos.H9bB/CS.yYYIGcXhjddTD93NE73Pr0Dm5ApWOHe\n";
    fs::write(proxy.path("users.htpasswd"), slow).unwrap();
    proxy.reload(&config);
    let address = proxy.address("127.0.0.2");
    let mut client = Peer::connect(address);
    client.send(format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nauthorization: {ALICE}\r\n\r\n").as_bytes());
    // What is read is routed in the same breath.
    let read = |live: &[Value]| live.iter().any(|connection| connection["bytes_in"].as_u64() > Some(0));
    proxy.connections_until("the request is being judged", read);
    fs::write(proxy.path("users.htpasswd"), USERS.replace("alice", "carol")).unwrap();
    proxy.reload(&config);
    assert_eq!(client.message().status(), 200);
    assert_eq!(ask(&mut client, &format!("authorization: {ALICE}\r\n")).status(), 401, "the next one is judged anew");
    client.finish();
    proxy.finish();
}

#[test]
fn check_reads_the_password_file_and_warns_of_passwords_in_the_clear() {
    let route = |way: Way, more: &str| way.route("site", "127.0.0.2", "127.0.0.1:9", more);
    let folder = folder_with(&route(Way::Http, BASIC));
    let check = || {
        let mut command = Command::new(BINARY);
        command.args(["check", "-c"]).arg(folder.path().join(FILE)).env("NO_COLOR", "1");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("warning: route `site`: security.basic_auth without TLS shows passwords"), "{said}");
    fs::write(folder.path().join(FILE), route(Way::TerminateHttp, BASIC)).unwrap();
    let (code, said) = check();
    assert!(code == Some(0) && !said.contains("without TLS"), "{said}");
    fs::write(folder.path().join("users.htpasswd"), "alice:plain\nbob\n").unwrap();
    let (code, said) = check();
    assert_eq!(code, Some(78), "{said}");
    for wanted in [
        "users.htpasswd:1: `alice` has a password in plain text or in DES (crypt), and only bcrypt and argon2 are accepted",
        "users.htpasswd:2: the line has no `:` between a name and a hash",
        "help: `htpasswd -B ",
    ] {
        assert!(said.contains(wanted), "{wanted}\n{said}");
    }
}

#[test]
fn match_says_that_a_password_is_asked_for() {
    let route = |more: &str| {
        format!("[[routes]]\nname = \"site\"\nmatch.ports = [8080]\ntargets = [\"127.0.0.1:9\"]\n{more}\n")
    };
    let asked = "security.forward_auth = { targets = [\"127.0.0.1:9\"], path = \"/\" }";
    for (more, noted, asks) in [(BASIC, true, false), ("", false, false), (asked, false, true)] {
        let folder = folder_with(&route(more));
        let mut command = Command::new(BINARY);
        command.args(["match", "http://localhost:8080/", "-c"]).arg(folder.path().join(FILE));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let note = said.contains("note: each request has to show a user's name and password (security.basic_auth)");
        assert!(output.status.success() && note == noted, "{said}");
        let note = said.contains("note: another server is asked first about each request (security.forward_auth)");
        assert_eq!(note, asks, "{said}");
    }
}

/// A hash that takes seconds in a test's build.
fn slow() -> String {
    USERS.lines().next().unwrap().replacen("$04$", "$13$", 1)
}

/// Requests that wait for a hash of their own fill the room that there is, and one more is told so; meanwhile whoever needs
/// no hash is served.
pub(crate) fn a_flood_of_passwords_is_turned_down_and_holds_up_nothing() {
    let target = Target::verbatim();
    let fast = "security.basic_auth.file = \"users.htpasswd\"";
    let config = Way::Http.route("slow", "127.0.0.2", target.address, "security.basic_auth.file = \"slow.htpasswd\"")
        + &Way::Http.route("fast", "127.0.0.3", target.address, fast)
        + &Way::Http.route("open", "127.0.0.4", target.address, "");
    let folder = folder_with("");
    let path = folder.path().join("slow.htpasswd");
    fs::write(&path, slow()).unwrap();
    let proxy = Proxy::start(&config.replace("slow.htpasswd", path.to_str().unwrap()));
    // The one who is known already.
    assert_eq!(authorized(proxy.address("127.0.0.3"), ALICE).status(), 200);
    let wrong = |number: usize| {
        let mut client = Peer::connect(proxy.address("127.0.0.2"));
        let shown = format!("Basic {}", STANDARD.encode(format!("alice:{number}")));
        client.send(format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nauthorization: {shown}\r\n\r\n").as_bytes());
        client
    };
    let waiting: Vec<_> =
        (0..smartproxy::auth::HASHES_WAITING_MAX + 2 * smartproxy::auth::HASHES_AT_ONCE_MAX).map(wrong).collect();
    let line = proxy.line("request", "authentication_busy", |line| line["cause"] == "authentication_busy");
    assert_eq!((&line["status"], &line["party"], &line["phase"]), (&503.into(), &"proxy".into(), &"route".into()));
    assert_eq!(authorized(proxy.address("127.0.0.4"), "").status(), 200);
    assert_eq!(authorized(proxy.address("127.0.0.3"), ALICE).status(), 200);
    waiting.into_iter().for_each(drop);
    until(|| match proxy.connections().len() {
        0 => Ok(()),
        live => Err(format!("{live} are still there")),
    })
    .unwrap();
    proxy.finish();
}
