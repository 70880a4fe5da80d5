//! The `jangteo` program. Everything is in the library, so that tests can reach it.

use std::process::ExitCode;

/// Faster than the system's for many short-lived allocations on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    jangteo::cli::run()
}
