//! smartproxy beside nginx and HAProxy, on one machine in one run: `cargo bench --bench peers [-- COLUMN...]`.
//!
//! Every peer is started anew for each measurement, alone on one core, with one worker; the load and the backends are in this
//! process, on another core. A round measures every column for every peer, one after the other and each round in another
//! order; what is printed is the median of the rounds with the least and the most of them. CPU time is that of the peer's
//! whole process tree, so that it does not matter how fast the load is.
//!
//! `PEERS_QUICK=1` measures everything once and briefly, to see that it works; `PEERS_ROUNDS` and `PEERS_SECONDS` say how
//! often and how long; `PEERS_BINARY` puts another build of smartproxy in the place of this tree's. The table and the chart
//! are also written to `target/peers/`.

#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first thing that is not as it should be")]

mod backend;
mod chart;
mod column;
mod limit;
mod load;
mod measure;
mod peer;
mod pin;
mod table;
mod world;

use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::column::Column;
use crate::measure::Results;
use crate::peer::Kind;
use crate::world::{Pace, World};

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let columns: Vec<Column> =
        Column::all().into_iter().filter(|column| wanted.is_empty() || is_wanted(column, &wanted)).collect();
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, maximum: limits.maximum }).unwrap();
    let peers = present();
    let pace = Pace::of_environment();
    let world = World::new(pace);
    let mut results = Results::default();
    for round in 0..pace.rounds {
        for column in &columns {
            for turn in 0..peers.len() {
                let kind = peers[(turn + round) % peers.len()];
                if !column.is_for(kind) {
                    continue;
                }
                eprint!("\rround {} of {}: {:<28} {:<12}", round + 1, pace.rounds, column.name, kind.name());
                match column.measure(kind, &world) {
                    Ok(sample) => results.add(column.name, kind, round, sample),
                    Err(fault) => eprintln!("\n{} with {}: {fault}", column.name, kind.name()),
                }
                // Sockets of the last one are closed and its memory is given back.
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
    eprintln!();
    let limits = limit::measure(&columns, pace);
    let text = table::render(&columns, &peers, &results, &limits, pace);
    println!("{text}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("peers.md"), &text).unwrap();
    std::fs::write(folder.join("peers.svg"), chart::render(&columns, &results)).unwrap();
    println!("written to {}", folder.display());
}

fn is_wanted(column: &Column, wanted: &[String]) -> bool {
    wanted.iter().any(|word| column.name.contains(word.as_str()))
}

/// The peers that this machine has; the others are named and left out.
fn present() -> Vec<Kind> {
    let (present, absent): (Vec<_>, Vec<_>) = Kind::ALL.into_iter().partition(|kind| kind.is_present());
    for kind in absent {
        println!("{} is not here, and is left out: {}", kind.name(), kind.how_to_have());
    }
    for kind in &present {
        println!("{}: {}", kind.name(), kind.version());
    }
    present
}
