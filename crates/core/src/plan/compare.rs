//! How two plans differ, for whoever reviews the newer one.
//!
//! Owns what counts as the same line. Never looks at what reads gave: lines that only learnt something are the same.

use super::{Entry, Known, Plan, What};
use crate::path::Path;
use crate::request::Site;
use serde::Serialize;
use std::collections::HashMap;

/// A line of a plan, and what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    pub path: Path,
    pub site: Option<Site>,
    pub does: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    pub path: Path,
    pub site: Option<Site>,
    pub was: String,
    pub now: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    pub added: Vec<Line>,
    pub removed: Vec<Line>,
    pub changed: Vec<Changed>,
    pub unchanged: u64,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// What a reviewer has to look at when `new` comes in place of `old`.
pub fn compare(old: &Plan, new: &Plan) -> Changes {
    let mut left: HashMap<(&Path, u8), &Entry> = old.entries.iter().map(|entry| (key(entry), entry)).collect();
    let mut changes = Changes::default();
    for entry in &new.entries {
        match left.remove(&key(entry)) {
            Some(was) if content(was) == content(entry) => changes.unchanged += 1,
            Some(was) => changes.changed.push(Changed {
                path: entry.path.clone(),
                site: entry.site.clone(),
                was: does(was),
                now: does(entry),
            }),
            None => changes.added.push(line(entry)),
        }
    }
    // In the old plan's order.
    changes.removed = old.entries.iter().filter(|entry| left.contains_key(&key(entry))).map(line).collect();
    changes
}

fn key(entry: &Entry) -> (&Path, u8) {
    let kind = match entry.what {
        What::Scope { .. } => 0,
        What::Step(_) => 1,
        What::CommitPoint => 2,
        What::End { .. } => 3,
        What::Fails { .. } => 4,
    };
    (&entry.path, kind)
}

/// What makes two lines the same: not where they stand in the source, and not what was learnt while planning.
fn content(entry: &Entry) -> What {
    let mut what = entry.without_live().what;
    match &mut what {
        What::Step(step) => step.known = Known::Later,
        // Each branch has a line of its own.
        What::Scope { total, .. } => *total = None,
        _ => {}
    }
    what
}

fn line(entry: &Entry) -> Line {
    Line { path: entry.path.clone(), site: entry.site.clone(), does: does(entry) }
}

fn does(entry: &Entry) -> String {
    match &entry.what {
        What::Scope { kind, .. } => kind.describe(),
        What::Step(step) => {
            let undo = step.undo.as_ref().map_or_else(String::new, |undo| format!("; undo: {undo}"));
            let ensures = step.ensures.as_ref().map_or_else(String::new, |ensures| format!("; ensures: {ensures}"));
            format!("{}{ensures}{undo}", step.summary)
        }
        What::CommitPoint => "commit point".to_owned(),
        What::End { why } => format!("the plan ends: {why}"),
        What::Fails { .. } => "fails now".to_owned(),
    }
}
