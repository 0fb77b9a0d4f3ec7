//! Private TiDB servers for tests: one process with TiDB's built-in storage.
//!
//! Owns a server's directory, process, administrator account and client calls. Never builds a server (`make tidb` does),
//! and never kills one that still answers: the built-in storage is made for tests, and can tear a transaction when it is
//! killed.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::free_port;
use crate::mariadb::CLIENT_PACKAGE;
use crate::process::{Guarded, SetupError, find_program, found_by, tail};
use crate::random;

/// What finds the server, from the crate's folder.
const FINDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/tidb");

/// It makes its system tables when it first starts: two seconds on a quiet machine, over a minute on a crowded one.
const READY_LIMIT: Duration = Duration::from_secs(300);
const READY_EVERY: Duration = Duration::from_millis(20);
/// It waits 15 s for open transactions by itself before it ends them.
const STOP_LIMIT: Duration = Duration::from_secs(40);
/// The free port found may be taken by another process before the server binds it.
const PORT_TRIES: usize = 3;

/// What differs between servers.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether it offers TLS, with a certificate that it makes and signs itself.
    pub tls: bool,
    /// Lines of its section `[performance]`, such as `txn-entry-size-limit = 1000`.
    pub performance: Vec<String>,
}

/// A running private server. Dropping it shuts it down, which may take as long as open transactions do, and removes its
/// files.
#[derive(Debug)]
pub struct TiDb {
    process: Option<Guarded>,
    program: PathBuf,
    folder: TempDir,
    port: u16,
    password: String,
}

/// The server's program: from `PATH`, or the one that `make tidb` built.
///
/// # Errors
/// [`SetupError::NotAtHand`], which says what to do, when there is none.
pub fn program() -> Result<PathBuf, SetupError> {
    found_by(FINDER, "tidb-server")
}

impl TiDb {
    /// The administrator's account name; it may connect from any address and has all privileges, as `root` has. Neither
    /// may write while the server is read-only: for that TiDB wants a privilege of its own.
    pub const ADMIN: &'static str = "admin";

    /// Makes a directory and starts a server in it.
    ///
    /// # Errors
    /// When a program is missing (the message says what to do), or the server does not come up.
    pub fn start(options: &Options) -> Result<Self, SetupError> {
        let program = program()?;
        let folder = tempfile::Builder::new()
            .prefix("piton-tidb-")
            .tempdir()
            .map_err(SetupError::io("make a temporary directory"))?;
        let password = random::hex(16).map_err(SetupError::io("read random bytes"))?;
        let mut server = Self { process: None, program, folder, port: 0, password };
        server.configure(options)?;
        server.launch_on_a_free_port()?;
        Ok(server)
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`, as a client writes it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The password of the administrator and of `root`, random for each server.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The administrator's URL for a schema (which may be empty).
    #[must_use]
    pub fn url(&self, schema: &str) -> String {
        self.url_as(Self::ADMIN, &self.password, schema)
    }

    /// The URL of another account. Name and password must need no URL encoding.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str, schema: &str) -> String {
        format!("mysql://{user}:{password}@127.0.0.1:{}/{schema}", self.port)
    }

    /// The server's log: warnings and errors.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("tidb.log")
    }

    /// The server's process id while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Guarded::id)
    }

    /// The command-line client over the socket, as the administrator. Reads no configuration file.
    ///
    /// # Errors
    /// When the client is missing.
    pub fn client(&self) -> Result<Command, SetupError> {
        let client = find_program(&["mariadb", "mysql"], CLIENT_PACKAGE)?;
        let mut command = Command::new(client);
        command
            .arg("--no-defaults")
            .arg("--socket")
            .arg(self.socket())
            .arg(format!("--user={}", Self::ADMIN))
            .arg("--default-character-set=utf8mb4")
            .env("MYSQL_PWD", &self.password);
        Ok(command)
    }

    /// Runs statements and gives what they print: tab-separated, without headings.
    ///
    /// # Errors
    /// When the client is missing or a statement fails.
    pub fn sql(&self, statements: &str) -> Result<String, SetupError> {
        let mut child = self
            .client()?
            .args(["--batch", "--skip-column-names"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(SetupError::io("start the client"))?;
        if let Some(mut input) = child.stdin.take() {
            // A client that fails early closes its input: its own message is the one worth reporting.
            let _ = input.write_all(statements.as_bytes());
        }
        let output = child.wait_with_output().map_err(SetupError::io("read the client's output"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(SetupError::Refused { program: "tidb".to_owned(), message })
    }

    /// Stops the server gracefully and starts it again in its directory, on the same port.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<(), SetupError> {
        self.shut_down();
        self.launch()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn configure(&self, options: &Options) -> Result<(), SetupError> {
        let folder = self.folder.path();
        // Its accounts are made before it first listens: at no time does it let anybody in without a password. `alter
        // user` does not find `root` that early. The built-in storage has nobody who writes down how far its past is gone, without which
        // TiDB reads none of it: nothing is.
        let accounts = format!(
            "update mysql.user set authentication_string = password('{password}') where user = 'root';\n\
             create user {admin}@'%' identified by '{password}';\n\
             insert into mysql.tidb values ('tikv_gc_safe_point', '20061002-15:04:05.000 +0000', '');\n\
             grant all privileges on *.* to {admin}@'%' with grant option;\n",
            admin = Self::ADMIN,
            password = self.password,
        );
        let mut config = format!(
            "initialize-sql-file = \"{folder}/accounts.sql\"\ntmp-storage-path = \"{folder}/spilled\"\n[performance]\n",
            folder = folder.display(),
        );
        for line in &options.performance {
            config += line;
            config += "\n";
        }
        config += &format!("[security]\nauto-tls = {}\n", options.tls);
        fs::write(folder.join("accounts.sql"), accounts).map_err(SetupError::io("write the server's accounts"))?;
        fs::write(folder.join("config.toml"), config).map_err(SetupError::io("write the server's configuration"))
    }

    fn launch_on_a_free_port(&mut self) -> Result<(), SetupError> {
        let mut tried = 0;
        loop {
            self.port = free_port()?;
            tried += 1;
            match self.launch() {
                Err(SetupError::Died { log, .. }) if tried < PORT_TRIES && log.contains("address already in use") => {}
                outcome => return outcome,
            }
        }
    }

    fn launch(&mut self) -> Result<(), SetupError> {
        let folder = self.folder.path();
        let output = File::create(folder.join("output")).map_err(SetupError::io("create the server's log"))?;
        let errors = output.try_clone().map_err(SetupError::io("share the server's log"))?;
        let at = |name: &str| folder.join(name).display().to_string();
        let arguments = [
            "-config".to_owned(),
            at("config.toml"),
            "-store=unistore".to_owned(),
            format!("-path={}", at("data")),
            format!("-temp-dir={}", at("tmp")),
            "-host=127.0.0.1".to_owned(),
            format!("-P={}", self.port),
            format!("-socket={}", at("socket")),
            "-report-status=false".to_owned(),
            "-L=warn".to_owned(),
            format!("-log-file={}", at("tidb.log")),
            format!("-log-slow-query={}", at("slow.log")),
        ];
        let mut process = Guarded::start(&[], &self.program, |command| {
            // Certificates and reports of what used much memory go where the process stands.
            command.args(arguments).current_dir(folder).env("TMPDIR", folder);
            command.stdin(Stdio::null()).stdout(output).stderr(errors);
        })?;
        self.wait_until_ready(&mut process)?;
        self.process = Some(process);
        Ok(())
    }

    fn wait_until_ready(&self, process: &mut Guarded) -> Result<(), SetupError> {
        let deadline = Instant::now() + READY_LIMIT;
        let program = "tidb-server".to_owned();
        loop {
            if greets(&self.socket()) {
                return Ok(());
            }
            if let Some(status) = process.ended().map_err(SetupError::io("look at the server"))? {
                return Err(SetupError::Died { program, status, log: self.last_words() });
            }
            if Instant::now() >= deadline {
                return Err(SetupError::NotReady { program, seconds: READY_LIMIT.as_secs(), log: self.last_words() });
            }
            std::thread::sleep(READY_EVERY);
        }
    }

    fn last_words(&self) -> String {
        format!("{}\n{}", tail(&self.log()), tail(&self.folder.path().join("output")))
    }

    fn shut_down(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.stop(Signal::TERM, STOP_LIMIT);
        }
    }
}

impl Drop for TiDb {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// A server is ready when it greets: the first bytes of a connection are its handshake.
fn greets(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else { return false };
    let mut greeting = [0_u8; 5];
    stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok() && stream.read_exact(&mut greeting).is_ok()
}
