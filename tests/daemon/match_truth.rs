//! `smartproxy match` tells what the daemon does: each answer is compared with what curl gets from the running daemon.

use serde_json::Value;

use crate::harness::{BINARY, Curl, End, FILE, Peer, Proxy, Target, Way, folder_with};

/// Routes that turn clients down in each way there is; TARGET is an HTTP server.
const CONFIG: &str = r#"
[[certificates]]
certificate = "server.pem"
key = "server.key"

[[routes]]
name = "shop"
match.ports = ["127.0.0.2:0"]
match.domains = ["shop.test"]
tls.mode = "terminate"
tls.certificate = { certificate = "server.pem", key = "server.key" }
targets = ["TARGET"]

[[routes]]
name = "guarded"
match.ports = ["127.0.0.2:0"]
match.domains = ["target.test"]
match.path = "/guarded/"
tls.mode = "terminate"
security.block = ["127.0.0.0/8"]
targets = ["TARGET"]

[[routes]]
name = "open"
match.ports = ["127.0.0.2:0"]
match.domains = ["target.test"]
tls.mode = "terminate"
targets = ["TARGET"]

[[routes]]
name = "any-name"
match.ports = ["127.0.0.3:0"]
tls.mode = "terminate"
tls.certificate = { certificate = "server.pem", key = "server.key" }
targets = ["TARGET"]

[[routes]]
name = "closed"
match.ports = ["127.0.0.4:0"]
match.domains = ["shop.test"]
tls.mode = "terminate"
tls.certificate = { certificate = "server.pem", key = "server.key" }
security.allow = ["10.0.0.0/8"]
targets = ["TARGET"]

[[routes]]
name = "plain"
match.ports = ["127.0.0.5:0"]
match.domains = ["shop.test"]
security.allow = ["10.0.0.0/8"]
security.block = ["10.6.6.0/24"]
targets = ["TARGET"]

[[routes]]
name = "raw"
match.ports = ["127.0.0.6:0"]
protocol = "tcp"
security.block = ["127.0.0.1"]
targets = ["TARGET"]

[[routes]]
name = "unread"
match.ports = ["127.0.0.7:0"]
match.domains = ["shop.test"]
tls.mode = "passthrough"
security.block = ["127.0.0.1"]
targets = ["TARGET"]

[[routes]]
name = "personal"
match.ports = ["127.0.0.8:0"]
match.domains = ["shop.test"]
tls.mode = "terminate"
tls.certificate = { certificate = "server.pem", key = "server.key" }
tls.client_auth = { mode = "required", ca = "ca.pem" }
targets = ["TARGET"]
"#;

/// A request, and the cause that the access log names if it is not served.
struct Case {
    ip: &'static str,
    url: (&'static str, &'static str, &'static str),
    host: Option<&'static str>,
    cause: Option<&'static str>,
    /// Which line of the access log has the cause.
    kind: &'static str,
}

const fn case(
    ip: &'static str,
    url: (&'static str, &'static str, &'static str),
    cause: Option<&'static str>,
    kind: &'static str,
) -> Case {
    Case { ip, url, host: None, cause, kind }
}

const CASES: [Case; 12] = [
    case("127.0.0.2", ("https", "shop.test", "/"), None, ""),
    case("127.0.0.2", ("https", "target.test", "/"), None, ""),
    case("127.0.0.2", ("https", "target.test", "/guarded/x"), Some("blocked"), "request"),
    case("127.0.0.2", ("https", "localhost", "/"), Some("no_route"), "connection"),
    // The certificate does not cover the host, though the name of the connection.
    Case {
        host: Some("elsewhere.example"),
        ..case("127.0.0.2", ("https", "shop.test", "/"), Some("misdirected"), "request")
    },
    // The certificate covers the host, but the host's route asks for other settings.
    Case {
        host: Some("target.test"),
        ..case("127.0.0.2", ("https", "shop.test", "/"), Some("misdirected"), "request")
    },
    case("127.0.0.3", ("https", "elsewhere.example", "/"), Some("no_certificate"), "connection"),
    case("127.0.0.4", ("https", "shop.test", "/"), Some("blocked"), "connection"),
    case("127.0.0.5", ("http", "shop.test", "/"), Some("blocked"), "connection"),
    case("127.0.0.6", ("http", "shop.test", "/"), Some("blocked"), "connection"),
    case("127.0.0.7", ("https", "shop.test", "/"), Some("blocked"), "connection"),
    case("127.0.0.2", ("https", "shop.test", "/%zz"), Some("request_malformed"), "request"),
];

/// What `match` says of the one address of this IP: its exit code, and its answer.
fn ask(proxy: &Proxy, ip: &str, arguments: &[&str]) -> (i32, Value) {
    let output = proxy.command(&[&["match", "--json"], arguments].concat()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let answers: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"));
    let answer = answers.into_iter().find(|answer| answer["address"].as_str().unwrap().starts_with(ip)).unwrap();
    (output.status.code().unwrap_or(-1), answer)
}

#[test]
fn match_says_of_each_request_what_the_daemon_does_with_it() {
    if !Curl::found() {
        return;
    }
    let target = Target::http("target");
    let proxy = Proxy::start(&CONFIG.replace("TARGET", &target.address.to_string()));
    for Case { ip, url: (scheme, name, path), host, cause, kind } in CASES {
        let url = format!("{scheme}://{name}:0{path}");
        let header = host.map(|host| format!("host: {host}"));
        let more: Vec<_> = header.iter().flat_map(|header| ["--header", header.as_str()]).collect();
        let (_, told) = ask(&proxy, ip, &[&[url.as_str()], &*more].concat());
        let refused = &told["refused"];
        assert_eq!(refused["cause"].as_str(), cause, "{ip} {url} {host:?}: {told}");
        let mut curl = Curl::to(scheme, name, proxy.address(ip), path).arg("--insecure").arg("--path-as-is");
        if let Some(header) = &header {
            curl = curl.arg("--header").arg(header);
        }
        let got = curl.run();
        match (cause, refused["client_gets"].as_str()) {
            (None, _) => assert_eq!((got.exit, got.status), (0, 200), "{ip} {url} {host:?}: {told}"),
            (Some(cause), Some(gets)) => {
                let status = gets.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
                assert_eq!((got.status, got.exit == 0), (status, status != 0), "{ip} {url} {host:?}: {told}, {got:?}");
                proxy.line(kind, &format!("{ip} {url}"), |line| {
                    let here = line["listener"].as_str().is_none_or(|listener| listener.starts_with(ip));
                    here && line["cause"] == cause
                });
            }
            (Some(_), None) => panic!("{told}"),
        }
        let taken = told["routes"].as_array().unwrap().iter().any(|route| route["taken"] == true);
        assert_eq!(taken, cause.is_none(), "{ip} {url} {host:?}: {told}");
    }
    proxy.finish();
}

#[test]
fn match_exits_1_and_says_why_when_no_address_would_serve_the_client() {
    let config = CONFIG.replace("TARGET", "127.0.0.1:1");
    let plain = config.split("[[routes]]").find(|route| route.contains("\"plain\"")).unwrap();
    let proxy = Proxy::start(&format!("[[routes]]{plain}"));
    let ask = |from: &str| {
        let output = proxy.command(&["match", "http://shop.test:0/", "--from", from]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = ask("10.1.1.1");
    assert!(code == Some(0) && text.contains("route plain takes it"), "{text}");
    for from in ["10.6.6.6", "192.0.2.1"] {
        let (code, text) = ask(from);
        assert!(code == Some(1) && text.contains("refused: blocked: `security` refuses"), "{text}");
        assert!(text.contains("403 Forbidden") && text.contains("plain: would take it, but"), "{text}");
        assert!(!text.contains("plain takes it"), "{text}");
    }
    proxy.finish();
}

#[test]
fn match_says_what_the_client_has_to_bring() {
    let proxy = Proxy::start(&CONFIG.replace("TARGET", "127.0.0.1:1"));
    let (_, told) = ask(&proxy, "127.0.0.8", &["https://shop.test:0/"]);
    assert!(told["note"].as_str().unwrap().contains("tls.client_auth"), "{told}");
    let (_, told) = ask(&proxy, "127.0.0.6", &["anything:0"]);
    assert_eq!((&told["refused"]["cause"], &told["refused"]["phase"]), (&"blocked".into(), &"route".into()));
    proxy.finish();
}

/// A path that the rewrite of its route would not be certain of is refused, however well the route matches it.
#[test]
fn match_says_what_a_rewrite_makes_of_the_path() {
    let target = Target::http("target");
    let route = |name: &str, ip: &str, rewrite: &str| {
        Way::Http.route(name, ip, target.address, &format!("match.path = \"/shop/\"\nrewrite = {{ {rewrite} }}"))
    };
    let proxy = Proxy::start(
        &(route("strip", "127.0.0.2", "strip_prefix = \"/shop\"")
            + &route("replace", "127.0.0.3", "replace_prefix = { from = \"/shop\", to = \"/v1\" }")
            + &route("set", "127.0.0.4", "set = \"/{host}/{route}{path}\"")),
    );
    for (ip, path, gets) in [
        ("127.0.0.2", "/shop/cart?id=7", Some("/cart?id=7")),
        ("127.0.0.2", "/shop/", Some("/")),
        ("127.0.0.3", "/shop/cart?id=7", Some("/v1/cart?id=7")),
        ("127.0.0.4", "/shop/cart", Some("/shop.test/set/shop/cart")),
        ("127.0.0.2", "//shop/x", None),
        ("127.0.0.2", "/shop//x", None),
        ("127.0.0.2", "/x/../shop/y", None),
        ("127.0.0.2", "/%73hop/x", None),
        ("127.0.0.3", "/%73hop/x", None),
        ("127.0.0.3", "/x/../shop/y", None),
    ] {
        let (_, told) = ask(&proxy, ip, &[&format!("http://shop.test:0{path}")]);
        let mut client = Peer::connect(proxy.address(ip));
        let status = client.get("shop.test", path).status();
        client.finish();
        assert_eq!(client.end(), End::Whole);
        assert_eq!(status, if gets.is_some() { 200 } else { 400 }, "{ip} {path}");
        assert_eq!(told["path"].as_str(), gets, "{ip} {path}: {told}");
        let refused = &told["refused"];
        assert_eq!(refused["cause"].as_str(), gets.is_none().then_some("request_malformed"), "{ip} {path}: {told}");
        let taken = told["routes"].as_array().unwrap().iter().any(|route| route["taken"] == true);
        assert_eq!(taken, gets.is_some(), "{ip} {path}: {told}");
        if gets.is_none() {
            assert_eq!(refused["client_gets"], "400 Bad Request", "{told}");
            let line = proxy.line("request", path, |line| line["path"] == path);
            assert_eq!((&line["phase"], &line["party"]), (&refused["phase"], &refused["party"]), "{line} {told}");
        }
    }
    let output = proxy.command(&["match", "http://shop.test:0//shop/x"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("why: the path is not written so that it can be rewritten"), "{text}");
    proxy.finish();
}

#[test]
fn match_says_which_list_blocks_whose_routes_are_off_and_where_there_are_any() {
    let config = "[defaults]\nsecurity.block = [\"10.6.6.0/24\"]\n".to_owned()
        + &Way::Http.route("own", "127.0.0.2", "127.0.0.1:1", "security.allow = [\"10.0.0.0/8\"]")
        + &Way::Http
            .route("maintenance", "127.0.0.2", "127.0.0.1:1", "enabled = false")
            .replace(":0\"]", ":0\", 4711]");
    // It decides on the file, without the daemon.
    let folder = folder_with("");
    std::fs::write(folder.path().join(FILE), &config).unwrap();
    let say = |arguments: &[&str]| {
        let mut command = std::process::Command::new(BINARY);
        let output = command.arg("match").args(arguments).arg("-c").arg(folder.path().join(FILE)).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, text, _) = say(&["http://shop.test:0/"]);
    let why = "why: 127.0.0.1 is not in security.allow of route own; say with --from";
    assert!(code == Some(1) && text.contains(why), "{text}");
    assert!(text.contains("maintenance: off (enabled = false)"), "{text}");
    let (_, text, _) = say(&["http://shop.test:0/", "--from", "192.0.2.1"]);
    assert!(text.contains("why: 192.0.2.1 is not in security.allow of route own\n"), "{text}");
    let (_, text, _) = say(&["http://shop.test:0/", "--from", "10.6.6.6"]);
    assert!(text.contains("why: 10.6.6.6 is in security.block of [defaults]\n"), "{text}");
    let (code, text, _) = say(&["http://shop.test:0/", "--from", "10.1.1.1"]);
    assert!(code == Some(0) && !text.contains("why:"), "{text}");
    let (code, _, errors) = say(&["http://shop.test:4711/"]);
    let off = "no route listens on port 4711; those that there are listen on port 0; maintenance would, but is off";
    assert!(code == Some(1) && errors.contains(off), "{errors}");
}
