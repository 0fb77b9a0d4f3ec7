//! What each command of the protocol means to the gate.

use std::sync::atomic::Ordering;

use crate::config::{COMMAND_BYTES, PREPARED_TEXT_BYTES};
use crate::error::{BackendError, Ended};
use crate::shared::Shared;
use crate::slot::Standing;
use crate::sql::{Kill, LOOK_BYTES, Notes, Pins, Units, look};
use crate::wire::capabilities::status;
use crate::wire::command::{self, Answer};
use crate::wire::packet::{HEADER, MAX_PAYLOAD, Malformed, Reader, framed, header, length};
use crate::wire::reply::{self, code};

use super::front::Front;
use super::statements::Prepared;
use super::{Carried, Session};

/// Bytes of an execution before its parameters' null bits: command, number, flags, iterations.
const EXECUTE_HEAD: usize = 10;

impl Session {
    /// Does what the client's next command asks.
    pub(super) async fn command(&mut self) -> Result<(), Ended> {
        let (size, sequence) = header(self.input.filled()).ok_or(Malformed("no command"))?;
        let number = self.input.filled()[HEADER];
        if sequence != 0 {
            return Err(self.refuse(0, code::PACKETS_OUT_OF_ORDER, "08S01", "Got packets out of order").await);
        }
        self.count();
        match number {
            command::QUIT => Err(Ended::ClientLeft),
            command::PING => {
                self.discard().await?;
                Ok(self.client.send(&reply::okay(1, self.status)).await?)
            }
            command::QUERY => self.query(size).await,
            command::STMT_PREPARE => self.prepare(size).await,
            command::STMT_EXECUTE => self.execute(size).await,
            command::STMT_FETCH => self.fetch(size).await,
            command::STMT_SEND_LONG_DATA => self.long_data(size).await,
            command::STMT_CLOSE => self.close_statement(size).await,
            command::STMT_RESET => self.reset_statement(size).await,
            command::CHANGE_USER => self.change_user(size).await,
            command::PROCESS_KILL => self.process_kill(size).await,
            other => match command::answer(other) {
                Some(answer) => self.plain(size, other, answer).await,
                None => Err(self.refuse(1, code::UNKNOWN_COMMAND, "08S01", "Piton's gate does not pass this on").await),
            },
        }
    }

    /// The whole of a short command.
    async fn whole(&mut self, size: usize, least: usize) -> Result<(), Ended> {
        if !(least..=COMMAND_BYTES).contains(&size) {
            return Err(Malformed("a command of a wrong length").into());
        }
        self.need(HEADER + size).await
    }

    async fn query(&mut self, size: usize) -> Result<(), Ended> {
        let seen = size.min(LOOK_BYTES + 1);
        self.need(HEADER + seen).await?;
        let text = &self.input.filled()[HEADER + 1..HEADER + seen];
        self.slot.set_statement(text);
        let notes = look(text, size - 1);
        if let Some(kill) = notes.kill.as_ref().filter(|kill| Shared::is_ours(kill.id) && seen == size) {
            return self.kill(kill).await;
        }
        if notes.looks_back && self.last_ran_on != self.serial() {
            return self.nothing_behind().await;
        }
        self.enter(notes.follows).await?;
        self.relay(Answer::Results, &notes).await?;
        Ok(())
    }

    /// The session has moved since its last statement: what that left is gone, and a wrong answer would be worse than none.
    async fn nothing_behind(&mut self) -> Result<(), Ended> {
        self.shared.counters.unmoved.fetch_add(1, Ordering::Relaxed);
        let why =
            "Piton's gate: this session has moved since its last statement, of which nothing is left to be asked for";
        self.decline(code::NEW_ABORTING, "HY000", why).await
    }

    /// Any other command that is passed on as it is.
    async fn plain(&mut self, size: usize, number: u8, answer: Answer) -> Result<(), Ended> {
        self.whole(size, 1).await?;
        let argument = self.input.filled().get(HEADER + 1..HEADER + 3).map(|two| u16::from_le_bytes([two[0], two[1]]));
        self.slot.set_statement(format!("(command {number})").as_bytes());
        self.enter(false).await?;
        let tracker = self.relay(answer, &Notes::default()).await?;
        if tracker.error.is_none() && number == command::SET_OPTION {
            self.carried.option = argument;
        }
        if tracker.error.is_none() && number == command::RESET_CONNECTION {
            self.carried = Carried { database: std::mem::take(&mut self.carried.database), ..Carried::default() };
            self.statements.clear();
            self.show_pins();
            self.at_rest(false);
        }
        Ok(())
    }

    async fn prepare(&mut self, size: usize) -> Result<(), Ended> {
        let seen = size.min(PREPARED_TEXT_BYTES + 1);
        self.need(HEADER + seen).await?;
        if !self.statements.has_room() {
            return self.decline(1461, "42000", "Piton's gate: too many prepared statements in one session").await;
        }
        let text = self.input.filled()[HEADER + 1..HEADER + seen].to_vec();
        self.slot.set_statement(&text);
        let notes = look(&text, size - 1);
        let kept = seen == size && self.statements.keeps(&text);
        self.enter(false).await?;
        let id = self.statements.next();
        let mut tracker = self.tracker(Answer::Prepared);
        tracker.client_statement = id;
        self.send_command(&[], 0).await?;
        self.answer(&mut tracker).await?;
        self.conclude(&mut tracker, &Notes::default());
        if let (Some((number, parameters)), Some(backend)) = (tracker.prepared, &self.backend) {
            let prepared = Prepared {
                text: kept.then_some(text),
                notes: (notes != Notes::default()).then(|| Box::new(notes)),
                connection: backend.serial,
                number,
                parameters,
                types: Vec::new(),
                unbound: false,
                cursor: false,
            };
            self.statements.add(id, prepared);
        }
        Ok(())
    }

    /// The client's number in a command about a prepared statement.
    fn statement_id(&self) -> u32 {
        let bytes = self.input.filled().get(HEADER + 1..HEADER + 5);
        bytes.map_or(0, |id| u32::from_le_bytes([id[0], id[1], id[2], id[3]]))
    }

    fn write_number(&mut self, number: u32) {
        self.input.filled_mut()[HEADER + 1..HEADER + 5].copy_from_slice(&number.to_le_bytes());
    }

    pub(super) fn serial(&self) -> u32 {
        self.backend.as_ref().map_or(0, |backend| backend.serial)
    }

    async fn unknown_statement(&mut self) -> Result<(), Ended> {
        self.decline(code::UNKNOWN_STATEMENT, "HY000", "Unknown prepared statement handler given to EXECUTE").await
    }

    async fn execute(&mut self, size: usize) -> Result<(), Ended> {
        self.need(HEADER + size.min(EXECUTE_HEAD)).await?;
        let id = self.statement_id();
        let Some(prepared) = self.statements.get(id).filter(|_| size >= EXECUTE_HEAD) else {
            return self.unknown_statement().await;
        };
        let parameters = usize::from(prepared.parameters);
        if let Some(text) = &prepared.text {
            self.slot.set_statement(text);
        }
        let notes = prepared.notes.as_deref().map_or_else(Notes::default, Notes::clone);
        let bound = EXECUTE_HEAD + parameters.div_ceil(8) + 1 + 2 * parameters;
        self.need(HEADER + size.min(bound)).await?;
        if notes.looks_back && self.last_ran_on != self.serial() {
            return self.nothing_behind().await;
        }
        self.enter(notes.follows).await?;
        if let Err(error) = self.prepare_here(id).await {
            return match error {
                BackendError::Said { code, message } => {
                    self.decline(code, "HY000", &message).await?;
                    self.at_rest(true);
                    Ok(())
                }
                other => Err(other.into()),
            };
        }
        self.pin(&notes);
        let mut tracker = self.tracker(Answer::Results);
        let Some((head, instead)) = self.bind(id, size)? else { return self.unknown_statement().await };
        self.send_command(&head, instead).await?;
        self.answer(&mut tracker).await?;
        self.carried.units.remove(Units::LONG_DATA);
        let flags = tracker.status.filter(|_| tracker.error.is_none()).unwrap_or(0);
        self.set_cursor(id, flags & status::CURSOR_EXISTS != 0);
        self.conclude(&mut tracker, &notes);
        Ok(())
    }

    /// Prepares a statement again when the session has moved since.
    async fn prepare_here(&mut self, id: u32) -> Result<(), BackendError> {
        let (Some(prepared), Some(backend)) = (self.statements.get(id), &mut self.backend) else { return Ok(()) };
        if prepared.connection == backend.serial {
            return Ok(());
        }
        let text = prepared.text.as_deref().ok_or(BackendError::Capabilities)?;
        let (number, parameters) = backend.prepare(text).await?;
        if parameters != prepared.parameters {
            return Err(BackendError::Capabilities);
        }
        (prepared.connection, prepared.number, prepared.unbound) = (backend.serial, number, parameters > 0);
        Ok(())
    }

    /// Writes the backend's number into an execution, and the parameters' types where the backend does not know them.
    /// Gives what replaces the command's first bytes.
    fn bind(&mut self, id: u32, size: usize) -> Result<Option<(Vec<u8>, usize)>, Ended> {
        let Some(prepared) = self.statements.get(id) else { return Ok(None) };
        let number = prepared.number;
        let parameters = usize::from(prepared.parameters);
        let flag_at = HEADER + EXECUTE_HEAD + parameters.div_ceil(8);
        let mut head = Vec::new();
        if parameters > 0 && size + HEADER > flag_at {
            let filled = self.input.filled();
            if filled[flag_at] == 1 {
                let types = filled.get(flag_at + 1..flag_at + 1 + 2 * parameters);
                let types = types.ok_or(Malformed("parameters without types"))?;
                if prepared.types != types {
                    prepared.types = types.to_vec();
                }
                prepared.unbound = false;
            } else if prepared.unbound && !prepared.types.is_empty() {
                let whole = size + prepared.types.len();
                if whole >= MAX_PAYLOAD {
                    return Err(Malformed("an execution too long to bind again").into());
                }
                head.extend_from_slice(&length(whole));
                head.extend_from_slice(&filled[3..flag_at]);
                head.push(1);
                head.extend_from_slice(&prepared.types);
                head[HEADER + 1..HEADER + 5].copy_from_slice(&number.to_le_bytes());
                prepared.unbound = false;
                return Ok(Some((head, flag_at + 1)));
            }
        }
        self.write_number(number);
        Ok(Some((head, 0)))
    }

    fn set_cursor(&mut self, id: u32, open: bool) {
        let Some(prepared) = self.statements.get(id) else { return };
        let before = std::mem::replace(&mut prepared.cursor, open);
        self.carried.cursors = self.carried.cursors + usize::from(open) - usize::from(before);
        if before != open {
            self.show_pins();
        }
    }

    /// Rows of a cursor come from where it was opened, whatever the gate holds meanwhile.
    async fn fetch(&mut self, size: usize) -> Result<(), Ended> {
        self.whole(size, 9).await?;
        let id = self.statement_id();
        let serial = self.serial();
        let Some(number) = self.statements.get(id).filter(|p| p.connection == serial && serial != 0).map(|p| p.number)
        else {
            return self.unknown_statement().await;
        };
        self.write_number(number);
        if self.open_unit {
            self.slot.stand(Standing::Busy);
        }
        let tracker = self.relay(Answer::Rows, &Notes::default()).await?;
        if tracker.status.is_some_and(|flags| flags & status::LAST_ROW_SENT != 0) {
            self.set_cursor(id, false);
        }
        Ok(())
    }

    async fn long_data(&mut self, size: usize) -> Result<(), Ended> {
        self.need(HEADER + size.min(7)).await?;
        let id = self.statement_id();
        // There is no answer, not even to what is wrong.
        if size < 7 || self.statements.get(id).is_none() {
            return self.discard().await;
        }
        self.enter(false).await?;
        self.prepare_here(id).await?;
        let number = self.statements.get(id).map_or(0, |prepared| prepared.number);
        self.write_number(number);
        self.send_command(&[], 0).await?;
        self.carried.units.add(Units::LONG_DATA);
        self.at_rest(false);
        Ok(())
    }

    async fn close_statement(&mut self, size: usize) -> Result<(), Ended> {
        self.whole(size, 5).await?;
        let id = self.statement_id();
        self.set_cursor(id, false);
        let serial = self.serial();
        match self.statements.remove(id) {
            Some(gone) if gone.connection == serial && serial != 0 => {
                self.write_number(gone.number);
                self.send_command(&[], 0).await?;
            }
            _ => self.discard().await?,
        }
        if self.carried.units.has(Units::LONG_DATA) {
            self.carried.units.remove(Units::LONG_DATA);
            self.at_rest(false);
        }
        Ok(())
    }

    async fn reset_statement(&mut self, size: usize) -> Result<(), Ended> {
        self.whole(size, 5).await?;
        let id = self.statement_id();
        let serial = self.serial();
        let Some(prepared) = self.statements.get(id) else { return self.unknown_statement().await };
        let (number, here) = (prepared.number, prepared.connection == serial && serial != 0);
        self.set_cursor(id, false);
        self.carried.units.remove(Units::LONG_DATA);
        if !here {
            self.discard().await?;
            self.client.send(&reply::okay(1, self.status)).await?;
            return Ok(());
        }
        self.write_number(number);
        if self.open_unit {
            self.slot.stand(Standing::Busy);
        }
        self.relay(Answer::Results, &Notes::default()).await?;
        Ok(())
    }

    /// `KILL` with a number that the gate gave: the backend is told its own number for that connection.
    async fn kill(&mut self, kill: &Kill) -> Result<(), Ended> {
        let Some(theirs) = self.victim(kill.id) else {
            let message = format!("Unknown thread id: {}", kill.id);
            return self.decline(code::NO_SUCH_THREAD, "HY000", &message).await;
        };
        let (size, _) = header(self.input.filled()).ok_or(Malformed("no command"))?;
        self.enter(false).await?;
        let text = &self.input.filled()[HEADER + 1..HEADER + size];
        let mut payload = vec![command::QUERY];
        payload.extend_from_slice(&text[..kill.at.start]);
        payload.extend_from_slice(theirs.to_string().as_bytes());
        payload.extend_from_slice(&text[kill.at.end..]);
        self.send_instead(&payload, size).await
    }

    async fn process_kill(&mut self, size: usize) -> Result<(), Ended> {
        self.whole(size, 5).await?;
        let id = self.statement_id();
        if !Shared::is_ours(id) {
            return self.plain(size, command::PROCESS_KILL, Answer::Results).await;
        }
        let Some(theirs) = self.victim(id) else {
            return self.decline(code::NO_SUCH_THREAD, "HY000", &format!("Unknown thread id: {id}")).await;
        };
        self.enter(false).await?;
        let payload = [&[command::PROCESS_KILL], &theirs.to_le_bytes()[..]].concat();
        self.send_instead(&payload, size).await
    }

    async fn send_instead(&mut self, payload: &[u8], size: usize) -> Result<(), Ended> {
        let mut tracker = self.tracker(Answer::Results);
        self.send_command(&framed(0, payload), HEADER + size).await?;
        self.answer(&mut tracker).await?;
        self.conclude(&mut tracker, &Notes::default());
        Ok(())
    }

    /// The backend's number for a connection of ours; one whose statement is held is told here.
    fn victim(&self, id: u32) -> Option<u32> {
        let slot = self.shared.slot(id)?;
        if slot.standing() == Standing::Held {
            slot.killed.store(true, Ordering::SeqCst);
            slot.wake.notify_one();
        }
        let thread = slot.thread_id.load(Ordering::SeqCst);
        (thread != 0).then_some(thread)
    }

    /// Another user on the same connection: proven here, and given a new connection to the backend.
    async fn change_user(&mut self, size: usize) -> Result<(), Ended> {
        self.whole(size, 4).await?;
        let payload = self.input.filled()[HEADER + 1..HEADER + size].to_vec();
        self.discard().await?;
        let mut reader = Reader::new(&payload);
        let user = reader.zero_ended().to_vec();
        let count = reader.u8()?;
        let reply = reader.bytes(usize::from(count))?.to_vec();
        let database = reader.zero_ended().to_vec();
        if let Ok(charset) = reader.u16() {
            self.login.charset = charset as u8;
        }
        let plugin = reader.zero_ended().to_vec();
        let shared = std::sync::Arc::clone(&self.shared);
        let mut front = Front {
            shared: &shared,
            stream: &mut self.client,
            input: &mut self.input,
            sequence: 0,
            scramble: self.login.scramble,
        };
        let identity = front.prove(&user, &plugin, &reply).await?;
        self.login.scramble = front.scramble;
        let sequence = front.sequence;
        // The old connection takes what was open with it, as the server would roll it back.
        self.backend = None;
        self.snapshot = None;
        self.statements.clear();
        self.carried = Carried { database, pins: Pins::default(), ..Carried::default() };
        self.login.identity = identity;
        self.connections = 0;
        self.status = 0;
        self.open_unit = false;
        self.slot.set_user(&user);
        self.show_pins();
        match self.enter(false).await {
            Ok(()) => {}
            Err(Ended::Backend(error)) => return Err(self.tell(sequence.wrapping_add(1), &error).await),
            Err(other) => return Err(other),
        }
        self.status = self.backend.as_ref().map_or(0, |backend| backend.status);
        self.last_ran_on = self.serial();
        self.client.send(&reply::okay(sequence.wrapping_add(1), self.status)).await?;
        self.at_rest(false);
        Ok(())
    }
}
