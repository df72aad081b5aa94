//! The command line: exit codes, how faults are printed, and the commands that talk to the daemon.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::{BINARY, End, FILE, Peer, Proxy, Target, Way, folder_with};

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

/// Exit code, standard output and standard error.
fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn with_file(command: &str, file: &Path) -> (i32, String, String) {
    said(&run(&[command, "-c", file.to_str().unwrap()]))
}

const GOOD: &str = "[[routes]]\nname = \"one\"\nmatch.ports = [\"127.0.0.1:0\"]\ntargets = [\"127.0.0.1:1\"]\n";

#[test]
fn check_and_run_print_every_fault_with_its_place_a_caret_and_a_near_name_and_exit_78() {
    let bad = GOOD.replace("targets", "tagets") + "timeouts.idle = 5\nlimits.max_request_body = \"1 elephant\"\n";
    let folder = folder_with("");
    let file = folder.path().join("bad.toml");
    fs::write(&file, &bad).unwrap();
    for command in ["check", "run"] {
        let (code, _, errors) = with_file(command, &file);
        assert_eq!(code, 78, "{errors}");
        let shown = file.display();
        for place in [format!("{shown}:4:1: "), format!("{shown}:5:17: "), format!("{shown}:6:27: ")] {
            assert!(errors.contains(&place), "{command} does not name {place}\n{errors}");
        }
        assert!(errors.contains("tagets = [\"127.0.0.1:1\"]\n^^^^^^"), "the line and a caret\n{errors}");
        assert!(errors.contains("did you mean `targets`?"), "{errors}");
    }
}

/// A certificate that cannot be had.
const CERTIFICATE: &str = "[[certificates]]\ncertificate = \"none.pem\"\nkey = \"none.key\"\n";

#[test]
fn check_and_run_name_each_domain_without_a_certificate_and_each_file_that_cannot_be_had() {
    let route = |more: &str| Way::TerminateHttp.route("named", "127.0.0.2", "127.0.0.1:1", more);
    let uncovered = route("match.domains = [\"shop.test\", \"elsewhere.test\"]");
    let unkeyed = route("match.domains = [\"shop.test\"]").replace("server.key", "none.key");
    for (config, at, said) in [
        (&uncovered, "match.domains = [\"shop.test\", \"elsewhere.test\"]", "does not cover `elsewhere.test`"),
        (&unkeyed, "tls.certificate", "none.key: the file does not exist"),
    ] {
        let folder = folder_with(config);
        let file = folder.path().join(FILE);
        let line = fs::read_to_string(&file).unwrap().lines().position(|line| line.starts_with(at)).unwrap() + 1;
        for command in ["check", "run"] {
            let (code, _, errors) = with_file(command, &file);
            assert_eq!(code, 78, "{errors}");
            assert!(errors.contains(&format!("{}:{line}:", file.display())) && errors.contains(said), "{errors}");
            assert_eq!(errors.matches(&format!("{}:", file.display())).count(), 1, "one fault is said once: {errors}");
        }
    }
}

#[test]
fn exit_codes_tell_what_is_wrong() {
    let folder = folder_with(GOOD);
    let good = folder.path().join(FILE);
    let (code, answer, errors) = with_file("check", &good);
    assert_eq!((code, errors.as_str()), (0, ""), "{answer}");
    for command in ["check", "run", "status", "reload"] {
        let (code, _, errors) = with_file(command, &folder.path().join("none.toml"));
        assert_eq!(code, 66, "a missing file is an error, never an empty configuration: {errors}");
        assert!(errors.contains("none.toml"), "{errors}");
    }
    let binary = folder.path().join("binary.toml");
    fs::write(&binary, [0xff, 0xfe, 0x00]).unwrap();
    assert_eq!(with_file("check", &binary).0, 65);
    for wrong in [&["frobnicate"][..], &["check", "--frob"], &[], &["match", "-c", good.to_str().unwrap(), "ftp://a/"]]
    {
        assert_eq!(said(&run(wrong)).0, 64, "{wrong:?}");
    }
    for right in [&["--help"][..], &["--version"], &["schema"], &["man"], &["completions", "bash"]] {
        let (code, answer, errors) = said(&run(right));
        assert_eq!(code, 0, "{right:?}: {errors}");
        assert!(!answer.is_empty(), "{right:?}");
    }
    let (code, _, errors) = with_file("status", &good);
    assert_eq!(code, 69, "no daemon is there: {errors}");
    if !rustix::process::geteuid().is_root() {
        // Nothing is closed to root.
        fs::set_permissions(&binary, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
        assert_eq!(with_file("check", &binary).0, 77);
    }
}

#[test]
fn an_address_that_is_taken_ends_the_start_with_69_and_its_name() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = folder_with(&GOOD.replace("127.0.0.1:0", &address));
    let (code, _, errors) = with_file("run", &folder.path().join(FILE));
    assert_eq!(code, 69, "{errors}");
    let said = format!("cannot listen on {address} for route `one`: another process has it");
    assert!(errors.contains(&said), "{errors}");
}

#[test]
fn check_and_run_try_the_ways_in_for_operators() {
    let admin = |line: &str| format!("[admin]\n{line}\n{}", GOOD.replace("127.0.0.1:0", "127.0.0.2:0"));
    let token = format!("token = \"{}\"", "x".repeat(32));
    let long = format!("socket = \"{}.sock\"", "a".repeat(108));
    for (line, at, said) in [
        ("socket = \"none/admin.sock\"", "2:10: ", "none does not exist"),
        ("socket = \"ca.pem/admin.sock\"", "2:10: ", "ca.pem is not a folder"),
        ("socket = \"ca.pem\"", "2:10: ", "is there, and is no socket"),
        (&long, "2:10: ", "the path of a socket has at most 107 bytes"),
        // TEST-NET-1 (RFC 5737) is nobody's.
        ("listen = \"192.0.2.1:9900\"", "2:10: ", "other hosts reach 192.0.2.1:9900"),
        (&format!("listen = \"192.0.2.1:9900\"\n{token}"), "2:10: ", "no interface of this host has the address"),
        ("token_file = \"none.token\"", "2:14: ", "none.token: the file does not exist"),
        ("token_file = \"ca.pem\"", "2:14: ", "ca.pem: the file is larger than 514 bytes"),
        ("tls = { certificate = \"ca.pem\", key = \"client.key\" }", "2:23: ", "does not belong to the private key"),
        (
            "listen = \"127.0.0.3:9900\"\n[[routes]]\nname = \"two\"\nmatch.ports = [9900]\nrespond = {}",
            "2:10: ",
            "route `two` has [::]:9900",
        ),
    ] {
        let folder = folder_with("");
        let file = folder.path().join("admin.toml");
        fs::write(&file, admin(line)).unwrap();
        for command in ["check", "run"] {
            let (code, _, errors) = with_file(command, &file);
            assert_eq!(code, 78, "{command}: {line}: {errors}");
            let place = format!("{}:{at}", file.display());
            assert!(errors.contains(&place) && errors.contains(said), "{command}: {line}: {errors}");
        }
        // Every fault is shown, not only the first.
        fs::write(&file, admin(line).replace("[[routes]]", &format!("{}[[routes]]", CERTIFICATE))).unwrap();
        let (_, _, errors) = with_file("check", &file);
        assert!(errors.contains(said), "{line}: {errors}");
    }
    if !rustix::process::geteuid().is_root() {
        let folder = folder_with("");
        let (file, closed) = (folder.path().join("admin.toml"), folder.path().join("closed"));
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
        fs::write(&file, admin("socket = \"closed/admin.sock\"")).unwrap();
        let (code, _, errors) = with_file("check", &file);
        assert!(code == 78 && errors.contains("this user may not make files in"), "{errors}");
    }
}

/// `run` would fail, so `check` says so, at the line that names the address.
#[test]
fn an_address_that_no_interface_has_is_a_fault_of_the_route_that_wants_it() {
    let folder = folder_with("");
    let file = folder.path().join("elsewhere.toml");
    // TEST-NET-1 (RFC 5737) is nobody's.
    fs::write(&file, GOOD.replace("127.0.0.1:0", "192.0.2.1:8080")).unwrap();
    let (code, _, errors) = with_file("check", &file);
    let place = format!("{}:3:", file.display());
    assert!(code == 78 && errors.contains(&place), "{errors}");
    assert!(errors.contains("192.0.2.1:8080 cannot be listened on") && errors.contains("no interface"), "{errors}");
    let (code, _, errors) = with_file("run", &file);
    assert!(code == 69 && errors.contains("no interface of this host has the address"), "{errors}");
}

/// Who checks need not be who runs it, so that it is no fault that only the service may listen there.
#[test]
fn ports_that_this_user_may_not_have_are_warned_of_and_end_a_run_with_77() {
    // Where nobody has to be asked there is nothing to warn of, as in most containers.
    let lowest = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    let restricted = lowest.trim().parse::<u16>().unwrap() > 8;
    // Others than root cannot come to where the program was built, nor to a folder of root's.
    let folder = folder_with("");
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let program = folder.path().join("smartproxy");
    fs::copy(BINARY, &program).unwrap();
    let as_somebody = |command: &str, ports: &str| {
        let file = folder.path().join("low.toml");
        let text = GOOD.replace("\"127.0.0.1:0\"", ports);
        fs::write(&file, format!("[admin]\nsocket = \"\"\n{text}")).unwrap();
        let mut asked = if rustix::process::geteuid().is_root() {
            let mut asked = std::process::Command::new("setpriv");
            asked.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]).arg(&program);
            asked
        } else {
            std::process::Command::new(&program)
        };
        said(&asked.arg(command).arg("-c").arg(file).env("NO_COLOR", "1").output().unwrap())
    };
    let (code, answer, errors) = as_somebody("check", "\"127.0.0.1:7\", \"127.0.0.1:0\"");
    assert!(code == 0 && answer.contains(": right: "), "{answer}{errors}");
    assert_eq!(errors.contains("warning: this user may not listen on port 7: `run` would end"), restricted, "{errors}");
    let (code, _, errors) = as_somebody("check", "\"2-8\"");
    assert_eq!(code, 0, "{errors}");
    assert_eq!(errors.contains("may not listen on ports 2, 3, 4, 5 and 3 more: "), restricted, "{errors}");
    if restricted {
        let (code, _, errors) = as_somebody("run", "\"127.0.0.1:7\"");
        assert!(code == 77 && errors.contains("CAP_NET_BIND_SERVICE"), "{code}: {errors}");
    }
}

#[test]
fn an_admin_address_that_is_taken_says_whose_it_is_and_what_to_do() {
    let folder = folder_with("");
    let file = folder.path().join("taken.toml");
    let (_taken, address) = crate::harness::listener();
    fs::write(&file, format!("[admin]\nsocket = \"\"\nlisten = \"{address}\"\n{GOOD}")).unwrap();
    let (code, _, errors) = with_file("run", &file);
    let said = format!("[admin] listen: {address} cannot be listened on: another process has it (see `ss -ltnp`)");
    assert!(code == 69 && errors.contains(&said), "{errors}");
}

#[test]
fn the_ways_in_for_operators_are_right_while_a_daemon_has_them() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("one", "127.0.0.2", echo.address, ""));
    let config = fs::read_to_string(proxy.path(FILE)).unwrap();
    proxy.write(&config.replace("admin.listen = \"127.0.0.1:0\"", &format!("admin.listen = \"{}\"", proxy.admin())));
    let (code, _, errors) = said(&proxy.command(&["check"]).output().unwrap());
    assert_eq!((code, errors.as_str()), (0, ""));
    let (code, text, _) = said(&proxy.command(&["status"]).output().unwrap());
    assert!(code == 0 && text.contains("generation 1"), "nothing was taken from the daemon: {text}");
    proxy.finish();
}

#[test]
fn the_default_socket_without_its_folder_is_a_warning() {
    if Path::new("/run/smartproxy").exists() {
        return;
    }
    let folder = folder_with("");
    let file = folder.path().join("default.toml");
    fs::write(&file, GOOD).unwrap();
    let (code, answer, errors) = with_file("check", &file);
    assert!(code == 0 && answer.contains("right"), "{errors}");
    assert!(errors.contains("no admin socket: the folder /run/smartproxy does not exist"), "{errors}");
    let output = Command::new(BINARY).args(["check", "--json", "-c"]).arg(&file).output().unwrap();
    let (code, answer, errors) = said(&output);
    let report: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let warning = report["warnings"][0].as_str().unwrap_or_default();
    assert!(code == 0 && warning.starts_with("no admin socket") && errors.is_empty(), "{answer}{errors}");
}

#[test]
fn a_second_daemon_does_not_take_the_address_of_a_running_one() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("first", "127.0.0.2", echo.address, ""));
    let address = proxy.address("127.0.0.2").to_string();
    let folder = folder_with(&GOOD.replace("127.0.0.1:0", &address));
    let (code, _, errors) = with_file("run", &folder.path().join(FILE));
    assert_eq!(code, 69, "{errors}");
    proxy.finish();
}

#[test]
fn the_schema_is_the_one_that_is_installed() {
    let (code, schema, _) = said(&run(&["schema"]));
    assert_eq!(code, 0);
    let parsed: Value = serde_json::from_str(&schema).unwrap();
    assert!(parsed["properties"]["routes"].is_object(), "{schema}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = fs::read_to_string(root.join("config/smartproxy.schema.json")).unwrap();
    let installed: Value = serde_json::from_str(&installed).unwrap();
    assert!(installed == parsed, "config/smartproxy.schema.json is not what `smartproxy schema` prints");
}

#[test]
fn match_tells_which_route_takes_a_request_and_why_the_others_do_not() {
    let route = |name: &str, more: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\nmatch.ports = [\"127.0.0.1:8081\"]\n{more}\ntargets = [\"127.0.0.1:1\"]\n"
        )
    };
    let config = route("shop", "match.domains = [\"shop.test\"]\nmatch.path = \"/api/\"")
        + &route("post", "match.domains = [\"shop.test\"]\nmatch.methods = [\"POST\"]")
        + &route("rest", "");
    let folder = folder_with(&config);
    let file = folder.path().join(FILE);
    let ask = |more: &[&str]| said(&run(&[&["match", "-c", file.to_str().unwrap()], more].concat()));
    let (code, text, _) = ask(&["http://shop.test:8081/api/x"]);
    assert!(code == 0 && text.contains("route shop takes it"), "{text}");
    let (code, text, _) = ask(&["http://shop.test:8081/", "--method", "POST"]);
    assert!(code == 0 && text.contains("route post takes it"), "{text}");
    let (code, text, _) = ask(&["--json", "http://other.test:8081/"]);
    let parsed: Value = serde_json::from_str(&text).unwrap();
    let taken = parsed[0]["routes"].as_array().unwrap().iter().find(|route| route["taken"] == true).unwrap();
    assert!(code == 0 && taken["route"] == "rest", "{text}");
    let (code, _, errors) = ask(&["http://shop.test:9999/"]);
    assert_eq!(code, 1, "no route is a no: {errors}");
}

#[test]
fn status_connections_kill_and_reload_speak_to_the_daemon_over_its_socket() {
    let echo = Target::echo();
    let config = Way::Tcp.route("long", "127.0.0.2", echo.address, "")
        + &Way::Passthrough.route("named", "127.0.0.3", echo.address, "");
    let proxy = Proxy::start(&config);
    let ask = |arguments: &[&str]| said(&proxy.command(arguments).output().unwrap());
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(b"ping");
    client.expect(b"ping");
    let mut other = Way::Passthrough.client(proxy.address("127.0.0.3"));
    other.expect(&crate::harness::HELLO);

    let (code, text, _) = ask(&["status"]);
    assert!(code == 0 && text.contains("generation 1") && text.contains("connections: 2"), "{text}");
    let (code, text, _) = ask(&["status", "--json"]);
    let status: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &status["connections"], &status["routes"]), (0, &2.into(), &2.into()), "{text}");
    assert_eq!(status["pid"].as_u64(), Some(u64::from(proxy.id())));

    let (code, text, _) = ask(&["connections"]);
    assert!(code == 0 && text.contains("long") && text.contains(crate::harness::HOST), "{text}");
    let (code, text, _) = ask(&["connections", "--json", "--route", "long", "--state", "relaying"]);
    let listed: Value = serde_json::from_str(&text).unwrap();
    let listed = listed["connections"].as_array().unwrap();
    assert_eq!((code, listed.len()), (0, 1), "{text}");
    let fields = [
        "id",
        "client",
        "listener",
        "route",
        "host",
        "target",
        "state",
        "age_seconds",
        "state_seconds",
        "bytes_in",
        "bytes_out",
        "protocol",
        "tls",
    ];
    for field in fields {
        assert!(listed[0].get(field).is_some(), "{field} is missing: {text}");
    }
    assert!(client.ends().are_of(&listed[0]), "{text}");
    assert_eq!((listed[0]["bytes_in"].as_u64(), listed[0]["bytes_out"].as_u64()), (Some(4), Some(4)));
    let (_, text, _) = ask(&["connections", "--json", "--older", "1h"]);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["connections"], Value::Array(Vec::new()));

    let (code, text, errors) = ask(&["kill", &listed[0]["id"].to_string()]);
    assert_eq!(code, 0, "{text}{errors}");
    assert_eq!(client.end(), End::Reset);
    assert_eq!(proxy.line_of(client.ends())["cause"], "killed");
    let (code, _, errors) = ask(&["kill", "999999"]);
    assert!(code != 0 && !errors.is_empty(), "nobody has that number");

    let (code, text, _) = ask(&["reload"]);
    assert!(code == 0 && text.contains("generation 2"), "{text}");
    proxy.write(&config.replace("targets", "tagets"));
    let (code, _, errors) = proxy_command_by_socket(&proxy, "reload");
    assert_eq!(code, 78, "{errors}");
    assert!(errors.contains("did you mean `targets`?"), "every fault reaches the operator: {errors}");
    let (_, text, _) = proxy_command_by_socket(&proxy, "status");
    assert!(text.contains("generation 2") && text.contains("the last reload was refused"), "{text}");
    proxy.write(&config);
    assert_eq!(ask(&["reload"]).0, 0);
    other.finish();
    assert_eq!(other.end(), End::Whole);
    proxy.finish();
}

/// The configuration's file may be the very thing that is broken: the socket can be named instead.
fn proxy_command_by_socket(proxy: &Proxy, command: &str) -> (i32, String, String) {
    said(&run(&[command, "--socket", proxy.path("admin.sock").to_str().unwrap()]))
}

#[test]
fn the_admin_page_changes_nothing_and_answers_no_other_sites_page() {
    let echo = Target::echo();
    let proxy = Proxy::start(&Way::Tcp.route("one", "127.0.0.2", echo.address, ""));
    let mut peer = Peer::connect(proxy.admin());
    for (host, method, path, status) in [
        ("localhost", "GET", "/healthz", 200),
        ("127.0.0.1:9900", "GET", "/connections", 200),
        ("rebound.example.com", "GET", "/connections", 421),
        ("localhost", "POST", "/reload", 403),
        ("localhost", "POST", "/metrics", 405),
        ("localhost", "GET", "/nothing", 404),
    ] {
        peer.send(format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n").as_bytes());
        assert_eq!(peer.message().status(), status, "{method} {path} of {host}");
    }
    drop(peer);
    proxy.finish();
}
