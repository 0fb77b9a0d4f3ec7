//! The world of the cutover's model: two servers, a gate, movers, a client, and what each step does to them.
//!
//! Owns what landing means. What is to be done next is decided by `piton_move::cutover`, as in the code.

use piton_move::cutover::holding::Looks;
use piton_move::cutover::register::{Attempt, Change, Row, Server, State as Decided};
use piton_move::cutover::steps::{Cutover, Goal, Outcome, Seen, Step, WayBack};

use super::cutover::Plant;

/// Who may hold the source's lock: two movers and the gate.
pub(super) const GATE: usize = 2;

/// A write of a client through the gate, or of one beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Write {
    NotYet,
    /// On its way to a server; `false`: the gate that sent it is dead.
    Sent(Server, bool),
    Acknowledged,
    /// The client does not know.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum At {
    Sent,
    Replied(Seen),
}

/// A process with a session on the source: a mover, or the part of a gate that reopens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Actor {
    pub(super) cut: Cutover,
    pub(super) at: At,
    /// Its session stands.
    pub(super) connected: bool,
    /// The end of the log as it read it.
    pub(super) end: u8,
    /// Dead, with a statement that is still to land; its session ends after that.
    pub(super) dead: bool,
}

impl Actor {
    pub(super) fn begin(goal: Goal) -> Self {
        let cut = Cutover::begin(1, goal, WayBack::Armed);
        Self { cut, at: At::Sent, connected: false, end: 0, dead: false }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Open(Server),
    Held(Attempt),
    /// It has just started, or holds for an attempt that it does not know.
    Started,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Gate {
    pub(super) up: bool,
    pub(super) phase: Phase,
    pub(super) looks: Looks,
    /// An abort that it, or an earlier gate, has sent.
    pub(super) abort: Option<Attempt>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) up: bool,
    /// Gone after a restart.
    pub(super) read_only: bool,
    /// Survives.
    pub(super) locked: bool,
    pub(super) row: Row,
    /// What a crash makes of the row, while the last change is seen and not flushed; and whose change it is.
    pub(super) unflushed: Option<(usize, Row)>,
    /// The named lock: whose session it is.
    pub(super) lock: Option<usize>,
    /// An application session beside the gate is open, and its account is among those that are locked.
    pub(super) direct: bool,
    pub(super) listed: bool,
    /// Writes in the order of the log.
    pub(super) log: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) up: bool,
    pub(super) closed: bool,
    pub(super) row: Row,
    /// How much of the source's log is applied.
    pub(super) applied: u8,
    /// How often each write is there.
    pub(super) data: [u8; 2],
    pub(super) armed: bool,
    pub(super) written: bool,
    /// A transaction of a dead mover that nobody has shut out yet.
    pub(super) late: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) source: Source,
    pub(super) target: Target,
    pub(super) gate: Gate,
    /// Movers, and at `GATE` the gate that reopens.
    pub(super) actors: [Option<Actor>; 3],
    /// Dead, with something that may still land.
    pub(super) ghost: Option<(usize, Actor)>,
    pub(super) writes: [Write; 2],
    pub(super) starts: u8,
    pub(super) faults: u8,
    /// A statement of a client was refused that the gate had let pass.
    pub(super) refused: bool,
    /// The commit was seen flushed by its mover.
    pub(super) moved: bool,
}

/// Which server a step speaks to; `None`: the gate.
pub(super) fn speaks_to(step: Step) -> Option<Server> {
    match step {
        Step::Hold | Step::ReleaseForward | Step::ReleaseBack => None,
        Step::WaitApplied | Step::VerifyDirty | Step::ArmReverse => Some(Server::Second),
        Step::OpenTarget | Step::ProveOpen | Step::CopyRegister => Some(Server::Second),
        _ => Some(Server::First),
    }
}

fn decides(step: Step) -> bool {
    matches!(step, Step::OpenAttempt | Step::Commit | Step::Abort | Step::RecordReopened)
}

impl World {
    pub(super) fn new(listed: bool, starts: u8, faults: u8) -> Self {
        Self {
            source: Source {
                up: true,
                read_only: false,
                locked: false,
                row: Row::FIRST,
                unflushed: None,
                lock: None,
                direct: true,
                listed,
                log: vec![],
            },
            target: Target {
                up: true,
                closed: true,
                row: Row::FIRST,
                applied: 0,
                data: [0; 2],
                armed: false,
                written: false,
                late: None,
            },
            gate: Gate { up: true, phase: Phase::Open(Server::First), looks: Looks::default(), abort: None },
            actors: [Some(Actor::begin(Goal::Move)), None, None],
            ghost: None,
            writes: [Write::NotYet; 2],
            starts,
            faults,
            refused: false,
            moved: false,
        }
    }

    /// An account of the application can write there, in an open session or a new one.
    pub(super) fn writable(&self, server: Server) -> bool {
        match server {
            Server::First => {
                let source = &self.source;
                let enters = !source.locked || (source.direct && source.listed);
                source.up && !source.read_only && enters
            }
            Server::Second => self.target.up && !self.target.closed,
        }
    }

    /// The session beside the gate: its account may have been forgotten, which only `read_only` keeps out.
    pub(super) fn direct_writes(&self) -> bool {
        let source = &self.source;
        let enters = source.direct || !source.locked || !source.listed;
        // After the commit a forgotten account can do anything on a restarted source: c0 lists accounts, and warns.
        let in_scope = source.listed || source.row.state != Decided::Committed || source.row.attempt.epoch == 0;
        source.up && !source.read_only && enters && in_scope
    }

    /// A statement of the gate's client arrives.
    pub(super) fn write_lands(&mut self, write: usize, server: Server, answered: bool) {
        let taken = match server {
            Server::First => !self.source.read_only,
            Server::Second => !self.target.closed,
        };
        if taken && server == Server::First {
            self.source.log.push(write as u8);
        } else if taken {
            self.target.data[write] += 1;
            self.target.written = true;
        }
        self.refused |= !taken && answered;
        self.writes[write] = if taken && answered { Write::Acknowledged } else { Write::Unknown };
    }

    fn change(&mut self, by: usize, attempt: Attempt, change: Change, fenced: bool) {
        self.put(by, self.source.row.changed(attempt, change, fenced));
    }

    fn put(&mut self, by: usize, row: Row) {
        if row != self.source.row {
            let before = self.source.unflushed.map_or(self.source.row, |(_, before)| before);
            self.source.unflushed = Some((by, before));
            self.source.row = row;
        }
    }

    /// Whoever has the answer to its change knows it flushed.
    fn flush(&mut self, by: usize) {
        self.source.unflushed = self.source.unflushed.filter(|(author, _)| *author != by);
    }

    pub(super) fn abort_lands(&mut self, attempt: Attempt) {
        self.change(GATE, attempt, Change::Abort, false);
        self.flush(GATE);
    }

    /// Whether a statement can land now. What waits for a lock, a drain or the stream lands when that is over.
    pub(super) fn can_land(&self, who: usize, actor: &Actor, plant: Plant) -> bool {
        let step = actor.cut.step;
        match (step, speaks_to(step)) {
            (Step::Connect, _) => {
                let held = self.source.lock.is_some_and(|by| by != who);
                let waits = held || self.ghost.is_some_and(|(by, ghost)| by == who && ghost.connected);
                self.source.up && (!waits || !plant.waits_for_the_lock())
            }
            (Step::OpenAttempt, _) if self.source.row.attempt.number >= 2 => false,
            (Step::Hold, _) => !self.gate.up || !self.is_held(actor.cut.attempt) || self.drained(),
            (Step::WaitApplied, _) => self.target.up && self.target.applied >= actor.end,
            (_, Some(Server::Second)) => self.target.up,
            // Without a session there is an answer at once: none.
            _ => true,
        }
    }

    fn is_held(&self, attempt: Attempt) -> bool {
        self.gate.phase == Phase::Held(attempt)
    }

    fn drained(&self) -> bool {
        !self.writes.iter().any(|write| matches!(write, Write::Sent(_, true)))
    }

    /// A statement lands; what its sender will be told. `None`: it has begun and goes on.
    pub(super) fn land(&mut self, who: usize, actor: &mut Actor, plant: Plant) -> Option<Seen> {
        let Cutover { attempt, step, .. } = actor.cut;
        if speaks_to(step) == Some(Server::First) && step != Step::Connect && !actor.connected {
            return Some(Seen::Lost);
        }
        let done = Some(Seen::Done);
        let yes = |yes| Some(if yes { Seen::Done } else { Seen::No });
        match step {
            Step::Connect => {
                self.source.lock = Some(who);
                actor.connected = true;
            }
            Step::OpenAttempt => {
                if let Some(row) = self.source.row.next() {
                    self.put(who, row);
                }
            }
            Step::Hold => return self.hold(attempt),
            Step::LockAccounts => self.source.locked = plant != Plant::NoAccountLock,
            Step::SetReadOnly => self.source.read_only = plant != Plant::NoReadOnly,
            Step::ProveFence if matches!(plant, Plant::NoAccountLock | Plant::NoReadOnly) => return done,
            Step::ProveFence => return yes(self.source.read_only && self.source.locked),
            Step::ReadEnd if plant.reads_the_end_early() => {}
            Step::ReadEnd => actor.end = self.source.log.len() as u8,
            Step::ArmReverse => self.target.armed = true,
            Step::ReadEndAgain => {
                return yes(self.source.log.len() as u8 == actor.end || plant == Plant::EarlyEndAndNoSecondLook);
            }
            Step::Commit => {
                let fenced = self.source.read_only || plant == Plant::NoReadOnly;
                self.change(who, attempt, Change::Commit, fenced);
            }
            Step::Abort => self.change(who, attempt, Change::Abort, false),
            Step::Unfence => (self.source.read_only, self.source.locked) = (false, false),
            Step::RecordReopened => self.change(who, attempt, Change::Reopen, false),
            Step::OpenTarget if self.target.row.lacks(attempt) => self.target.closed = false,
            Step::ProveOpen => return yes(!self.target.closed),
            Step::CopyRegister => self.target.row = self.target.row.copied(attempt),
            Step::KillSessions => self.source.direct = false,
            Step::ReleaseForward => self.told(attempt, attempt.target(), plant),
            Step::ReleaseBack => self.told(attempt, attempt.source(), plant),
            _ => {}
        }
        if decides(step) || step == Step::Look { Some(Seen::Row(self.source.row)) } else { done }
    }

    fn hold(&mut self, attempt: Attempt) -> Option<Seen> {
        if !self.gate.up {
            return Some(Seen::No);
        }
        if self.is_held(attempt) {
            return Some(Seen::Done);
        }
        if matches!(self.gate.phase, Phase::Held(_)) {
            return Some(Seen::No);
        }
        self.gate.phase = Phase::Held(attempt);
        self.gate.looks = Looks::default();
        self.drained().then_some(Seen::Done)
    }

    /// The gate hears from a mover what became of an attempt, its own or another.
    fn told(&mut self, attempt: Attempt, server: Server, plant: Plant) {
        let ours = self.is_held(attempt) || plant == Plant::ReleaseNamesNoAttempt;
        if self.gate.up && self.gate.phase != Phase::Open(server) && ours {
            self.gate_opens(server);
        }
    }

    pub(super) fn gate_opens(&mut self, server: Server) {
        self.gate.phase = Phase::Open(server);
        self.gate.looks = Looks::default();
    }

    /// An actor takes its reply and sends what comes next, or ends.
    pub(super) fn go(&mut self, who: usize, seen: Seen, plant: Plant) {
        let Some(mut actor) = self.actors[who].take() else { return };
        if plant != Plant::Unflushed || actor.cut.step != Step::Commit {
            self.flush(who);
        }
        if actor.cut.step == Step::Hold && plant.reads_the_end_early() {
            actor.end = self.source.log.len() as u8;
        }
        actor.cut = plant.after(actor.cut, seen);
        // These change nothing that another could see or break.
        while matches!(actor.cut.step, Step::Preflight | Step::VerifyDirty | Step::ProveOpen) {
            actor.cut = plant.after(actor.cut, Seen::Done);
        }
        actor.at = At::Sent;
        self.moved |= actor.cut.step == Step::OpenTarget;
        if let Step::End(outcome) = actor.cut.step {
            self.moved |= outcome == Outcome::Moved;
            self.unlock(who);
        } else {
            self.actors[who] = Some(actor);
        }
    }

    fn unlock(&mut self, who: usize) {
        if self.source.lock == Some(who) {
            self.source.lock = None;
        }
    }

    /// The sender's end of a statement is gone: it lands yet, or never.
    pub(super) fn orphan(&mut self, who: usize, actor: Actor) {
        self.flush(who);
        if actor.at == At::Sent && speaks_to(actor.cut.step).is_none_or(|server| self.is_up(server)) {
            self.ghost = Some((who, Actor { dead: true, ..actor }));
        } else {
            self.unlock(who);
        }
    }

    pub(super) fn ghost_ends(&mut self) {
        if let Some((who, _)) = self.ghost.take() {
            self.flush(who);
            let again = self.actors[who].is_some_and(|actor| actor.connected);
            if !again {
                self.unlock(who);
            }
        }
    }

    fn is_up(&self, server: Server) -> bool {
        match server {
            Server::First => self.source.up,
            Server::Second => self.target.up,
        }
    }

    /// What was not flushed is lost, and all sessions with what they had sent.
    pub(super) fn source_crashes(&mut self) {
        let source = &mut self.source;
        (source.up, source.read_only, source.direct, source.lock) = (false, false, false, None);
        let author = source.unflushed.map(|(by, _)| by);
        if let Some((_, row)) = source.unflushed.take() {
            source.row = row;
        }
        for (who, actor) in self.actors.iter_mut().enumerate() {
            let Some(actor) = actor else { continue };
            let waits = speaks_to(actor.cut.step) == Some(Server::First) && actor.at == At::Sent;
            // A change is answered when it is flushed, and not before.
            let unanswered = author == Some(who) && decides(actor.cut.step);
            if (waits || unanswered) && actor.connected {
                actor.at = At::Replied(Seen::Lost);
            }
            actor.connected = false;
        }
        if self.ghost.is_some_and(|(_, ghost)| speaks_to(ghost.cut.step) == Some(Server::First)) {
            self.ghost = None;
        }
        self.gate.abort = None;
        self.drop_writes(Server::First);
    }

    pub(super) fn target_crashes(&mut self) {
        self.target.up = false;
        self.target.late = None;
        if self.ghost.is_some_and(|(_, ghost)| speaks_to(ghost.cut.step) == Some(Server::Second)) {
            self.ghost_ends();
        }
        for actor in self.actors.iter_mut().flatten() {
            if actor.at == At::Sent && speaks_to(actor.cut.step) == Some(Server::Second) {
                actor.at = At::Replied(Seen::No);
            }
        }
        self.drop_writes(Server::Second);
    }

    fn drop_writes(&mut self, server: Server) {
        for write in &mut self.writes {
            if matches!(write, Write::Sent(to, _) if *to == server) {
                *write = Write::Unknown;
            }
        }
    }

    pub(super) fn gate_dies(&mut self) {
        let gate = Gate { up: false, phase: Phase::Started, looks: Looks::default(), ..self.gate };
        self.gate = gate;
        if let Some(actor) = self.actors[GATE].take() {
            self.orphan(GATE, actor);
        }
        for write in &mut self.writes {
            if let Write::Sent(to, true) = *write {
                *write = Write::Sent(to, false);
            }
        }
    }
}
