//! What the rows of a move share: servers with the same settings, `piton move` between them, sysbench's tables and load.
//!
//! Owns the settings that all servers of a comparison have, and how a command is timed. Never says what is good.

use piton_testkit::mariadb::{MariaDb, Options};
use piton_testkit::{Guarded, SetupError, find_program};
use serde_json::Value;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The schema of sysbench's tables.
pub(super) const SCHEMA: &str = "bench";
/// How often a process's memory is looked at; its peak so far is what the kernel tells.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A replica is given up after this many seconds.
const REPLICA_LIMIT_S: u32 = 900;
/// Who writes the load: nobody else's sessions are taken for its.
pub(super) const WRITER: &str = "writer";
/// Connections of a load at a fixed rate: enough that none waits for another.
const LOAD_THREADS: &str = "--threads=8";

/// Every server of a comparison is set like this, besides what `MariaDb` sets: a row log with full images, and a flush
/// of both logs with each commit. What concerns replication does nothing on a server that is no replica.
const SETTINGS: [&str; 6] = [
    "--innodb-log-file-size=512M",
    "--log-slave-updates=ON",
    "--slave-parallel-mode=optimistic",
    "--slave-parallel-threads=8",
    "--max-connections=300",
    "--performance-schema=OFF",
];

/// A server as all others.
pub(super) fn server(server_id: u32) -> io::Result<MariaDb> {
    let extra = SETTINGS.map(str::to_owned).to_vec();
    MariaDb::start(Options { server_id, buffer_pool_mib: 512, extra, ..Options::default() }).map_err(other)
}

pub(super) fn other(error: SetupError) -> io::Error {
    io::Error::other(error)
}

/// What one command took.
pub(super) struct Took {
    pub(super) time: Duration,
    /// The process's largest resident memory.
    pub(super) peak_mib: f64,
    pub(super) output: String,
}

/// Runs a command to its end; one that fails is an error with what it said.
pub(super) fn timed(mut command: Command) -> io::Result<Took> {
    let (told, errors) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(told.try_clone()?).stderr(errors.try_clone()?);
    let began = Instant::now();
    let mut child = command.spawn()?;
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0.0;
    let status = loop {
        let status = fs::read_to_string(&status_file).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak_kib = peak.and_then(|kib| kib.parse().ok()).unwrap_or(peak_kib);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let time = began.elapsed();
    let (output, errors) = (all_of(told)?, all_of(errors)?);
    if status.success() {
        return Ok(Took { time, peak_mib: peak_kib / 1024.0, output });
    }
    Err(io::Error::other(format!("{command:?}: {status}\n{output}{errors}")))
}

/// What a child wrote to a file that it shares with us.
fn all_of(mut file: File) -> io::Result<String> {
    use std::io::{Read as _, Seek as _};
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Two servers, and the binary that moves between them.
pub(super) struct Pair {
    pub(super) piton: PathBuf,
    pub(super) old: MariaDb,
    pub(super) new: MariaDb,
}

impl Pair {
    pub(super) fn start(piton: &Path) -> io::Result<Self> {
        Ok(Self { piton: piton.to_owned(), old: server(1)?, new: server(2)? })
    }

    /// `piton move`, about these tables.
    pub(super) fn command(&self, command: &str, name: &str, tables: &[String], more: &[&str]) -> Command {
        let mut built = Command::new(&self.piton);
        built.args(["move", command, "--name", name, "--json"]);
        built.args(tables.iter().flat_map(|table| ["--table", table]));
        built.args(more).env("PITON_MOVE_OLD", self.old.url("")).env("PITON_MOVE_NEW", self.new.url(""));
        built
    }

    /// Runs one to its end.
    pub(super) fn moves(&self, command: &str, name: &str, tables: &[String], more: &[&str]) -> io::Result<Took> {
        timed(self.command(command, name, tables, more))
    }

    /// Makes empty tables on the new side, as the old one has them.
    pub(super) fn shape(&self, tables: &[String]) -> io::Result<()> {
        for table in tables {
            let Some((schema, _)) = table.split_once('.') else { continue };
            let shape = self.old.sql(&format!("show create table {table}")).map_err(other)?.replace("\\n", "\n");
            let Some((_, create)) = shape.split_once('\t') else { continue };
            let make = format!("set foreign_key_checks = 0; create database if not exists {schema}; use {schema};");
            self.new.sql(&format!("{make} {create}")).map_err(other)?;
        }
        Ok(())
    }
}

/// What a command that succeeded answered.
pub(super) fn parsed(answer: &str) -> io::Result<Value> {
    let json = answer.find('{').zip(answer.rfind('}')).map(|(from, to)| &answer[from..=to]);
    Ok(serde_json::from_str(json.unwrap_or_default())?)
}

/// A replica of a server that nobody has written to yet. It has as many threads as a move has lanes, is optimistic, and
/// keeps a log of its own as a move's target does.
pub(super) fn replica(of: &MariaDb, server_id: u32) -> io::Result<MariaDb> {
    let replica = server(server_id)?;
    let (port, password, user) = (of.port(), of.password(), MariaDb::ADMIN);
    let source = format!("master_host = '127.0.0.1', master_port = {port}, master_user = '{user}'");
    let from = format!("master_password = '{password}', master_log_file = 'binlog.000001', master_log_pos = 4");
    replica.sql(&format!("change master to {source}, {from}, master_use_gtid = no; start slave")).map_err(other)?;
    Ok(replica)
}

/// Waits until a replica that runs has what its source has logged.
pub(super) fn caught_up(source: &MariaDb, replica: &MariaDb) -> io::Result<()> {
    let place = source.sql("show master status").map_err(other)?;
    let mut words = place.split('\t');
    let (file, offset) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let wait = format!("select master_pos_wait('{file}', {offset}, {REPLICA_LIMIT_S})");
    let waited = replica.sql(&wait).map_err(other)?;
    if waited.trim().parse::<i64>().is_ok_and(|events| events >= 0) {
        return Ok(());
    }
    let status = replica.sql("show slave status").map_err(other)?;
    Err(io::Error::other(format!("the replica did not come to {file}:{offset}: {waited}{status}")))
}

/// sysbench's tables by name.
pub(super) fn tables(count: u32) -> Vec<String> {
    (1..=count).map(|number| format!("{SCHEMA}.sbtest{number}")).collect()
}

/// sysbench, which writes to `count` tables of `rows` rows.
pub(super) fn sysbench(server: &MariaDb, count: u32, rows: u32, words: &[&str]) -> io::Result<Command> {
    let mut command = Command::new(find_program(&["sysbench"], "sysbench").map_err(other)?);
    command.args(["oltp_write_only", "--db-driver=mysql", "--mysql-host=127.0.0.1", "--rand-type=uniform"]);
    command.arg(format!("--mysql-port={}", server.port())).arg(format!("--mysql-user={WRITER}"));
    command.arg(format!("--mysql-password={WRITER}")).arg(format!("--mysql-db={SCHEMA}"));
    command.arg(format!("--tables={count}")).arg(format!("--table-size={rows}")).args(words);
    Ok(command)
}

/// Makes sysbench's tables and fills them.
pub(super) fn fill(server: &MariaDb, count: u32, rows: u32) -> io::Result<()> {
    let account = format!("create user {WRITER}@'%' identified by '{WRITER}'; grant all on {SCHEMA}.* to {WRITER}@'%'");
    server.sql(&format!("create database {SCHEMA}; {account}")).map_err(other)?;
    timed(sysbench(server, count, rows, &["--threads=2", "prepare"])?).map(drop)
}

/// sysbench that writes at a fixed rate until this is dropped.
pub(super) struct Load {
    process: Guarded,
    dir: TempDir,
}

impl Load {
    /// `rate` transactions a second, each of which changes four rows.
    pub(super) fn start(server: &MariaDb, count: u32, rows: u32, rate: u32) -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let told = File::create(dir.path().join("told"))?;
        let rate = format!("--rate={rate}");
        let words = [LOAD_THREADS, &rate, "--time=0", "--report-interval=1", "run"];
        let described = sysbench(server, count, rows, &words)?;
        let process = Guarded::start(&[], Path::new(described.get_program()), |command| {
            command.args(described.get_args()).stdin(Stdio::null()).stderr(Stdio::null()).stdout(told);
        });
        Ok(Self { process: process.map_err(other)?, dir })
    }

    /// Transactions a second since it began, none of which may have been refused; it must be at work still.
    pub(super) fn rate(&mut self) -> io::Result<f64> {
        let told = fs::read_to_string(self.dir.path().join("told"))?;
        if let Some(status) = self.process.ended()? {
            return Err(io::Error::other(format!("sysbench has ended, {status}: {told}")));
        }
        // [ 3s ] thds: 8 tps: 49.99 qps: ... err/s: 0.00 reconn/s: 0.00
        let number = |line: &str, name: &str| {
            line.split_once(name).and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<f64>().ok())
        };
        let rates: Vec<f64> = told.lines().filter_map(|line| number(line, " tps: ")).collect();
        if told.lines().any(|line| number(line, "reconn/s: ").is_some_and(|lost| lost > 0.0)) {
            return Err(io::Error::other(format!("sysbench lost its connections: {told}")));
        }
        Ok(rates.iter().sum::<f64>() / rates.len().max(1) as f64)
    }
}

/// Says how far a long measurement is.
#[allow(clippy::print_stderr, reason = "minutes pass before the first figure")]
pub(super) fn note(text: &str) {
    eprintln!("  {text}");
}
