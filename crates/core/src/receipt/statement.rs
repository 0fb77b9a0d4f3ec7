//! The statement: what a receipt says, as types. An in-toto Statement v1 with Piton's predicate.
//!
//! Owns the shape and its JSON, byte for byte the same for the same journal. Filled in by `tell`, a pure function of
//! the journal. Changing what is told for an old journal makes receipts of old runs invalid: that takes a new
//! `PREDICATE_TYPE`, and a recorded receipt in the tests tells when it happens unnoticed.
//! Never holds a secret: parameters are references, texts in the journal are masked.

use super::envelope::Envelope;
use super::key::SigningKey;
use super::time::Instant;
use crate::child::Parent;
use crate::digest::Digest;
use crate::duration::Duration;
use crate::event::{Attach, Evidence, Finish, How, Rehearsal, UndoReason};
use crate::guard::{GuardTold, Then};
use crate::hold::HoldReason;
use crate::ids::{Actor, RunId};
use crate::outcome::{Failure, FailureKind};
use crate::path::Path;
use crate::record::{RecordError, Sealed};
use crate::request::{Ask, StepKind};
use crate::value::Value;
use serde::Serialize;

pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
pub const PREDICATE_TYPE: &str = "https://piton.dev/receipt/v1";

#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    #[error("the journal is empty: nothing was run")]
    Empty,
    #[error("the journal does not begin with the start of a run")]
    NotStarted,
    #[error("the journal is of format {format}, and this version of Piton reads up to {known}")]
    TooNew { format: u32, known: u32 },
    #[error("the journal cannot be told: {why}")]
    Unbounded { why: String },
    #[error("the outcome in record {seq} cannot be read by this version of Piton")]
    Outcome { seq: u64, source: serde_json::Error },
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("the receipt cannot be written")]
    Json(#[from] serde_json::Error),
    #[error("the receipt would have {bytes} bytes; at most {limit} can be verified")]
    TooLarge { bytes: usize, limit: usize },
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statement {
    #[serde(rename = "_type")]
    pub statement_type: &'static str,
    pub subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    pub predicate_type: &'static str,
    pub predicate: Predicate,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Subject {
    pub name: String,
    pub digest: Sha256,
}

/// in-toto's digest set with its one algorithm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sha256 {
    pub sha256: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Predicate {
    pub run: RunTold,
    pub runbook: RunbookTold,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Digest>,
    pub started_by: Actor,
    /// In the signature's order; a secret is its reference.
    pub params: Vec<ParamTold>,
    pub secrets: Vec<SecretTold>,
    /// Every life of an engine that drove the run, take-overs by a watchdog among them.
    pub engines: Vec<EngineTold>,
    pub counts: Counts,
    /// One entry for each generation of each step, in the order in which the journal first names them.
    pub steps: Vec<StepTold>,
    /// Failures that an `attempt` or an `each` caught.
    pub caught: Vec<CaughtTold>,
    pub windows: Vec<WindowTold>,
    pub commit_points: Vec<CommitPointTold>,
    pub questions: Vec<QuestionTold>,
    /// Everything people decided, asked for and answered.
    pub people: Vec<PersonTold>,
    pub holds: Vec<HoldTold>,
    pub undos: Vec<UndoTold>,
    /// What watched over scopes. Left out where nothing did, as in journals of versions without guards; locks likewise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<GuardRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<LockRow>,
    pub emitted: Vec<EmittedTold>,
    pub notes: Vec<NoteTold>,
    pub chain: ChainTold,
    /// The records as stored: everything above can be computed from them, and verification does.
    pub journal: Vec<Sealed>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunTold {
    pub id: RunId,
    pub title: String,
    /// `running`, `waiting`, `held`, `undoing`, `succeeded`, `aborted` or `undone`, as of the last record.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Rehearsal>,
    /// The step that started it, where it is a child run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// Version of Piton that started it.
    pub piton: String,
    pub started_at: Instant,
    pub last_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<Finish>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunbookTold {
    pub file: String,
    pub digest: Digest,
    pub sources: Vec<SourceTold>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceTold {
    pub path: String,
    pub digest: Digest,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParamTold {
    pub name: String,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SecretTold {
    pub name: String,
    pub source: String,
    /// HMAC-SHA256 of the value under the store's key: tells a changed value, and nothing of the value.
    pub keyed_hash: Digest,
    pub record: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EngineTold {
    pub reason: Attach,
    pub host: String,
    pub pid: u32,
    pub boot_id: String,
    pub fence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// Version of Piton that drove.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub piton: Option<String>,
    pub at: Instant,
    pub record: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Different paths.
    pub steps: u64,
    /// Done and not taken back; the seven after it say how and add up to it.
    pub done: u64,
    pub performed: u64,
    pub already_true: u64,
    pub recovered: u64,
    pub adopted: u64,
    pub said_done: u64,
    pub waived: u64,
    pub kept: u64,
    /// Taken back, and not done again since.
    pub undone: u64,
    pub failed: u64,
    pub held: u64,
    /// In flight when an edit left them out, or done and left out behind it.
    #[serde(skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// Attempts of actions, whatever became of them.
    pub attempts: u64,
    pub undo_attempts: u64,
    pub failed_undo_attempts: u64,
    pub take_overs: u64,
    pub windows: u64,
    pub windows_over_budget: u64,
    pub windows_gone_back: u64,
}

/// Receipts made before steps could be dropped say nothing of it, and are as valid.
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    Done,
    Failed,
    Held,
    Running,
    Waiting,
    /// An edit's runbook has it no more, and a person keeps what it may have done.
    Dropped,
    Undone,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepTold {
    pub path: Path,
    pub generation: u32,
    pub kind: StepKind,
    /// `file:line:column` of the call.
    pub at: String,
    pub status: StepStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub how: Option<How>,
    /// What it did, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// What came back, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// What its postcondition saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    pub fingerprint: Digest,
    pub started_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// What would take it back, latest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<String>,
    pub attempts: Vec<AttemptTold>,
    pub record: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    Succeeded,
    Failed,
    /// The journal does not say how it ended.
    Open,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttemptTold {
    pub attempt: u32,
    pub end: AttemptEnd,
    /// When its intent was durable. Reads have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Proven to have had no effect.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub never_began: bool,
    /// The child run that it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub child: Option<ChildTold>,
}

/// A child run; its own receipt tells what it did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChildTold {
    pub run: RunId,
    /// How it ended, its records then, and the hash of the last: absent where this journal does not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub how: Option<Finish>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Digest>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CaughtTold {
    pub scope: Path,
    pub failures: Vec<CaughtItem>,
    pub at: Instant,
    pub record: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CaughtItem {
    pub key: String,
    pub kind: FailureKind,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WindowTold {
    pub path: Path,
    pub generation: u32,
    /// Milliseconds, as declared.
    pub budget: Duration,
    pub reserve: Duration,
    pub opened_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_budget: Option<bool>,
    /// False: a reboot lay between, and the wall clock told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_boot: Option<bool>,
    /// Why it went back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub going_back: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub went_back: Option<bool>,
    /// What going back took, where a rehearsal turned round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rehearsed_back_us: Option<u64>,
    pub committed: bool,
    /// Engines that took over while it was open.
    pub take_overs: u64,
    pub record: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CommitPointTold {
    pub path: Path,
    pub at: Instant,
    pub record: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QuestionTold {
    pub path: Path,
    pub ask: Ask,
    /// Hash of what was shown.
    pub shown: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Instant>,
    pub at: Instant,
    pub record: u64,
}

/// What a person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Did {
    Approved,
    Rejected,
    FilledIn,
    SaidDone,
    ChoseRetry,
    ChoseDone,
    ChoseNotDone,
    ChoseWaive,
    ChoseKeep,
    ChoseRedo,
    ChoseDepart,
    AskedUndo,
    AskedRedo,
    AskedAbort,
    BrokeLock,
    Resumed,
    Edited,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PersonTold {
    pub who: Actor,
    pub did: Did,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Path>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<ParamTold>,
    /// Hash of what they saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saw: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    pub at: Instant,
    pub record: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HoldTold {
    /// Absent: the run itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Path>,
    pub reason: HoldReason,
    pub text: String,
    pub at: Instant,
    pub record: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UndoTold {
    pub scope: Path,
    pub reason: UndoReason,
    pub began_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Instant>,
    /// In the order in which they were performed.
    pub steps: Vec<UndoneTold>,
    pub record: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UndoneTold {
    pub path: Path,
    pub generation: u32,
    pub undone: bool,
    pub attempts: Vec<UndoAttemptTold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UndoAttemptTold {
    pub attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Absent: it could not even be prepared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GuardRow {
    pub path: Path,
    #[serde(flatten)]
    pub guard: GuardTold,
    pub trips: Vec<TripTold>,
    pub record: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TripTold {
    pub saw: String,
    /// In a row.
    pub failures: u32,
    pub then: Then,
    pub at: Instant,
    /// When it passed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub armed_at: Option<Instant>,
    pub record: u64,
}

/// One time that a scope held a lock, or wanted it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LockRow {
    pub path: Path,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Instant>,
    /// A person took it away.
    pub broken: bool,
    /// Whom it waited for.
    pub waits: Vec<WaitTold>,
    pub record: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WaitTold {
    pub held_by: RunId,
    pub held_at: Path,
    /// Present: it did not wait, since that would never have ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadlock: Option<String>,
    pub at: Instant,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EmittedTold {
    pub path: Path,
    pub name: String,
    pub value: Value,
    pub at: Instant,
    pub record: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NoteTold {
    pub path: Path,
    pub markdown: String,
    pub at: Instant,
    pub record: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChainTold {
    pub records: u64,
    pub head: Digest,
    /// How a record's hash is made.
    pub rule: &'static str,
}

pub(super) const CHAIN_RULE: &str = "sha256(previous hash (32 bytes; zeros at first), seq u64, at.wall_us i64, at.boot_us u64, fence u64 (big-endian), body)";

impl Statement {
    /// What the journal says, all of it. The same journal gives the same bytes, whoever asks and whenever.
    pub fn from_journal(sealed: &[Sealed]) -> Result<Self, ReceiptError> {
        let records = crate::record::open_all(sealed)?;
        super::limits::check(&records).map_err(|why| ReceiptError::Unbounded { why })?;
        super::tell::tell(&records, sealed)
    }

    /// The payload that is signed.
    pub fn to_json(&self) -> Result<Vec<u8>, ReceiptError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// This statement in a signed envelope.
    pub fn seal(&self, key: &SigningKey) -> Result<Envelope, ReceiptError> {
        Ok(Envelope::seal(&self.to_json()?, key))
    }

    /// The receipt: the bytes of the signed envelope.
    pub fn sign(&self, key: &SigningKey) -> Result<Vec<u8>, ReceiptError> {
        let bytes = self.seal(key)?.to_bytes()?;
        let limit = super::limits::MAX_ENVELOPE_BYTES;
        if bytes.len() > limit {
            return Err(ReceiptError::TooLarge { bytes: bytes.len(), limit });
        }
        Ok(bytes)
    }
}
