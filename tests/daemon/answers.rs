//! What a route changes in requests and answers, in the real process, over HTTP/1.1 and HTTP/2 alike.

use smartproxy::telemetry::LOGGED_FIELD_MAX;

use crate::harness::{Curl, HOST, Message, Peer, Proxy, Refusing, Target, Way};

/// The two versions, as curl names them.
const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];

/// A request to a terminating route at this address, with more arguments; its answer with the head.
fn ask(proxy: &Proxy, version: &str, ip: &str, path: &str, more: &[&str]) -> Message {
    let mut curl = Curl::to("https", HOST, proxy.address(ip), path).trusting(&proxy.path("ca.pem"));
    for argument in [version, "--include", "--path-as-is"].iter().chain(more) {
        curl = curl.arg(argument);
    }
    let answer = curl.run();
    assert_eq!(answer.exit, 0, "{path}: {answer:?}");
    let expected = if version == "--http2" { "2" } else { "1.1" };
    assert_eq!(answer.version, expected, "{path}: {answer:?}");
    let (head, body) = answer.body.split_once("\r\n\r\n").unwrap_or((&answer.body, ""));
    Message { body: body.as_bytes().to_vec(), ..crate::harness::parsed_head(head) }
}

/// The value of a field that the target says it got.
fn seen<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
}

/// A route without targets that terminates TLS.
fn answering(name: &str, ip: &str, more: &str) -> String {
    format!(
        "\n[[routes]]\nname = \"{name}\"\nmatch.ports = [\"{ip}:0\"]\ntls.mode = \"terminate\"\n\
         tls.certificate = {{ certificate = \"server.pem\", key = \"server.key\" }}\n{more}\n"
    )
}

#[test]
fn headers_hold_what_is_known_of_a_request() {
    if !Curl::found() {
        return;
    }
    let target = Target::mirror();
    let all = "{client_ip} {host} {request_id} {route} {tls_version} {sni} {{x}}";
    let more = format!(
        "headers.request = {{ set = {{ x-all = \"{all}\", x-from = \"{{route}}\" }}, add = {{ x-more = \"{{sni}}\" }}, remove = [\"x-gone\"] }}\n\
         headers.response = {{ set = {{ x-of = \"{{route}} {{host}}\" }}, add = {{ x-id = \"{{request_id}}\" }} }}"
    );
    let plain = "headers.request = { set = { x-sni = \"{sni}\", x-tls = \"{tls_version}\" } }";
    let config = Way::TerminateHttp.route("fields", "127.0.0.2", target.address, &more)
        + &Way::Http.route("plain", "127.0.0.3", target.address, plain);
    let proxy = Proxy::start(&config);
    for version in VERSIONS {
        let answer = ask(&proxy, version, "127.0.0.2", "/", &["-H", "x-gone: 1", "-H", "x-from: client"]);
        let text = answer.text();
        let id = seen(&text, "x-request-id").unwrap();
        assert_eq!(seen(&text, "x-all").unwrap(), format!("127.0.0.1 {HOST} {id} fields 1.3 {HOST} {{x}}"), "{text}");
        assert_eq!((seen(&text, "x-from"), seen(&text, "x-more")), (Some("fields"), Some(HOST)), "{text}");
        assert_eq!(seen(&text, "x-gone"), None);
        assert_eq!((answer.field("x-of"), answer.field("x-id")), (&*format!("fields {HOST}"), id), "{answer:?}");
    }
    // What is not known leaves no field, and not the client's either.
    let mut client = Peer::connect(proxy.address("127.0.0.3"));
    client.send(format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nx-sni: forged\r\nx-tls: forged\r\n\r\n").as_bytes());
    let text = client.message().text();
    assert_eq!((seen(&text, "x-sni"), seen(&text, "x-tls")), (None, None), "{text}");
    drop(client);
    proxy.finish();
}

#[test]
fn a_rewritten_path_keeps_its_bytes_and_stays_below_its_prefix() {
    if !Curl::found() {
        return;
    }
    let target = Target::mirror();
    let route = |name: &str, ip: &str, path: &str, rewrite: &str| {
        Way::TerminateHttp.route(
            name,
            ip,
            target.address,
            &format!("match.path = \"{path}\"\nrewrite = {{ {rewrite} }}"),
        )
    };
    let proxy = Proxy::start(
        &(route("strip", "127.0.0.2", "/api/", "strip_prefix = \"/api\"")
            + &route("replace", "127.0.0.3", "/old/", "replace_prefix = { from = \"/old\", to = \"/new\" }")
            + &route("set", "127.0.0.4", "/", "set = \"/fixed{path}\"")),
    );
    let cases = [
        ("127.0.0.2", "/api/a%2fb/?q=%20{x}&/../", 200, "/a%2fb/?q=%20{x}&/../"),
        ("127.0.0.2", "/api/", 200, "/"),
        ("127.0.0.2", "/api/?", 200, "/?"),
        ("127.0.0.2", "/api/a/../b", 200, "/a/../b"),
        ("127.0.0.2", "/%61pi/x", 400, ""),
        ("127.0.0.2", "/x/../api/x", 400, ""),
        ("127.0.0.2", "/api//evil.test/", 400, ""),
        ("127.0.0.2", "/api/../api/x", 400, ""),
        ("127.0.0.2", "/apis/x", 404, ""),
        ("127.0.0.3", "/old/x;y=1?z", 200, "/new/x;y=1?z"),
        ("127.0.0.3", "/old/a/..%2f..%2fb", 400, ""),
        ("127.0.0.4", "/x?y", 200, "/fixed/x?y"),
        ("127.0.0.4", "/../x", 400, ""),
    ];
    for version in VERSIONS {
        for (ip, path, status, expected) in cases {
            let answer = ask(&proxy, version, ip, path, &["--globoff"]);
            assert_eq!(answer.status(), status, "{version} {ip} {path}: {answer:?}");
            let text = answer.text();
            if status == 200 {
                assert_eq!(text.lines().next(), Some(&*format!("GET {expected} HTTP/1.1")), "{version} {path}");
                let prefix = if ip == "127.0.0.2" { Some("/api") } else { None };
                assert_eq!(seen(&text, "x-forwarded-prefix"), prefix, "{text}");
            }
        }
        let forged = ask(&proxy, version, "127.0.0.3", "/old/", &["-H", "x-forwarded-prefix: /forged"]);
        assert_eq!(seen(&forged.text(), "x-forwarded-prefix"), None);
    }
    let line = proxy.line("request", "a refused path", |line| line["path"] == "/%61pi/x");
    assert!(line["error"].as_str().unwrap().contains("rewritten"), "{line}");
    proxy.finish();
}

#[test]
fn both_sides_are_told_by_whom_a_message_has_come() {
    if !Curl::found() {
        return;
    }
    let target = Target::mirror();
    let config = String::from("defaults.via = \"edge\"\n")
        + &Way::TerminateHttp.route("named", "127.0.0.2", target.address, "")
        + &Way::TerminateHttp.route("unnamed", "127.0.0.3", target.address, "via = \"\"");
    let proxy = Proxy::start(&config);
    for (version, received) in [("--http1.1", "1.1 edge"), ("--http2", "2.0 edge")] {
        let answer = ask(&proxy, version, "127.0.0.2", "/", &[]);
        let text = answer.text();
        assert_eq!((answer.field("via"), seen(&text, "via")), ("1.1 edge", Some(received)), "{text}");
        let port = proxy.address("127.0.0.2").port().to_string();
        assert_eq!(seen(&text, "x-forwarded-port"), Some(&*port), "{text}");
        let answer = ask(&proxy, version, "127.0.0.3", "/", &[]);
        assert_eq!((answer.field("via"), seen(&answer.text(), "via")), ("", None));
        // One less than too often, and too often.
        for (times, status) in [(7, 200), (8, 508)] {
            let via = format!("via: {}", vec!["1.1 edge"; times].join(", "));
            assert_eq!(ask(&proxy, version, "127.0.0.2", "/", &["-H", &via]).status(), status, "{version} {times}");
        }
    }
    proxy.finish();
}

#[test]
fn redirects_and_fixed_answers_hold_what_is_known_and_lead_nowhere_else() {
    if !Curl::found() {
        return;
    }
    let body = r#"respond = { status = 201, body = "{\"h\":\"{host}\",\"r\":\"{route}\",\"o\":{\"s\":\"{sni}\"}}", headers = { "content-type" = "application/json", "x-tls" = "{tls_version}" } }
headers.response = { set = { "x-more" = "{client_ip}" } }"#;
    let proxy = Proxy::start(
        &(answering("to-host", "127.0.0.2", "redirect = { to = \"https://{host}{path_and_query}\" }")
            + &answering(
                "to-new",
                "127.0.0.3",
                "redirect = { to = \"/{route}{path}\", status = 302 }\nheaders.response = { set = { x-r = \"{route}\" } }",
            )
            + &answering("fixed", "127.0.0.4", body)),
    );
    for version in VERSIONS {
        for path in [
            "//evil.test/x",
            "/%5cevil.test",
            "/@evil.test",
            "/x%0d%0alocation:%20https://evil.test",
            "/a/..//evil.test?q=//x",
        ] {
            let answer = ask(&proxy, version, "127.0.0.2", path, &[]);
            assert_eq!(
                (answer.status(), answer.field("location")),
                (308, &*format!("https://{HOST}{path}")),
                "{version}"
            );
            let answer = ask(&proxy, version, "127.0.0.3", path, &[]);
            let location = answer.field("location");
            assert!(answer.status() == 302 && location.starts_with("/to-new/"), "{version} {path}: {location}");
            assert_eq!(answer.field("x-r"), "to-new");
        }
        let answer = ask(&proxy, version, "127.0.0.4", "/", &[]);
        assert_eq!(answer.text(), format!("{{\"h\":\"{HOST}\",\"r\":\"fixed\",\"o\":{{\"s\":\"{HOST}\"}}}}"));
        let fields = [answer.field("content-type"), answer.field("x-tls"), answer.field("x-more")];
        assert_eq!((answer.status(), fields), (201, ["application/json", "1.3", "127.0.0.1"]));
        let head = ask(&proxy, version, "127.0.0.4", "/", &["--head"]);
        assert_eq!((head.status(), head.text().as_str()), (201, ""));
        assert_eq!(head.field("content-length"), answer.body.len().to_string());
    }
    // A host that is none never gets into a location.
    for host in ["evil.test/x", "a@evil.test", "evil.test\\x", "a b", "shop.test:x"] {
        let mut client = Way::TerminateHttp.silent_client(proxy.address("127.0.0.2"));
        client.send(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes());
        let answer = client.message();
        assert_eq!((answer.status(), answer.field("location")), (400, ""), "{host}");
    }
    proxy.finish();
}

#[test]
fn a_failure_is_shown_as_the_client_and_the_operator_want_it() {
    if !Curl::found() {
        return;
    }
    let refusing = Refusing::new();
    let folder = tempfile::tempdir().unwrap();
    let page = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let missing = page("404.html", "<p>{status} {host} {request_id}<style>p{color:red}</style>");
    let gateway = page("502.json", "{\"id\":\"{request_id}\"}");
    let down = page("down.txt", "down {status}");
    let own = format!("match.path = \"/a/\"\nerror_pages = {{ \"502\" = \"{gateway}\" }}");
    let config = format!("defaults.error_pages = {{ \"404\" = \"{missing}\", \"5xx\" = \"{down}\" }}\n")
        + &Way::TerminateHttp.route("pages", "127.0.0.2", refusing.address, &own)
        + &Way::TerminateHttp.route("class", "127.0.0.3", refusing.address, "limits.max_request_body = \"1B\"")
        + &Way::Http.route("ours", "127.0.0.4", refusing.address, "show_cause = true");
    let proxy = Proxy::start(&config);
    for version in VERSIONS {
        let answer = ask(&proxy, version, "127.0.0.2", "/a/", &[]);
        let page = (answer.status(), answer.field("content-type"), answer.text());
        assert_eq!(page, (502, "application/json", format!("{{\"id\":\"{}\"}}", answer.field("x-request-id"))));
        assert_eq!(answer.field("cache-control"), "no-store");
        // Without a route the pages of [defaults] hold.
        let answer = ask(&proxy, version, "127.0.0.2", "/", &[]);
        let expected = format!("<p>404 {HOST} {}<style>p{{color:red}}</style>", answer.field("x-request-id"));
        assert_eq!((answer.field("content-type"), answer.text()), ("text/html; charset=utf-8", expected));
        let answer = ask(&proxy, version, "127.0.0.3", "/", &[]);
        assert_eq!((answer.status(), answer.text().as_str()), (502, "down 502"));
        // No page is for it.
        let json = ["-H", "accept: application/json", "--data", "long"];
        let answer = ask(&proxy, version, "127.0.0.3", "/", &json);
        let problem: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
        assert_eq!((answer.status(), answer.field("content-type")), (413, "application/problem+json"));
        assert_eq!((&problem["status"], problem.get("cause")), (&413.into(), None), "{problem}");
        let head = ask(&proxy, version, "127.0.0.3", "/", &["--head"]);
        assert_eq!((head.status(), head.text().as_str(), head.field("content-length")), (502, "", "8"));
    }
    let mut client = Peer::connect(proxy.address("127.0.0.4"));
    assert!(client.get("a.test", "/").text().starts_with("down 502"));
    drop(client);
    proxy.finish();
}

#[test]
fn the_cause_of_a_failure_is_shown_only_where_the_route_says_so() {
    let refusing = Refusing::new();
    let config = Way::Http.route("shown", "127.0.0.2", refusing.address, "show_cause = true")
        + &Way::Http.route("hidden", "127.0.0.3", refusing.address, "");
    let proxy = Proxy::start(&config);
    for (ip, shown) in [("127.0.0.2", true), ("127.0.0.3", false)] {
        let mut client = Peer::connect(proxy.address(ip));
        client.send(format!("GET / HTTP/1.1\r\nhost: {HOST}\r\naccept: text/html\r\n\r\n").as_bytes());
        let answer = client.message();
        assert_eq!((answer.status(), answer.field("content-type")), (502, "text/html; charset=utf-8"));
        assert_eq!(answer.text().contains("refused"), shown, "{}", answer.text());
        assert!(answer.text().contains(answer.field("x-request-id")));
    }
    proxy.finish();
}

#[test]
fn an_error_page_that_cannot_be_had_is_a_fault_at_its_line() {
    let target = Target::echo();
    let config = Way::Http.route("a", "127.0.0.2", target.address, "");
    let proxy = Proxy::start(&config);
    let broken = Way::Http.route("a", "127.0.0.2", target.address, "error_pages = { \"502\" = \"absent.html\" }");
    let refused = proxy.reload_refused(&broken);
    assert!(refused.contains("absent.html: the file does not exist"), "{refused}");
    proxy.finish();
}

#[test]
fn only_routes_that_terminate_tls_are_kept_to_it_and_the_targets_own_word_is_replaced() {
    if !Curl::found() {
        return;
    }
    let target = Target::serving(|mut peer| {
        drop(peer.head());
        peer.send_what_is_taken(b"HTTP/1.1 200 OK\r\nstrict-transport-security: max-age=1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    });
    let config = String::from("defaults.hsts = { max_age = \"1d\" }\n")
        + &Way::TerminateHttp.route(
            "own",
            "127.0.0.2",
            target.address,
            "hsts = { max_age = \"365d\", include_subdomains = true, preload = true }",
        )
        + &Way::TerminateHttp.route("default", "127.0.0.3", target.address, "")
        + &answering("fixed", "127.0.0.4", "respond = {}")
        + &Way::Http.route("plain", "127.0.0.5", target.address, "");
    let proxy = Proxy::start(&config);
    for version in VERSIONS {
        for (ip, expected) in [
            ("127.0.0.2", "max-age=31536000; includeSubDomains; preload"),
            ("127.0.0.3", "max-age=86400"),
            ("127.0.0.4", "max-age=86400"),
        ] {
            let answer = ask(&proxy, version, ip, "/", &[]);
            assert_eq!(answer.field("strict-transport-security"), expected, "{version} {ip}");
        }
    }
    let answer = Peer::connect(proxy.address("127.0.0.5")).get(HOST, "/");
    assert_eq!(answer.field("strict-transport-security"), "max-age=1");
    proxy.finish();
}

#[test]
fn a_line_of_the_access_log_holds_what_was_asked_for_and_no_secret() {
    if !Curl::found() {
        return;
    }
    let target = Target::mirror();
    let config = String::from(
        "log.mask_query = [\"token\"]\nlog.headers = [\"user-agent\", \"referer\", \"x-absent\", \"x-long\"]\n",
    ) + &Way::TerminateHttp.route("logged", "127.0.0.2", target.address, "");
    let proxy = Proxy::start(&config);
    // One byte more than is logged of a value.
    let longest = "l".repeat(LOGGED_FIELD_MAX);
    let long = format!("x-long: {longest}x");
    let more = ["-A", "an \"agent\"", "-e", "https://a.test/?token=s3cret&x=1", "-H", &long];
    for (version, protocol) in [("--http1.1", "http/1.1"), ("--http2", "h2")] {
        let answer = ask(&proxy, version, "127.0.0.2", "/p?a=b&%54oken=s3cret", &more);
        assert_eq!(answer.text().lines().next(), Some("GET /p?a=b&%54oken=s3cret HTTP/1.1"));
        let line = proxy.line("request", protocol, |line| line["protocol"] == protocol);
        let held = ["method", "host", "path", "route", "target", "cause", "header_user_agent", "header_referer"];
        let expected = [
            "GET",
            HOST,
            "/p?a=b&%54oken=***",
            "logged",
            &target.address.to_string(),
            "finished",
            "an \"agent\"",
            "https://a.test/?token=***&x=1",
        ];
        assert_eq!(held.map(|key| line[key].as_str().unwrap_or_default()), expected, "{line}");
        assert_eq!(line["header_x_long"], longest, "{line}");
        assert!(line.get("header_x_absent").is_none() && !line.to_string().contains("s3cret"), "{line}");
        assert_eq!(
            (&line["status"], &line["request"]),
            (&200.into(), &seen(&answer.text(), "x-request-id").into()),
            "{line}"
        );
        assert!(line["bytes_out"].as_u64() == Some(answer.body.len() as u64), "{line}");
        assert!(line["duration_seconds"].is_f64() && line["first_byte_seconds"].is_f64(), "{line}");
    }
    proxy.finish();
    let all = String::from("log.mask_query = \"all\"\n") + &answering("all", "127.0.0.2", "respond = {}");
    let proxy = Proxy::start(&all);
    ask(&proxy, "--http2", "127.0.0.2", "/p?a=s3cret&s3cret", &[]);
    let line = proxy.line("request", "the masked", |line| line["route"] == "all");
    assert_eq!(line["path"], "/p?a=***&***", "{line}");
    proxy.finish();
}
