//! The service manager's side: notifications, the watchdog, inherited sockets, and the unit itself.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{BINARY, End, PATIENCE, Peer, Proxy, Target, Way};

/// What plays the service manager: the socket that notifications go to.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, folder }
    }

    fn start(&self, config: &str, watchdog: Option<Duration>) -> Proxy {
        Proxy::start_with(config, |command| {
            command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
            if let Some(watchdog) = watchdog {
                command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
            }
        })
    }

    /// The next notification that is not the watchdog's.
    fn next(&self) -> Vec<String> {
        loop {
            let message = self.any();
            if message != ["WATCHDOG=1"] {
                return message;
            }
        }
    }

    /// Fills the socket, so that whoever writes to it is held up.
    fn fill(&self) {
        let filling = UnixDatagram::unbound().unwrap();
        filling.connect(self.folder.path().join("notify")).unwrap();
        filling.set_nonblocking(true).unwrap();
        while filling.send(b"X_FULL=1").is_ok() {}
    }

    /// Reads whatever else comes, to the end of the test.
    fn read_on(self) {
        std::thread::spawn(move || while self.socket.recv(&mut [0; 4096]).is_ok() {});
    }

    fn any(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("the daemon says nothing to the service manager");
        String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned).collect()
    }
}

fn has(message: &[String], assignment: &str) -> bool {
    message.iter().any(|line| line.starts_with(assignment))
}

#[test]
fn the_service_manager_hears_of_start_reload_and_stop() {
    let (manager, echo) = (Manager::new(), Target::echo());
    let config = Way::Tcp.route("one", "127.0.0.2", echo.address, "");
    let mut proxy = manager.start(&config, None);
    let ready = manager.next();
    assert!(has(&ready, "READY=1") && has(&ready, "STATUS=generation 1"), "{ready:?}");
    proxy.reload(&config);
    let reloading = manager.next();
    assert!(has(&reloading, "RELOADING=1"), "{reloading:?}");
    let moment = reloading.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(moment.is_some_and(|moment| moment.parse::<u64>().is_ok_and(|moment| moment > 0)), "{reloading:?}");
    let ready = manager.next();
    assert!(has(&ready, "READY=1") && has(&ready, "STATUS=generation 2"), "{ready:?}");
    proxy.reload_refused("this is no configuration\n");
    assert!(has(&manager.next(), "RELOADING=1"));
    let ready = manager.next();
    assert!(has(&ready, "READY=1") && has(&ready, "STATUS=generation 2"), "a refused reload ends too: {ready:?}");
    proxy.settle();
    proxy.signal(Signal::TERM);
    let stopping = manager.next();
    assert!(has(&stopping, "STOPPING=1") && has(&stopping, "STATUS="), "{stopping:?}");
    proxy.ended();
}

#[test]
fn the_watchdog_is_fed_twice_in_its_time() {
    let (manager, echo) = (Manager::new(), Target::echo());
    let proxy = manager.start(&Way::Tcp.route("one", "127.0.0.2", echo.address, ""), Some(Duration::from_millis(400)));
    manager.next();
    // Four times in what would be two of the manager's times; it would act on one that passes in silence.
    manager.socket.set_read_timeout(Some(Duration::from_secs(4))).unwrap();
    for _ in 0..4 {
        assert_eq!(manager.any(), ["WATCHDOG=1"]);
    }
    proxy.finish();
}

#[test]
fn the_watchdog_is_fed_while_a_reload_reads() {
    const BEATS_MIN: usize = 3;
    let (manager, echo) = (Manager::new(), Target::echo());
    let watchdog = Duration::from_millis(40);
    let mut proxy = manager.start(&Way::Tcp.route("kept", "127.0.0.2", echo.address, ""), Some(watchdog));
    proxy.write(&crate::reload::slow_to_read(echo.address));
    proxy.signal(Signal::HUP);
    while !has(&manager.any(), "RELOADING=1") {}
    let begun = Instant::now();
    let mut beats = 0;
    while !has(&manager.any(), "READY=1") {
        beats += 1;
    }
    // All that is said in between is that the daemon lives. A load on the control plane's own thread would leave none.
    assert!(beats >= BEATS_MIN, "{beats} signs of life within the {:?} of a reload", begun.elapsed());
    proxy.event("reloaded", |_| true);
    manager.read_on();
    proxy.rebase();
    proxy.finish();
}

#[test]
fn the_watchdog_is_fed_while_connections_drain() {
    let (manager, echo) = (Manager::new(), Target::echo());
    let watchdog = Duration::from_millis(100);
    let proxy = manager.start(&Way::Tcp.route("one", "127.0.0.2", echo.address, ""), Some(watchdog));
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(b"in");
    client.expect(b"in");
    proxy.signal(Signal::TERM);
    while !has(&manager.any(), "STOPPING=1") {}
    for _ in 0..4 {
        assert_eq!(manager.any(), ["WATCHDOG=1"]);
    }
    client.finish();
    assert_eq!(client.end(), End::Whole);
    proxy.ended();
}

/// The service manager's socket takes a few messages and then blocks whoever writes to it.
#[test]
fn a_service_manager_that_does_not_read_holds_up_nothing() {
    let (manager, echo) = (Manager::new(), Target::echo());
    let config = Way::Tcp.route("one", "127.0.0.2", echo.address, "");
    let mut proxy = manager.start(&config, Some(Duration::from_millis(20)));
    manager.fill();
    proxy.reload(&config);
    assert_eq!(proxy.ask("/healthz").0, 200);
    // The sender waits with its socket open until it is heard.
    manager.read_on();
    proxy.finish();
}

#[test]
fn a_stop_does_not_wait_for_a_service_manager_that_does_not_read() {
    let (manager, echo) = (Manager::new(), Target::echo());
    let proxy = manager.start(&Way::Tcp.route("one", "127.0.0.2", echo.address, ""), None);
    manager.fill();
    proxy.signal(Signal::TERM);
    proxy.ended();
}

/// A process that was stopped, or a machine that was suspended, goes on where it was: nothing of it hangs.
#[test]
fn a_daemon_that_was_held_up_does_not_blame_its_workers() {
    let (manager, echo) = (Manager::new(), Target::echo());
    let watchdog = Duration::from_millis(100);
    let proxy = manager.start(&Way::Tcp.route("one", "127.0.0.2", echo.address, ""), Some(watchdog));
    manager.next();
    for _ in 0..3 {
        assert_eq!(manager.any(), ["WATCHDOG=1"]);
        proxy.signal(Signal::STOP);
        // Nothing to wait for: a silence of several beats is what is played here.
        manager.socket.set_read_timeout(Some(watchdog * 5)).unwrap();
        while manager.socket.recv(&mut [0; 64]).is_ok() {}
        manager.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        proxy.signal(Signal::CONT);
        assert_eq!(manager.any(), ["WATCHDOG=1"]);
    }
    let said = proxy.log_text();
    assert!(!said.contains("does not turn"), "{said}");
    proxy.finish();
}

/// Starts the daemon with the listener as the service manager passes it: descriptor 3, and the daemon's own number.
fn inheriting(listener: &TcpListener, config: &str) -> Proxy {
    Proxy::start_with(config, |command| {
        let file = command.get_args().last().unwrap().to_owned();
        // The shell's number is the daemon's, since it becomes the daemon.
        let script = "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" run -c \"$1\"";
        *command = Command::new("sh");
        command.args(["-c", script, BINARY]).arg(file);
        command.stdin(OwnedFd::from(listener.try_clone().unwrap()));
    })
}

#[test]
fn a_listener_that_the_service_manager_has_bound_is_adopted() {
    let echo = Target::echo();
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Queued before the daemon is there.
    let mut early = Peer::connect(address);
    early.send(b"early");
    let config =
        Way::Tcp.route("inherited", "127.0.0.2", echo.address, "").replace("127.0.0.2:0", &address.to_string());
    let mut proxy = inheriting(&listener, &config);
    assert_eq!(proxy.address("127.0.0.2"), address);
    early.expect(b"early");
    early.finish();
    assert_eq!(early.end(), End::Whole);
    proxy.reload(&config);
    let mut client = Peer::connect(address);
    client.send(b"after a reload");
    client.expect(b"after a reload");
    client.finish();
    assert_eq!(client.end(), End::Whole);
    proxy.finish();
}

#[test]
fn an_inherited_listener_that_no_route_wants_is_named() {
    let echo = Target::echo();
    let listener = TcpListener::bind("127.0.0.3:0").unwrap();
    let proxy = inheriting(&listener, &Way::Tcp.route("other", "127.0.0.2", echo.address, ""));
    let address = listener.local_addr().unwrap().to_string();
    proxy.event("the service manager has passed a socket", |event| event.to_string().contains(&address));
    proxy.finish();
}

#[test]
fn the_unit_is_hardened_to_an_exposure_below_two() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/smartproxy.service");
    let output = Command::new("systemd-analyze").args(["security", "--offline=true", "--no-pager"]).arg(&unit).output();
    let Ok(output) = output else {
        assert!(std::env::var_os("CI").is_none(), "CI needs systemd-analyze");
        eprintln!("skipped: this machine has no systemd-analyze");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line =
        text.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_else(|| panic!("{output:?}"));
    let exposure = line.split_whitespace().find_map(|word| word.parse::<f64>().ok());
    assert!(exposure.is_some_and(|exposure| exposure < 2.0), "{line}");
}

/// A log that nobody reads costs lines: neither a reader that has gone nor one that stalls may end or hold up the daemon.
#[test]
fn a_log_whose_reader_stalls_or_goes_away_ends_and_holds_up_nothing() {
    for goes_away in [false, true] {
        let echo = Target::echo();
        let route = Way::Tcp.route("echo", "127.0.0.2", echo.address, "");
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("own.toml");
        let config = format!("[log]\nlevel = \"debug\"\n[admin]\nsocket = \"admin.sock\"\n{route}");
        std::fs::write(&file, config).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let mut child = Command::new(BINARY)
            .args(["run", "-c"])
            .arg(&file)
            .stdout(std::process::Stdio::null())
            .stderr(writer)
            .spawn()
            .unwrap();
        let status = |arguments: &[&str]| {
            let socket = folder.path().join("admin.sock");
            let mut command = Command::new(BINARY);
            command.args(arguments).arg("--socket").arg(socket).output().unwrap()
        };
        let answered = || {
            let output = status(&["status", "--json"]);
            if output.status.success() { Ok(output.stdout) } else { Err("the daemon does not answer".to_owned()) }
        };
        let first: serde_json::Value = serde_json::from_slice(&crate::harness::until(answered).unwrap()).unwrap();
        let address: std::net::SocketAddr = first["listeners"][0].as_str().unwrap().parse().unwrap();
        let reader = if goes_away {
            drop(reader);
            None
        } else {
            Some(reader)
        };
        // Some hundred bytes of debug lines each: more than the pipe of 64 KiB holds.
        for _ in 0..300 {
            let mut client = Peer::connect(address);
            client.send(b"ping");
            client.expect(b"ping");
            client.finish();
            assert_eq!(client.end(), End::Whole);
        }
        assert!(status(&["reload", "-c", file.to_str().unwrap()]).status.success());
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
        let ended = crate::harness::until(|| child.try_wait().unwrap().ok_or_else(|| "it does not end".to_owned()));
        assert_eq!(ended.unwrap().code(), Some(0), "goes_away: {goes_away}");
        drop(reader);
    }
}

/// The same of the access log.
#[test]
fn an_access_log_whose_reader_stalls_holds_up_nothing_and_what_it_loses_is_counted() {
    // More lines than may wait, and the pipe, the writer's batch and the queue are full before them.
    const REQUESTS: usize = smartproxy::telemetry::LINES_QUEUED_MAX + 8_192;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("own.toml");
    let route = "[[routes]]\nname = \"fixed\"\nmatch.ports = [\"127.0.0.2:0\"]\nrespond.status = 204\n";
    std::fs::write(&file, format!("[admin]\nsocket = \"admin.sock\"\nlisten = \"127.0.0.3:0\"\n{route}")).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = Command::new(BINARY);
    command.args(["run", "-c"]).arg(&file).stdout(writer).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(command);
    let asked = || {
        let socket = folder.path().join("admin.sock");
        let output = Command::new(BINARY).args(["status", "--json", "--socket"]).arg(socket).output().unwrap();
        if output.status.success() { Ok(output.stdout) } else { Err("the daemon does not answer".to_owned()) }
    };
    let first: serde_json::Value = serde_json::from_slice(&crate::harness::until(asked).unwrap()).unwrap();
    let address: std::net::SocketAddr = first["listeners"][0].as_str().unwrap().parse().unwrap();
    let mut client = Peer::connect(address);
    // Many at a time: the answers are short, and none waits for a log.
    const AT_ONCE: usize = 256;
    let requests = "GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(AT_ONCE);
    for _ in 0..REQUESTS.div_ceil(AT_ONCE) {
        client.send(requests.as_bytes());
        for _ in 0..AT_ONCE {
            assert_eq!(client.message().status(), 204);
        }
    }
    let mut admin = std::os::unix::net::UnixStream::connect(folder.path().join("admin.sock")).unwrap();
    use std::io::{Read, Write};
    admin.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut metrics = String::new();
    admin.read_to_string(&mut metrics).unwrap();
    let lost = metrics.lines().find_map(|line| line.strip_prefix("smartproxy_access_log_lines_dropped_total "));
    assert!(lost.unwrap().parse::<u64>().unwrap() > 0, "{metrics}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    drop(client);
    let ended = crate::harness::until(|| child.try_wait().unwrap().ok_or_else(|| "it does not end".to_owned()));
    assert_eq!(ended.unwrap().code(), Some(0));
    drop(reader);
}
