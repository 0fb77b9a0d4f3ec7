//! The machine's view: one JSON object a line, for `--json` of commands that drive or follow a run.
//!
//! Owns the line's shape: `seq`, `at` (RFC 3339), `fence`, `hash`, and `event`, which is the journal's own JSON.

use super::text::rfc3339;
use piton_core::record::Record;
use serde::Serialize;

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    at: String,
    fence: u64,
    hash: piton_core::Digest,
    event: &'a piton_core::Event,
}

pub(crate) fn line(record: &Record) -> String {
    let line = Line {
        seq: record.seq,
        at: rfc3339(record.at.wall_us),
        fence: record.fence,
        hash: record.hash,
        event: &record.event,
    };
    // Events are plain data: they came from this JSON.
    serde_json::to_string(&line).unwrap_or_default()
}

/// Something that is not part of the run's record.
pub(crate) fn note(kind: &str, text: &str) -> String {
    serde_json::json!({ kind: text }).to_string()
}
