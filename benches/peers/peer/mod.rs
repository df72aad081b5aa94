//! The programs that are compared: how each is configured, started and watched.

mod haproxy;
mod nginx;
mod process;
mod smartproxy;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) use self::process::{Process, Usage};
use crate::world::World;

/// How long a peer may take to be ready: with 100,000 routes it has something to read.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Smartproxy,
    Nginx,
    Haproxy,
    /// None: the client speaks to the backend. What is left of a time when this is taken away is the proxy's.
    Direct,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Smartproxy, Self::Nginx, Self::Haproxy, Self::Direct];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Smartproxy => "smartproxy",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Direct => "direct",
        }
    }

    /// Where the program is.
    fn program(self) -> PathBuf {
        match self {
            Self::Smartproxy => {
                std::env::var_os("PEERS_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_smartproxy").into(), PathBuf::from)
            }
            Self::Nginx => "nginx".into(),
            Self::Haproxy => "haproxy".into(),
            Self::Direct => PathBuf::new(),
        }
    }

    pub(crate) fn is_present(self) -> bool {
        match self {
            Self::Smartproxy | Self::Haproxy => self.says().is_some(),
            Self::Nginx => self.says().is_some() && PathBuf::from(nginx::STREAM_MODULE).exists(),
            Self::Direct => true,
        }
    }

    pub(crate) fn how_to_have(self) -> &'static str {
        match self {
            Self::Smartproxy | Self::Direct => "it is built with this benchmark",
            Self::Nginx => "apt-get install nginx libnginx-mod-stream",
            Self::Haproxy => "apt-get install haproxy",
        }
    }

    /// The first line of what it says of its version.
    pub(crate) fn version(self) -> String {
        match self {
            Self::Direct => "the backend itself, without a proxy".into(),
            Self::Smartproxy | Self::Nginx | Self::Haproxy => self.says().unwrap_or_default(),
        }
    }

    fn says(self) -> Option<String> {
        let flag = if self == Self::Smartproxy { "--version" } else { "-v" };
        let output = Command::new(self.program()).arg(flag).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
    }
}

/// What a peer offers, each at an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Echo,
    Source,
    Sink,
    TlsEcho,
    TlsSource,
    TlsSink,
    Http,
    /// HTTP/1.1 and HTTP/2, by ALPN.
    Https,
    Passthrough,
}

impl Service {
    pub(crate) const ALL: [Self; 9] = [
        Self::Echo,
        Self::Source,
        Self::Sink,
        Self::TlsEcho,
        Self::TlsSource,
        Self::TlsSink,
        Self::Http,
        Self::Https,
        Self::Passthrough,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Source => "source",
            Self::Sink => "sink",
            Self::TlsEcho => "tls-echo",
            Self::TlsSource => "tls-source",
            Self::TlsSink => "tls-sink",
            Self::Http => "http",
            Self::Https => "https",
            Self::Passthrough => "passthrough",
        }
    }

    /// What is behind it.
    pub(crate) fn backend(self, world: &World) -> SocketAddr {
        match self {
            Self::Echo | Self::TlsEcho | Self::Passthrough => world.backends.echo,
            Self::Source | Self::TlsSource => world.backends.source,
            Self::Sink | Self::TlsSink => world.backends.sink,
            Self::Http | Self::Https => world.backends.http,
        }
    }

    fn is_tls(self) -> bool {
        match self {
            Self::TlsEcho | Self::TlsSource | Self::TlsSink | Self::Https => true,
            Self::Echo | Self::Source | Self::Sink | Self::Http | Self::Passthrough => false,
        }
    }
}

/// What a configuration is written for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose {
    /// Hosts that are passed through, besides [`NAME`](crate::world::NAME).
    pub(crate) routes: usize,
    /// Large buffers, where a peer's documentation says that they make long transfers cheaper; its own defaults otherwise,
    /// which cost less memory.
    pub(crate) bulk: bool,
    /// Passed through to the backend that says so, instead of the echo.
    pub(crate) moved: bool,
}

impl Purpose {
    pub(crate) const SMALL: Self = Self { routes: 0, bulk: false, moved: false };
    pub(crate) const BULK: Self = Self { bulk: true, ..Self::SMALL };

    pub(crate) const fn routes(routes: usize) -> Self {
        Self { routes, ..Self::SMALL }
    }
}

/// The name of one of many hosts.
pub(crate) fn host(number: usize) -> String {
    format!("h{number}.shop{number}.example.com")
}

/// What a peer's configuration is made of.
struct Site<'a> {
    world: &'a World,
    ports: &'a [(Service, u16)],
    purpose: Purpose,
}

impl Site<'_> {
    /// Where what is passed through goes.
    fn passed_to(&self) -> SocketAddr {
        if self.purpose.moved { self.world.backends.mark } else { self.world.backends.echo }
    }

    fn file(&self, name: &str) -> String {
        self.world.path(name).display().to_string()
    }
}

/// A peer that runs.
pub(crate) struct Running<'a> {
    kind: Kind,
    world: &'a World,
    ports: Vec<(Service, u16)>,
    process: Option<Process>,
}

impl<'a> Running<'a> {
    /// Starts the peer on its core, and waits until it is ready.
    pub(crate) fn start(kind: Kind, world: &'a World, purpose: Purpose) -> Result<Self, String> {
        // All at once, so that none is given twice.
        let sockets = Service::ALL.map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let ports = sockets.each_ref().map(|socket| socket.local_addr().unwrap().port());
        drop(sockets);
        let ports = Service::ALL.into_iter().zip(ports).collect();
        let mut running = Self { kind, world, ports, process: None };
        running.configure(purpose);
        let command = match kind {
            Kind::Smartproxy => smartproxy::command(world),
            Kind::Nginx => nginx::command(world),
            Kind::Haproxy => haproxy::command(world),
            Kind::Direct => return Ok(running),
        };
        let mut process = Process::start(command)?;
        let started = Instant::now();
        let last = running.address(Service::Passthrough);
        while TcpStream::connect(last).is_err() {
            if let Some(said) = process.has_ended() {
                return Err(format!("it has ended: {said}"));
            }
            if started.elapsed() > READY_WITHIN {
                return Err("it is not ready in time".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        running.process = Some(process);
        Ok(running)
    }

    /// Writes the configuration; a peer that runs does not look at it before it is told to.
    pub(crate) fn configure(&self, purpose: Purpose) {
        let site = Site { world: self.world, ports: &self.ports, purpose };
        match self.kind {
            Kind::Smartproxy => smartproxy::configure(&site),
            Kind::Nginx => nginx::configure(&site),
            Kind::Haproxy => haproxy::configure(&site),
            Kind::Direct => {}
        }
    }

    /// Tells it to read its configuration again.
    pub(crate) fn reload(&self) {
        use rustix::process::Signal;
        let signal = if self.kind == Kind::Haproxy { Signal::USR2 } else { Signal::HUP };
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    pub(crate) fn address(&self, service: Service) -> SocketAddr {
        if self.kind == Kind::Direct {
            return service.backend(self.world);
        }
        let port = self.ports.iter().find(|(known, _)| *known == service).unwrap().1;
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Usage {
        self.process.as_ref().map_or_else(Usage::default, Process::usage)
    }
}
