//! What goes wrong around a run: disks, journals, clocks, second engines, commands that do not behave. Each has its
//! message, its exit code, and loses nothing.
//!
//! The only tests here that damage a store by hand. Where the machine does not let a test make its fault, it says so.

use crate::place::{Place, Ran};
use piton_core::Digest;
use piton_core::record::{Moment, Sealed};
use rusqlite::Connection;

const LINE: &str = "def line(name):\n    step(name, sh(\"echo x >> \" + quote(name)))\n\n";

/// `one` is done, `two` fails until `mended` is there, then come a wait and `three`.
fn stopped() -> Place {
    let place = Place::with(&format!(
        "{LINE}def main():\n    line(\"one\")\n    step(\"two\", sh(\"test -e mended\"))\n    wait(\"a moment\", \"1s\")\n    line(\"three\")\n"
    ));
    place.ran(&["run", "book.star"]).ends(1);
    std::fs::write(place.path("mended"), "").unwrap();
    place
}

fn goes_on_to_its_end(place: &Place) -> Ran {
    let ran = place.ran(&["resume", "@last", "--retry"]).ends(0);
    assert_eq!((place.read("one"), place.read("three")), ("x\n".to_owned(), "x\n".to_owned()));
    ran
}

/// A shell's script in a mount namespace of its own, where this user may mount. `None`, loudly, where it may not.
#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
fn in_own_mounts(place: &Place, script: &str) -> Option<Ran> {
    let unshare = |script: &str| {
        let mut command = std::process::Command::new("unshare");
        let binary = std::path::Path::new(env!("CARGO_BIN_EXE_piton")).parent().unwrap();
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
        command.args(["-rm", "bash", "-c", script]).current_dir(place.path(""));
        command.env("PATH", path).env("PITON_HOME", place.home()).env("TZ", "UTC");
        command.output()
    };
    std::fs::create_dir_all(place.home()).unwrap();
    let mount = "mount -t tmpfs -o size=16m tmpfs \"$PITON_HOME\"";
    if !unshare(mount).is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: this user may not mount a small disk of its own");
        return None;
    }
    let output = unshare(&format!("{mount} || exit 99\n{script}")).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Some(Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) })
}

/// A runbook that fills the store's disk once, and does `then` on the full one.
fn filling(then: &str) -> Place {
    let place = Place::new();
    let ballast = place.home().join("ballast");
    let fill = format!("test -e filled || {{ touch filled; head -c 1G /dev/zero > {} || true; }}", ballast.display());
    place.file(
        "book.star",
        &format!(
            "{LINE}def main():\n    line(\"one\")\n    step(\"fill\", sh({fill:?}), repeatable = True)\n{then}    line(\"three\")\n"
        ),
    )
}

const SPACE_AGAIN: &str = "rm \"$PITON_HOME/ballast\"; piton show @last > /dev/null; echo \"show: $?\"
    piton resume @last --retry; echo \"resume: $?\"
    piton receipt @last -o r.json && piton verify r.json; echo \"verify: $?\"";

#[test]
fn a_disk_too_full_for_the_journal_stops_the_run_and_space_lets_it_go_on() {
    let place = filling("    for i in range(400):\n        step(\"n%d\" % i, noop(\"x\" * 10000))\n");
    let script = format!("piton run book.star; echo \"run: $?\"\n{SPACE_AGAIN}");
    let Some(ran) = in_own_mounts(&place, &script) else { return };
    let ran = ran.ends(0).says("run: 5").says("show: 0").says("resume: 0").says("verify: 0");
    assert!(ran.err.contains("full") && ran.err.contains("nothing is lost"), "{}", ran.err);
    assert_eq!((place.read("one"), place.read("three")), ("x\n".to_owned(), "x\n".to_owned()));
}

#[test]
fn a_disk_too_full_for_a_command_fails_its_step_before_it_begins() {
    let place = filling("");
    let script = format!("piton run book.star; echo \"run: $?\"\n{SPACE_AGAIN}");
    let Some(ran) = in_own_mounts(&place, &script) else { return };
    ran.ends(0).says("No space left on device").says("run: 1").says("resume: 0").says("verify: 0");
    assert_eq!((place.read("one"), place.read("three")), ("x\n".to_owned(), "x\n".to_owned()));
}

#[test]
fn a_disk_full_from_the_start_is_said_and_nothing_runs() {
    let place = Place::with(&format!("{LINE}def main():\n    line(\"one\")\n"));
    let script = "head -c 1G /dev/zero > \"$PITON_HOME/ballast\" 2>/dev/null; piton run book.star; echo \"run: $?\"";
    let Some(ran) = in_own_mounts(&place, script) else { return };
    let ran = ran.ends(0).says("run: 5").says("error[P0010]");
    assert!(ran.err.contains("full") || ran.err.contains("No space left"), "{}", ran.err);
    assert_eq!(place.read("one"), "");
}

#[test]
fn a_read_only_store_is_said_and_nothing_runs() {
    let place = Place::with(&format!("{LINE}def main():\n    line(\"one\")\n"));
    let script = "piton run book.star > /dev/null; echo \"first: $?\"; mount -o remount,ro \"$PITON_HOME\" || exit 98
        piton run book.star; echo \"run: $?\"";
    let Some(ran) = in_own_mounts(&place, script) else { return };
    let ran = ran.ends(0).says("first: 0").says("run: 5").says("error[P0010]");
    assert!(ran.err.to_lowercase().contains("read-only"), "{}", ran.err);
    assert_eq!(place.read("one"), "x\n");
}

fn journal(place: &Place) -> Connection {
    Connection::open(place.home().join("journal.db")).unwrap()
}

/// Rewrites the newest run's records as if they had been made so, with their chain.
fn remade(place: &Place, change: impl Fn(&mut Moment, &mut String)) {
    let db = journal(place);
    let mut rows = db.prepare("select key, wall_us, boot_us, fence, body from records order by key").unwrap();
    let rows: Vec<(i64, i64, i64, i64, String)> = rows
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut previous = Digest::ZERO;
    for (index, (key, wall_us, boot_us, fence, mut body)) in rows.into_iter().enumerate() {
        let mut at = Moment { wall_us, boot_us: boot_us.cast_unsigned() };
        change(&mut at, &mut body);
        let sealed = Sealed::new(previous, index as u64 + 1, at, fence.cast_unsigned(), body);
        previous = sealed.hash;
        let changed = rusqlite::params![key, sealed.at.wall_us, sealed.body, sealed.hash.as_bytes()];
        db.execute("update records set wall_us = ?2, body = ?3, hash = ?4 where key = ?1", changed).unwrap();
    }
}

#[test]
fn a_corrupt_journal_is_refused_and_left_as_it_is() {
    let place = stopped();
    journal(&place).execute("update records set body = replace(body, 'one', 'own') where key & 15 = 4", []).unwrap();
    for words in [&["show", "@last"][..], &["resume", "@last", "--retry"], &["undo", "@last"], &["receipt", "@last"]] {
        let ran = place.ran(words).ends(5);
        assert!(ran.err.contains("error[P0011]"), "{words:?}: {}", ran.err);
        assert!(ran.err.contains("the journal was changed or damaged"), "{words:?}: {}", ran.err);
    }
    assert_eq!((place.read("one"), place.read("three")), ("x\n".to_owned(), String::new()));
    // Other runs of the same store are read as ever.
    place.ran(&["run", "book.star"]).ends(0);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let place = stopped();
    for beside in ["journal.db-wal", "journal.db-shm"] {
        let _ = std::fs::remove_file(place.home().join(beside));
    }
    let path = place.home().join("journal.db");
    std::fs::write(&path, "rubbish\n".repeat(1000)).unwrap();
    place.ran(&["runs"]).ends(5).says("error[P0011]");
    place.ran(&["run", "book.star"]).ends(5).says("error[P0011]");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "rubbish\n".repeat(1000));
}

#[test]
fn a_newer_journal_is_refused_not_guessed() {
    let place = stopped();
    remade(&place, |_, body| *body = body.replacen("\"format\":1", "\"format\":2", 1));
    for words in [&["show", "@last"][..], &["resume", "@last", "--retry"], &["receipt", "@last"], &["undo", "@last"]] {
        let ran = place.ran(words).ends(5);
        assert!(
            ran.err.contains("error[P0011]") && ran.err.contains("newer version of Piton"),
            "{words:?}: {}",
            ran.err
        );
    }
    let version = |number: i64| journal(&place).pragma_update(None, "user_version", number).unwrap();
    let current: i64 = journal(&place).pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    version(999);
    for words in [&["runs"][..], &["run", "book.star"], &["show", "@last"]] {
        place.ran(words).ends(5).says("error[P0011]").says("newer version of Piton").says("999");
    }
    assert_eq!(place.read("three"), "");
    version(current);
    remade(&place, |_, body| *body = body.replacen("\"format\":2", "\"format\":1", 1));
    goes_on_to_its_end(&place);
}

#[test]
fn a_wall_clock_that_jumped_changes_nothing_about_a_run() {
    const DAY_US: i64 = 86_400_000_000;
    for jump in [DAY_US, -30 * DAY_US] {
        let place = stopped();
        remade(&place, |at, _| at.wall_us += jump);
        let ran = goes_on_to_its_end(&place);
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        for words in [&["show", "@last"][..], &["logs", "@last"], &["runs"], &["receipt", "@last", "-o", "r.json"]] {
            place.ran(words).ends(0);
        }
        place.ran(&["verify", "r.json"]).ends(0);
    }
}

#[test]
fn a_second_engine_is_refused_and_told_who_drives() {
    let place = Place::with(
        "def main():\n    step(\"wait\", sh(\"echo x >> begun; until test -e go; do sleep 0.02; done\"))\n",
    );
    let mut run = place.piton(&["run", "book.star"]).started();
    run.until("begin    wait");
    place.wait_for("begun");
    let ran = place.ran(&["resume", "@last"]).ends(2);
    insta::assert_snapshot!(place.plain(&ran.err), @r"
    error[P0021]: an engine drives run ‹run› already
      = follow it: piton watch ‹run›
    ");
    let id = place.show()["id"].as_str().unwrap().to_owned();
    // In the background there is nobody to refuse: whoever drives the run does what there is to do.
    place.ran(&["__engine", &id]).ends(0).says("an engine drives run").says("process");
    std::fs::write(place.path("go"), "").unwrap();
    run.ended().ends(0);
    assert_eq!(place.read("begun"), "x\n");
}

#[test]
fn a_hundred_megabytes_of_output_are_kept_beside_the_journal() {
    let place = Place::with(
        "def main():\n    step(\"big\", sh(\"head -c 100000000 /dev/zero | tr '\\\\0' x\"))\n    step(\"last\", noop())\n",
    );
    place.ran(&["run", "book.star"]).ends(0);
    let journal: u64 = ["journal.db", "journal.db-wal"]
        .iter()
        .map(|name| std::fs::metadata(place.home().join(name)).map_or(0, |meta| meta.len()))
        .sum();
    assert!(journal < 8 << 20, "{journal} bytes");
    let logs = place.ran(&["logs", "@last", "big"]).ends(0).out;
    assert!(logs.len() >= 100_000_000, "{} bytes", logs.len());
    place.ran(&["receipt", "@last", "-o", "r.json"]).ends(0);
    place.ran(&["verify", "r.json"]).ends(0);
}

#[test]
fn binary_output_ends_nothing_and_controls_no_terminal() {
    let place = Place::with(
        "def main():\n    step(\"bin\", sh(\"head -c 4096 /dev/urandom; printf '\\\\377\\\\000\\\\033[2J\\\\n'; exit 3\"))\n",
    );
    let ran = place.ran(&["run", "book.star"]).ends(1);
    for text in [&ran.out, &ran.err, &place.ran(&["show", "@last"]).ends(0).out] {
        assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{text:?}");
    }
    place.ran(&["logs", "@last", "bin"]).ends(0);
    place.ran(&["show", "@last", "--json"]).ends(0);
}

fn alive(pid: &str) -> bool {
    // A zombie whose parent has not looked yet is dead.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

#[test]
fn a_command_that_ignores_term_is_ended_by_its_timeout() {
    let place = Place::with(
        "def main():\n    step(\"deaf\", sh(\"trap '' TERM; echo $$ > pid; while :; do sleep 0.1; done\"), timeout = \"500ms\")\n",
    );
    let ran = place.ran(&["run", "book.star"]).ends(1);
    assert!(ran.err.contains("500ms"), "{}", ran.err);
    assert!(!alive(&place.read("pid")), "it lives on");
}

#[test]
fn a_command_that_daemonises_is_ended_with_all_it_started() {
    let place = Place::with(
        "def main():\n    step(\"fork\", sh(\"(setsid sleep 1000 & echo $! > pid); echo x >> begun; sleep 1000\"))\n",
    );
    let mut run = place.piton(&["run", "book.star"]).started();
    run.until("begin    fork");
    place.wait_for("begun");
    let pid = place.read("pid");
    assert!(alive(&pid));
    place.ran(&["abort", "@last"]).ends(4);
    run.ended().ends(4);
    assert!(!alive(&pid), "the daemon lives on");
}
