//! The main job on real input: curl, through each way of TLS, to real servers, from one file.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::harness::{BINARY, CERTIFICATES, Curl, Proxy, Target, until};

/// One file with each of the four ways, each at an address of its own.
fn config(passed: &Target, plain: &Target, secure: &Target) -> String {
    let (passed, plain, secure) = (passed.address, plain.address, secure.address);
    format!(
        r#"
        [[routes]]
        name = "passed"
        match.ports = ["127.0.0.2:0"]
        match.domains = ["shop.test"]
        tls.mode = "passthrough"
        targets = ["{passed}"]

        [[routes]]
        name = "terminated"
        match.ports = ["127.0.0.3:0"]
        match.domains = ["shop.test"]
        tls.mode = "terminate"
        tls.certificate = {{ certificate = "server.pem", key = "server.key" }}
        targets = ["{plain}"]

        [[routes]]
        name = "reencrypted"
        match.ports = ["127.0.0.4:0"]
        match.domains = ["shop.test"]
        tls.mode = "terminate-and-reencrypt"
        tls.certificate = {{ certificate = "server.pem", key = "server.key" }}
        tls.upstream = {{ ca = "ca.pem", server_name = "target.test" }}
        targets = ["{secure}"]

        [[routes]]
        name = "plain"
        match.ports = ["127.0.0.5:0"]
        match.domains = ["shop.test"]
        targets = ["{plain}"]
        "#
    )
}

#[test]
fn curl_reaches_real_servers_through_each_way_of_tls_from_one_file() {
    if !Curl::found() {
        return;
    }
    let passed = Target::https("passed", CERTIFICATES.server());
    let plain = Target::http("plain");
    let secure = Target::https("secure", CERTIFICATES.server());
    let proxy = Proxy::start(&config(&passed, &plain, &secure));
    let ways = [
        ("https", "127.0.0.2", "passed", "1.1", ""),
        ("https", "127.0.0.3", "plain", "2", "https"),
        ("https", "127.0.0.4", "secure", "2", "https"),
        ("http", "127.0.0.5", "plain", "1.1", "http"),
    ];
    for (scheme, ip, target, version, proto) in ways {
        let curl = Curl::to(scheme, "shop.test", proxy.address(ip), "/goods?page=2").trusting(&proxy.path("ca.pem"));
        let answer = curl.run();
        assert_eq!((answer.exit, answer.status), (0, 200), "{ip}: {answer:?}");
        assert_eq!(answer.version, version, "{ip}: {answer:?}");
        assert!(answer.body.starts_with(&format!("{target} GET /goods?page=2 host=shop.test")), "{ip}: {answer:?}");
        assert!(answer.body.contains(&format!("proto={proto} ")), "{ip}: {answer:?}");
    }
    let body = vec![b'x'; 300_000];
    let file = proxy.path("upload");
    std::fs::write(&file, &body).unwrap();
    for ip in ["127.0.0.3", "127.0.0.4"] {
        for version in ["--http1.1", "--http2"] {
            let curl = Curl::to("https", "shop.test", proxy.address(ip), "/upload").trusting(&proxy.path("ca.pem"));
            let answer = curl.arg(version).arg("--data-binary").arg(&format!("@{}", file.display())).run();
            assert_eq!((answer.exit, answer.status), (0, 200), "{ip} {version}: {answer:?}");
            assert!(answer.body.contains("body=300000"), "{ip} {version}: {answer:?}");
        }
    }
    proxy.connections_until("every client has left", <[_]>::is_empty);
    let lines = until(|| match proxy.lines("request") {
        // One for each request that was not passed through; they are written on a thread of their own.
        lines if lines.len() >= 7 => Ok(lines),
        lines => Err(format!("{lines:#?}")),
    })
    .unwrap();
    assert_eq!(lines.len(), 7, "{lines:#?}");
    for line in lines {
        assert_eq!((line["status"].as_u64(), line["cause"].as_str()), (Some(200), Some("finished")), "{line}");
    }
    let passed_line = proxy.line("connection", "the passthrough", |line| line["route"] == "passed");
    assert_eq!(passed_line["host"], "shop.test");
    assert_eq!(passed_line["protocol"], "tls");
}

#[test]
fn a_sighup_changes_routes_while_the_proxy_runs() {
    if !Curl::found() {
        return;
    }
    let (passed, plain) = (Target::https("passed", CERTIFICATES.server()), Target::http("plain"));
    let (secure, other) = (Target::https("secure", CERTIFICATES.server()), Target::http("other"));
    let mut proxy = Proxy::start(&config(&passed, &plain, &secure));
    let (terminated, reencrypted) = (proxy.address("127.0.0.3"), proxy.address("127.0.0.4"));
    let ask = |proxy: &Proxy, address| {
        Curl::to("https", "shop.test", address, "/").trusting(&proxy.path("ca.pem")).run().body
    };
    assert!(ask(&proxy, terminated).starts_with("plain"));
    assert!(ask(&proxy, reencrypted).starts_with("secure"));
    let mut changed = config(&passed, &other, &secure);
    changed = changed.replace("tls.mode = \"passthrough\"", "tls.mode = \"passthrough\"\nenabled = true");
    proxy.reload(&changed);
    assert!(ask(&proxy, terminated).starts_with("other"), "the terminating route has another target now");
    assert!(ask(&proxy, reencrypted).starts_with("secure"), "this route was not changed");
}

#[test]
fn the_demo_prints_commands_that_work_as_they_are_printed() {
    if !Curl::found() {
        return;
    }
    let mut demo = Command::new(BINARY);
    let mut demo = demo.args(["demo", "--for", "1m"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let printed = lines.by_ref().map_while(Result::ok).take_while(|line| !line.starts_with("Ctrl-C"));
    let commands: Vec<_> = printed.filter(|line| line.starts_with("curl ")).collect();
    let tried: Vec<_> = commands
        .iter()
        .map(|line| {
            // What is printed is for a shell; a time limit of our own and nothing else is added.
            let output = Command::new("sh").args(["-c", &format!("{line} --silent --max-time 20")]).output().unwrap();
            (line, output)
        })
        .collect();
    rustix::process::kill_process(rustix::process::Pid::from_child(&demo), Signal::INT).unwrap();
    let rest: Vec<_> = lines.map_while(Result::ok).collect();
    assert!(demo.wait().unwrap().success(), "{rest:?}");
    assert!(commands.len() >= 4, "passthrough, terminate, re-encrypt and plain: {commands:?}");
    for (line, output) in tried {
        assert!(output.status.success() && !output.stdout.is_empty(), "{line}: {output:?}");
    }
}
