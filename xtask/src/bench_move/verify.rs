//! The verification's rows: `piton move verify` beside `pt-table-checksum`, and what it locks on the source.
//!
//! `pt-table-checksum` writes statements to the log, at which a move halts: it runs on a source and a replica of its
//! own, with tables of the same size under the same load. Owns these four servers, and the looks at who holds a lock.

use super::servers::{
    Load, Pair, SCHEMA, WRITER, caught_up, fill, note, other, parsed, replica, server, tables, timed,
};
use crate::bench::{Figure, median};
use piton_testkit::find_program;
use piton_testkit::mariadb::MariaDb;
use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(super) const NAMES: [&str; 2] = ["verify: rows, while 50 tx/s are streamed", "verify: longest lock, longest read"];

const ROUNDS: usize = 5;
const TABLES: u32 = 4;
const ROWS: u32 = 200_000;
const RATE: u32 = 50;
/// InnoDB makes its list of transactions anew when it is a tenth of a second old.
const LOOK_EVERY: Duration = Duration::from_millis(105);
const NAME: &str = "verify";

pub(super) fn measure(piton: &Path) -> io::Result<Vec<Figure>> {
    let pair = Pair::start(piton)?;
    fill(&pair.old, TABLES, ROWS)?;
    let all = tables(TABLES);
    pair.shape(&all)?;
    pair.moves("copy", NAME, &all, &[])?;
    let apart = server(3)?;
    let apart_replica = replica(&apart, 4)?;
    fill(&apart, TABLES, ROWS)?;
    caught_up(&apart, &apart_replica)?;
    name_replica(&apart, &apart_replica)?;
    let rows = f64::from(TABLES * ROWS);
    let mut rounds = Vec::new();
    let mut held = Held::default();
    for round in 0..ROUNDS {
        let (mut ours, mut theirs) = (0.0, 0.0);
        for turn in 0..2 {
            if (turn + round) % 2 == 0 {
                let mut load = Load::start(&pair.old, TABLES, ROWS, RATE)?;
                ours = rows / verified(&pair, &all, &mut held)?;
                note(&format!("verify: {ours:.0} rows/s, beside {:.1} transactions a second", load.rate()?));
            } else {
                let mut load = Load::start(&apart, TABLES, ROWS, RATE)?;
                theirs = rows / checksummed(&apart)?;
                let rate = load.rate()?;
                note(&format!("verify: pt-table-checksum {theirs:.0} rows/s, beside {rate:.1} transactions a second"));
            }
        }
        rounds.push((ours, theirs));
    }
    let ratio = median(rounds.iter().map(|(ours, theirs)| ours / theirs).collect());
    Ok(vec![
        Figure {
            name: NAMES[0],
            value: median(rounds.iter().map(|(ours, _)| *ours).collect()),
            unit: "row/s",
            baseline: median(rounds.iter().map(|(_, theirs)| *theirs).collect()),
            ratio,
            goal: "at least 1.0 times pt-table-checksum",
            ok: ratio >= 1.0,
        },
        Figure {
            name: NAMES[1],
            value: held.lock_ms,
            unit: "ms",
            baseline: held.read_ms,
            ratio: held.lock_ms / held.read_ms,
            goal: "no lock held longer than a chunk is read",
            ok: held.looks > 0 && held.read_ms > 0.0 && held.lock_ms <= held.read_ms,
        },
    ])
}

/// Seconds of `piton move verify`, which must find all equal.
fn verified(pair: &Pair, all: &[String], held: &mut Held) -> io::Result<f64> {
    let ended = AtomicBool::new(false);
    let (took, seen) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| look(&pair.old, &ended));
        let took = pair.moves("verify", NAME, all, &[]);
        ended.store(true, Ordering::SeqCst);
        (took, looking.join().unwrap_or_else(|_| Err(io::Error::other("who looked at the locks panicked"))))
    });
    let (took, seen) = (took?, seen?);
    *held = Held {
        lock_ms: held.lock_ms.max(seen.lock_ms),
        read_ms: held.read_ms.max(seen.read_ms),
        looks: held.looks + seen.looks,
    };
    let answer = parsed(&took.output)?;
    if answer["rows"].as_f64().is_none_or(|rows| rows < f64::from(TABLES * ROWS)) {
        return Err(io::Error::other(format!("not all rows were compared: {answer}")));
    }
    Ok(took.time.as_secs_f64())
}

/// Where `pt-table-checksum` finds the replica.
fn name_replica(source: &MariaDb, replica: &MariaDb) -> io::Result<()> {
    let dsn = format!("h=127.0.0.1,P={},u={},p={}", replica.port(), MariaDb::ADMIN, replica.password());
    let table = "create table percona.dsns (id int primary key, parent_id int, dsn varchar(255))";
    let row = format!("insert into percona.dsns values (1, null, '{dsn}')");
    source.sql(&format!("create database percona; {table}; {row}")).map_err(other)?;
    caught_up(source, replica)
}

/// Seconds of `pt-table-checksum`, which waits for its replica, and must find all equal.
fn checksummed(source: &MariaDb) -> io::Result<f64> {
    let program = find_program(&["pt-table-checksum"], "percona-toolkit").map_err(other)?;
    let account = format!("P={},u={},p={}", source.port(), MariaDb::ADMIN, source.password());
    let mut command = Command::new(program);
    command.args(["--databases", SCHEMA, "--no-check-binlog-format", "--no-version-check", "--quiet"]);
    command.arg(format!("--recursion-method=dsn=h=127.0.0.1,{account},D=percona,t=dsns"));
    command.arg(format!("h=127.0.0.1,{account}"));
    Ok(timed(command)?.time.as_secs_f64())
}

/// What the sessions of a move were seen to hold and to read.
#[derive(Default)]
struct Held {
    lock_ms: f64,
    read_ms: f64,
    looks: usize,
}

/// Looks, until all is ended, at the sessions that are neither ours nor the load's.
fn look(server: &MariaDb, ended: &AtomicBool) -> io::Result<Held> {
    let mut client = server.client().map_err(other)?;
    client.args(["--batch", "--skip-column-names", "--unbuffered"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = client.spawn()?;
    let (input, output) = (client.stdin.take(), client.stdout.take());
    let held = match (input, output) {
        (Some(input), Some(output)) => looks(input, BufReader::new(output), ended),
        _ => Err(io::Error::other("the client has no pipes")),
    };
    end(client)?;
    held
}

fn end(mut client: Child) -> io::Result<()> {
    client.kill()?;
    client.wait().map(drop)
}

fn looks(mut input: ChildStdin, mut output: BufReader<ChildStdout>, ended: &AtomicBool) -> io::Result<Held> {
    let others = format!("user not in ('{WRITER}', 'root', 'system user')");
    let locks = format!(
        "select 'lock', trx_mysql_thread_id, trx_id from information_schema.innodb_trx join information_schema.processlist
         on id = trx_mysql_thread_id where {others} and trx_rows_locked + trx_tables_locked > 0"
    );
    let reads = format!(
        "select 'read', id, time_ms from information_schema.processlist
         where {others} and command = 'Query' and info like 'SELECT%{SCHEMA}%sbtest%'"
    );
    let question = format!("{locks}; {reads}; select 'end', 0, 0;\n").replace('\n', " ") + "\n";
    let mut held = Held::default();
    let mut first_seen: HashMap<(String, String), Instant> = HashMap::new();
    while !ended.load(Ordering::SeqCst) {
        input.write_all(question.as_bytes())?;
        let now = Instant::now();
        loop {
            let mut line = String::new();
            if output.read_line(&mut line)? == 0 {
                return Err(io::Error::other("the client that looks at locks has ended"));
            }
            let words: Vec<&str> = line.trim_end().split('\t').collect();
            match words[..] {
                ["lock", session, transaction] => {
                    let since = first_seen.entry((session.to_owned(), transaction.to_owned())).or_insert(now);
                    held.lock_ms = held.lock_ms.max(now.duration_since(*since).as_secs_f64() * 1000.0);
                }
                ["read", _, ms] => held.read_ms = held.read_ms.max(ms.parse().unwrap_or(0.0)),
                _ => break,
            }
        }
        held.looks += 1;
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(held)
}
