//! What is counted and written about connections.

mod traffic;

pub use traffic::Traffic;
