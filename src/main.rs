//! The `smartproxy` program; all of it is in the library.

use smartproxy::cli::ExitStatus;

fn main() -> ExitStatus {
    smartproxy::cli::main(std::env::args_os())
}
