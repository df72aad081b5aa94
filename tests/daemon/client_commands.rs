//! The commands that ask the running daemon: how they find it, and what they say when they cannot.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{BINARY, Peer, Proxy, Target, Way, folder_with};

/// Each of them, with what it needs.
const COMMANDS: [&[&str]; 6] = [&["status"], &["connections"], &["kill", "1"], &["trace"], &["reload"], &["drain"]];

fn run(arguments: &[&str]) -> (i32, String, String) {
    said(&Command::new(BINARY).args(arguments).env("NO_COLOR", "1").output().unwrap())
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_faulty_file_still_leads_to_the_daemon_which_judges_it() {
    let echo = Target::echo();
    let config = Way::Tcp.route("one", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&config);
    let ask = |arguments: &[&str]| said(&proxy.command(arguments).output().unwrap());
    for (refused, wrong) in [(1, config.replace("targets", "tagets")), (2, format!("{config}\nname = = 1\n"))] {
        proxy.write(&wrong);
        let mark = proxy.log_mark();
        let (code, _, errors) = ask(&["reload"]);
        assert_eq!(code, 78, "{errors}");
        assert!(errors.contains("smartproxy.toml:") && errors.contains("the daemon runs as before"), "{errors}");
        proxy.event_after(mark, "a refused reload", |event| event.to_string().contains("the reload is refused"));
        let counted = proxy.metrics().sum("reloads_total", &[("result", "refused")]);
        assert_eq!(counted, 2 * refused - 1, "the daemon has counted it");
        let (code, text, errors) = ask(&["status"]);
        assert!(code == 0 && text.contains("last reload: refused"), "{text}{errors}");
        let (code, text, _) = ask(&["reload", "--json"]);
        assert!(code == 78 && json(&text)["faults"].as_str().unwrap().contains("smartproxy.toml:"), "{text}");
        proxy.write(&config);
        let (code, text, _) = ask(&["reload", "--json"]);
        assert!(code == 0 && json(&text)["generation"].is_u64() && json(&text)["config"].is_string(), "{text}");
    }
    let (_, text, _) = ask(&["status"]);
    assert!(text.contains("last reload: done"), "{text}");
    proxy.finish();
}

#[test]
fn a_file_that_is_missing_or_that_switches_the_socket_off_is_said_with_a_remedy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let quickstart = root.join("config/quickstart.toml");
    let folder = folder_with("");
    let missing = folder.path().join("none.toml");
    let absent = folder.path().join("absent.sock");
    let left = folder.path().join("left.sock");
    drop(UnixListener::bind(&left).unwrap());
    for command in COMMANDS {
        let with = |more: &[&str]| run(&[command, more].concat());
        let (code, _, errors) = with(&["-c", quickstart.to_str().unwrap()]);
        assert_eq!(code, 69, "{command:?}: {errors}");
        assert!(errors.contains("`[admin] socket` is off") && errors.contains("restart the daemon"), "{errors}");
        let other = match command[0] {
            "reload" => "SIGHUP",
            "drain" => "SIGTERM",
            "status" => "`/status`",
            "connections" => "`/connections`",
            "trace" => "`[log] level = \"debug\"`",
            _ => "nothing but the socket",
        };
        assert!(errors.contains(other), "{command:?}: {errors}");
        let (code, _, errors) = with(&["-c", missing.to_str().unwrap()]);
        assert!(code == 66 && errors.contains("none.toml"), "{command:?}: {errors}");
        for (socket, why) in [(&absent, "there is no such socket"), (&left, "nobody listens on it")] {
            let (code, _, errors) = with(&["--socket", socket.to_str().unwrap()]);
            assert_eq!(code, 69, "{command:?}: {errors}");
            assert!(errors.contains(socket.to_str().unwrap()) && errors.contains(why), "{command:?}: {errors}");
            assert!(errors.contains("does not seem to run") && errors.contains(other), "{command:?}: {errors}");
        }
        fs::write(folder.path().join("named.toml"), "admin.socket = \"absent.sock\"\nrubbish").unwrap();
        let (code, _, errors) = with(&["-c", folder.path().join("named.toml").to_str().unwrap()]);
        assert!(code == 69 && errors.contains(absent.to_str().unwrap()), "{command:?}: {errors}");
    }
}

/// Nobody has named the file that is missing, so the daemon may run on another one, with its socket at the usual place.
#[test]
fn without_a_file_the_usual_socket_is_tried() {
    if ["/etc/smartproxy/smartproxy.toml", "/run/smartproxy/admin.sock"].iter().any(|path| Path::new(path).exists()) {
        return;
    }
    for command in COMMANDS {
        let (code, _, errors) = run(command);
        assert!(code == 69 && errors.starts_with("/run/smartproxy/admin.sock: there is no such socket"), "{errors}");
    }
}

#[test]
fn status_names_the_file_the_generation_and_the_last_reload() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("one", "127.0.0.2", echo.address, ""));
    let ask = |arguments: &[&str]| said(&proxy.command(arguments).output().unwrap());
    let (_, text, _) = ask(&["status"]);
    let file = proxy.path("smartproxy.toml").display().to_string();
    for part in [&file, "generation 1: 1 route on 1 address\n", "last reload: none"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    assert_eq!(ask(&["reload"]).0, 0);
    let status = json(&ask(&["status", "--json"]).1);
    assert_eq!((status["config"].as_str(), &status["generation"]), (Some(&*file), &2.into()));
    assert_eq!(status["last_reload"]["result"], "done");
    assert!(status["last_reload"]["age_seconds"].is_number());
    proxy.finish();
}

/// What a reload has to say beside that it was done reaches whoever asked for it, not the log alone.
#[test]
fn reload_shows_the_warnings_of_the_reload() {
    let echo = Target::echo();
    let config = Way::Tcp.route("one", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&config);
    let ask = |arguments: &[&str]| said(&proxy.command(arguments).output().unwrap());
    let (code, text, errors) = ask(&["reload"]);
    assert!(code == 0 && text == "reloaded: generation 2\n" && errors.is_empty(), "{text}{errors}");
    proxy.write(&format!("log.level = \"debug\"\nserver.max_connections = 4000000000\n{config}"));
    let (code, text, errors) = ask(&["reload"]);
    assert!(code == 0 && text == "reloaded: generation 3\n", "{text}{errors}");
    let warnings: Vec<_> = errors.lines().collect();
    let expected = ["warning: server.max_connections = 4000000000 is lowered", "warning: [log] is read at start only"];
    assert_eq!(warnings.len(), expected.len(), "{errors}");
    assert!(warnings.iter().zip(expected).all(|(warning, expected)| warning.starts_with(expected)), "{errors}");
    let (code, text, errors) = ask(&["reload", "--json"]);
    let reloaded = json(&text);
    assert!(code == 0 && errors.is_empty() && reloaded["generation"] == 4, "{text}{errors}");
    assert_eq!(reloaded["warnings"].as_array().unwrap().len(), 2, "{text}");
    proxy.event("server.max_connections", |_| true);
    proxy.finish();
}

#[test]
fn what_the_command_line_names_and_nobody_knows_is_64_with_what_was_meant() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("shop", "127.0.0.2", echo.address, ""));
    let ask = |arguments: &[&str]| said(&proxy.command(arguments).output().unwrap());
    for (arguments, part) in [
        (&["connections", "--route", "shp"][..], "did you mean `shop`?"),
        (&["connections", "--route", "something else"], "its routes are `shop`"),
        (&["connections", "--state", "relayin"], "'relaying'"),
        (&["connections", "--state", "nothing"], "half_closed"),
        (&["kill", "abc"], "`smartproxy connections` lists them"),
        (&["kill"], "`smartproxy connections` lists the live ones under ID"),
    ] {
        let (code, text, errors) = ask(arguments);
        assert!(code == 64 && text.is_empty() && errors.contains(part), "{arguments:?}: {text}{errors}");
    }
    let (code, text, _) = ask(&["connections", "--route", "shop", "--older", "500ms"]);
    assert!(code == 0 && text.lines().count() == 1, "{text}");
    assert_eq!(ask(&["connections", "--route", "-"]).0, 0, "a connection without a route has the route `-`");
    let (code, _, errors) = ask(&["kill", "999999"]);
    assert!(code == 1 && errors.contains("999999"), "{errors}");
    assert_eq!(proxy.ask("/connections?state=nothing").0, 400);
    assert_eq!(proxy.ask("/connections?route=nothing").0, 400);
    proxy.finish();
}

#[test]
fn kill_and_check_answer_machines_too() {
    let echo = Target::echo();
    let config = Way::Tcp.route("one", "127.0.0.2", echo.address, "");
    let proxy = Proxy::start(&config);
    let ask = |arguments: &[&str]| said(&proxy.command(arguments).output().unwrap());
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(b"ping");
    client.expect(b"ping");
    let id = json(&ask(&["connections", "--json"]).1)["connections"][0]["id"].to_string();
    let (code, text, _) = ask(&["kill", &id, "--json"]);
    let killed = json(&text);
    assert!(code == 0 && killed["killed"] == 1 && killed["connections"][0].as_u64() == id.parse().ok(), "{text}");
    let (code, text, errors) = ask(&["check", "--json"]);
    let checked = json(&text);
    assert!(code == 0 && checked["right"] == true && checked["routes"] == 1 && checked["addresses"] == 1, "{text}");
    assert_eq!(errors, "");
    for (wrong, message) in [("tagets", "tagets"), ("targets = [] #", "")] {
        proxy.write(&config.replace("targets", wrong));
        let (code, text, errors) = ask(&["check", "--json"]);
        let checked = json(&text);
        let fault = &checked["faults"][0];
        assert!(code == 78 && errors.is_empty() && checked["right"] == false, "{text}{errors}");
        assert!(fault["line"].is_u64() && fault["column"].is_u64() && fault["path"].is_string(), "{text}");
        assert!(fault["message"].as_str().unwrap().contains(message), "{text}");
    }
    proxy.write(&config);
    drop(client);
    proxy.finish();
}

/// A command whose output or errors nobody can take says no word of a panic, and still has its exit status.
#[test]
fn nothing_panics_where_nobody_listens() {
    let folder = folder_with("");
    let missing = folder.path().join("none.toml");
    let missing = missing.to_str().unwrap();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let commands: [(&[&str], i32); 9] = [
        (&["check", "-c", missing], 66),
        (&["check", "--json", "-c", missing], 66),
        (&["run", "-c", missing], 66),
        (&["match", "-c", missing, "http://a/"], 66),
        (&["match", "nothing"], 64),
        (&["status", "-c", missing], 66),
        (&["drain", "--socket", missing], 69),
        (&["kill", "abc"], 64),
        (&["frobnicate"], 64),
    ];
    for (arguments, expected) in commands {
        let status = Command::new(BINARY).args(arguments).stderr(closed()).stdout(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(expected), "{arguments:?} with a closed standard error");
        let status = Command::new(BINARY).args(arguments).stderr(full()).stdout(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(expected), "{arguments:?} with a full standard error");
    }
    for arguments in [&["schema"][..], &["man"], &["completions", "bash"], &["--help"], &["--version"]] {
        let output = Command::new(BINARY).args(arguments).stdout(closed()).output().unwrap();
        let (code, _, errors) = said(&output);
        assert!(code == 0 && errors.is_empty(), "{arguments:?} into a closed pipe: {code} {errors}");
        let output = Command::new(BINARY).args(arguments).stdout(full()).output().unwrap();
        let (code, _, errors) = said(&output);
        assert!(code == 71 && !errors.contains("panicked"), "{arguments:?} onto a full disk: {code} {errors}");
    }
}
