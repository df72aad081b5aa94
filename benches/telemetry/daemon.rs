//! The daemon itself: clients that come and go, and as many that stay as it takes, alone and while it is looked at.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;

use crate::pairs::{Pairs, TURN, Turn};

/// The most of the processor's time that a look may take: 2 % of a core for who looks once a second.
const LOOK_MAX: Duration = Duration::from_millis(20);

/// How many looks are measured by themselves, which is not as much at the mercy of what else the machine does as a difference is.
const LOOKS: u32 = 50;

/// Connections that ask all the time, and how many requests each sends at once.
const BUSY: usize = 16;
const AT_ONCE: usize = 16;

/// Requests by HTTP/1.1, and answers of which every one is as long as the first.
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: shop.example.com\r\n\r\n";

/// How long the daemon may take to be there, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// One worker and the control plane on one core, the load on another.
struct Daemon {
    child: Child,
    folder: tempfile::TempDir,
    address: SocketAddr,
    /// What each thread has used, those that have ended included.
    used: RefCell<HashMap<OsString, Duration>>,
}

/// What a scrape of the metrics and a list of every connection, once a second, take from the throughput.
pub(crate) fn throughput_while_looked_at() {
    let daemon = Daemon::start();
    let held = daemon.hold();
    let mut busy: Vec<_> = (0..BUSY).map(|_| daemon.connect()).collect();
    let length = answer(&mut busy[0]).len();
    busy.iter_mut().skip(1).for_each(|stream| _ = answer(stream));
    let (requests, mut answers) = (REQUEST.repeat(AT_ONCE), vec![0; length * AT_ONCE]);
    let mut listed = 0;
    let pairs = Pairs::measure(|is_looked_at| {
        let socket = daemon.socket();
        let looking =
            is_looked_at.then(|| thread::spawn(move || [ask(&socket, "/metrics"), ask(&socket, "/connections")]));
        let (begun, used) = (Instant::now(), daemon.processor_time());
        let mut operations = 0;
        while daemon.processor_time() - used < TURN {
            for stream in &mut busy {
                stream.write_all(requests.as_bytes()).unwrap();
            }
            for stream in &mut busy {
                stream.read_exact(&mut answers).unwrap();
                operations += AT_ONCE as u64;
            }
        }
        let turn = Turn { operations, elapsed: begun.elapsed(), processor: daemon.processor_time() - used };
        if let Some(looking) = looking {
            let [metrics, connections] = looking.join().unwrap();
            assert!(metrics.contains("smartproxy_connections_active"), "{metrics}");
            listed = connections.matches("\"id\":").count();
        }
        turn
    });
    assert_eq!(listed, held.len() + BUSY, "every connection is listed");
    pairs.tell(&format!("requests of {BUSY} connections beside {} live ones", held.len()));
    let used = daemon.processor_time();
    for _ in 0..LOOKS {
        ask(&daemon.socket(), "/metrics");
        ask(&daemon.socket(), "/connections");
    }
    let look = (daemon.processor_time() - used) / LOOKS;
    println!("  a look, by itself: {look:.1?} of the processor's time");
    // What a debug build takes says nothing.
    assert!(cfg!(debug_assertions) || look < LOOK_MAX, "a look takes {look:?}");
}

/// Connections that come and go at this pace, each with a request, a reset, or nothing at all: once they have left, the causes
/// add up to what was accepted.
pub(crate) fn books_after_churn() {
    const PER_SECOND: u32 = 2_000;
    const SECONDS: u32 = 10;
    let daemon = Daemon::start();
    let begun = Instant::now();
    for number in 0..PER_SECOND * SECONDS {
        let due = begun + Duration::from_secs(1) * number / PER_SECOND;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut stream = daemon.connect();
        match number % 4 {
            0 => drop(stream),
            1 => reset(&stream),
            2 => _ = answer(&mut stream),
            _ => {
                answer(&mut stream);
                reset(&stream);
            }
        }
    }
    let took = begun.elapsed().as_secs_f64();
    let accepted = f64::from(PER_SECOND * SECONDS);
    let end = Instant::now() + PATIENCE;
    let metrics = loop {
        let metrics = ask(&daemon.socket(), "/metrics");
        if sum(&metrics, "smartproxy_connections_active") == 0.0
            && sum(&metrics, "smartproxy_connections_accepted_total") >= accepted
        {
            break metrics;
        }
        assert!(Instant::now() < end, "they do not end: {metrics}");
        thread::sleep(Duration::from_millis(50));
    };
    let [accepted, closed] =
        ["accepted", "closed"].map(|what| sum(&metrics, &format!("smartproxy_connections_{what}_total")));
    println!(
        "{:.0} connections/s for {took:.1} s: {accepted} were accepted, and the causes add up to {closed}",
        accepted / took
    );
    assert!((accepted - closed).abs() < 0.5 && (accepted - f64::from(PER_SECOND * SECONDS)).abs() < 0.5);
}

/// All series of a metric, added up.
fn sum(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Leaves by a reset.
fn reset(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

impl Daemon {
    fn start() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("smartproxy.toml");
        let text = "server.workers = 1\nlog = { access = false, level = \"error\" }\nadmin.socket = \"admin.sock\"\n\
                    [[routes]]\nname = \"shop\"\nmatch.ports = [\"127.0.0.1:0\"]\nrespond = { body = \"ok\" }\n\
                    timeouts.keep_alive = \"1h\"\n";
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_smartproxy"));
        command.args(["run", "-c"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let cores = sched_getaffinity(None).unwrap();
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core));
        let child = match (cores.next(), cores.next()) {
            (Some(first), Some(second)) => {
                // What is started here stays where it was started.
                pin(first);
                let child = command.spawn().unwrap();
                pin(second);
                child
            }
            _ => command.spawn().unwrap(),
        };
        let mut daemon = Self { child, folder, address: ([127, 0, 0, 1], 0).into(), used: RefCell::default() };
        let end = Instant::now() + PATIENCE;
        while UnixStream::connect(daemon.socket()).is_err() {
            assert!(Instant::now() < end && daemon.child.try_wait().unwrap().is_none(), "the daemon does not come");
            thread::sleep(Duration::from_millis(5));
        }
        let status = ask(&daemon.socket(), "/status");
        let status: Value = serde_json::from_str(status.split_once("\r\n\r\n").unwrap().1).unwrap();
        daemon.address = status["listeners"][0].as_str().unwrap().parse().unwrap();
        daemon
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("admin.sock")
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// As many connections as there are descriptors for, each of which has asked once.
    fn hold(&self) -> Vec<TcpStream> {
        smartproxy::net::sys::raise_descriptor_limit().unwrap();
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        // The daemon takes 45 % of its limit; some are for those that are busy, here as there.
        let count = (limit.saturating_mul(45) / 100).saturating_sub(100).min(50_000);
        let held = (0..count).map(|_| {
            let mut stream = self.connect();
            answer(&mut stream);
            stream
        });
        held.collect()
    }

    /// What its threads have used so far (proc(5), schedstat).
    fn processor_time(&self) -> Duration {
        let mut used = self.used.borrow_mut();
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().flatten() {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            if let Some(time) = text.split_whitespace().next().and_then(|time| time.parse().ok()) {
                used.insert(task.file_name(), Duration::from_nanos(time));
            }
        }
        used.values().sum()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        let _ = self.child.wait();
    }
}

fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).unwrap();
}

/// Asks once, and reads the answer.
fn answer(stream: &mut TcpStream) -> Vec<u8> {
    stream.write_all(REQUEST.as_bytes()).unwrap();
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).unwrap();
    answer.truncate(length);
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"\r\n\r\nok"), "{}", answer.escape_ascii());
    answer
}

/// Asks the daemon as an operator does.
fn ask(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}
