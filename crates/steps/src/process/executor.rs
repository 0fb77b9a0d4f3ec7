//! What the engine asks for: a process action prepared, performed, found again.
//!
//! Owns the order of the steps on the engine's side. Never runs a command itself: supervisors do.

use super::attempt::Attempt;
use super::command::{self, Opener, Terms};
use super::pool::{Pool, Supervisor};
use super::record::said;
use super::remains::{self, Patience};
use super::wire::{self, FromSupervisor, ToSupervisor};
use piton_core::Action;
use piton_core::action::Process;
use piton_core::event::Handle;
use piton_core::outcome::{Failure, FailureKind, Outcome};
use piton_core::ports::{ActionFailed, AttemptContext, Cancel, Prepared, Purpose, Remains};
use piton_core::progress::Said;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Between TERM and KILL, unless configured.
const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// What a supervisor may take beyond the grace, unless configured: it syncs outputs of up to a gigabyte before its record.
const DEFAULT_STUBBORN: Duration = Duration::from_secs(20);

/// Bytes kept of each output, unless configured. A command that says more is telling nobody.
const DEFAULT_OUTPUT_BYTES: u64 = 1 << 30;

/// Supervisors tried for one job. Each that died before it began was ended from outside.
const MAX_SUPERVISORS: u32 = 3;

/// How a supervisor is started: a program that calls `supervise_main`.
#[derive(Clone, Debug)]
pub struct SupervisorCommand {
    pub program: PathBuf,
    pub args: Vec<OsString>,
}

#[derive(Clone)]
pub struct Config {
    pub supervisor: SupervisorCommand,
    /// Between TERM and KILL.
    pub grace: Duration,
    /// Beyond the grace, until a supervisor that was told to end its command is killed with it.
    pub stubborn: Duration,
    /// Bytes kept of each output.
    pub output_bytes: u64,
    pub opener: Arc<dyn Opener>,
}

impl Config {
    pub fn new(supervisor: SupervisorCommand, opener: Arc<dyn Opener>) -> Self {
        Self {
            supervisor,
            grace: DEFAULT_GRACE,
            stubborn: DEFAULT_STUBBORN,
            output_bytes: DEFAULT_OUTPUT_BYTES,
            opener,
        }
    }
}

/// The executor of `sh`, `exec` and `script`. One per engine process; share it.
pub struct Processes {
    pool: Arc<Pool>,
    opener: Arc<dyn Opener>,
    patience: Patience,
    output_bytes: u64,
}

impl Processes {
    pub fn new(config: Config) -> Self {
        let Config { supervisor, grace, stubborn, output_bytes, opener } = config;
        Self { pool: Pool::new(supervisor), opener, patience: Patience { grace, stubborn }, output_bytes }
    }

    /// Starts a spare supervisor in the background. Called when it is known that commands will follow.
    pub fn warm(&self) {
        self.pool.warm();
    }

    /// Makes the attempt's directory and opens its secrets.
    pub fn prepare(&self, process: &Process, context: &AttemptContext) -> Result<Box<dyn Prepared>, Failure> {
        self.pool.warm();
        let again = process.reads || context.purpose == Purpose::Look;
        let attempt = Attempt::create(context, again).map_err(|error| {
            Failure::new(FailureKind::Action, format!("the attempt's directory cannot be made: {error}"))
        })?;
        let grace_ms = u64::try_from(self.patience.grace.as_millis()).unwrap_or(u64::MAX);
        let terms = Terms { grace_ms, output_bytes: self.output_bytes };
        let job = command::job(process, context, &attempt, self.opener.as_ref(), &terms)?;
        let job = wire::frame(&ToSupervisor::Run(Box::new(job)))
            .map_err(|error| Failure::new(FailureKind::Action, format!("the command cannot be sent: {error}")))?;
        let look = context.purpose == Purpose::Look;
        Ok(Box::new(Ready { attempt, job, pool: self.pool.clone(), patience: self.patience, look }))
    }

    /// What became of the attempt in this directory, below the run's. Blocks for seconds at most.
    pub fn remains(&self, dir: &str, context: &AttemptContext) -> Remains {
        match Attempt::of_handle(context, dir) {
            Some(attempt) => remains::of(attempt, self.patience),
            None => Remains::Unprovable(format!("\"{dir}\" is not the directory of an attempt")),
        }
    }

    /// What it has said so far.
    pub fn said(&self, context: &AttemptContext) -> Option<Said> {
        said(&Attempt::current(context).ok()?.dir)
    }
}

/// A command ready to be started.
struct Ready {
    attempt: Attempt,
    /// The framed message, secrets and all. Never written anywhere but into a supervisor's pipe.
    job: Vec<u8>,
    pool: Arc<Pool>,
    patience: Patience,
    look: bool,
}

impl Prepared for Ready {
    fn handle(&self) -> Handle {
        Handle::Supervisor { dir: self.attempt.handle.clone() }
    }

    fn atomic(&self) -> bool {
        false
    }

    fn inverse(&mut self) -> Result<Option<Action>, Failure> {
        Ok(None)
    }

    fn perform(self: Box<Self>, cancel: &Cancel) -> Result<Outcome, ActionFailed> {
        let told = self.run(cancel);
        let kept = matches!(&told, Ok(outcome) | Err(ActionFailed { outcome: Some(outcome), .. })
            if !outcome.artifacts.is_empty());
        if self.look && !kept {
            // Nobody journals a look, and a poll makes thousands.
            let _ = fs::remove_dir_all(&self.attempt.dir);
        }
        told
    }
}

fn never_began(kind: FailureKind, message: String) -> ActionFailed {
    ActionFailed { never_began: true, ..Failure::new(kind, message).into() }
}

impl Ready {
    fn run(&self, cancel: &Cancel) -> Result<Outcome, ActionFailed> {
        let mut last = String::new();
        for _ in 0..MAX_SUPERVISORS {
            if let Some(reason) = cancel.reason() {
                return Err(never_began(FailureKind::Stopped, format!("not started: {reason}")));
            }
            let mut supervisor = self
                .pool
                .take()
                .map_err(|error| never_began(FailureKind::Action, format!("no supervisor can be started: {error}")))?;
            let patience = self.patience.grace + self.patience.stubborn;
            match supervisor.run(&self.job, &self.attempt.id, cancel, patience) {
                Ok(FromSupervisor::Done { record, retires }) => {
                    let told = record.told(&self.attempt);
                    if retires {
                        self.pool.let_go(supervisor);
                    } else {
                        self.pool.give_back(supervisor);
                    }
                    return told;
                }
                Ok(FromSupervisor::Refused { why }) => {
                    self.pool.give_back(supervisor);
                    return Err(never_began(FailureKind::Action, format!("the supervisor refused it: {why}")));
                }
                Err(error) => match self.lost(supervisor, &error) {
                    Some(told) => return told,
                    None => last = error.to_string(),
                },
            }
        }
        Err(never_began(FailureKind::Action, format!("{MAX_SUPERVISORS} supervisors died before it began: {last}")))
    }

    /// Its supervisor died. `None`: before the command began, and another may try.
    fn lost(&self, supervisor: Supervisor, error: &io::Error) -> Option<Result<Outcome, ActionFailed>> {
        let buried = supervisor.bury();
        if buried.is_ok() && matches!(self.attempt.claimed_by_anyone(), Ok(false)) {
            return None;
        }
        let died = |rest: &str| {
            let failure = Failure::new(FailureKind::Action, format!("its supervisor died ({error}); {rest}"));
            failure
                .hint("somebody or something killed it: look at the machine's log, also for its out-of-memory killer")
        };
        let unknown = |rest: &str| Err(ActionFailed { unknown: true, ..died(rest).into() });
        Some(match remains::of(self.attempt.clone(), self.patience) {
            Remains::Exited(told) => told,
            Remains::NeverBegan => Err(ActionFailed { never_began: true, ..died("the command never began").into() }),
            Remains::Gone => unknown("what was left of the command was ended"),
            Remains::Running(_) => unknown("yet its lock is still held"),
            Remains::Unprovable(why) => unknown(&why),
        })
    }
}
