//! A peer's processes, as the system sees them.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::pin;

/// How long a peer may take to end before it is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Clock ticks of a second in /proc/PID/stat (proc(5)); Linux has shown 100 on every architecture for long.
const TICKS: f64 = 100.0;

/// The process that was started, and those that it started.
#[derive(Debug)]
pub(crate) struct Process(Child);

/// What a process tree has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time, that of processes that have ended included, in seconds.
    pub(crate) cpu: f64,
    /// Resident memory, in bytes.
    pub(crate) memory: f64,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Result<Self, String> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        pin::on_peers_core(|| command.spawn()).map(Self).map_err(|error| error.to_string())
    }

    /// What it has said, if it is not running any more.
    pub(crate) fn has_ended(&mut self) -> Option<String> {
        self.0.try_wait().unwrap()?;
        let mut said = String::new();
        self.0.stderr.take()?.read_to_string(&mut said).unwrap();
        Some(said)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn usage(&self) -> Usage {
        let root = self.0.id();
        let all: Vec<Stat> = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(Stat::read)
            .collect();
        let mut tree = vec![root];
        let mut usage = Usage::default();
        while let Some(id) = tree.pop() {
            tree.extend(all.iter().filter(|stat| stat.parent == id).map(|stat| stat.id));
            if let Some(stat) = all.iter().find(|stat| stat.id == id) {
                usage.cpu += (stat.own_ticks + stat.ended_ticks) / TICKS;
                usage.memory += stat.memory();
            }
        }
        usage
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let started = Instant::now();
        // It may have ended by itself.
        let _ = kill_process(self.pid(), Signal::TERM);
        while self.0.try_wait().unwrap().is_none() {
            if started.elapsed() > ENDS_WITHIN {
                self.0.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A line of /proc/PID/stat.
struct Stat {
    id: u32,
    parent: u32,
    own_ticks: f64,
    /// Of children that have ended.
    ended_ticks: f64,
}

impl Stat {
    fn read(id: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The second field is a name in parentheses, which may hold anything. The state follows, which is field 3.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        Some(Self {
            id,
            parent: number(4)? as u32,
            own_ticks: number(14)? + number(15)?,
            ended_ticks: number(16)? + number(17)?,
        })
    }

    fn memory(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.id)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()).unwrap_or(0.0) * 1024.0
    }
}
