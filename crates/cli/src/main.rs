//! The `piton` binary. Wires the crates together; the only place that prints.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod args;
mod children;
mod commands;
mod error;
mod exit;
mod fault;
mod past;
mod print;
mod project;
mod survival;
mod ui;
mod wire;
mod world;

fn main() -> std::process::ExitCode {
    args::dispatch()
}
