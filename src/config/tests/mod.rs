//! What the room promises as a whole; each piece is tested beside its code.

mod crossed;
mod faulty;
mod files;
mod random;
mod resolved;
mod scale;

use std::path::Path;

use super::{Config, Faults};

/// A configuration of one route with these lines in it.
fn route(lines: &str) -> String {
    format!("[[routes]]\nname = \"a\"\n{lines}\n")
}

fn load(text: &str) -> Result<Config, Faults> {
    Config::from_text(text, Path::new("/etc/smartproxy/s.toml"))
}

fn valid(text: &str) -> Config {
    load(text).unwrap_or_else(|faults| panic!("{faults}\n---\n{text}"))
}

/// The faults of a text as they are printed, without the path.
fn faults(text: &str) -> String {
    load(text).expect_err(text).to_string().replace("/etc/smartproxy/s.toml:", "")
}
