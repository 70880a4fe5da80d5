//! Jangteo, the program: its command line, its configuration, and the wiring of its parts.
//!
//! Everything that serves people lives in the services; here they are chosen, connected, started and stopped. The
//! market can also be opened by tests ([`Market::start`]).

pub mod audit;
pub mod cli;
pub mod config;
pub mod demo;
pub mod folder;
pub mod import;
mod lifecycle;
mod log;
mod market;
mod settings;
pub mod wire;

pub use config::Config;
pub use market::Market;
pub use wire::{Clients, Form, Surroundings};
