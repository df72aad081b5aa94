//! 100,000 routes: from the file's text to the configuration, and to the generation that runs, as `check` and a reload do it.

#![expect(clippy::unwrap_used, reason = "a benchmark writes its own input")]

use std::fmt::Write;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use rustix::time::{ClockId, clock_gettime};
use smartproxy::config::Config;
use smartproxy::generation::{Generation, Source};
use smartproxy::telemetry::Meters;
use tempfile::TempDir;
use tikv_jemallocator::Jemalloc;

/// That of the program.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

const ROUTES: usize = 100_000;

/// What each route has beside a name and a host.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Plain HTTP on one port.
    Plain,
    /// TLS that ends here, on five ports, with a time of its own.
    Secure,
}

const KINDS: [Kind; 2] = [Kind::Plain, Kind::Secure];

impl Kind {
    /// The longest that any of it may take: an operator waits for it.
    const fn longest(self) -> Duration {
        match self {
            Self::Plain => Duration::from_secs(2),
            // Twice the text, five times the addresses, and a certificate to be looked at for each name.
            Self::Secure => Duration::from_secs(3),
        }
    }
}

fn main() {
    divan::main();
}

fn text(kind: Kind) -> String {
    let mut text = String::from("admin.socket = \"\"\n");
    for index in 0..ROUTES {
        let more = match kind {
            Kind::Plain => "match.ports = [8080]",
            Kind::Secure => {
                "match.ports = [8443, \"8000-8003\"]\ntimeouts.idle = \"5m\"\n\
                 tls = { mode = \"terminate\", certificate = { certificate = \"a.pem\", key = \"a.key\" } }"
            }
        };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "[[routes]]\nname = \"route-{index}\"\nmatch.domains = [\"host-{index}.example.com\"]\n{more}\n\
             targets = [\"10.0.0.1:8080\"]\n"
        );
    }
    text
}

/// A folder with the file and its certificate.
fn folder(kind: Kind) -> TempDir {
    let folder = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["*.example.com".to_owned()]).unwrap();
    fs::write(folder.path().join("a.pem"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("a.key"), made.signing_key.serialize_pem()).unwrap();
    fs::write(folder.path().join("s.toml"), text(kind)).unwrap();
    folder
}

/// Does it, and holds it to its time: the processor's, so that what else a machine does is not held against it.
fn timed<T>(kind: Kind, work: impl FnOnce() -> T) -> T {
    let begun = processor_time();
    let done = work();
    let took = processor_time() - begun;
    // What a debug build takes says nothing.
    assert!(cfg!(debug_assertions) || took < kind.longest(), "{ROUTES} routes took {took:?}");
    done
}

/// What all threads of this process have used so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

#[divan::bench(sample_count = 5, sample_size = 1, args = KINDS)]
fn configuration(bencher: Bencher, kind: Kind) {
    let folder = folder(kind);
    let path = folder.path().join("s.toml");
    let bytes = fs::metadata(&path).unwrap().len();
    bencher
        .counter(ItemsCount::new(ROUTES))
        .counter(BytesCount::new(bytes))
        .bench(|| timed(kind, || Config::from_file(&path).unwrap()));
}

#[divan::bench(sample_count = 5, sample_size = 1, args = KINDS)]
fn generation(bencher: Bencher, kind: Kind) {
    let folder = folder(kind);
    let source = Source::new(&folder.path().join("s.toml"), Arc::new(Meters::new())).unwrap();
    let loaded: Generation = source.load(None).unwrap();
    assert_eq!(loaded.routes.len(), ROUTES);
    bencher.counter(ItemsCount::new(ROUTES)).bench(|| timed(kind, || source.load(Some(&loaded)).unwrap()));
}
