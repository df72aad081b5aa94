//! What no proxy can be cheaper than: the same work without one, on the same machine in the same run.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use rustix::time::{ClockId, clock_gettime};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, ServerConfig, ServerConnection};

use crate::column::Column;
use crate::world::{Group, NAME, Pace, Resumption, World};

/// A limit, the columns that it is of, and what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) cost: f64,
}

/// All of them, if any column was asked for that has one.
pub(crate) fn measure(columns: &[Column], pace: Pace) -> Vec<Limit> {
    if columns.iter().all(|column| !column.name.contains("tcp") && !column.name.contains("tls")) {
        return Vec::new();
    }
    let world = World::new(pace);
    let new = |name, what, unit, cost| Limit { name, what, unit, cost };
    vec![
        new("message", "one read and one write of 64 bytes on sockets that are ready", "us", message(pace)),
        new(
            "splice",
            "one stream through one pipe of 1 MiB, on a thread that does nothing else",
            "s/GB",
            spliced(pace),
        ),
        new("aead-seal", "AES-128-GCM alone, 16 KiB at a time", "s/GB", aead(pace, true)),
        new("aead-open", "the same the other way", "s/GB", aead(pace, false)),
        new(
            "handshake",
            "the server's half of rustls's handshake, X25519 and P-256",
            "us",
            handshake(&world, Group::X25519),
        ),
        new("handshake-mlkem", "the same with X25519MLKEM768", "us", handshake(&world, Group::X25519MlKem768)),
    ]
}

/// CPU time of this thread, in seconds.
fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// CPU time of one turn, over as many as fit.
fn each(pace: Pace, mut turn: impl FnMut()) -> f64 {
    let (wall, begun) = (Instant::now(), now());
    let mut turns = 0.0;
    while wall.elapsed() < pace.measured {
        for _ in 0..16 {
            turn();
        }
        turns += 16.0;
    }
    (now() - begun) / turns
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let far = listener.accept().unwrap().0;
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    (near, far)
}

/// The read and the write that a proxy cannot do without; loopback has the writer do the receiver's work too, as it does in
/// the columns.
fn message(pace: Pace) -> f64 {
    let (mut near, mut far) = pair();
    let mut buffer = [0; 64];
    let both = each(pace, || {
        near.write_all(&buffer).unwrap();
        far.read_exact(&mut buffer).unwrap();
    });
    both * 1e6
}

fn spliced(pace: Pace) -> f64 {
    const MIB: usize = 1024 * 1024;
    let ((mut source, near), (far, mut sink)) = (pair(), pair());
    let writer = std::thread::spawn(move || while source.write_all(&[0; 256 * 1024]).is_ok() {});
    let reader = std::thread::spawn(move || while sink.read(&mut [0; 256 * 1024]).is_ok_and(|count| count > 0) {});
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    // An unprivileged user may have used up what it may have of these; the figure says so.
    let _ = fcntl_setpipe_size(&write, MIB);
    let mut moved = 0;
    let (wall, begun) = (Instant::now(), now());
    while wall.elapsed() < pace.measured {
        let mut left = splice(&near, None, &write, None, MIB, SpliceFlags::MOVE).unwrap();
        moved += left;
        while left > 0 {
            left -= splice(&read, None, &far, None, left, SpliceFlags::MOVE).unwrap();
        }
    }
    let cost = (now() - begun) / moved as f64 * 1e9;
    drop((near, far));
    writer.join().unwrap();
    reader.join().unwrap();
    cost
}

fn aead(pace: Pace, seal: bool) -> f64 {
    const RECORD: usize = 16 * 1024;
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[7; 16]).unwrap());
    let nonce = || Nonce::assume_unique_for_key([1; 12]);
    let mut sealed = vec![0x5a; RECORD];
    key.seal_in_place_append_tag(nonce(), Aad::empty(), &mut sealed).unwrap();
    let mut buffer = vec![0; RECORD];
    let cost = each(pace, || {
        if seal {
            let _tag = key.seal_in_place_separate_tag(nonce(), Aad::empty(), &mut buffer).unwrap();
        } else {
            buffer.resize(sealed.len(), 0);
            buffer.copy_from_slice(&sealed);
            key.open_in_place(nonce(), Aad::empty(), &mut buffer).unwrap();
        }
    });
    cost / RECORD as f64 * 1e9
}

fn handshake(world: &World, group: Group) -> f64 {
    let certificate = CertificateDer::from_pem_file(world.path("certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(world.path("key.pem")).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let server = Arc::new(server);
    let client = world.tls(group, Resumption::Never, &[]);
    let (mut spent, mut turns) = (0.0, 0.0);
    let wall = Instant::now();
    let mut flight = Vec::new();
    while wall.elapsed() < world.pace.measured {
        let mut client = ClientConnection::new(Arc::clone(&client), ServerName::try_from(NAME).unwrap()).unwrap();
        let begun = now();
        let mut server = ServerConnection::new(Arc::clone(&server)).unwrap();
        spent += now() - begun;
        while client.is_handshaking() || server.is_handshaking() {
            flight.clear();
            client.write_tls(&mut flight).unwrap();
            let begun = now();
            server.read_tls(&mut flight.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            flight.clear();
            while server.wants_write() {
                server.write_tls(&mut flight).unwrap();
            }
            spent += now() - begun;
            let mut rest = flight.as_slice();
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        turns += 1.0;
    }
    spent / turns * 1e6
}
