//! The `smartproxy` program; all of it is in the library.

use mimalloc::MiMalloc;
use smartproxy::cli::ExitStatus;

/// Measured: the cheapest per request (docs/performance.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitStatus {
    smartproxy::cli::main(std::env::args_os())
}
