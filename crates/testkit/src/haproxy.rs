//! Private HAProxy processes for tests.
//!
//! Owns a balancer's configuration, process and ports. Never touches a system service; nothing of it outlives this process.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::free_port;
use crate::process::{Guarded, SetupError, find_program, tail};

/// The Debian package that has the balancer.
pub const PACKAGE: &str = "haproxy";

const READY_LIMIT: Duration = Duration::from_secs(20);
const READY_EVERY: Duration = Duration::from_millis(10);
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A running balancer. Dropping it ends it and removes its files.
#[derive(Debug)]
pub struct HaProxy {
    process: Guarded,
    _folder: TempDir,
    port: u16,
    admin: u16,
}

impl HaProxy {
    /// Balances HTTP over servers on 127.0.0.1, given by name and port; each is asked for `GET /health` ten times a second.
    ///
    /// # Errors
    /// When the program is missing (the message names the package), or it does not come up.
    pub fn start(backend: &str, servers: &[(String, u16)]) -> Result<Self, SetupError> {
        let (port, admin) = (free_port()?, free_port()?);
        let mut text = format!(
            "global\n  stats socket ipv4@127.0.0.1:{admin} level admin\n\
             defaults\n  mode http\n  timeout connect 2s\n  timeout client 20s\n  timeout server 20s\n  \
             option redispatch\n  retries 3\n\
             frontend front\n  bind 127.0.0.1:{port}\n  default_backend {backend}\n\
             backend {backend}\n  option httpchk GET /health\n  \
             default-server check inter 100ms rise 2 fall 2\n"
        );
        for (name, port) in servers {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "  server {name} 127.0.0.1:{port}");
        }
        Self::launch(&text, port, admin)
    }

    /// Passes bytes on to a server on 127.0.0.1 without understanding any of them.
    ///
    /// # Errors
    /// When the program is missing (the message names the package), or it does not come up.
    pub fn tcp(server: u16) -> Result<Self, SetupError> {
        let (port, admin) = (free_port()?, free_port()?);
        let text = format!(
            "global\n  stats socket ipv4@127.0.0.1:{admin} level admin\n\
             defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 10m\n  timeout server 10m\n\
             listen front\n  bind 127.0.0.1:{port}\n  server one 127.0.0.1:{server}\n"
        );
        Self::launch(&text, port, admin)
    }

    fn launch(text: &str, port: u16, admin: u16) -> Result<Self, SetupError> {
        let program = find_program(&["haproxy"], PACKAGE)?;
        let folder = tempfile::Builder::new()
            .prefix("piton-haproxy-")
            .tempdir()
            .map_err(SetupError::io("make a temporary directory"))?;
        let (config, log) = (folder.path().join("haproxy.cfg"), folder.path().join("log"));
        fs::write(&config, text).map_err(SetupError::io("write the balancer's configuration"))?;
        let output = File::create(&log).map_err(SetupError::io("write the balancer's log"))?;
        let errors = output.try_clone().map_err(SetupError::io("write the balancer's log"))?;
        let mut process = Guarded::start(&[], &program, |command| {
            command.arg("-db").arg("-f").arg(&config).stdin(Stdio::null()).stdout(output).stderr(errors);
        })?;
        let deadline = Instant::now() + READY_LIMIT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let name = || "haproxy".to_owned();
            if let Some(status) = process.ended().map_err(SetupError::io("look after haproxy"))? {
                return Err(SetupError::Died { program: name(), status, log: tail(&log) });
            }
            if Instant::now() >= deadline {
                return Err(SetupError::NotReady { program: name(), seconds: READY_LIMIT.as_secs(), log: tail(&log) });
            }
            std::thread::sleep(READY_EVERY);
        }
        Ok(Self { process, _folder: folder, port, admin })
    }

    /// Its process id.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// The TCP port on 127.0.0.1 that clients use.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The runtime API, as `HOST:PORT`.
    #[must_use]
    pub fn admin(&self) -> String {
        format!("127.0.0.1:{}", self.admin)
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        // What does not end is killed by the kernel with this process.
        let _ = self.process.stop(Signal::TERM, STOP_LIMIT);
    }
}
