//! From the order to read the configuration anew to the first client that is served by it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::connect;
use crate::backend::MARK;
use crate::measure::Sample;
use crate::peer::{Purpose, Running, Service};
use crate::world::World;

/// How long it may take.
const WITHIN: Duration = Duration::from_secs(30);

/// Between two looks: finer than what is measured, and little work for a peer that has other work to do.
const LOOK_EVERY: Duration = Duration::from_millis(2);

pub(super) fn measure(peer: &Running<'_>, world: &World, purpose: Purpose) -> Result<Sample, String> {
    let hellos = connect::hellos(world, 0);
    let hello = hellos.first().ok_or("no name is asked for")?;
    if is_moved(peer, hello) {
        return Err("it is served by the new configuration already".into());
    }
    peer.configure(Purpose { moved: true, ..purpose });
    let started = Instant::now();
    peer.reload();
    while !is_moved(peer, hello) {
        if started.elapsed() > WITHIN {
            return Err("the new configuration is not in force in time".into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let memory = Some(peer.usage().memory / 1024.0 / 1024.0);
    Ok(Sample { cost: started.elapsed().as_secs_f64() * 1e3, rate: None, latency: None, memory })
}

/// Asks one client's way; a connection that is lost on the way is asked again.
fn is_moved(peer: &Running<'_>, hello: &[u8]) -> bool {
    let mut answer = [0];
    let mut ask = || {
        let mut stream = TcpStream::connect(peer.address(Service::Passthrough))?;
        stream.set_read_timeout(Some(WITHIN))?;
        stream.write_all(hello)?;
        stream.read_exact(&mut answer)
    };
    ask().is_ok() && answer == [MARK]
}
