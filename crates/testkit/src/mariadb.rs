//! Private MariaDB servers for tests and the demo; and MySQL servers, which are started and asked alike.
//!
//! Owns a server's data directory, process, administrator account and client calls. Never touches a system service, a
//! system data directory or a configuration file of the machine; nothing of it outlives this process.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::free_port;
use crate::process::{Guarded, SetupError, find_program, found_by, tail};
use crate::random;

/// The Debian package that has the server.
pub const SERVER_PACKAGE: &str = "mariadb-server";
/// The Debian package that has `mariadb` and `mariadb-dump`.
pub const CLIENT_PACKAGE: &str = "mariadb-client";

/// A loaded machine with slow flushes needs a while; a healthy one takes a fifth of a second.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How often readiness is looked at while the socket does not answer.
const READY_EVERY: Duration = Duration::from_millis(10);
/// How long a shutdown may take before the server is killed.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// The free port found may be taken by another process before the server binds it.
const PORT_TRIES: usize = 3;

/// What finds MySQL's server, from the crate's folder.
const MYSQL_FINDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/mysql");

/// Which of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Brand {
    #[default]
    MariaDb,
    /// The one that `make mysql` fetches, or another in `PATH`.
    MySql,
}

/// What differs between servers.
#[derive(Debug, Clone)]
pub struct Options {
    pub brand: Brand,
    /// Identity in replication; two servers that replicate need different ones.
    pub server_id: u32,
    /// Memory for data pages, in MiB.
    pub buffer_pool_mib: u32,
    /// Whether it writes a row-based binary log with full images and metadata.
    pub binary_log: bool,
    /// More options of the server, such as `--event-scheduler=ON`; they win over ours.
    pub extra: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { brand: Brand::MariaDb, server_id: 1, buffer_pool_mib: 64, binary_log: true, extra: Vec::new() }
    }
}

/// A running private server. Dropping it shuts it down and removes its files.
#[derive(Debug)]
pub struct MariaDb {
    process: Option<Guarded>,
    program: PathBuf,
    options: Options,
    folder: TempDir,
    port: u16,
    password: String,
}

impl MariaDb {
    /// The administrator's account name; it may connect from any address.
    pub const ADMIN: &'static str = "admin";

    /// Creates a data directory and starts a server in it.
    ///
    /// # Errors
    /// When a program is missing (the message names the package), or the server does not come up.
    pub fn start(options: Options) -> Result<Self, SetupError> {
        let folder = tempfile::Builder::new()
            .prefix("piton-mariadb-")
            .tempdir()
            .map_err(SetupError::io("make a temporary directory"))?;
        let password = random::hex(16).map_err(SetupError::io("read random bytes"))?;
        let program = match options.brand {
            Brand::MariaDb => find_program(&["mariadbd", "mysqld"], SERVER_PACKAGE)?,
            Brand::MySql => found_by(MYSQL_FINDER, "mysqld")?,
        };
        match options.brand {
            Brand::MariaDb => install(folder.path())?,
            Brand::MySql => install_mysql(&program, folder.path())?,
        }
        let mut server = Self { process: None, program, options, folder, port: 0, password };
        server.launch_on_a_free_port()?;
        server.sql(&format!(
            "drop user if exists root@'127.0.0.1', root@'::1', ''@'localhost';\n\
             create user {admin}@'%' identified by '{password}';\n\
             grant all privileges on *.* to {admin}@'%' with grant option;",
            admin = Self::ADMIN,
            password = server.password,
        ))?;
        if server.options.binary_log {
            // Its log begins with what its owner does, not with how it was set up.
            server.sql(match server.options.brand {
                Brand::MariaDb => "reset master",
                Brand::MySql => "reset binary logs and gtids",
            })?;
        }
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

    /// The administrator's password, random for each server.
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

    /// The server's error log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("error.log")
    }

    /// The server's process id while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Guarded::id)
    }

    /// The command-line client over the socket, as the administrator of the machine. Reads no configuration file.
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
            .args(["--user=root", "--default-character-set=utf8mb4"]);
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
        Err(SetupError::Refused { program: "mariadb".to_owned(), message })
    }

    /// Kills the server with SIGKILL, as a crash of its machine would, keeping its files.
    ///
    /// # Errors
    /// When the operating system cannot say whether it ended.
    pub fn crash(&mut self) -> Result<(), SetupError> {
        if let Some(mut process) = self.process.take() {
            process.kill().map_err(SetupError::io("kill the server"))?;
        }
        Ok(())
    }

    /// Starts the server again in its directory, on the same port.
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

    fn launch_on_a_free_port(&mut self) -> Result<(), SetupError> {
        let mut tried = 0;
        loop {
            self.port = free_port()?;
            tried += 1;
            match self.launch() {
                Err(SetupError::Died { log, .. }) if tried < PORT_TRIES && log.contains("Address already in use") => {}
                outcome => return outcome,
            }
        }
    }

    fn launch(&mut self) -> Result<(), SetupError> {
        let log = self.log();
        let output = File::create(&log).map_err(SetupError::io("create the server's log"))?;
        let errors = output.try_clone().map_err(SetupError::io("share the server's log"))?;
        let arguments = self.arguments();
        let mut process = Guarded::start(&[], &self.program, |command| {
            command.args(arguments).stdin(Stdio::null()).stdout(output).stderr(errors);
        })?;
        wait_until_ready(&mut process, &self.socket(), &log)?;
        self.process = Some(process);
        Ok(())
    }

    fn arguments(&self) -> Vec<String> {
        let folder = self.folder.path().display();
        let mut all = vec![
            "--no-defaults".to_owned(),
            format!("--datadir={folder}/data"),
            format!("--socket={folder}/socket"),
            format!("--pid-file={folder}/pid"),
            format!("--tmpdir={folder}"),
            format!("--port={}", self.port),
            "--bind-address=127.0.0.1".to_owned(),
            "--skip-name-resolve".to_owned(),
            format!("--server-id={}", self.options.server_id),
            format!("--innodb-buffer-pool-size={}M", self.options.buffer_pool_mib),
            "--innodb-flush-log-at-trx-commit=1".to_owned(),
            "--character-set-server=utf8mb4".to_owned(),
            "--max-allowed-packet=64M".to_owned(),
        ];
        let (others, kept) = match self.options.brand {
            Brand::MariaDb => (&["--skip-slave-start"][..], "--expire-logs-days=7"),
            Brand::MySql => (&["--skip-replica-start", "--mysqlx=OFF"][..], "--binlog-expire-logs-seconds=604800"),
        };
        all.extend(others.iter().map(|option| (*option).to_owned()));
        if self.options.binary_log {
            all.extend(
                [
                    "--log-bin=binlog",
                    "--relay-log=relay",
                    "--binlog-format=ROW",
                    "--binlog-row-image=FULL",
                    "--binlog-row-metadata=FULL",
                    "--sync-binlog=1",
                    kept,
                ]
                .map(str::to_owned),
            );
        }
        all.extend(run_as_root());
        all.extend(self.options.extra.iter().cloned());
        all
    }

    fn shut_down(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.stop(Signal::TERM, STOP_LIMIT);
        }
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// MariaDB refuses root unless told so; anyone else needs nothing.
fn run_as_root() -> Option<String> {
    geteuid().is_root().then(|| "--user=root".to_owned())
}

fn install(folder: &Path) -> Result<(), SetupError> {
    let installer = find_program(&["mariadb-install-db", "mysql_install_db"], SERVER_PACKAGE)?;
    let mut command = Command::new(installer);
    command
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"])
        .arg("--innodb-log-file-size=16M")
        .arg(format!("--datadir={}/data", folder.display()))
        // A server removes temporary tables that it finds in its temporary directory when it starts: in a shared one
        // two installations at the same time destroy each other's.
        .env("TMPDIR", folder)
        .args(run_as_root());
    let output = command.stdin(Stdio::null()).output().map_err(SetupError::io("start mariadb-install-db"))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(SetupError::Refused { program: "mariadb-install-db".to_owned(), message })
}

fn install_mysql(program: &Path, folder: &Path) -> Result<(), SetupError> {
    let mut command = Command::new(program);
    command.args(["--no-defaults", "--initialize-insecure", "--innodb-redo-log-capacity=32M"]);
    command.arg(format!("--datadir={}/data", folder.display())).args(run_as_root());
    let output = command.stdin(Stdio::null()).output().map_err(SetupError::io("start mysqld"))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(SetupError::Refused { program: "mysqld --initialize-insecure".to_owned(), message })
}

/// A server is ready when it greets: the first bytes of a connection are its handshake.
fn wait_until_ready(process: &mut Guarded, socket: &Path, log: &Path) -> Result<(), SetupError> {
    let deadline = Instant::now() + READY_LIMIT;
    let program = "mariadbd".to_owned();
    loop {
        if greets(socket) {
            return Ok(());
        }
        if let Some(status) = process.ended().map_err(SetupError::io("look at the server"))? {
            return Err(SetupError::Died { program, status, log: tail(log) });
        }
        if Instant::now() >= deadline {
            return Err(SetupError::NotReady { program, seconds: READY_LIMIT.as_secs(), log: tail(log) });
        }
        std::thread::sleep(READY_EVERY);
    }
}

fn greets(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else { return false };
    let mut greeting = [0_u8; 5];
    stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok() && stream.read_exact(&mut greeting).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_server_keeps_rows_over_a_crash_and_leaves_nothing_behind() {
        let mut server = MariaDb::start(Options::default()).unwrap();
        server
            .sql("create database shop; create table shop.t (id int primary key); insert into shop.t values (7)")
            .unwrap();
        server.crash().unwrap();
        server.restart().unwrap();
        assert_eq!(server.sql("select id, @@binlog_format, @@binlog_row_image from shop.t").unwrap(), "7\tROW\tFULL\n");
        let (id, folder) = (server.process_id().unwrap(), server.folder.path().to_owned());
        drop(server);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
        assert!(!folder.exists());
    }

    #[test]
    fn a_refused_statement_gives_the_servers_own_words() {
        let server = MariaDb::start(Options { binary_log: false, ..Options::default() }).unwrap();
        let error = server.sql("select * from nowhere.nothing").unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
    }
}
