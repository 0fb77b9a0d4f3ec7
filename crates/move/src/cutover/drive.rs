//! Performs a cutover's steps on real servers and tells `steps` what it saw.
//!
//! Owns the sessions, the clock and the record of a cutover. What comes next is never decided here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::fence::{Account, Fence, Probes};
use super::link::{Fault, Link, Reply};
use super::parts::{Gate, Reverse, Stream};
use super::points;
use super::preflight;
use super::register::{Attempt, Change, Server};
use super::steps::{Cutover, Goal, Outcome, Seen, Step, WayBack};
use super::table::Table;
use crate::error::Side;
use crate::position::Position;

/// Between tries of a step that must succeed.
const AGAIN: Duration = Duration::from_millis(20);
/// How long a cutover waits, once all else is well, until the stream is close enough: a busy moment is no reason to give up.
const CLOSE_LIMIT: Duration = Duration::from_secs(20);

/// What a cutover is told.
#[derive(Clone)]
pub struct Plan {
    /// The move's name, at most 40 characters; it names the register's row and the lock on each server.
    pub name: String,
    /// The epoch to decide: one more than the last that was committed.
    pub epoch: u64,
    /// `mysql://user:password@host:port/` of an account that may do everything.
    pub first: String,
    pub second: String,
    /// All accounts that the application writes with, on both servers.
    pub accounts: Vec<Account>,
    pub way_back: WayBack,
    /// c1: time for open transactions to end.
    pub drain: Duration,
    /// D: from the hold on.
    pub deadline: Duration,
}

impl std::fmt::Debug for Plan {
    /// Without the addresses, which hold passwords.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Plan").field("name", &self.name).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Plan {
    /// For what holds no gate: preparing, and finishing what another mover left.
    #[must_use]
    pub fn without_hold(name: &str, epoch: u64, (first, second): (&str, &str), accounts: Vec<Account>) -> Self {
        Self {
            name: name.to_owned(),
            epoch,
            first: first.to_owned(),
            second: second.to_owned(),
            accounts,
            way_back: WayBack::GivenUp,
            drain: Duration::ZERO,
            deadline: Duration::ZERO,
        }
    }

    pub(super) fn url(&self, server: Server) -> &str {
        match server {
            Server::First => &self.first,
            Server::Second => &self.second,
        }
    }

    pub(super) fn target(&self) -> Server {
        Server::of(self.epoch)
    }

    pub(super) fn source(&self) -> Server {
        self.target().other()
    }

    async fn link(&self, side: Side, ends_holder: bool) -> Reply<Link> {
        let server = if side == Side::Source { self.source() } else { self.target() };
        Link::locked(side, self.url(server), &self.name, ends_holder).await
    }
}

/// What came of a cutover.
#[derive(Debug, Clone)]
pub struct Report {
    pub outcome: Outcome,
    pub attempt: Attempt,
    /// When the hold began, by this machine's clock: to find the pause in what others measure.
    pub held_at: Option<SystemTime>,
    /// From the hold until the gates were told, committed or not.
    pub pause: Option<Duration>,
    /// Each step, how long it took, and what it saw.
    pub steps: Vec<(Step, Duration, Seen)>,
    /// Why it went back, or did not begin.
    pub reasons: Vec<String>,
}

/// A cutover under way.
pub struct Driver<'a> {
    plan: Plan,
    gates: Vec<Arc<dyn Gate>>,
    stream: Option<&'a mut dyn Stream>,
    reverse: Option<&'a mut dyn Reverse>,
    table: Table,
    fence: Fence,
    source: Option<Link>,
    target: Option<Link>,
    source_probes: Option<Probes>,
    target_probes: Option<Probes>,
    end: Option<Position>,
    began: Option<Instant>,
    held_at: Option<SystemTime>,
    pause: Option<Duration>,
    reasons: Vec<String>,
    /// Set by whoever wants it to end: taken for a deadline that has passed.
    stop: Arc<AtomicBool>,
}

impl<'a> Driver<'a> {
    #[must_use]
    pub fn new(plan: Plan, gates: Vec<Arc<dyn Gate>>) -> Self {
        let (table, fence) = (Table::new(&plan.name), Fence::new(&plan.accounts));
        Self {
            plan,
            gates,
            stream: None,
            reverse: None,
            table,
            fence,
            source: None,
            target: None,
            source_probes: None,
            target_probes: None,
            end: None,
            began: None,
            held_at: None,
            pause: None,
            reasons: Vec::new(),
            stop: Arc::default(),
        }
    }

    /// Asks for an abort when this is set. Whether it comes in time, the report tells: from c7 on it does not.
    #[must_use]
    pub fn stopped_by(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = stop;
        self
    }

    /// With the stream that a move needs; settling needs none.
    #[must_use]
    pub fn with(mut self, stream: &'a mut dyn Stream, reverse: Option<&'a mut dyn Reverse>) -> Self {
        (self.stream, self.reverse) = (Some(stream), reverse);
        self
    }

    /// Makes the register on both servers, keeps there which accounts the fence locks, and closes the target to the
    /// application.
    ///
    /// # Errors
    /// When a server cannot be used, or somebody else has its lock.
    pub async fn prepare(&mut self) -> Result<(), Fault> {
        let mut source = self.plan.link(Side::Source, false).await?;
        self.table.install(&mut source).await?;
        self.table.keep_accounts(&mut source, &self.plan.accounts).await?;
        let mut target = self.plan.link(Side::Target, false).await?;
        self.table.install(&mut target).await?;
        self.table.keep_accounts(&mut target, &self.plan.accounts).await?;
        if self.table.read(&mut target).await?.committed() < self.plan.epoch {
            self.fence.close(&mut target).await?;
        }
        Ok(())
    }

    /// Cuts over, or settles what an earlier mover left. Ends only when one side is true and open, however long that
    /// takes: a server that is down is waited for.
    pub async fn run(&mut self, goal: Goal) -> Report {
        let mut cut = Cutover::begin(self.plan.epoch, goal, self.plan.way_back);
        let mut steps = Vec::new();
        let outcome = loop {
            if let Step::End(outcome) = cut.step {
                break outcome;
            }
            points::reached("before", cut.step);
            let started = Instant::now();
            let late = if cut.obeys_deadline() { self.late() } else { None };
            let seen = match late {
                Some(why) => self.say(cut.step, why, Seen::Late),
                None => self.perform(&cut).await,
            };
            points::reached("after", cut.step);
            steps.push((cut.step, started.elapsed(), seen));
            let again = matches!(cut.step, Step::Connect | Step::OpenTarget | Step::ProveOpen | Step::CopyRegister);
            if again && seen != Seen::Done {
                tokio::time::sleep(AGAIN).await;
            }
            cut = cut.after(seen);
        };
        self.remove_probes().await;
        let reasons = std::mem::take(&mut self.reasons);
        Report { outcome, attempt: cut.attempt, held_at: self.held_at, pause: self.pause, steps, reasons }
    }

    fn late(&self) -> Option<&'static str> {
        if self.stop.load(Ordering::SeqCst) {
            return Some("somebody asked for an abort");
        }
        let late = self.began.is_some_and(|began| began.elapsed() >= self.plan.deadline);
        late.then_some("the deadline has passed")
    }

    /// Time for one step inside the pause.
    fn quarter(&self) -> Duration {
        self.plan.deadline / 4
    }

    async fn perform(&mut self, cut: &Cutover) -> Seen {
        match self.act(cut).await {
            Ok(seen) => seen,
            Err(Fault::No(why)) => self.say(cut.step, &why, Seen::No),
            Err(Fault::Lost(why)) => {
                let on_target = matches!(cut.step, Step::OpenTarget | Step::ProveOpen | Step::CopyRegister);
                match cut.step {
                    _ if on_target => self.target = None,
                    Step::ArmReverse if self.target.is_none() => return self.say(cut.step, &why, Seen::No),
                    _ => self.source = None,
                }
                self.say(cut.step, &why, Seen::Lost)
            }
        }
    }

    fn say(&mut self, step: Step, why: &str, seen: Seen) -> Seen {
        self.reasons.push(format!("{step:?}: {why}"));
        seen
    }

    async fn act(&mut self, cut: &Cutover) -> Reply<Seen> {
        let (attempt, quarter) = (cut.attempt, self.quarter());
        match cut.step {
            Step::Connect => {
                self.source = None;
                self.source = Some(self.plan.link(Side::Source, cut.goal == Goal::Reopen).await?);
            }
            Step::Look => return Ok(Seen::Row(self.table.read(source(&mut self.source)?).await?)),
            Step::Preflight => return self.preflight().await,
            Step::OpenAttempt => return Ok(Seen::Row(self.table.open_next(source(&mut self.source)?).await?)),
            Step::Hold => return Ok(self.hold(attempt).await),
            Step::LockAccounts => self.fence.lock_accounts(source(&mut self.source)?).await?,
            Step::SetReadOnly => self.fence.set_read_only(source(&mut self.source)?, quarter).await?,
            Step::ProveFence => self.prove_fence().await?,
            Step::ReadEnd => self.end = Some(preflight::position(source(&mut self.source)?).await?),
            Step::WaitApplied => return Ok(self.stream_step(true).await),
            Step::VerifyDirty => return Ok(self.stream_step(false).await),
            Step::ArmReverse => self.arm_reverse(attempt).await?,
            Step::ReadEndAgain => {
                let end = self.end.clone().unwrap_or_default();
                preflight::nothing_after(source(&mut self.source)?, &end).await?;
                if self.plan.way_back == WayBack::GivenUp {
                    self.keep_cut(attempt).await?;
                }
            }
            Step::Commit => return self.change(attempt, Change::Commit).await,
            Step::OpenTarget => self.open_target(attempt).await?,
            Step::ProveOpen => match &mut self.target_probes {
                Some(probes) => probes.write().await?,
                None => return Err(Fault::No("no account of ours to prove it with".to_owned())),
            },
            Step::CopyRegister => self.table.copy(target(&mut self.target)?, attempt).await?,
            Step::ReleaseForward => self.release(attempt, attempt.target()).await,
            Step::KillSessions => {
                self.fence.let_sessions_leave(source(&mut self.source)?).await?;
                self.fence.kill_sessions(source(&mut self.source)?).await?;
            }
            Step::Abort => return self.change(attempt, Change::Abort).await,
            Step::Unfence => self.fence.lift(source(&mut self.source)?).await?,
            Step::RecordReopened => return self.change(attempt, Change::Reopen).await,
            Step::ReleaseBack => self.release(attempt, attempt.source()).await,
            Step::End(_) => {}
        }
        Ok(Seen::Done)
    }

    async fn change(&mut self, attempt: Attempt, change: Change) -> Reply<Seen> {
        Ok(Seen::Row(self.table.change(source(&mut self.source)?, attempt, change).await?))
    }

    async fn preflight(&mut self) -> Reply<Seen> {
        let mut target = self.plan.link(Side::Target, false).await?;
        let source = source(&mut self.source)?;
        let mut refusals = preflight::look(source, &mut target, &self.fence, self.plan.way_back).await?;
        if !self.table.is_there(source).await? || !self.table.is_there(&mut target).await? {
            refusals.push("the registers are not there; prepare the cutover first".to_owned());
        }
        if let (true, Some(stream)) = (refusals.is_empty(), &mut self.stream) {
            refusals.extend(stream.raise_counters().await.err());
        }
        if !refusals.is_empty() {
            self.reasons.extend(refusals);
            return Ok(Seen::No);
        }
        // The target's are made on a server that is read-only: our account may write there.
        let mut probes = Probes::make(source, self.plan.url(self.plan.source()), &self.fence).await?;
        probes.open().await?;
        self.source_probes = Some(probes);
        let url = self.plan.url(self.plan.target());
        self.target_probes = Some(Probes::make(&mut target, url, &self.fence).await?);
        self.target = Some(target);
        // Last of all: what follows is the hold.
        let refusals = self.wait_until_close().await;
        let is_close = refusals.is_empty();
        self.reasons.extend(refusals);
        Ok(if is_close { Seen::Done } else { Seen::No })
    }

    /// What still keeps the stream from ending soon enough; nothing, mostly at once.
    async fn wait_until_close(&mut self) -> Vec<String> {
        let began = Instant::now();
        loop {
            let refusals = self.stream.as_ref().map(|stream| stream.refusals()).unwrap_or_default();
            if refusals.is_empty() || began.elapsed() >= CLOSE_LIMIT || self.stop.load(Ordering::SeqCst) {
                return refusals;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn hold(&mut self, attempt: Attempt) -> Seen {
        (self.began, self.held_at) = (Some(Instant::now()), Some(SystemTime::now()));
        let holds = self.gates.iter().map(|gate| gate.hold(attempt, self.plan.drain, self.plan.deadline));
        let held = tokio::time::timeout(self.plan.deadline, futures_util::future::join_all(holds)).await;
        let failed: Vec<String> = match held {
            Ok(all) => all.into_iter().filter_map(Result::err).collect(),
            Err(_) => vec!["a gate does not answer".to_owned()],
        };
        if failed.is_empty() {
            return Seen::Done;
        }
        self.reasons.extend(failed);
        Seen::No
    }

    async fn prove_fence(&mut self) -> Reply<()> {
        if self.fence.locked(source(&mut self.source)?).await? < self.fence.count() {
            return Err(Fault::No("an account is not locked".to_owned()));
        }
        match &mut self.source_probes {
            Some(probes) => probes.are_refused().await,
            None => Err(Fault::No("no account of ours to prove it with".to_owned())),
        }
    }

    /// c4 and c5.
    async fn stream_step(&mut self, applies: bool) -> Seen {
        let limit = self.plan.deadline.saturating_sub(self.began.map_or(Duration::ZERO, |began| began.elapsed()));
        let limit = if applies { limit } else { limit.min(self.quarter()) };
        let end = self.end.clone().unwrap_or_default();
        let Some(stream) = &mut self.stream else { return Seen::No };
        let work = if applies { stream.wait_applied(&end) } else { stream.verify() };
        match tokio::time::timeout(limit, work).await {
            Ok(Ok(())) => Seen::Done,
            Ok(Err(why)) => {
                self.reasons.push(why);
                Seen::No
            }
            Err(_) => {
                self.reasons.push(format!("not {} in time", if applies { "applied" } else { "compared" }));
                Seen::No
            }
        }
    }

    async fn arm_reverse(&mut self, attempt: Attempt) -> Reply<()> {
        let from = preflight::position(target(&mut self.target)?).await.map_err(|fault| match fault {
            Fault::Lost(why) | Fault::No(why) => Fault::No(why),
        })?;
        if !self.table.keep_reverse(source(&mut self.source)?, attempt, &from).await? {
            return Err(Fault::No("the attempt is decided".to_owned()));
        }
        match &mut self.reverse {
            Some(reverse) => reverse.arm(&from).await.map_err(Fault::No),
            None => Ok(()),
        }
    }

    /// Where there is no way back, where the target stands is kept all the same: TiDB can be audited as it was then.
    async fn keep_cut(&mut self, attempt: Attempt) -> Reply<()> {
        // A target that tells no position cannot be read as it was either.
        let Ok(Some(at)) = preflight::instant(target(&mut self.target)?).await else { return Ok(()) };
        self.table.keep_reverse(source(&mut self.source)?, attempt, &at).await.map(drop)
    }

    async fn open_target(&mut self, attempt: Attempt) -> Reply<()> {
        if self.target.is_none() {
            self.target = Some(self.plan.link(Side::Target, false).await?);
        }
        let link = target(&mut self.target)?;
        // An open of a dead mover must not undo what came after it: the lock is ours, and the row tells.
        if self.table.read(link).await?.lacks(attempt) {
            self.fence.lift(link).await?;
        }
        if self.target_probes.is_none() {
            let url = self.plan.url(self.plan.target());
            self.target_probes = Some(Probes::make(link, url, &self.fence).await?);
        }
        Ok(())
    }

    async fn release(&mut self, attempt: Attempt, to: Server) {
        let released = self.gates.iter().map(|gate| gate.release(attempt, to));
        let limit = tokio::time::timeout(self.plan.deadline, futures_util::future::join_all(released));
        let failed = limit.await.map(|all| all.into_iter().filter_map(Result::err).collect::<Vec<_>>());
        // They read the registers themselves.
        self.reasons.extend(failed.unwrap_or_default());
        self.pause = self.began.map(|began| began.elapsed());
    }

    async fn remove_probes(&mut self) {
        for (probes, link) in
            [(self.source_probes.take(), &mut self.source), (self.target_probes.take(), &mut self.target)]
        {
            if let (Some(probes), Some(link)) = (probes, link.as_mut()) {
                // What stays is made anew by the next mover, with another password.
                let _ = probes.remove(link).await;
            }
        }
        (self.source, self.target) = (None, None);
    }
}

fn source(link: &mut Option<Link>) -> Reply<&mut Link> {
    link.as_mut().ok_or_else(|| Fault::Lost("the session on the source is gone".to_owned()))
}

fn target(link: &mut Option<Link>) -> Reply<&mut Link> {
    link.as_mut().ok_or_else(|| Fault::Lost("the session on the target is gone".to_owned()))
}
