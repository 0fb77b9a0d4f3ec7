//! Events: everything a journal can say.
//!
//! Owns the vocabulary and its JSON. An event's meaning is in `state` (what it changes) and in `receipt` (what is told).
//! Never holds a secret's value: actions carry references, texts are masked before they get here.
//!
//! Compatibility: journals outlive versions. Add variants and optional fields; never rename or reuse one.

use crate::action::{Action, Effect};
use crate::child::{ChildStands, Parent};
use crate::digest::Digest;
use crate::duration::Duration;
use crate::guard::{GuardTold, Then};
use crate::hold::{Choice, Decision, HoldReason};
use crate::ids::{Actor, EngineId, RunId};
use crate::outcome::{Failure, Outcome};
use crate::path::Path;
pub use crate::rehearsal::Rehearsal;
use crate::request::{Ask, Site, StepKind};
use crate::scope::ScopeKind;
pub use crate::stored::Stored;
use crate::value::Value;
use serde::{Deserialize, Serialize};

/// Version of this vocabulary. A journal with a newer one is refused, not guessed.
pub const FORMAT: u32 = 1;

// Externally tagged: the only enum form through which serde passes raw JSON unbuffered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    RunStarted(Box<RunStarted>),
    /// An engine holds the lease and drives the run from here.
    EngineAttached(EngineAttached),
    /// A person goes on with the runbook as they changed it.
    RunEdited(Box<RunEdited>),
    /// First use of a secret in this run.
    SecretSeen(SecretSeen),

    ScopeEntered(ScopeEntered),
    ScopeLeft {
        path: Path,
    },
    /// The end of a scope that catches failures; replay answers from it.
    ScopeSettled(ScopeSettled),

    /// Intent, durable before the effect.
    AttemptStarted(Box<AttemptStarted>),
    AttemptFailed(Box<AttemptFailed>),
    StepSucceeded(Box<StepSucceeded>),
    StepHeld(StepHeld),
    /// A person's decision about a held step.
    Decided(Decided),

    PersonAsked(Box<PersonAsked>),
    PersonAnswered(Box<PersonAnswered>),
    /// `wait` and `poll`: when it is due at the latest.
    TimerSet(TimerSet),

    CommitPointPassed {
        path: Path,
    },
    WindowOpened(WindowOpened),
    WindowGoingBack {
        path: Path,
        generation: u32,
        why: String,
        /// A rehearsal turns round here: nothing went wrong.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        rehearsed: bool,
    },
    WindowClosed(WindowClosed),

    /// A guard's check failed more often in a row than it tolerates.
    GuardTripped(Box<GuardTripped>),
    /// A guard that had tripped has passed: it may trip again.
    GuardArmed {
        path: Path,
        saw: String,
    },

    ChildStands(ChildStands),

    /// The lock is this scope's until the scope ends or a person breaks it.
    LockTaken {
        path: Path,
        name: String,
    },
    /// Another scope holds the lock.
    LockAwaited(LockAwaited),
    /// A person took the lock away: nothing more starts before it is taken again.
    LockBroken {
        path: Path,
        name: String,
        decision: Decision,
    },

    UndoBegan(UndoBegan),
    UndoStarted(Box<UndoStarted>),
    UndoFailed(UndoFailed),
    StepUndone {
        path: Path,
        generation: u32,
    },
    UndoFinished {
        scope: Path,
    },

    Emitted {
        path: Path,
        name: String,
        value: Value,
    },
    Noted {
        path: Path,
        markdown: String,
    },

    /// Messages up to this id are taken into account, by the events of the same append.
    InboxRead {
        up_to: u64,
    },
    AbortAsked {
        by: Actor,
        why: Option<String>,
    },
    RunHeld {
        reason: HoldReason,
    },
    /// A person told the run to go on; run-level holds end.
    RunResumed {
        by: Actor,
    },
    RunFinished {
        how: Finish,
        value: Option<Stored<Value>>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    pub format: u32,
    pub run: RunId,
    pub runbook: Runbook,
    /// Parameters in the signature's order; secrets as references.
    pub params: Vec<(String, Value)>,
    pub by: Actor,
    /// Version of Piton that started it.
    pub piton: String,
    /// Digest of the approved plan it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Digest>,
    /// On stand-in systems, says who started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Rehearsal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
}

/// An edit: what is evaluated from here on, and what its author was shown before anything ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEdited {
    pub runbook: Runbook,
    /// As the edited signature has them.
    pub params: Vec<(String, Value)>,
    pub decision: Decision,
    /// Done, and another action now: each is held until a person keeps it or has it redone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<Path>,
    /// Done, and no longer visited: kept, or taken back already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphaned: Vec<Path>,
    /// New, before what is done already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inserted: Vec<Path>,
    /// Scopes of which only the run itself can tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undetermined: Vec<Path>,
    /// Questions that are asked again: their answers were about something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks_again: Vec<Path>,
    /// Done, and their new postconditions do not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubted: Vec<Doubt>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    pub path: Path,
    pub evidence: Evidence,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runbook {
    /// The project's root directory, absolute: relative paths of actions start here.
    pub root: String,
    /// The file with `main`, below the root.
    pub file: String,
    /// First line of its docstring, else the file's name.
    pub title: String,
    /// Digest of the snapshot: every source and script with its own digest.
    pub digest: Digest,
    /// Path below the root and digest of each.
    pub sources: Vec<(String, Digest)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineAttached {
    pub engine: EngineId,
    pub reason: Attach,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// Version of Piton that drives from here. Absent in journals of versions that did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub piton: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attach {
    Started,
    Resumed,
    /// The watchdog of an open window became the engine.
    TookOver,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSeen {
    pub name: String,
    pub source: String,
    /// HMAC-SHA256 of the value under the store's key.
    pub keyed_hash: Digest,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScopeEntered {
    pub path: Path,
    pub kind: ScopeKind,
    /// Number of branches, where it has branches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What watches over it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<GuardTold>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardTripped {
    /// The guard's: its name within its scope.
    pub path: Path,
    /// What it looked at, in one line.
    pub check: String,
    pub saw: String,
    pub limit: String,
    /// Failures in a row.
    pub failures: u32,
    pub then: Then,
    pub site: Site,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockAwaited {
    /// The scope that wants it.
    pub path: Path,
    pub name: String,
    pub held_by: RunId,
    pub held_at: Path,
    /// Wall clock, microseconds: since when the other has it.
    pub since_us: i64,
    /// Absent: it waits. Present: waiting would never end, and why; the run holds instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlock: Option<String>,
}

impl std::fmt::Display for GuardTripped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { check, saw, limit, failures, .. } = self;
        write!(f, "the guard \"{}\" tripped: {check} gave {saw}, and must be {limit}", self.path.name())?;
        if *failures > 1 { write!(f, " ({failures} failures in a row)") } else { Ok(()) }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScopeSettled {
    pub path: Path,
    /// What the scope gave, where nothing in it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Stored<Value>>,
    /// Key and failure of each failed item, in item order; an `attempt` has the empty key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<(String, Failure)>,
}

/// Whether an interrupted action may be performed again when `ensures` cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Again {
    /// It only reads.
    Read,
    /// It happens whole or not at all.
    Atomic,
    /// The author's word, or an action that gives the same however often it is performed.
    Repeatable,
    Never,
}

impl Again {
    /// Where nothing could be learnt about what the interrupted attempt did.
    pub fn without_probe(self) -> bool {
        matches!(self, Self::Read | Self::Repeatable)
    }

    /// Where a look says that it has not happened, or not wholly.
    pub fn allowed(self) -> bool {
        !matches!(self, Self::Never)
    }
}

/// How a later engine finds out what became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Handle {
    /// It ends with the engine's own process: proven by holding the lease.
    Engine,
    /// A supervised process; directory of its claim, lock, outputs and exit record, below the run's directory.
    Supervisor { dir: String },
    /// A database session that holds a named lock for as long as it lives.
    Session { id: u64, lock: String, since: Option<String> },
    /// A child run, which need not exist yet: its id is durable before it is created.
    Run { run: RunId },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptStarted {
    pub path: Path,
    pub generation: u32,
    /// From 1 within the generation.
    pub attempt: u32,
    pub fingerprint: Digest,
    pub kind: StepKind,
    pub site: Site,
    pub action: Action,
    /// What takes it back, were nothing more known than now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Action>,
    pub handle: Handle,
    pub again: Again,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptFailed {
    pub path: Path,
    pub generation: u32,
    pub attempt: u32,
    pub fingerprint: Digest,
    pub kind: StepKind,
    pub site: Site,
    pub failure: Failure,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Stored<Outcome>>,
    /// Wall clock, microseconds: when the next attempt may start. Absent: retries are used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at_us: Option<i64>,
    /// True where it is proven that the action never began: nothing to undo.
    #[serde(default)]
    pub never_began: bool,
}

/// How a step came to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    Performed,
    /// `ensures` held before anything was done; nothing to undo.
    AlreadyTrue,
    /// After a crash, `ensures` showed that the interrupted attempt had done it.
    Recovered,
    /// The supervisor's exit record, or the still running command, told a later engine.
    Adopted,
    /// A person said it is done.
    SaidDone,
    Waived,
    /// A person kept what another action had done.
    Kept,
}

/// What a check saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub check: String,
    pub saw: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepSucceeded {
    pub path: Path,
    pub generation: u32,
    /// The attempt that did it; 0 where none of this generation began.
    pub attempt: u32,
    pub fingerprint: Digest,
    pub kind: StepKind,
    /// What its action does by its form. Absent where it has none (a wait, a question), and in journals of versions that
    /// did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    pub site: Site,
    pub how: How,
    pub outcome: Stored<Outcome>,
    /// What takes it back, now that its outcome is known. Absent: that of `AttemptStarted` stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Action>,
    /// What it did, for steps without an `AttemptStarted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepHeld {
    pub path: Path,
    pub generation: u32,
    pub kind: StepKind,
    pub site: Site,
    pub reason: HoldReason,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    pub path: Path,
    pub choice: Choice,
    pub decision: Decision,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PersonAsked {
    pub path: Path,
    pub fingerprint: Digest,
    pub site: Site,
    pub ask: Ask,
    /// Hash of what is shown: the ask, the runbook's digest, the plan of what remains.
    pub shown: Digest,
    /// Wall clock, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_us: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    Approve,
    Reject,
    Fields {
        fields: Vec<(String, Value)>,
    },
    /// A manual step is done, says the person.
    Done,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PersonAnswered {
    pub path: Path,
    pub answer: Answer,
    pub decision: Decision,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerSet {
    pub path: Path,
    pub kind: StepKind,
    pub fingerprint: Digest,
    pub site: Site,
    /// Wall clock, microseconds.
    pub due_at_us: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowOpened {
    pub path: Path,
    pub generation: u32,
    pub budget: Duration,
    pub reserve: Duration,
    pub boot_id: String,
    /// Process that takes over when the engine dies.
    pub watchdog_pid: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowClosed {
    pub path: Path,
    pub generation: u32,
    pub went_back: bool,
    /// From the first step's start to the last step's end, microseconds.
    pub measured_us: u64,
    /// False: a reboot lay between, so the wall clock had to tell.
    pub same_boot: bool,
    pub within_budget: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum UndoReason {
    Asked {
        decision: Decision,
    },
    Window {
        window: Path,
        why: String,
    },
    Redo {
        step: Path,
        decision: Decision,
    },
    /// A guard with `on_trip = "undo"` tripped.
    Guard {
        guard: Path,
        why: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoBegan {
    /// Everything in this scope is taken back.
    pub scope: Path,
    pub reason: UndoReason,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UndoStarted {
    pub path: Path,
    pub generation: u32,
    /// From 1 for this step's undo.
    pub attempt: u32,
    pub action: Action,
    pub handle: Handle,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UndoFailed {
    pub path: Path,
    pub generation: u32,
    pub attempt: u32,
    pub failure: Failure,
    /// Absent: the undo holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at_us: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    Succeeded,
    /// Ended by a person; what was done stays.
    Aborted,
    /// Everything that could be taken back was.
    Undone,
}
