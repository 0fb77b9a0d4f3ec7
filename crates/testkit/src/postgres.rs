//! Private PostgreSQL servers for tests.
//!
//! Owns a cluster's data directory, process and superuser. Never touches a system cluster; nothing of it outlives this
//! process. PostgreSQL refuses to run as root, so root runs it as the account that Debian's package made.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::free_port;
use crate::process::{Guarded, SetupError, find_program, tail};
use crate::random;

/// The Debian package that has the server.
pub const SERVER_PACKAGE: &str = "postgresql";
/// Where Debian keeps each version's programs.
const DEBIAN_ROOT: &str = "/usr/lib/postgresql";
/// The account that runs the server when we are root.
const ACCOUNT: &str = "postgres";

const READY_LIMIT: Duration = Duration::from_secs(60);
const READY_EVERY: Duration = Duration::from_millis(20);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A running private server. Dropping it shuts it down and removes its files.
#[derive(Debug)]
pub struct Postgres {
    process: Option<Guarded>,
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    password: String,
}

impl Postgres {
    /// The superuser's name.
    pub const ADMIN: &'static str = "admin";

    /// Creates a cluster and starts it. `extra` are server settings such as `wal_level=logical`.
    ///
    /// # Errors
    /// When a program is missing (the message names the package), or the server does not come up.
    pub fn start(extra: &[&str]) -> Result<Self, SetupError> {
        let programs = programs()?;
        let folder = tempfile::Builder::new()
            .prefix("piton-postgres-")
            .tempdir()
            .map_err(SetupError::io("make a temporary directory"))?;
        let password = random::hex(16).map_err(SetupError::io("read random bytes"))?;
        let mut server = Self { process: None, programs, folder, port: free_port()?, password };
        server.create_cluster()?;
        server.launch(extra)?;
        Ok(server)
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's URL for a database (`postgres` always exists).
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{}:{}@127.0.0.1:{}/{database}", Self::ADMIN, self.password, self.port)
    }

    /// Runs statements with `psql` and gives unaligned, tab-separated rows.
    ///
    /// # Errors
    /// When the client is missing or a statement fails.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String, SetupError> {
        let output = Command::new(self.programs.join("psql"))
            .args([
                "--no-psqlrc",
                "--quiet",
                "--no-align",
                "--tuples-only",
                "--field-separator=\t",
                "--set=ON_ERROR_STOP=1",
            ])
            .args(["--host=127.0.0.1", &format!("--port={}", self.port), &format!("--username={}", Self::ADMIN)])
            .args(["--dbname", database, "--command", statements])
            .env("PGPASSWORD", &self.password)
            .stdin(Stdio::null())
            .output()
            .map_err(SetupError::io("start psql"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(SetupError::Refused { program: "psql".to_owned(), message })
    }

    fn create_cluster(&self) -> Result<(), SetupError> {
        let folder = self.folder.path();
        let secret = folder.join("password");
        fs::write(&secret, &self.password).map_err(SetupError::io("write the cluster's password"))?;
        let wrapper = as_account()?;
        if !wrapper.is_empty() {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
                .map_err(SetupError::io("open the directory"))?;
            chown(folder)?;
        }
        let mut words = wrapper.iter().cloned().chain([self.programs.join("initdb").display().to_string()]);
        let first = words.next().unwrap_or_default();
        let output = Command::new(first)
            .args(words)
            .args(["--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C"])
            .arg(format!("--username={}", Self::ADMIN))
            .arg(format!("--pwfile={}", secret.display()))
            .arg(format!("--pgdata={}/data", folder.display()))
            .stdin(Stdio::null())
            .current_dir("/")
            .output()
            .map_err(SetupError::io("start initdb"))?;
        fs::remove_file(&secret).map_err(SetupError::io("remove the password file"))?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(SetupError::Refused { program: "initdb".to_owned(), message })
    }

    fn launch(&mut self, extra: &[&str]) -> Result<(), SetupError> {
        let folder = self.folder.path();
        let log = folder.join("server.log");
        let output = File::create(&log).map_err(SetupError::io("create the server's log"))?;
        let errors = output.try_clone().map_err(SetupError::io("share the server's log"))?;
        let arguments = [
            format!("-D{}/data", folder.display()),
            format!("-p{}", self.port),
            "-clisten_addresses=127.0.0.1".to_owned(),
            format!("-cunix_socket_directories={}", folder.display()),
            "-cshared_buffers=32MB".to_owned(),
        ];
        let mut process = Guarded::start(&as_account()?, &self.programs.join("postgres"), |command| {
            command.args(arguments).stdin(Stdio::null()).stdout(output).stderr(errors).current_dir("/");
            for setting in extra {
                command.arg("-c").arg(setting);
            }
        })?;
        self.wait_until_ready(&mut process, &log)?;
        self.process = Some(process);
        Ok(())
    }

    fn wait_until_ready(&self, process: &mut Guarded, log: &Path) -> Result<(), SetupError> {
        let deadline = Instant::now() + READY_LIMIT;
        let program = "postgres".to_owned();
        loop {
            if self.sql("postgres", "select 1").is_ok() {
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
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // SIGINT is PostgreSQL's "fast" shutdown: sessions are ended, nothing is lost.
            let _ = process.stop(Signal::INT, STOP_LIMIT);
        }
    }
}

/// The newest version's programs, in `PATH` or where Debian keeps them.
fn programs() -> Result<PathBuf, SetupError> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(DEBIAN_ROOT)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            let programs = entry.path().join("bin");
            programs.join("initdb").is_file().then_some((version, programs))
        })
        .collect();
    versions.sort();
    if let Some((_, newest)) = versions.pop() {
        return Ok(newest);
    }
    let initdb = find_program(&["initdb"], SERVER_PACKAGE)?;
    Ok(initdb.parent().map(Path::to_owned).unwrap_or_default())
}

/// What goes in front of a server's program: nothing, or as root a change of account.
fn as_account() -> Result<Vec<String>, SetupError> {
    if !geteuid().is_root() {
        return Ok(Vec::new());
    }
    let setpriv = find_program(&["setpriv"], "util-linux")?;
    let mut words = vec![setpriv.display().to_string()];
    words.extend([
        format!("--reuid={ACCOUNT}"),
        format!("--regid={ACCOUNT}"),
        "--init-groups".to_owned(),
        "--".to_owned(),
    ]);
    Ok(words)
}

fn chown(folder: &Path) -> Result<(), SetupError> {
    let status = Command::new("chown")
        .args(["-R", &format!("{ACCOUNT}:{ACCOUNT}")])
        .arg(folder)
        .status()
        .map_err(SetupError::io("start chown"))?;
    if status.success() {
        return Ok(());
    }
    Err(SetupError::Missing { program: format!("the account {ACCOUNT}"), package: SERVER_PACKAGE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_server_answers_and_leaves_nothing_behind() {
        let server = Postgres::start(&["max_connections=20"]).unwrap();
        assert_eq!(server.sql("postgres", "show max_connections").unwrap(), "20\n");
        let folder = server.folder.path().to_owned();
        drop(server);
        assert!(!folder.exists());
    }
}
