//! smartproxy: a standalone TCP/TLS reverse-proxy daemon.
//!
//! Each module is a room of the design; imports go down this list only (`tests/tidy` holds the table).

// Rank 0: no policy.
pub mod disk;
pub mod head;
pub mod name;
pub mod net;
pub mod outcome;
// Rank 1: the vocabularies that every room above speaks, and what is pure.
pub mod auth;
pub mod drain;
pub mod route;
pub mod telemetry;
// Rank 2: one concern of a connection each.
pub mod config;
pub mod connection;
pub mod relay;
pub mod sniff;
pub mod tls;
// Ranks 3 to 5: towards the target, HTTP, and one file per ending.
pub mod handler;
pub mod http;
pub mod upstream;
// Rank 6 to 9: one configured state, the daemon around it, and its two faces.
pub mod admin;
pub mod cli;
pub mod generation;
pub mod server;
