use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::stop::{CUT_PATIENCE, END_PATIENCE};
use super::worker::WorkerHandle;
use super::{Daemon, Inherited};
use crate::config::Config;
use crate::connection::Registry;
use crate::drain::{Count, Counted, Order};
use crate::generation::{Generation, Source};
use crate::net::{BoundListener, Sharing};
use crate::telemetry::{AccessLog, Meters};

const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(200);

const FILE: &str = "test.toml";

fn generation(source: &Source, addresses: &[&str]) -> Generation {
    let mut config = String::from("server.workers = 2\nserver.shutdown_timeout = \"200ms\"\n");
    for (number, address) in addresses.iter().enumerate() {
        config += &format!(
            "[[routes]]\nname = \"r{number}\"\nmatch.ports = [\"{address}\"]\ntls.mode = \"passthrough\"\n\
             targets = [\"127.0.0.1:1\"]\n"
        );
    }
    source.assemble(&Config::from_text(&config, Path::new(FILE)).unwrap(), None).unwrap()
}

/// A daemon that listens at these addresses with two workers.
fn daemon(addresses: &[&str]) -> Daemon {
    let meters = Arc::new(Meters::new());
    let source = Source::new(Path::new(FILE), Arc::clone(&meters)).unwrap();
    let first = generation(&source, addresses);
    let registry = Arc::new(Registry::new(meters, AccessLog::off()));
    Daemon::start(Arc::new(source), first, registry, Inherited::default()).unwrap()
}

#[tokio::test]
async fn a_stop_waits_for_a_worker_that_does_not_turn_until_its_deadline_and_no_longer() {
    let mut daemon = daemon(&["127.0.0.1:0"]);
    let (stuck, _release) = WorkerHandle::stuck(2, &daemon.shared);
    daemon.workers.push(stuck);
    let shared = Arc::clone(&daemon.shared);
    let begun = Instant::now();
    daemon.stop("a test").await;
    let took = begun.elapsed();
    let longest = SHUTDOWN_TIMEOUT + CUT_PATIENCE + END_PATIENCE;
    assert!(took >= longest, "{took:?}: it was waited for");
    assert!(took < longest + Duration::from_secs(2), "{took:?}: and no longer");
    assert_eq!(Arc::strong_count(&shared), 1, "those that turn have ended, and let go of what they shared");
}

#[tokio::test]
async fn a_stop_whose_workers_turn_ends_at_once() {
    let begun = Instant::now();
    daemon(&["127.0.0.1:0"]).stop("a test").await;
    assert!(begun.elapsed() < CUT_PATIENCE);
}

/// Two reloads may follow each other faster than a worker hears of the first.
#[tokio::test]
async fn an_address_that_is_gone_before_its_worker_hears_of_it_still_serves_who_is_queued() {
    let daemon = daemon(&["127.0.0.1:0", "127.0.0.2:0"]);
    let key = *daemon.shared.current.load().sites.keys().next_back().unwrap();
    let site = daemon.shared.current.site(key).unwrap();
    daemon.shared.current.replace(generation(&daemon.source, &["127.0.0.1:0"]));
    let bound = BoundListener::bind("127.0.0.2:0".parse().unwrap(), Sharing::Exclusive).unwrap();
    let client = TcpStream::connect(bound.local_address().socket()).await.unwrap();
    let [worker, ..] = &daemon.workers[..] else { panic!("there are two workers") };
    let open = Arc::new(Count::default());
    worker.listen(&site, bound, Counted::new(&open));
    worker.unlisten(key);
    let registry = Arc::clone(&daemon.shared.registry);
    while registry.live() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let connections = registry.connections();
    let [connection] = &connections[..] else { panic!("one is live, not {}", connections.len()) };
    assert_eq!(connection.client().socket(), client.local_addr().unwrap());
    // Nobody else tells it, as it was not there when the address was taken away.
    while connection.leash().order() != Some(Order::Drain) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(client);
    let begun = Instant::now();
    daemon.stop("a test").await;
    assert!(begun.elapsed() < CUT_PATIENCE, "each loop has been told to end");
    assert_eq!((registry.live(), open.live()), (0, 0));
}
