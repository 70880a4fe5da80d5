//! Measures a build of the server; `cargo xtask bench` builds it and starts this.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match rush::bench::run(&rush::bench::Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
