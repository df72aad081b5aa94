//! `smartproxy demo`: what it makes is its own, and is gone when it ends.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::harness::{BINARY, Peer};

/// A running demo whose temporary files are in this folder.
struct Demo {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    /// What it has printed.
    printed: Vec<String>,
}

impl Demo {
    fn start(temporary: &Path) -> Self {
        let mut command = Command::new(BINARY);
        command.args(["demo", "--for", "1m"]).env("TMPDIR", temporary).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let printed = lines.by_ref().map_while(Result::ok).take_while(|line| !line.starts_with("Ctrl-C")).collect();
        Self { child, lines, printed }
    }

    fn config(&self) -> PathBuf {
        self.printed[0].strip_prefix("configuration: ").unwrap().into()
    }

    fn ports(&self) -> BTreeSet<String> {
        let text = fs::read_to_string(self.config()).unwrap();
        let addresses = text.split("[\"127.0.0.1:").skip(1).filter_map(|rest| rest.split('"').next());
        addresses.filter(|port| *port != "1").map(ToOwned::to_owned).collect()
    }

    fn end(mut self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
        let rest: Vec<_> = self.lines.map_while(Result::ok).collect();
        assert!(self.child.wait().unwrap().success(), "{rest:?}");
    }
}

#[test]
fn the_demos_folder_and_key_are_private_unpredictable_and_gone_at_the_end() {
    let temporary = TempDir::new().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut names = BTreeSet::new();
    for signal in [Signal::INT, Signal::TERM] {
        let demo = Demo::start(temporary.path());
        let folder = demo.config().parent().unwrap().to_path_buf();
        assert!(folder.starts_with(temporary.path()), "{folder:?}");
        assert!(!folder.display().to_string().contains(&demo.child.id().to_string()), "{folder:?}");
        assert_eq!(mode(&folder), 0o700);
        for file in ["demo.key", "demo.pem", "demo.toml"] {
            assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
        }
        names.insert(folder);
        demo.end(signal);
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "something is left behind");
    }
    assert_eq!(names.len(), 2, "each has a name of its own: {names:?}");
}

#[test]
fn the_demo_says_where_its_page_is_and_serves_it() {
    let temporary = TempDir::new().unwrap();
    let demo = Demo::start(temporary.path());
    let said = demo.printed.iter().find_map(|line| line.strip_prefix("look at http://")).unwrap();
    let address: SocketAddr = said.split('/').next().unwrap().parse().unwrap();
    let mut page = Peer::connect(address);
    let answer = page.get("localhost", "/");
    assert_eq!((answer.status(), answer.field("content-type")), (200, "text/html; charset=utf-8"));
    assert!(answer.text().starts_with("<!doctype html>"), "{answer:?}");
    for (name, holds) in [
        ("content-security-policy", "default-src 'none'; script-src 'sha256-"),
        ("content-security-policy", "frame-ancestors 'none'"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert!(answer.field(name).contains(holds), "{name}: {}", answer.field(name));
    }
    assert!(!answer.field("content-security-policy").contains("unsafe"));
    demo.end(Signal::INT);
}

#[test]
fn two_demos_at_once_have_ports_of_their_own() {
    let temporary = TempDir::new().unwrap();
    let (first, second) = (Demo::start(temporary.path()), Demo::start(temporary.path()));
    let (these, those) = (first.ports(), second.ports());
    assert!(these.len() == 5 && those.len() == 5 && these.is_disjoint(&those), "{these:?} {those:?}");
    for (demo, other) in [(&first, &second), (&second, &first)] {
        let output = Command::new(BINARY).arg("status").arg("-c").arg(demo.config()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(&format!("process {}", demo.child.id())), "{text}");
        assert!(!text.contains(&other.config().display().to_string()), "{text}");
        for port in demo.ports() {
            assert!(text.contains(&format!("listening on 127.0.0.1:{port}\n")), "{text}");
        }
    }
    first.end(Signal::INT);
    second.end(Signal::INT);
}
