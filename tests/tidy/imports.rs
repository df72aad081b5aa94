//! Imports go down the ranks only, and each room keeps to its own.

use super::sources::{Source, sources};

/// Each room with its rank. A room may use rooms of a lower rank, and none of its own.
const RANKS: &[(&str, u8)] = &[
    ("disk", 0),
    ("head", 0),
    ("name", 0),
    ("net", 0),
    ("outcome", 0),
    ("auth", 1),
    ("drain", 1),
    ("route", 1),
    ("telemetry", 1),
    ("config", 2),
    ("connection", 2),
    ("relay", 2),
    ("sniff", 2),
    ("tls", 2),
    ("upstream", 3),
    ("http", 4),
    ("handler", 5),
    ("generation", 6),
    ("server", 7),
    ("admin", 8),
    ("cli", 9),
];

/// The rooms that may name the configuration.
const CONFIG_READERS: &[&str] = &["generation", "cli"];

/// Crates that have one home.
const HOMES: &[(&str, &[&str])] = &[
    ("hyper::", &["admin", "cli"]),
    ("h2::", &["http"]),
    ("rustls_pemfile::", &["tls"]),
    ("rcgen::", &["tls"]),
    ("bcrypt::", &["auth"]),
    ("argon2::", &["auth"]),
    ("toml::", &["config"]),
    ("prometheus::", &["telemetry"]),
    ("libc::", &["net", "server", "upstream"]),
    ("clap::", &["cli"]),
    ("ratatui::", &["cli"]),
    ("sd_notify::", &["server"]),
    ("arc_swap::", &["generation"]),
];

/// Longer files are two ideas.
const LINES_MAX: usize = 500;

fn rank(room: &str) -> Option<u8> {
    RANKS.iter().find(|(name, _)| *name == room).map(|(_, rank)| *rank)
}

fn room(source: &Source) -> &str {
    source.path.split(['/', '.']).next().unwrap()
}

/// The rooms that a file names as `crate::room`, also inside of `use crate::{a, b::c}`.
fn used(source: &Source) -> Vec<&'static str> {
    RANKS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| {
            let direct = format!("crate::{name}");
            source.code.match_indices(&direct).any(|(at, text)| {
                let next = source.code[at + text.len()..].chars().next();
                !next.is_some_and(|next| next.is_alphanumeric() || next == '_')
            })
        })
        .collect()
}

#[test]
fn imports_go_down_only() {
    let mut offenders = Vec::new();
    for source in sources() {
        if matches!(source.path.as_str(), "lib.rs" | "main.rs") {
            continue;
        }
        assert!(!source.code.contains("use crate::{"), "{}: name each room in a use of its own", source.path);
        let own = rank(room(&source)).unwrap_or_else(|| panic!("{}: a room without a rank", source.path));
        for other in used(&source) {
            if other != room(&source) && rank(other).unwrap() >= own {
                offenders.push(format!("{} (rank {own}) imports {other} (rank {})", source.path, rank(other).unwrap()));
            }
        }
    }
    assert!(offenders.is_empty(), "imports that go up or sideways:\n{}", offenders.join("\n"));
}

#[test]
fn only_the_assembling_rooms_see_the_configuration() {
    for source in sources() {
        let room = room(&source);
        if room != "config" && !CONFIG_READERS.contains(&room) && room != "lib" {
            assert!(!used(&source).contains(&"config"), "{} names the configuration", source.path);
        }
    }
}

#[test]
fn an_outside_crate_has_one_home() {
    for source in sources() {
        for (name, homes) in HOMES {
            let named = source.code.match_indices(name).any(|(at, _)| {
                // `crate::http::` holds no `http::` of the outside, and `tokio_rustls::` no `rustls::`.
                let before = source.code[..at].chars().next_back();
                !before.is_some_and(|before| before.is_alphanumeric() || before == '_' || before == ':')
            });
            assert!(!named || homes.contains(&room(&source)), "{} names {name}, whose home is {homes:?}", source.path);
        }
    }
}

#[test]
fn no_file_is_two_ideas_long() {
    for source in sources() {
        assert!(source.lines <= LINES_MAX, "{} has {} lines, more than {LINES_MAX}", source.path, source.lines);
    }
}
