mod bounds;
mod closing;
mod limits;
mod pressure;
mod script;
mod splicing;
mod streams;
mod tls;

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::half::EAGER;
use super::{Limits, Side, relay};
use crate::drain::Leash;
use crate::net::{Transport, reset_on_close, sys};
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::telemetry::Traffic;

/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(20);

const PATIENT: Limits = Limits { idle: LONG, half_closed: LONG, linger: LONG, max_lifetime: None };

/// A relay in a task of its own, and what can be seen of it from outside.
struct Rig {
    task: JoinHandle<Outcome>,
    traffic: Arc<Traffic>,
    leash: Arc<Leash>,
    half_closed: Arc<Mutex<Vec<Side>>>,
}

impl Rig {
    fn start(client: impl Transport + 'static, target: impl Transport + 'static, limits: Limits) -> Self {
        EAGER.set(module_path!().ends_with("spliced"));
        let traffic = Arc::new(Traffic::default());
        let leash = Arc::new(Leash::default());
        let half_closed = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn({
            let (traffic, leash, told) = (Arc::clone(&traffic), Arc::clone(&leash), Arc::clone(&half_closed));
            async move {
                let tell = |side| told.lock().unwrap().push(side);
                relay(client, target, &limits, Instant::now(), &traffic, &leash, tell).await
            }
        });
        Self { task, traffic, leash, half_closed }
    }

    /// Waits for the end, and asserts what it was and how many bytes went each way.
    async fn ends(self, party: Party, cause: Cause, bytes_in: usize, bytes_out: usize) {
        let outcome = timeout(LONG, self.task).await.expect("the relay does not end").unwrap();
        assert_eq!(outcome, Outcome::new(Phase::Relay, party, cause));
        assert_eq!((self.traffic.bytes_in(), self.traffic.bytes_out()), (bytes_in as u64, bytes_out as u64));
    }
}

/// The two ends of one connection over loopback.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

/// A relay between two real connections: the client, the target, and the relay between them.
async fn wired(limits: Limits) -> (TcpStream, TcpStream, Rig) {
    let ((client, near), (far, target)) = (pair().await, pair().await);
    (client, target, Rig::start(near, far, limits))
}

/// Bytes that tell which and where they are.
fn payload(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8 ^ seed).collect()
}

/// Reads to the end: the bytes, and whether it was an end (or a reset).
async fn read_all(stream: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    match timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("no end comes") {
        Ok(_) => (bytes, true),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
            (bytes, false)
        }
    }
}

/// Waits until the peer's kernel has all that was written, so that a reset does not discard it.
async fn acknowledged(stream: &TcpStream) {
    eventually(|| sys::unsent_bytes(stream).unwrap() == 0).await;
}

/// Waits for a condition that another task or the kernel brings about.
async fn eventually(mut condition: impl FnMut() -> bool) {
    timeout(LONG, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("the condition never came");
}

fn reset(stream: TcpStream) {
    reset_on_close(&stream);
}
