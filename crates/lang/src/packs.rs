//! The runbook packs that come with the binary: `load("@piton/move.star", ...)`.
//!
//! Owns their names and sources. To a project's tree they are sources like any other: a run keeps the ones that it began with in
//! its snapshot, so that a newer binary does not change a run under way. Never knows what they do.

/// Each pack by the name that it is loaded by.
const PACKS: &[(&str, &str)] = &[
    ("@piton/move.star", include_str!("../packs/move.star")),
    ("@piton/mysql.star", include_str!("../packs/mysql.star")),
];

/// A pack's source.
#[must_use]
pub fn source(name: &str) -> Option<&'static str> {
    PACKS.iter().find(|(pack, _)| *pack == name).map(|(_, source)| *source)
}

/// The packs there are, in words.
pub(crate) fn names() -> String {
    PACKS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Whether a path names a pack, if there is one of that name.
pub(crate) fn is_pack(path: &str) -> bool {
    path.starts_with("@piton/")
}
