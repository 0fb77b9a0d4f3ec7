//! What a runbook can call: actions, steps, scopes, people, time, and words for options.
//!
//! Owns the mapping from a call to a request of `core`, and the author's mistakes that only a call shows.
//! Never performs anything: the host does.

mod args;

// Values.
mod actions;
mod convert;
mod options;
mod quoting;
mod types;

// Requests.
mod branches;
mod guards;
mod locks;
mod people;
mod reads;
mod run;
mod scopes;
mod step;
mod time;

// What guards the process.
pub(crate) mod guarded;

pub(crate) use args::a_kind;
pub(crate) use run::stem;
use starlark::environment::{FrozenModule, Globals, GlobalsBuilder, LibraryExtension};
use starlark::values::FreezeResult;
pub(crate) use step::{LIVE_HELP, LIVE_WRITE};

const EXTENSIONS: [LibraryExtension; 7] = [
    LibraryExtension::StructType,
    LibraryExtension::RecordType,
    LibraryExtension::EnumType,
    LibraryExtension::SetType,
    LibraryExtension::Map,
    LibraryExtension::Filter,
    LibraryExtension::Typing,
];

/// Everything a runbook may name.
pub(crate) fn globals() -> Globals {
    let mut builder = GlobalsBuilder::extended_by(&EXTENSIONS);
    for add in [
        actions::globals,
        branches::globals,
        convert::globals,
        guarded::globals,
        guards::globals,
        locks::globals,
        options::globals,
        people::globals,
        quoting::globals,
        reads::globals,
        run::globals,
        scopes::globals,
        step::globals,
        time::globals,
        types::globals,
    ] {
        add(&mut builder);
    }
    builder.build()
}

/// What `json` holds.
pub(crate) fn json_members() -> Globals {
    GlobalsBuilder::new().with(convert::json_members).build()
}

/// The standard built-ins, for those of ours that guard one of them.
pub(crate) fn standard() -> FreezeResult<FrozenModule> {
    FrozenModule::from_globals(&Globals::standard())
}
