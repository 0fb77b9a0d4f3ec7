//! One client's session: its login, its commands, the answers, and its move to another backend.
//!
//! A session is one task on one thread. At most one of its commands is unanswered at any time, and a command that was sent,
//! even in part, is never sent again.

mod command;
mod front;
mod gateway;
mod moving;
mod relay;
mod statements;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::auth::Identity;
use crate::backend::Connection;
use crate::config::CLIENT_BUFFER_BYTES;
use crate::error::Ended;
use crate::shared::Shared;
use crate::slot::{Slot, Standing};
use crate::sql::{Pins, Units};
use crate::stream::Stream;
use crate::wire::buffer::Buffer;
use crate::wire::handshake::SCRAMBLE;
use crate::wire::reply;

use statements::Statements;

/// What a client said of itself when it logged in.
struct Login {
    identity: Identity,
    capabilities: u32,
    max_packet: u32,
    charset: u8,
    attributes: Vec<u8>,
    scramble: [u8; SCRAMBLE],
}

/// What must be carried over when the session moves.
#[derive(Default)]
struct Carried {
    user_variables: BTreeSet<Vec<u8>>,
    system_variables: BTreeSet<Vec<u8>>,
    database: Vec<u8>,
    /// The argument of COM_SET_OPTION, when the client sent one.
    option: Option<u16>,
    pins: Pins,
    units: Units,
    /// Cursors that are open.
    cursors: usize,
    /// LAST_INSERT_ID() may be something.
    inserted: bool,
}

/// What the old backend said of the session, as statements for the new one.
struct Snapshot {
    database: Vec<u8>,
    /// Assignments.
    replay: Option<String>,
    last_insert_id: Option<String>,
}

pub(crate) struct Session {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    changed: watch::Receiver<u64>,
    client: Stream,
    input: Buffer,
    login: Login,
    backend: Option<Connection>,
    carried: Carried,
    statements: Statements,
    snapshot: Option<Snapshot>,
    local: SocketAddr,
    /// Status flags of the last answer.
    status: u16,
    connections: u32,
    /// The connection that ran the last command: only there is anything to look back at.
    last_ran_on: u32,
    /// The last command leaves something that the next one may ask for, and that asking would destroy.
    leaves_found_rows: bool,
    client_left: bool,
    /// A unit of work is open, or may be.
    open_unit: bool,
}

/// Serves a client until it leaves or must be refused.
pub(crate) async fn serve(shared: Arc<Shared>, stream: TcpStream, client: SocketAddr) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Ok(local) = stream.local_addr() else { return };
    let mut stream = Stream::Plain(stream);
    let Some(slot) = shared.admit(client) else {
        let full = reply::error(0, reply::code::TOO_MANY_CONNECTIONS, "08004", "Too many connections");
        let _ = stream.send(&full).await;
        return;
    };
    let _leaving = Leaving { shared: Arc::clone(&shared), slot: Arc::clone(&slot) };
    let ended = match Session::log_in(&shared, &slot, stream, local).await {
        Ok(mut session) => session.run().await,
        Err(ended) => Err(ended),
    };
    if let Err(Ended::Refused(_) | Ended::Malformed(_)) = ended {
        shared.counters.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gives the place back however the session ends.
struct Leaving {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.shared.dismiss(&self.slot);
    }
}

impl Session {
    fn new(shared: &Arc<Shared>, slot: &Arc<Slot>, client: Stream, local: SocketAddr, login: Login) -> Self {
        Self {
            shared: Arc::clone(shared),
            slot: Arc::clone(slot),
            changed: shared.changed.subscribe(),
            client,
            input: Buffer::new(CLIENT_BUFFER_BYTES),
            login,
            backend: None,
            carried: Carried::default(),
            statements: Statements::default(),
            snapshot: None,
            local,
            status: 0,
            connections: 0,
            last_ran_on: 0,
            leaves_found_rows: false,
            client_left: false,
            open_unit: false,
        }
    }

    async fn run(&mut self) -> Result<(), Ended> {
        loop {
            self.input.settle();
            if let Some(backend) = &mut self.backend {
                backend.buffer.settle();
            }
            self.next_command().await?;
            let outcome = self.command().await;
            if matches!(outcome, Err(Ended::BackendLost)) {
                self.shared.counters.indeterminate.fetch_add(1, Ordering::Relaxed);
            }
            outcome?;
        }
    }

    /// Tells the client why, in the server's form, and ends the session.
    async fn refuse(&mut self, sequence: u8, code: u16, state: &str, message: &'static str) -> Ended {
        let packet = reply::error(sequence, code, state, message);
        // Whether it still hears is its own affair: the session ends either way.
        let _ = self.client.send(&packet).await;
        Ended::Refused(message)
    }

    /// Whether a unit of work is open that must end where it began.
    fn in_unit(&self) -> bool {
        self.status & crate::wire::capabilities::status::IN_TRANSACTION != 0 || !self.carried.units.is_empty()
    }

    fn show_pins(&self) {
        let mut pins = self.carried.pins;
        if self.carried.cursors > 0 {
            pins.add(Pins::CURSOR);
        }
        self.slot.pins.store(pins.0, Ordering::Relaxed);
    }

    fn settle(&self, standing: Standing) {
        self.shared.settle(&self.slot, standing);
    }
}
