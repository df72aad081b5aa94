//! The `smartproxy` program; all of it is in the library.

use smartproxy::cli::ExitStatus;
use tikv_jemallocator::Jemalloc;

/// Measured: the cheapest per request (docs/performance.md).
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitStatus {
    smartproxy::cli::main(std::env::args_os())
}
