//! Scopes: named stretches of a run that contain steps.
//!
//! Owns what a step needs to know of its surroundings: its path, whether its failure is caught, which window it is in.
//! Never counts, times or journals anything.

use crate::duration::Duration;
use crate::guard::Guard;
use crate::path::Path;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Scopes inside each other. Each costs native stack in the evaluator.
pub const MAX_SCOPE_DEPTH: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scope", rename_all = "snake_case")]
pub enum ScopeKind {
    Run,
    Phase,
    Each {
        continue_on_failure: bool,
    },
    Parallel,
    /// One function call of an `each` or a `parallel`.
    Branch,
    Attempt,
    /// Nobody else holds its name while something acts in it.
    Lock,
    Window {
        budget: Duration,
        reserve: Duration,
        on_over: OnOver,
    },
}

impl ScopeKind {
    /// In a few words, for plans.
    pub fn describe(&self) -> String {
        match self {
            Self::Run => "run".to_owned(),
            Self::Phase => "phase".to_owned(),
            Self::Each { continue_on_failure: false } => "each".to_owned(),
            Self::Each { continue_on_failure: true } => "each, failed items are passed".to_owned(),
            Self::Parallel => "parallel".to_owned(),
            Self::Branch => "branch".to_owned(),
            Self::Attempt => "attempt".to_owned(),
            Self::Lock => "lock".to_owned(),
            Self::Window { budget, reserve, on_over } => {
                let over = match on_over {
                    OnOver::Undo => "goes back by itself",
                    OnOver::Warn => "only warns",
                };
                format!("window, budget {budget}, reserve {reserve}, {over} when it cannot be kept")
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOver {
    /// Go back in time to be done within the budget.
    Undo,
    /// Say so in the receipt and go on.
    Warn,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    pub path: Path,
    pub kind: ScopeKind,
    pub parent: Option<Arc<Scope>>,
    pub guards: Arc<[Guard]>,
}

impl Scope {
    pub fn run() -> Arc<Self> {
        Arc::new(Self { path: Path::root(), kind: ScopeKind::Run, parent: None, guards: Arc::default() })
    }

    pub fn child(self: &Arc<Self>, kind: ScopeKind, name: &str) -> Arc<Self> {
        self.guarded_child(kind, name, Vec::new())
    }

    /// A scope that these watch over.
    pub fn guarded_child(self: &Arc<Self>, kind: ScopeKind, name: &str, guards: Vec<Guard>) -> Arc<Self> {
        Arc::new(Self { path: self.path.child(name), kind, parent: Some(self.clone()), guards: guards.into() })
    }

    /// This scope and those around it, innermost first.
    pub fn outward(&self) -> impl Iterator<Item = &Scope> {
        std::iter::successors(Some(self), |scope| scope.parent.as_deref())
    }

    pub fn depth(&self) -> usize {
        self.outward().count()
    }

    /// The innermost window around here.
    pub fn window(&self) -> Option<&Scope> {
        self.outward().find(|scope| matches!(scope.kind, ScopeKind::Window { .. }))
    }

    /// The innermost lock of this name around here.
    pub fn lock(&self, name: &str) -> Option<&Scope> {
        self.outward().find(|scope| scope.kind == ScopeKind::Lock && scope.path.name() == name)
    }

    /// True inside a function call of `each` or `parallel`.
    pub fn in_branch(&self) -> bool {
        self.outward().any(|scope| scope.kind == ScopeKind::Branch)
    }

    /// Where a step's failure ends up when its retries are used up.
    pub fn catcher(&self) -> Catcher<'_> {
        for scope in self.outward() {
            match scope.kind {
                ScopeKind::Attempt | ScopeKind::Each { continue_on_failure: true } => return Catcher::Caught(scope),
                ScopeKind::Window { .. } => return Catcher::Window(scope),
                _ => {}
            }
        }
        Catcher::Nobody
    }
}

#[derive(Debug, PartialEq)]
pub enum Catcher<'a> {
    /// An `attempt`, or an `each` that passes failed items.
    Caught(&'a Scope),
    /// The window goes back.
    Window(&'a Scope),
    /// The branch holds.
    Nobody,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_goes_to_the_innermost_catcher() {
        let window = ScopeKind::Window {
            budget: Duration::from_secs(90),
            reserve: Duration::from_secs(20),
            on_over: OnOver::Undo,
        };
        let run = Scope::run();
        let phase = run.child(ScopeKind::Phase, "Copy");
        assert_eq!(phase.catcher(), Catcher::Nobody);
        let attempt = phase.child(ScopeKind::Attempt, "maybe");
        let inside = attempt.child(ScopeKind::Phase, "x");
        assert_eq!(inside.catcher(), Catcher::Caught(&attempt));
        let window = attempt.child(window, "pause");
        assert_eq!(window.child(ScopeKind::Phase, "x").catcher(), Catcher::Window(&window));
        assert!(!window.in_branch());
        assert_eq!(window.depth(), 4);
    }
}
