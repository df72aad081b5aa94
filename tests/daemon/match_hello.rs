//! `smartproxy match` on a recorded ClientHello, and the target that it would pick.

use std::fs;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use serde_json::Value;

use crate::harness::{CERTIFICATES, End, Peer, Proxy, Refusing, Target, Way, folder_with};

/// What a client sends first that asks for the name and offers these protocols.
fn hello(name: &'static str, alpn: &[&str]) -> Vec<u8> {
    let mut client = ClientConnection::new(CERTIFICATES.client(alpn), ServerName::try_from(name).unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

fn ask(proxy: &Proxy, arguments: &[&str]) -> (i32, String, String) {
    let output = proxy.command(&[&["match"], arguments].concat()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_recorded_hello_is_routed_as_the_daemon_routes_it() {
    let (web, mail) = (Target::echo(), Target::echo());
    let config = Way::Passthrough.route("mail", "127.0.0.2", mail.address, "match.alpn = [\"imap\"]")
        + &Way::Passthrough.route("named", "127.0.0.2", web.address, "match.domains = [\"shop.test\"]");
    let proxy = Proxy::start(&config);
    let address = proxy.address("127.0.0.2");
    for (number, (name, alpn, route)) in
        [("shop.test", "h2", Some("named")), ("other.test", "imap", Some("mail")), ("other.test", "h2", None)]
            .into_iter()
            .enumerate()
    {
        let bytes = hello(name, &[alpn]);
        let (raw, hex) = (proxy.path(&format!("hello-{number}.bin")), proxy.path(&format!("hello-{number}.txt")));
        fs::write(&raw, &bytes).unwrap();
        let lines = bytes.chunks(16).map(|line| line.iter().map(|byte| format!("{byte:02x} ")).collect::<String>());
        fs::write(&hex, lines.collect::<Vec<_>>().join("\n")).unwrap();
        for file in [&raw, &hex] {
            let (code, text, errors) = ask(&proxy, &["--json", "--hello", file.to_str().unwrap(), "0"]);
            let answers: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{errors}"));
            let answer = &answers[0];
            let taken = answer["routes"].as_array().unwrap().iter().find(|route| route["taken"] == true);
            assert_eq!(taken.and_then(|taken| taken["route"].as_str()), route, "{text}");
            assert_eq!(code, i32::from(route.is_none()), "{text}");
            assert_eq!((&answer["hello"]["server_name"], &answer["hello"]["alpn"][0]), (&name.into(), &alpn.into()));
            assert_eq!(answer["hello"]["tls_versions"].as_array().unwrap().len(), 2, "{text}");
        }
        // The same bytes, sent.
        let mut client = Peer::connect(address);
        client.send(&bytes);
        if route.is_some() {
            client.expect(&bytes);
        }
        client.finish();
        // An alert comes first where nobody takes it.
        assert_ne!(client.rest().1, End::Silence);
        assert_eq!(proxy.line_of(client.ends())["route"], route.unwrap_or("-"));
    }
    let file = proxy.path("hello-0.bin");
    let file = file.to_str().unwrap();
    let (code, text, _) = ask(&proxy, &["--hello", file, "0"]);
    assert!(code == 0 && text.contains("hello: the name shop.test; TLS versions: 1.2, 1.3; ALPN: h2"), "{text}");
    assert!(text.contains(&format!("target: {}\n", web.address)), "{text}");
    let (code, _, errors) = ask(&proxy, &["--hello", file, "http://shop.test:0/"]);
    assert!(code == 64 && errors.contains("speaks TLS"), "{errors}");
    for (name, bytes, expected, part) in [
        ("cut.bin", &hello("shop.test", &[])[..100], 65, "not whole"),
        ("none.bin", &b"GET / HTTP/1.1\r\n\r\n"[..], 65, "no TLS ClientHello"),
        ("long.bin", &vec![22; (1 << 20) + 1][..], 65, "longer than 1 MiB"),
    ] {
        let file = proxy.path(name);
        fs::write(&file, bytes).unwrap();
        let (code, _, errors) = ask(&proxy, &["--hello", file.to_str().unwrap(), "0"]);
        assert!(code == expected && errors.contains(part) && errors.contains(name), "{code} {errors}");
    }
    let (code, _, errors) = ask(&proxy, &["--hello", proxy.path("absent").to_str().unwrap(), "0"]);
    assert!(code == 66 && errors.contains("absent"), "{errors}");
    proxy.finish();
}

#[test]
fn the_target_is_told_as_the_configuration_picks_it_and_as_the_daemon_knows_it() {
    let (good, bad) = (Target::http("good"), Refusing::new());
    let two = format!("[\"{}\", {{ host = \"127.0.0.1\", port = {}, weight = 2 }}]", bad.address, good.address.port());
    let targets = |route: String, targets: &str| {
        let lines = route
            .lines()
            .map(|line| if line.starts_with("targets") { format!("targets = {targets}") } else { line.into() });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    };
    let aside = "passive_health = { failures = 1, set_aside = \"1h\" }";
    let hashed = format!("load_balancing = {{ algorithm = \"ip-hash\" }}\n{aside}");
    let config = targets(Way::Http.route("turns", "127.0.0.2", "x", aside), &two)
        + &targets(Way::Http.route("hashed", "127.0.0.3", "x", &hashed), &two)
        + &targets(Way::Http.route("spare", "127.0.0.4", "x", ""), &two.replace("weight = 2", "backup = true"));
    let proxy = Proxy::start(&config);
    let told = |ip: &str, from: &str| {
        let (_, text, errors) = ask(&proxy, &["--json", "http://shop.test:0/", "--from", from]);
        let answers: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"));
        answers.into_iter().find(|answer| answer["address"].as_str().unwrap().starts_with(ip)).unwrap()["pick"].clone()
    };
    let (first, second) = (bad.address.to_string(), good.address.to_string());
    let turns = told("127.0.0.2", "127.0.0.1");
    assert_eq!((&turns["algorithm"], &turns["first"]), (&"round-robin".into(), &Value::Null), "{turns}");
    assert_eq!((&turns["targets"][0]["target"], &turns["targets"][1]["weight"]), (&first.clone().into(), &2.into()));
    let spare = told("127.0.0.4", "127.0.0.1");
    assert_eq!((&spare["first"], &spare["targets"][1]["backup"]), (&first.clone().into(), &true.into()), "{spare}");

    // A client whose first target by its address is the one that does not answer.
    let first_of = |from: &str| told("127.0.0.3", from)["first"].as_str().unwrap().to_owned();
    let from = (1..200).map(|number| format!("127.5.0.{number}")).find(|from| first_of(from) == first).unwrap();
    let mut client = Peer::connect_from(&from, proxy.address("127.0.0.3"));
    assert_eq!(client.get("shop.test", "/").status(), 200, "the other one answers");
    client.finish();
    assert_eq!(client.end(), End::Whole);
    proxy.event("the target is set aside", |event| event["route"] == "hashed");
    let hashed = told("127.0.0.3", &from);
    assert_eq!((&hashed["first"], &hashed["algorithm"]), (&second.clone().into(), &"ip-hash".into()), "{hashed}");
    assert_eq!(hashed["targets"][0]["set_aside"]["cause"], "refused", "{hashed}");
    let (_, text, _) = ask(&proxy, &["http://shop.test:0/", "--from", &from]);
    assert!(text.contains(&format!("target: {second}, of {first} (set aside ")), "{text}");
    assert!(text.contains(&format!("target: one of {first}, {second} (weight 2) (round-robin)")), "{text}");
    proxy.finish();
    // Without the daemon it is what the configuration says.
    let folder = folder_with(&config);
    let output = std::process::Command::new(crate::harness::BINARY)
        .args(["match", "http://shop.test:0/", "--from", &from, "-c"])
        .arg(folder.path().join(crate::harness::FILE))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(&format!("target: {first}, of {first}, {second} (weight 2) (ip-hash)")), "{text}");
}
