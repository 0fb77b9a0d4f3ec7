//! Commands: one file each.

// The way of a run: started, driven, gone on with, taken back, ended.
pub(crate) mod abort;
pub(crate) mod engine;
pub(crate) mod resume;
pub(crate) mod run;
pub(crate) mod undo;
pub(crate) mod waker;
pub(crate) mod watchdog;

// People answer it.
pub(crate) mod answer;
pub(crate) mod approve;

// People look at it.
pub(crate) mod locks;
pub(crate) mod logs;
pub(crate) mod receipt;
pub(crate) mod runs;
pub(crate) mod show;
pub(crate) mod verify;
pub(crate) mod watch;

// A service's connections and tables, apart from any run.
pub(crate) mod gate;
pub(crate) mod mover;

// Before any run.
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod docs;
pub(crate) mod plan;

// What commands share.
mod anchor;
mod call;
mod edited;
mod ended;
mod fields;
mod follow;
mod leftovers;
pub(crate) mod names;
mod post;
