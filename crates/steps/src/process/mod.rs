//! Programs under a supervisor: they survive the engine that started them, and nothing of them is left behind.
//!
//! Reading order is a command's way: what to run (`command`), where its traces are (`attempt`), how it gets to a
//! supervisor (`pool`, `wire`), what the supervisor does with it (`supervise`, `job`, `output`, `ending`, `memory`),
//! what comes back (`record`), and what a later engine finds (`remains`, `orphans`).

mod command;
mod executor;

mod attempt;
mod pool;
mod wire;

mod ending;
mod job;
pub mod mask;
mod memory;
mod output;
mod supervise;

mod orphans;
mod record;
mod remains;
mod survival;

pub use command::Opener;
pub use executor::{Config, Processes, SupervisorCommand};
pub use record::said;
pub use supervise::supervise_main;
pub use survival::survival_warning;
