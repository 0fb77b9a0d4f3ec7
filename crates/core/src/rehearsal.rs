//! Rehearsals: runs on stand-in systems, marked so wherever they are shown.
//!
//! Owns the two kinds. What differs in a rehearsal is decided in `decide::windows`; that the systems are stand-ins is the
//! word of who started it, and nothing here can know.

use serde::{Deserialize, Serialize};

/// A run on stand-in systems. Both are performed as any run is; what differs is where a window turns round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rehearsal {
    Forward,
    /// Goes back at a window's commit point instead of passing it, and ends there.
    Back,
}

impl std::fmt::Display for Rehearsal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward",
            Self::Back => "back",
        })
    }
}
