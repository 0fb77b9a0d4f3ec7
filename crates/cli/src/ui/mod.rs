//! What a person sees of a run.
//!
//! Owns the views: the checklist on a terminal, plain or JSON lines elsewhere, and what is said when a run stops. Each
//! is computed from the run's story, a fold of its records. Never reads the store and never decides anything.

// From records to views.
pub(crate) mod model;
pub(crate) mod story;

// The views.
pub(crate) mod beside;
pub(crate) mod checklist;
pub(crate) mod children;
pub(crate) mod edit;
pub(crate) mod estimate;
pub(crate) mod failure;
pub(crate) mod json;
pub(crate) mod pace;
pub(crate) mod plain;
pub(crate) mod plan;
pub(crate) mod remaining;
pub(crate) mod report;
mod screen;

// What all of them stand on.
pub(crate) mod text;

pub(crate) use screen::Screen;
