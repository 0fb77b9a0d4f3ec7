//! The view model: a run's scopes and steps as a tree with counts, marks and times.
//!
//! Owns what every view shares. Computed from the story alone, so `run`, `watch` and `show` agree. Never prints.

use super::story::{Story, span_us};
use super::text::printable;
use piton_core::Path;
use piton_core::child::Child;
use piton_core::record::Moment;
use piton_core::scope::ScopeKind;
use piton_core::state::{Phase, ScopeState, Step};
use std::collections::HashMap;

/// Where a step or a scope stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Done,
    Running,
    /// It failed, and another attempt is due.
    Retrying,
    /// It failed for good, and something around it caught that.
    Failed,
    Held,
    /// For a person or a timer.
    Waiting,
    Undoing,
    /// Left out by an edit.
    Dropped,
    Undone,
}

impl Mark {
    /// The word in `show --json`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Waiting => "waiting",
            Self::Undoing => "undoing",
            Self::Dropped => "dropped",
            Self::Undone => "undone",
        }
    }

    pub(crate) fn symbol(self) -> char {
        match self {
            Self::Done => '✓',
            Self::Running | Self::Retrying => '▶',
            Self::Failed | Self::Held => '✗',
            Self::Waiting => '?',
            Self::Dropped => '–',
            Self::Undoing | Self::Undone => '↶',
        }
    }

    pub(crate) fn of(step: &Step) -> Self {
        if step.undo.held.is_some() {
            return Self::Held;
        }
        if step.undo.running.is_some() || step.undo.retry_at_us.is_some() {
            return Self::Undoing;
        }
        match &step.phase {
            Phase::Running(_) | Phase::Decided { .. } => Self::Running,
            Phase::Failed { retry_at_us: Some(_), .. } => Self::Retrying,
            Phase::Failed { .. } => Self::Failed,
            Phase::Held(_) => Self::Held,
            Phase::Succeeded { .. } => Self::Done,
            Phase::Asked { .. } | Phase::Timer(_) => Self::Waiting,
            Phase::Dropped => Self::Dropped,
            Phase::Undone => Self::Undone,
        }
    }
}

/// How many steps stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) done: u64,
    /// Retrying and undoing ones too.
    pub(crate) running: u64,
    pub(crate) waiting: u64,
    pub(crate) held: u64,
    pub(crate) failed: u64,
    /// Left out by an edit.
    pub(crate) dropped: u64,
    pub(crate) undone: u64,
}

impl Tally {
    fn count(&mut self, mark: Mark) {
        self.steps += 1;
        match mark {
            Mark::Done => self.done += 1,
            Mark::Running | Mark::Retrying | Mark::Undoing => self.running += 1,
            Mark::Waiting => self.waiting += 1,
            Mark::Held => self.held += 1,
            Mark::Failed => self.failed += 1,
            Mark::Dropped => self.dropped += 1,
            Mark::Undone => self.undone += 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.done += other.done;
        self.running += other.running;
        self.waiting += other.waiting;
        self.held += other.held;
        self.failed += other.failed;
        self.dropped += other.dropped;
        self.undone += other.undone;
    }
}

/// A scope or a step.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    pub(crate) path: Path,
    /// As the author wrote it, harmless.
    pub(crate) name: String,
    pub(crate) step: Option<&'a Step>,
    pub(crate) scope: Option<&'a ScopeState>,
    pub(crate) mark: Mark,
    /// Of the steps in it; of a step, itself.
    pub(crate) tally: Tally,
    /// Branches that were left, of how many.
    pub(crate) branches: Option<(u64, u64)>,
    pub(crate) took_us: u64,
    started: Moment,
    ended: Option<Moment>,
    parent: usize,
    pub(crate) children: Vec<usize>,
}

/// All nodes; the first is the run itself.
#[derive(Clone, Debug)]
pub(crate) struct Tree<'a> {
    pub(crate) nodes: Vec<Node<'a>>,
}

enum Found<'a> {
    Scope(&'a ScopeState),
    Step(&'a Step),
}

impl<'a> Tree<'a> {
    /// The run as of `now`, which only the times of what is unfinished depend on.
    pub(crate) fn of(story: &'a Story, now: Moment) -> Self {
        let state = &story.state;
        let mut found: Vec<(u64, &Path, Found<'a>)> = Vec::with_capacity(state.scopes.len() + state.steps.len());
        found.extend(state.scopes.iter().map(|(path, scope)| (scope.seq, path, Found::Scope(scope))));
        found.extend(state.steps.iter().map(|(path, step)| (step.first_seq, path, Found::Step(step))));
        // A scope before the steps that the same append names in it.
        found.sort_by_key(|(seq, path, _)| (*seq, path.depth()));

        let mut tree = Self { nodes: vec![Node::new(Path::root(), 0)] };
        let mut places = HashMap::from([(Path::root(), 0)]);
        for (_, path, what) in found {
            let at = tree.place(&mut places, path);
            match what {
                Found::Scope(scope) => tree.nodes[at].scope = Some(scope),
                Found::Step(step) => tree.nodes[at].step = Some(step),
            }
        }
        tree.tally(story, now);
        tree
    }

    /// The node's index, made with those above it if need be.
    fn place(&mut self, places: &mut HashMap<Path, usize>, path: &Path) -> usize {
        if let Some(at) = places.get(path) {
            return *at;
        }
        // Paths are as deep as scopes may be nested, which is bounded.
        let parent = path.parent().map_or(0, |parent| self.place(places, &parent));
        let at = self.nodes.len();
        self.nodes.push(Node::new(path.clone(), parent));
        self.nodes[parent].children.push(at);
        places.insert(path.clone(), at);
        at
    }

    /// Counts from the leaves up: a node stands after its parent.
    fn tally(&mut self, story: &Story, now: Moment) {
        for at in (0..self.nodes.len()).rev() {
            if let Some(step) = self.nodes[at].step {
                let mark = match story.state.children.get(&self.nodes[at].path) {
                    Some(Child { waits: Some(_), .. }) => Mark::Waiting,
                    _ => Mark::of(step),
                };
                self.nodes[at].tally.count(mark);
                self.nodes[at].mark = mark;
                let end = step.ended_at.unwrap_or(now);
                (self.nodes[at].started, self.nodes[at].ended) = (step.started_at, step.ended_at);
                let told = story.step(&self.nodes[at].path).took_us.filter(|_| mark == Mark::Done);
                self.nodes[at].took_us = told.unwrap_or_else(|| span_us(step.started_at, end));
            }
            if self.nodes[at].scope.is_some() || !self.nodes[at].children.is_empty() {
                self.mark_scope(at, story, now);
            }
            let (parent, tally) = (self.nodes[at].parent, self.nodes[at].tally);
            if at > 0 {
                self.nodes[parent].tally.add(tally);
            }
        }
        self.nodes[0].took_us = span_us(story.state.started_at, story.ended_at.unwrap_or(now));
    }

    fn mark_scope(&mut self, at: usize, story: &Story, now: Moment) {
        let node = &self.nodes[at];
        let tally = node.tally;
        let left = match node.scope {
            Some(scope) => scope.left_at,
            // Branches come by the thousand and are not journaled: their steps tell. A step begins in the append that
            // ends the one before it, so a branch that looks finished is.
            None if at > 0 && tally.done + tally.dropped == tally.steps => {
                self.ends(node).max_by_key(|end| end.wall_us)
            }
            None => None,
        };
        let within = |path: &Path| path.is_within(&node.path);
        let mark = if tally.held > 0 || story.state.other_holds.keys().any(within) {
            Mark::Held
        } else if tally.running > 0 {
            Mark::Running
        } else if tally.steps > 0 && tally.undone == tally.steps {
            Mark::Undone
        } else if left.is_some() {
            Mark::Done
        } else if tally.waiting > 0 || super::beside::waits_within(&story.state, &node.path) {
            Mark::Waiting
        } else if node.scope.is_none() && tally.failed > 0 {
            Mark::Failed
        } else {
            Mark::Running
        };
        let branches = node.scope.and_then(|scope| scope.total).map(|total| {
            let left =
                node.children.iter().filter(|child| matches!(self.nodes[**child].mark, Mark::Done | Mark::Failed));
            (left.count() as u64, total)
        });
        let first = node.children.iter().map(|child| self.nodes[*child].started).min_by_key(|at| at.wall_us);
        let started = match node.scope {
            Some(scope) => scope.entered_at,
            None if at > 0 => first.unwrap_or(now),
            None => story.state.started_at,
        };
        let ended = left.unwrap_or(if mark == Mark::Undone { started } else { now });
        let node = &mut self.nodes[at];
        node.mark = mark;
        node.branches = branches;
        node.started = started;
        node.took_us = span_us(started, ended);
        node.ended = left;
    }

    fn ends(&self, node: &Node<'a>) -> impl Iterator<Item = Moment> {
        node.children.iter().filter_map(|child| self.nodes[*child].ended)
    }

    pub(crate) fn run(&self) -> &Node<'a> {
        &self.nodes[0]
    }

    pub(crate) fn children(&self, node: &Node<'a>) -> impl DoubleEndedIterator<Item = &Node<'a>> {
        node.children.iter().map(|at| &self.nodes[*at])
    }
}

impl Node<'_> {
    fn new(path: Path, parent: usize) -> Self {
        let name = printable(&path.name());
        Self {
            path,
            name,
            step: None,
            scope: None,
            mark: Mark::Running,
            tally: Tally::default(),
            branches: None,
            took_us: 0,
            started: Moment::default(),
            ended: None,
            parent,
            children: Vec::new(),
        }
    }

    pub(crate) fn is_scope(&self) -> bool {
        self.scope.is_some() || !self.children.is_empty()
    }

    pub(crate) fn is_window(&self) -> bool {
        self.scope.is_some_and(|scope| matches!(scope.kind, ScopeKind::Window { .. }))
    }
}
