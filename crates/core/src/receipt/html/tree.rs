//! The steps as a tree of scopes, told from their paths.
//!
//! Owns the tree, and what of it fits a picture. Never draws.

use super::super::statement::*;
use crate::path::Path;
use std::collections::{HashMap, HashSet};

/// Lines that the children of one scope share, where they do not fit each on its own; fewer say too little.
const MIN_PARTS: usize = 5;
const MAX_PARTS: usize = 20;

pub(super) struct Node {
    pub(super) path: Path,
    /// The last name, as the author wrote it.
    pub(super) name: String,
    parent: Option<usize>,
    pub(super) children: Vec<usize>,
    /// Rows of the statement at this very path, one for each generation.
    pub(super) rows: Vec<usize>,
    /// Different steps in and below here.
    pub(super) steps: u64,
    /// Something a reader should see is in here.
    pub(super) notable: bool,
    pub(super) window: bool,
}

/// Nodes in the order in which the journal first names them; the first is the run.
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
}

/// The step did not simply come to be done.
pub(super) fn is_notable(step: &StepTold) -> bool {
    use crate::event::How;
    !matches!(step.status, StepStatus::Done)
        || matches!(step.how, Some(How::Waived | How::Kept | How::SaidDone))
        || step.attempts.len() > 1
}

impl Tree {
    pub(super) fn of(told: &Predicate) -> Self {
        let windows: HashSet<&Path> = told.windows.iter().map(|window| &window.path).collect();
        let mut tree = Self { nodes: Vec::new() };
        let mut known: HashMap<Path, usize> = HashMap::new();
        tree.node(&Path::root(), &mut known);
        for (row, step) in told.steps.iter().enumerate() {
            let at = tree.node(&step.path, &mut known);
            let first = tree.nodes[at].rows.is_empty();
            tree.nodes[at].rows.push(row);
            let notable = is_notable(step);
            let mut around = Some(at);
            while let Some(at) = around {
                let node = &mut tree.nodes[at];
                node.steps += u64::from(first);
                node.notable |= notable;
                around = node.parent;
            }
        }
        for node in &mut tree.nodes {
            node.window = windows.contains(&node.path);
        }
        tree
    }

    /// Index of a path's node, made with those above it where it is new.
    fn node(&mut self, path: &Path, known: &mut HashMap<Path, usize>) -> usize {
        if let Some(at) = known.get(path) {
            return *at;
        }
        let parent = path.parent().map(|parent| self.node(&parent, known));
        let at = self.nodes.len();
        self.nodes.push(Node {
            path: path.clone(),
            name: path.name(),
            parent,
            children: Vec::new(),
            rows: Vec::new(),
            steps: 0,
            notable: false,
            window: false,
        });
        known.insert(path.clone(), at);
        if let Some(parent) = parent {
            self.nodes[parent].children.push(at);
        }
        at
    }

    /// All rows in and below these nodes.
    pub(super) fn rows(&self, nodes: &[usize]) -> Vec<usize> {
        let mut open: Vec<usize> = nodes.to_vec();
        let mut rows = Vec::new();
        while let Some(at) = open.pop() {
            rows.extend(&self.nodes[at].rows);
            open.extend(&self.nodes[at].children);
        }
        rows.sort_unstable();
        rows
    }

    /// At most `most` lines that stand for the whole run: scopes are opened level by level, windows first, then those
    /// that need the fewest lines.
    pub(super) fn lines(&self, most: usize) -> Vec<Line> {
        let top = &self.nodes[0].children;
        if top.len() > most {
            // So many steps outside any scope: neighbours share a line.
            let lines = top.chunks(top.len().div_ceil(most.max(1)));
            return lines.map(|nodes| Line { nodes: nodes.to_vec(), depth: 0, opened: false }).collect();
        }
        let mut opened: HashSet<usize> = HashSet::from([0]);
        let mut level: Vec<usize> = top.clone();
        let mut used = top.len();
        while !level.is_empty() {
            level.sort_by_key(|at| (!self.nodes[*at].window, self.nodes[*at].children.len(), *at));
            let mut next = Vec::new();
            for at in level {
                let children = &self.nodes[at].children;
                if !children.is_empty() && used + children.len() <= most {
                    used += children.len();
                    opened.insert(at);
                    next.extend(children);
                }
            }
            level = next;
        }
        let shared = self.shared(&opened, most - used);
        let mut lines = Vec::new();
        let mut open: Vec<(usize, usize)> = top.iter().rev().map(|at| (*at, 0)).collect();
        while let Some((at, depth)) = open.pop() {
            let in_parts = shared.filter(|(node, _)| *node == at).map(|(_, parts)| parts);
            let opened = opened.contains(&at);
            lines.push(Line { nodes: vec![at], depth, opened: opened || in_parts.is_some() });
            let children = &self.nodes[at].children;
            if let Some(parts) = in_parts {
                let parts = children.chunks(children.len().div_ceil(parts));
                lines.extend(parts.map(|nodes| Line { nodes: nodes.to_vec(), depth: depth + 1, opened: false }));
            } else if opened {
                open.extend(children.iter().rev().map(|child| (*child, depth + 1)));
            }
        }
        lines
    }

    /// The largest scope that stayed folded, and how many lines its children share: so that a run that is mostly one
    /// `each` shows more than one bar.
    fn shared(&self, opened: &HashSet<usize>, left: usize) -> Option<(usize, usize)> {
        let seen = |at: &usize| self.nodes[*at].parent.is_some_and(|parent| opened.contains(&parent));
        let folded = (1..self.nodes.len()).filter(|at| seen(at) && !opened.contains(at));
        let largest = folded.max_by_key(|at| (self.nodes[*at].children.len(), std::cmp::Reverse(*at)))?;
        let enough = left >= MIN_PARTS && self.nodes[largest].children.len() > MIN_PARTS;
        enough.then_some((largest, left.min(MAX_PARTS)))
    }
}

/// One line of the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Mostly one; neighbours where there are too many.
    pub(super) nodes: Vec<usize>,
    pub(super) depth: usize,
    /// Its children have lines of their own.
    pub(super) opened: bool,
}

#[cfg(test)]
mod tests {
    use super::super::super::Statement;
    use super::*;
    use crate::fixture::Log;

    /// The lines as text: indented names, `+` where opened.
    fn lines(log: &Log, most: usize) -> Vec<String> {
        let tree = Tree::of(&Statement::from_journal(&log.sealed).unwrap().predicate);
        let name = |line: &Line| {
            let names: Vec<&str> = line.nodes.iter().map(|at| tree.nodes[*at].name.as_str()).collect();
            let ends =
                if names.len() > 1 { format!("{}..{}", names[0], names[names.len() - 1]) } else { names[0].into() };
            format!("{}{}{ends}", " ".repeat(line.depth), if line.opened { "+" } else { "" })
        };
        tree.lines(most).iter().map(name).collect()
    }

    #[test]
    fn windows_open_first_then_scopes_with_few_children_in_the_order_of_the_run() {
        let mut log = Log::new();
        log.done("a/1").done("a/2").done("a/3").done("b/1").done("b/2").open_window("w");
        log.done("w/1").done("w/2").done("w/3").close_window("w", false);
        assert_eq!(lines(&log, 3), ["a", "b", "w"]);
        assert_eq!(lines(&log, 6), ["a", "b", "+w", " 1", " 2", " 3"]);
        assert_eq!(lines(&log, 8), ["a", "+b", " 1", " 2", "+w", " 1", " 2", " 3"]);
        assert_eq!(lines(&log, 11).len(), 11);
    }

    #[test]
    fn the_largest_folded_scope_shares_what_lines_are_left() {
        let mut log = Log::new();
        for item in 0..30 {
            log.done(&format!("each/{item}/x"));
        }
        log.done("end");
        assert_eq!(lines(&log, 6), ["each", "end"], "four lines would say too little");
        let five = ["+each", " 0..5", " 6..11", " 12..17", " 18..23", " 24..29", "end"];
        assert_eq!(lines(&log, 7), five);
        assert_eq!(lines(&log, 31).len(), 2 + 15, "two for each");
        let mut flat = Log::new();
        for step in 0..9 {
            flat.done(&format!("s{step}"));
        }
        assert_eq!(lines(&flat, 4), ["s0..s2", "s3..s5", "s6..s8"]);
    }
}
