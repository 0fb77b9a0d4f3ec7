//! The executor of all actions: which file performs which, and the choke point that masks what comes of them.
//!
//! Owns the dispatch. An action is one variant, one arm here, one file. Never performs anything itself.

use crate::db::Databases;
use crate::files::{self, WriteReady};
use crate::masking::{self, Masked};
use crate::process::Processes;
use crate::stop::Stop;
use crate::vault::Vault;
use crate::{http, plain, query, sql};
use piton_core::event::Handle;
use piton_core::outcome::{Failure, FailureKind, Outcome};
use piton_core::ports::{ActionFailed, AttemptContext, Cancel, Clock, Executor, Prepared, Remains};
use piton_core::progress::Said;
use piton_core::{Action, Duration};
use std::sync::Arc;

/// Performs actions. One per engine process.
pub struct Executors {
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    processes: Processes,
    databases: Arc<Databases>,
}

impl Executors {
    /// `processes` has to open secrets through the same vault.
    pub fn new(vault: Arc<Vault>, clock: Arc<dyn Clock>, processes: Processes) -> Self {
        Self { vault, clock, processes, databases: Arc::default() }
    }

    /// Starts a spare supervisor in the background. Called when it is known that commands will follow.
    pub fn warm(&self) {
        self.processes.warm();
    }

    fn ready(&self, action: &Action, context: &AttemptContext) -> Result<Box<dyn Prepared>, Failure> {
        let (vault, databases, clock) = (self.vault.clone(), self.databases.clone(), self.clock.clone());
        let look =
            |work: Work| Ok(Box::new(Immediate { work, timeout: context.timeout, atomic: false }) as Box<dyn Prepared>);
        match action.clone() {
            Action::Process(process) => self.processes.prepare(&process, context),
            Action::Sql(sql) => sql::prepare(&sql, context, &vault, &databases),
            Action::Query(query) => {
                let context = context.clone();
                look(Box::new(move |stop| query::run(&query, &context, stop, &vault, &databases).map_err(Into::into)))
            }
            Action::Http(http) => look(Box::new(move |stop| http::run(&http, stop, &vault))),
            Action::WriteFile(write) => Ok(Box::new(WriteReady::prepare(&write, context, &vault)?)),
            Action::ReadFile { path } => {
                let root = context.root.clone();
                look(Box::new(move |_| files::read(&path, &root).map_err(Into::into)))
            }
            Action::RestoreFile { path, backup } => {
                let root = context.root.clone();
                let work: Work = Box::new(move |_| files::restore(&path, backup.as_deref(), &root).map_err(Into::into));
                Ok(Box::new(Immediate { work, timeout: None, atomic: true }))
            }
            Action::Noop { value } => look(Box::new(move |_| Ok(plain::noop(&value)))),
            Action::Now => look(Box::new(move |_| Ok(plain::now(&*clock)))),
            Action::NewId => look(Box::new(move |_| Ok(plain::new_id(&*clock)))),
            Action::Run(_) | Action::UndoRun { .. } => {
                Err(Failure::new(FailureKind::Action, "a bug in Piton: a child run is not an executor's"))
            }
            Action::Env { variable } => look(Box::new(move |_| plain::env(&variable).map_err(Into::into))),
        }
    }
}

impl Executor for Executors {
    fn prepare(&self, action: &Action, context: &AttemptContext) -> Result<Box<dyn Prepared>, Failure> {
        let inner = self.ready(action, context).map_err(|failure| masking::failure(failure, &self.vault))?;
        Ok(Box::new(Masked { inner, vault: self.vault.clone() }))
    }

    fn remains(&self, action: &Action, handle: &Handle, context: &AttemptContext) -> Remains {
        let remains = match (action, handle) {
            (_, Handle::Supervisor { dir }) => self.processes.remains(dir, context),
            (Action::Sql(sql), _) => sql::remains(sql, handle, context, &self.vault, &self.databases),
            (Action::WriteFile(write), Handle::Engine) => {
                files::sweep(write, context);
                Remains::Gone
            }
            // It ended with its engine, which the lease has proven dead.
            (_, Handle::Engine) => Remains::Gone,
            (_, Handle::Run { .. }) => {
                Remains::Unprovable("a bug in Piton: a child run is not an executor's".to_owned())
            }
            (_, Handle::Session { .. }) => {
                Remains::Unprovable(format!("its journal names a database session, and {} has none", action.verb()))
            }
        };
        masking::remains(remains, &self.vault)
    }

    fn said(&self, context: &AttemptContext) -> Option<Said> {
        let said = self.processes.said(context)?;
        Some(Said { line: said.line.map(|line| masking::text(line, &self.vault)), ..said })
    }
}

type Work = Box<dyn FnOnce(&Stop<'_>) -> Result<Outcome, ActionFailed> + Send>;

/// An action that is performed in one call on the engine's own thread, and dies with it.
struct Immediate {
    work: Work,
    timeout: Option<Duration>,
    atomic: bool,
}

impl Prepared for Immediate {
    fn handle(&self) -> Handle {
        Handle::Engine
    }

    fn atomic(&self) -> bool {
        self.atomic
    }

    fn inverse(&mut self) -> Result<Option<Action>, Failure> {
        Ok(None)
    }

    fn perform(self: Box<Self>, cancel: &Cancel) -> Result<Outcome, ActionFailed> {
        let stop = Stop::new(cancel, self.timeout);
        match stop.why() {
            Some(failure) => Err(ActionFailed { never_began: true, ..failure.into() }),
            None => (self.work)(&stop),
        }
    }
}
