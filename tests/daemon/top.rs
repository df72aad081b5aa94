//! The live view, in a terminal and without one.

use std::process::Stdio;

use crate::harness::{BINARY, FILE, Peer, Proxy, Python, Target, Way, folder_with};

/// Runs a part of the script against a daemon with one route; what the daemon has to tell of is looked at then.
fn in_a_terminal(part: &str, then: impl FnOnce(&Proxy)) {
    if !Python::has("pty") {
        return;
    }
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    let address = proxy.address("127.0.0.2");
    let (config, ip, port) = (proxy.path(FILE), address.ip().to_string(), address.port().to_string());
    Python::run("top_in_terminal.py", &[BINARY, config.to_str().unwrap(), &ip, &port, part]).succeed();
    then(&proxy);
    proxy.finish();
}

#[test]
fn top_is_used_in_a_terminal_and_gives_it_back_however_it_ends() {
    in_a_terminal("used", |proxy| assert_eq!(proxy.lines("connection")[0]["cause"], "killed"));
}

#[test]
fn top_never_outlives_its_terminal() {
    in_a_terminal("left", |_| ());
}

#[test]
fn without_a_terminal_or_a_daemon_top_says_so_and_touches_nothing() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("echo", "127.0.0.2", echo.address, ""));
    let output = proxy.command(&["top"]).stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(64) && output.stdout.is_empty(), "{output:?}");
    assert!(errors.contains("top needs a terminal; `smartproxy status`"), "{errors}");
    for every in ["10ms", "2m", "x"] {
        let output = proxy.command(&["top", "--every", every]).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{output:?}");
    }
    proxy.finish();
    if !Python::has("pty") {
        return;
    }
    let folder = folder_with("");
    let script = "import os,pty,sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let output = std::process::Command::new("python3")
        .args(["-c", script, BINARY, "top", "--socket"])
        .arg(folder.path().join("none.sock"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(69), "{text}");
    assert!(text.contains("there is no such socket") && !text.contains("\u{1b}[?1049h"), "{text}");
}

#[test]
fn the_targets_are_listed_with_their_health_and_their_connections() {
    let (echo, refusing) = (Target::echo(), crate::harness::Refusing::new());
    let config = Way::Tcp.route("good", "127.0.0.2", echo.address, "")
        + &Way::Tcp.route("bad", "127.0.0.3", refusing.address, "passive_health = { failures = 1 }");
    let proxy = Proxy::start(&config);
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(b"ping");
    client.expect(b"ping");
    let _refused = Peer::connect(proxy.address("127.0.0.3")).end();
    let listed = || {
        let (status, text) = proxy.ask("/targets");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let all = listed();
    let [first, second] = all["targets"].as_array().unwrap().as_slice() else { panic!("{all}") };
    assert_eq!((&first["route"], &first["set_aside"]["cause"]), (&"bad".into(), &"refused".into()), "{all}");
    assert_eq!((&second["route"], &second["in_flight"]), (&"good".into(), &1.into()), "{all}");
    assert!(second["set_aside"].is_null() && second["target"] == echo.address.to_string(), "{all}");
    let (_, text) = proxy.ask("/targets?limit=1");
    assert!(text.contains("\"matched\":2") && !text.contains("good"), "{text}");
    assert_eq!(proxy.ask("/targets?limit=x").0, 400);
    assert_eq!(proxy.ask("/targets?route=x").0, 400);
    drop(client);
    proxy.finish();
}
