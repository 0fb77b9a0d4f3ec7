//! The words of `piton gate`.
//!
//! Owns parsing. What a backend's words mean is `commands::gate`'s.

use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

use piton_core::duration::Duration;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct GateArgs {
    #[command(subcommand)]
    pub(crate) command: Option<GateCommand>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

#[derive(Subcommand)]
pub(crate) enum GateCommand {
    /// Run a gate until it is ended; `piton gate --listen ... --backend ...` is the same
    Serve(Box<ServeArgs>),
    /// Show which backend is true and who is connected; with --epoch from the servers' registers, with no gate needed
    Status(StatusArgs),
    /// Close the gate and wait until open transactions have ended; what is new waits unsent
    Hold(HoldArgs),
    /// Send statements to another backend from now on; only while held and drained, and without a register
    Switch {
        /// The backend's name
        backend: String,
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Open the gate; a hold of a cutover as its register has decided
    Release(ControlArgs),
    /// Open the gate to the old backend; a hold of a cutover by winning the abort in its register
    Abort(ControlArgs),
    /// Hold and release without switching: how long draining takes, and who kept it waiting
    Drill {
        /// How long open transactions may take to end
        #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = Duration::parse)]
        drain: Duration,
        #[command(flatten)]
        control: ControlArgs,
    },
    /// Who has a transaction open and who could not move, without holding anybody
    Look(ControlArgs),
    /// Whose sessions on the server come through none of the gates
    Outside(OutsideArgs),
    /// Print the gate's numbers in Prometheus's text form
    Metrics(ControlArgs),
    /// Read the accounts' hashes again from the backend
    Reload(ControlArgs),
}

#[derive(Args)]
pub(crate) struct ControlArgs {
    /// The gate's control socket [default: $PITON_GATE, else gate.sock here]
    #[arg(long, value_name = "SOCKET")]
    pub(crate) control: Option<PathBuf>,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct OutsideArgs {
    /// A gate's control socket; give all gates before the service [default: $PITON_GATE, else gate.sock here]
    #[arg(long = "control", value_name = "SOCKET")]
    pub(crate) controls: Vec<PathBuf>,
    /// Only this account's sessions: one that the service uses [default: all but the gates' own]
    #[arg(long = "user", value_name = "USER")]
    pub(crate) users: Vec<String>,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct HoldArgs {
    /// How long open transactions may take to end; if they do not, the gate opens again
    #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = Duration::parse)]
    pub(crate) drain: Duration,
    /// How long the hold may last; then the gate opens to the backend that is current
    #[arg(long, value_name = "DURATION", default_value = "800ms", value_parser = Duration::parse)]
    pub(crate) deadline: Duration,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args)]
pub(crate) struct StatusArgs {
    /// Read the registers of all backends and say which side is true, with no gate needed
    #[arg(long, requires_all = ["backend", "account", "register"])]
    pub(crate) epoch: bool,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
    #[command(flatten)]
    pub(crate) backends: BackendsArgs,
}

#[derive(Args)]
pub(crate) struct BackendsArgs {
    /// A server: its name, address and how it is reached (`tls`, `tls=CA.pem`, `proxy-v1`, `proxy-v2`); the first is true
    /// before any switch
    #[arg(long, value_name = "NAME=HOST:PORT[,tls...]")]
    pub(crate) backend: Vec<String>,
    /// The gate's own account on every backend, which reads accounts' hashes and reads and writes the register
    #[arg(long, value_name = "USER")]
    pub(crate) account: Option<String>,
    /// Its password's file; else $PITON_GATE_PASSWORD
    #[arg(long, value_name = "FILE", requires = "account")]
    pub(crate) password_file: Option<PathBuf>,
    /// The move whose register says which backend is true
    #[arg(long, value_name = "MOVE", requires = "account")]
    pub(crate) register: Option<String>,
}

#[derive(Args)]
pub(crate) struct ServeArgs {
    /// Where clients connect
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) backends: BackendsArgs,
    /// How long a gate that starts leaves an open attempt to be decided before it tries the abort
    #[arg(long, value_name = "DURATION", default_value = "800ms", value_parser = Duration::parse)]
    pub(crate) deadline: Duration,
    /// A JSON list of accounts that may come in, beside those that --account reads
    #[arg(long, value_name = "FILE")]
    pub(crate) accounts: Option<PathBuf>,
    /// The socket that takes hold, switch and release [default: $PITON_GATE, else gate.sock here]
    #[arg(long, value_name = "SOCKET")]
    pub(crate) control: Option<PathBuf>,
    /// Take the listener over from the gate that runs here (it has the control socket); its clients stay with it until they leave
    #[arg(long)]
    pub(crate) take_over: bool,
    /// The certificates that clients see, the gate's own first (PEM); without, one is made at the start
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Offer clients no TLS
    #[arg(long, conflicts_with = "tls_cert")]
    pub(crate) no_tls: bool,
    /// Threads; 0 is one for each core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) workers: usize,
    /// Clients at once; more are refused as a server refuses them
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) connections: usize,
}
