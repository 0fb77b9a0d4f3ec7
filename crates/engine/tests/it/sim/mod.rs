//! A simulated world for the engine: store, leases, executor, clock, vault, watchdogs and people, in memory.
//!
//! Owns the fakes and the way to kill an engine at any moment. Tests read like pages: a runbook, a run, what must be true.

mod children;
mod clock;
mod crash;
mod executor;
mod plant;
mod ports;
mod program;
mod run;
mod script;
mod store;
mod world;

pub(crate) use crash::{at_every_moment, at_every_moment_and, at_some_moments};
pub(crate) use plant::{Plant, performed};
pub(crate) use program::{Book, Ctx, Result, guard, is_ok, judged};
pub(crate) use run::{Sim, actor, path, value};
pub(crate) use script::{http, noop, query, sh, sh_with, sql, sql_once, write_file};
