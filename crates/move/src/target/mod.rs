//! The target: writing rows so that every surprise is seen.

pub(crate) mod net;
pub(crate) mod write;
