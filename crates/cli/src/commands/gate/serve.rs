//! `piton gate serve`: a gate in the foreground, until a signal ends it.
//!
//! Owns reading its settings and what it says at its start. The gate itself is `piton_gate`'s.

use crate::args::ServeArgs;
use crate::commands::gate;
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::ui::text::count;
use piton_gate::{ClientTls, Config, Credentials, Gate, Leaving};
use rustix::process::{Resource, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Descriptors that are no client's: sockets, event loops, registers.
const OWN_DESCRIPTORS: u64 = 64;
/// How often a gate that has just started is asked whether it knows which backend is true.
const START_LOOK: Duration = Duration::from_millis(20);

pub(crate) fn run(args: ServeArgs) -> Result<Exit, CliError> {
    // Before any thread: a signal from here on ends the gate as it should.
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| CliError::new(Kind::GateNotStarted, "signals cannot be followed").source(error))?;
    let control = gate::control(args.control.as_ref());
    make_room_for(args.connections);
    let config = config(&args)?;
    let started = match gate::registers(&args.backends, &config.backends, config.account.as_ref())? {
        Some(registers) => Gate::start_with(config, Arc::new(registers), args.deadline.to_std()),
        None => Gate::start(config),
    };
    let gate =
        started.map_err(|error| CliError::new(Kind::GateNotStarted, "the gate cannot be started").source(error))?;
    print::line(&format!("listening on {}, control at {}", gate.address(), control.display()));
    if args.take_over {
        print::line(if gate.took_over() {
            "taken over from the gate before"
        } else {
            "there was no gate to take over"
        });
    }
    let mut told = false;
    while gate.status().starting {
        if let Some(signal) = signals.pending().next() {
            print::note(&format!("ended by signal {signal}"));
            return Ok(Exit::Done);
        }
        if let Some(why) = gate.status().why.filter(|_| !told) {
            print::line(&format!("held until the registers say which backend is true: {why}"));
            told = true;
        }
        std::thread::sleep(START_LOOK);
    }
    let status = gate.status();
    print::line(&format!("open to {} (epoch {})", status.backend, status.epoch));
    let (tell, told) = mpsc::channel();
    let leaving = tell.clone();
    // Whoever listens ends with this process.
    gate.on_leaving(move |what| drop(leaving.send(End::Leaving(what))));
    std::thread::spawn(move || signals.forever().for_each(|signal| drop(tell.send(End::Signal(signal)))));
    for end in told {
        match end {
            End::Leaving(Leaving::Begun { clients }) => {
                let clients = count(clients as u64, "client");
                print::line(&format!("another gate has followed; {clients} may stay until they leave"));
            }
            End::Leaving(Leaving::Done) => {
                drop(gate);
                print::note("the last client has left");
                break;
            }
            End::Signal(signal) => {
                let clients = gate.status().clients;
                drop(gate);
                print::note(&format!("ended by signal {signal}; {clients} clients were connected"));
                break;
            }
        }
    }
    Ok(Exit::Done)
}

/// What may end a gate.
enum End {
    Signal(i32),
    Leaving(Leaving),
}

/// Each client is two descriptors. What the machine allows is taken, and it is said when that is too little.
fn make_room_for(connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = connections as u64 * 2 + OWN_DESCRIPTORS;
    if limit.current.is_some_and(|now| now < wanted) {
        limit.current = Some(limit.maximum.map_or(wanted, |most| most.min(wanted)));
        // What cannot be had is said below.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    if let Some(now) = getrlimit(Resource::Nofile).current.filter(|now| *now < wanted) {
        let clients = now.saturating_sub(OWN_DESCRIPTORS) / 2;
        print::note(&format!("warning: this machine's limit of {now} descriptors leaves room for {clients} clients"));
    }
}

fn config(args: &ServeArgs) -> Result<Config, CliError> {
    let listen = args.listen.ok_or_else(|| gate::usage("a gate needs an address: --listen ADDRESS:PORT"))?;
    let mut config = Config::new(listen, gate::backends(&args.backends)?);
    config.account = gate::account(&args.backends)?;
    if let Some(path) = &args.accounts {
        let read = Credentials::read(path);
        config.credentials = read.map_err(|error| CliError::new(Kind::File, "no accounts").source(error))?;
    } else if config.account.is_none() {
        return Err(gate::usage(
            "nobody could come in: give --accounts FILE, or --account to read them from the backend",
        ));
    }
    config.tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificates), Some(key)) => ClientTls::Files { certificates: certificates.clone(), key: key.clone() },
        _ if args.no_tls => ClientTls::Off,
        _ => ClientTls::SelfMade,
    };
    config.workers = args.workers;
    config.connections = args.connections;
    config.control = Some(gate::control(args.control.as_ref()));
    config.take_over = args.take_over;
    Ok(config)
}
