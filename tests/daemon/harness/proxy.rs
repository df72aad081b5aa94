//! The real binary, started with a configuration of the test's, and what has to hold when the test is over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal};
use serde_json::Value;
use tempfile::TempDir;

use super::certificates::CERTIFICATES;
use super::lines::{Lines, field};
use super::metrics::Metrics;
use super::peer::Ends;
use super::wait::{PATIENCE, until};

/// What every configuration begins with, unless it says otherwise.
///
/// The pool keeps idle connections for a moment only, so that the descriptors can be back at their base at a test's end.
const PRELUDE: [(&str, &str); 5] = [
    ("log.format", "\"json\""),
    ("log.level", "\"info\""),
    ("admin.listen", "\"127.0.0.1:0\""),
    ("admin.socket", "\"admin.sock\""),
    ("defaults.timeouts.upstream_keep_alive", "\"300ms\""),
];

/// `users.htpasswd`, which is beside every configuration: both have the password `correct`.
pub(crate) const USERS: &str = "alice:$2y$04$QEGPCtriMePEJAWU/x.4FOe584WnWo6GUUK20YzUhFa95Hn9Tx2iu\n\
    J\u{fc}rgen:$argon2id$v=19$m=1024,t=1,p=1$QDFvr7UGW0XRMXnLS5t6Ww$LaRkf1JTObKP9/j6LJ9e5KML7+KmQLBRCHfNjEfmpj0\n";

/// A running daemon. When it goes out of scope, everything has to be as it was before the test; see [`Proxy::finish`].
pub(crate) struct Proxy {
    child: Child,
    folder: TempDir,
    log: Arc<Lines>,
    access: Arc<Lines>,
    readers: Vec<JoinHandle<()>>,
    admin: SocketAddr,
    /// Whether the HTTP address asks for more than the test's own questions show: then the socket is asked.
    guarded: bool,
    base: BTreeMap<String, usize>,
    ended: bool,
}

impl Proxy {
    /// Starts the daemon and waits until it is ready. The text may use `ca.pem`, `server.pem` and the other files of
    /// [`super::Certificates::write`]; it begins with dotted keys, and what it does not say of [`PRELUDE`] is added.
    pub(crate) fn start(config: &str) -> Self {
        Self::start_with(config, |_| {})
    }

    /// The same, with a say in how the process is started.
    pub(crate) fn start_with(config: &str, adjust: impl FnOnce(&mut Command)) -> Self {
        let folder = folder_with(config);
        let mut command = Command::new(BINARY);
        command.args(["run", "-c"]).arg(folder.path().join(FILE));
        // The system's resolver asks nobody: a name that is not in the hosts file is not found.
        command.env("RES_OPTIONS", "attempts:0").stdin(Stdio::null());
        adjust(&mut command);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (log, log_reader) = Lines::read(child.stderr.take().unwrap());
        let (access, access_reader) = Lines::read(child.stdout.take().unwrap());
        let admin = SocketAddr::from(([0, 0, 0, 0], 0));
        let readers = vec![log_reader, access_reader];
        let guarded = ["admin.token", "admin.tls"].iter().any(|key| config.contains(key));
        let base = BTreeMap::new();
        let mut proxy = Self { child, folder, log, access, readers, admin, guarded, base, ended: false };
        proxy.event("ready", |_| true);
        proxy.admin = proxy.announced("admin listening", |_| true);
        // The first question opens what is only opened once, and the workers may still be at their beginning.
        proxy.metrics();
        proxy.rebase();
        proxy
    }

    /// Where the proxy listens on this address, with the port that the system chose.
    pub(crate) fn address(&self, ip: &str) -> SocketAddr {
        let ip: IpAddr = ip.parse().unwrap();
        self.announced("listening", |address| address.ip() == ip)
    }

    /// Every address that was ever announced.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let listening = |event: &Value| field(event, "message") == Some("listening");
        let events = self.log.values();
        events.iter().filter(|event| listening(event)).map(|event| parsed(event).unwrap()).collect()
    }

    /// A path in the folder of the configuration.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes another configuration; nothing happens until the next reload.
    pub(crate) fn write(&self, config: &str) {
        fs::write(self.path(FILE), completed(config)).unwrap();
    }

    /// Writes another configuration, sends SIGHUP, and waits until it is in force.
    pub(crate) fn reload(&mut self, config: &str) {
        let mark = self.log.count();
        self.write(config);
        self.signal(Signal::HUP);
        self.event_after(mark, "reloaded", |event| starts(event, "reloaded"));
        self.rebase_listeners();
    }

    /// Writes another configuration, sends SIGHUP, waits until it is refused, and gives the log line.
    pub(crate) fn reload_refused(&self, config: &str) -> String {
        let mark = self.log.count();
        self.write(config);
        self.signal(Signal::HUP);
        let event = self.event_after(mark, "a refused reload", |event| {
            field(event, "message").is_some_and(|message| message.contains("refused"))
        });
        event.to_string()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// Changes the process's limit of descriptors, while it runs, and waits until it has seen that: it looks once a second.
    pub(crate) fn limit_descriptors(&self, limit: u64) -> Rlimit {
        let new = Rlimit { current: Some(limit), maximum: None };
        let old = rustix::process::prlimit(Some(self.pid()), Resource::Nofile, new);
        // The hard limit stays, if it may not be raised to infinity.
        let old = old.or_else(|_| {
            let maximum = self.descriptor_limits().maximum;
            rustix::process::prlimit(Some(self.pid()), Resource::Nofile, Rlimit { current: Some(limit), maximum })
        });
        let old = old.unwrap();
        // A higher one is seen when it is needed.
        if old.current.is_none_or(|old| limit < old) {
            std::thread::sleep(Duration::from_millis(1_500));
        }
        old
    }

    /// What the process's limit of descriptors is.
    pub(crate) fn descriptor_limits(&self) -> Rlimit {
        let text = fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
        Rlimit { current: numbers.next(), maximum: numbers.next() }
    }

    /// The number that the next descriptor will have.
    pub(crate) fn lowest_free_descriptor(&self) -> u64 {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let numbers = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let numbers: BTreeSet<u64> = numbers.collect();
        (0..).find(|number| !numbers.contains(number)).unwrap_or(0)
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where the admin pages are.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// What its listening sockets are, by address: the inode in the kernel.
    pub(crate) fn listening_inodes(&self) -> BTreeMap<String, String> {
        let mine = self.descriptors();
        let table = fs::read_to_string(format!("/proc/{}/net/tcp", self.child.id())).unwrap();
        let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        // Columns of proc_net_tcp: local address is the second, state the fourth (0A is LISTEN), inode the tenth.
        rows.filter(|row| row[3] == "0A" && mine.contains_key(&format!("socket:[{}]", row[9])))
            .map(|row| (format!("{} {}", row[9], row[1]), row[1].to_owned()))
            .collect()
    }

    /// What the admin address answers to a GET: status and body.
    pub(crate) fn ask(&self, path: &str) -> (u16, String) {
        loop {
            let asked = self.try_ask(path);
            match asked {
                // Tests ask as fast as they can, and many at once.
                Ok((429, _)) => std::thread::sleep(Duration::from_millis(20)),
                Ok(answer) => return answer,
                Err(error) => panic!("GET {path} of the admin address: {error}\n{}", self.story()),
            }
        }
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let (status, text) = self.ask("/metrics");
        assert_eq!(status, 200, "{text}");
        Metrics::parse(&text)
    }

    /// Waits until the metrics are as wanted.
    pub(crate) fn metrics_until(&self, what: &str, wanted: impl Fn(&Metrics) -> bool) -> Metrics {
        until(|| {
            let metrics = self.metrics();
            if wanted(&metrics) { Ok(metrics) } else { Err(format!("{what} has not come to hold: {metrics:#?}")) }
        })
        .unwrap_or_else(|error| panic!("{error}\n{}", self.story()))
    }

    /// The live connections, as `/connections` lists them.
    pub(crate) fn connections(&self) -> Vec<Value> {
        let (status, text) = self.ask("/connections");
        assert_eq!(status, 200, "{text}");
        let value: Value = serde_json::from_str(&text).expect("/connections is JSON");
        value["connections"].as_array().expect("/connections has a list").clone()
    }

    /// Waits until the live connections are as wanted.
    pub(crate) fn connections_until(&self, what: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        until(|| {
            let live = self.connections();
            if wanted(&live) { Ok(live) } else { Err(format!("{what}; live connections: {live:#?}")) }
        })
        .unwrap_or_else(|error| panic!("{error}\n{}", self.story()))
    }

    /// The log event with this message that matches; waits for it.
    pub(crate) fn event(&self, message: &str, matches: impl Fn(&Value) -> bool) -> Value {
        self.event_after(0, message, |event| starts(event, message) && matches(event))
    }

    /// The first log event after the mark that matches; waits for it.
    pub(crate) fn event_after(&self, mark: usize, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let found = self.log.after(mark, |event| matches(event).then(|| event.clone()));
        found.unwrap_or_else(|| panic!("the log has no {what:?}\n{}", self.story()))
    }

    /// How many lines the log has; a mark for [`Proxy::event_after`].
    pub(crate) fn log_mark(&self) -> usize {
        self.log.count()
    }

    /// Every line of the log so far.
    pub(crate) fn log_text(&self) -> String {
        self.log.all().join("\n")
    }

    /// The access log's line of this kind that matches; waits for it.
    pub(crate) fn line(&self, kind: &str, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let found = self.access.after(0, |line| (line["kind"] == kind && matches(line)).then(|| line.clone()));
        found.unwrap_or_else(|| panic!("the access log has no {kind} line of {what}\n{}", self.story()))
    }

    /// The line of this connection.
    pub(crate) fn line_of(&self, ends: Ends) -> Value {
        self.line("connection", &format!("{ends:?}"), |line| ends.are_of(line))
    }

    /// Every line of this kind so far.
    pub(crate) fn lines(&self, kind: &str) -> Vec<Value> {
        self.access.values().into_iter().filter(|line| line["kind"] == kind).collect()
    }

    /// Runs a client command against this daemon's configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("-c").arg(self.path(FILE)).env("NO_COLOR", "1");
        command
    }

    /// What the descriptors are now is what they have to be at the end; now is when they stand still.
    pub(crate) fn rebase(&mut self) {
        let mut same = 0;
        let still = until(|| {
            let now = self.descriptors();
            same = if now == self.base { same + 1 } else { 0 };
            self.base = now;
            if same >= STILL { Ok(()) } else { Err("the descriptors do not stand still".to_owned()) }
        });
        still.unwrap();
    }

    /// Asserts that nothing is left over, stops the daemon, and asserts that it ends well. Leaving the scope does the same.
    pub(crate) fn finish(mut self) {
        self.settle();
        self.signal(Signal::TERM);
        self.end();
    }

    /// Waits for the end of a daemon that the test has stopped, which must be a good one.
    pub(crate) fn ended(mut self) {
        self.end();
    }

    /// Asserts that nothing is left over from what the test did.
    pub(crate) fn settle(&self) {
        let checked = until(|| {
            let live = self.connections();
            if !live.is_empty() {
                return Err(format!("connections are still live: {live:#?}"));
            }
            let metrics = self.metrics();
            if metrics.sum("connections_active", &[]) != 0 || !metrics.shown("connections_active").is_empty() {
                return Err(format!("a gauge is not zero: {}", metrics.shown("connections_active")));
            }
            let accepted = metrics.sum("connections_accepted_total", &[]);
            // The endings of a route that a reload has removed are in the books, but no longer under its name.
            let closed =
                metrics.sum("connections_closed_total", &[]) + metrics.sum("connections_closed_forgotten_total", &[]);
            if accepted != closed {
                let shown = metrics.shown("connections_closed_total");
                return Err(format!("{accepted} connections were accepted, and {closed} were closed: {shown}"));
            }
            let extra = self.descriptors_above_base();
            if extra.is_empty() { Ok(()) } else { Err(format!("descriptors were left open: {extra:?}")) }
        });
        checked.unwrap_or_else(|error| panic!("at the test's end, {error}\n{}", self.story()));
    }

    fn end(&mut self) {
        let status = self.wait();
        self.ended = true;
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let story = self.story();
        assert_eq!(status.code(), Some(0), "the daemon ended with {status}\n{story}");
        assert!(!story.contains("panicked"), "the daemon has panicked\n{story}");
        let lines = self.lines("connection");
        let mut ids: Vec<_> = lines.iter().map(|line| line["connection"].as_u64()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), lines.len(), "a connection has two lines in the access log\n{story}");
        // Connections are numbered from the first on, so a missing line shows as a gap.
        if let (Some(Some(first)), Some(Some(last))) = (ids.first(), ids.last()) {
            assert_eq!(last - first + 1, ids.len() as u64, "a connection has no line in the access log\n{story}");
        }
    }

    /// Waits for the process to end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let ended = until(|| self.child.try_wait().unwrap().ok_or_else(|| "the daemon does not end".to_owned()));
        ended.unwrap_or_else(|error| panic!("{error}\n{}", self.story()))
    }

    /// What the daemon has said, for whoever looks for a test's fault.
    fn story(&self) -> String {
        let shown = |lines: &Lines| {
            let all = lines.all();
            let skipped = all.len().saturating_sub(SHOWN_MAX);
            let shown = all.get(skipped..).unwrap_or_default().join("\n");
            if skipped == 0 { shown } else { format!("({skipped} lines before)\n{shown}") }
        };
        format!("--- log\n{}\n--- access log\n{}\n---", shown(&self.log), shown(&self.access))
    }

    /// Of the descriptors, only listeners may have changed.
    fn rebase_listeners(&mut self) {
        let listening = self.listening_inodes();
        for key in listening.keys() {
            let inode = key.split(' ').next().unwrap_or_default();
            self.base.entry(format!("socket:[{inode}]")).or_insert(1);
        }
    }

    fn descriptors_above_base(&self) -> Vec<String> {
        let above = |(name, count): &(String, usize)| *count > self.base.get(name).copied().unwrap_or(0);
        self.descriptors().into_iter().filter(above).map(|(name, count)| format!("{name} {count}")).collect()
    }

    /// How often each thing is open. A descriptor may vanish while the list is read.
    fn descriptors(&self) -> BTreeMap<String, usize> {
        let mut open = BTreeMap::new();
        let folder = fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        let folder = folder.unwrap_or_else(|error| panic!("the daemon is gone: {error}\n{}", self.story()));
        for entry in folder {
            if let Ok(link) = entry.and_then(|entry| fs::read_link(entry.path())) {
                *open.entry(link.to_string_lossy().into_owned()).or_insert(0) += 1;
            }
        }
        open
    }

    /// Where an event with this message says it listens.
    fn announced(&self, message: &str, matches: impl Fn(&SocketAddr) -> bool) -> SocketAddr {
        let right =
            |event: &Value| field(event, "message") == Some(message) && parsed(event).is_some_and(|at| matches(&at));
        parsed(&self.event_after(0, message, right)).unwrap()
    }

    fn try_ask(&self, path: &str) -> std::io::Result<(u16, String)> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let mut answer = String::new();
        if self.guarded {
            let mut stream = UnixStream::connect(self.path("admin.sock"))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(request.as_bytes())?;
            stream.read_to_string(&mut answer)?;
        } else {
            let mut stream = TcpStream::connect_timeout(&self.admin, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(request.as_bytes())?;
            stream.read_to_string(&mut answer)?;
        }
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { super::http::unchunked(body) } else { body.to_owned() };
        Ok((status.ok_or(std::io::ErrorKind::InvalidData)?, body))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.ended {
            self.settle();
            self.signal(Signal::TERM);
            self.end();
        }
        if !self.ended {
            eprintln!("{}", self.story());
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The program under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_smartproxy");

/// The configuration's file name.
pub(crate) const FILE: &str = "smartproxy.toml";

/// How many looks in a row have to find the same descriptors before they count as standing still: 50 ms.
const STILL: usize = 10;

/// How much of a log is shown when a test fails.
const SHOWN_MAX: usize = 120;

/// A folder with a configuration and every certificate.
pub(crate) fn folder_with(config: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    CERTIFICATES.write(folder.path());
    fs::write(folder.path().join("users.htpasswd"), USERS).unwrap();
    write_config(folder.path(), config);
    folder
}

fn write_config(folder: &Path, config: &str) {
    fs::write(folder.join(FILE), completed(config)).unwrap();
}

fn completed(config: &str) -> String {
    let missing = PRELUDE.iter().filter(|(key, _)| !config.contains(key));
    let prelude: String = missing.map(|(key, value)| format!("{key} = {value}\n")).collect();
    prelude + config
}

fn parsed(event: &Value) -> Option<SocketAddr> {
    field(event, "address")?.parse().ok()
}

fn starts(event: &Value, message: &str) -> bool {
    field(event, "message").is_some_and(|found| found.starts_with(message))
}
