//! Every example runs, and runs to the same end when its engine is killed after any event.
//!
//! For each example: one run that nobody disturbs; then, for every event k of its journal, the same in a world of its
//! own, where the engine dies right after event k is durable and another resumes. Outcome and effects must be those of
//! the undisturbed run. The classic move, which needs real servers, has its own test.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod common;

use common::{World, example};
use std::path::Path;

struct Example {
    name: &'static str,
    runbook: &'static str,
    args: fn(&Path) -> Vec<String>,
    prepare: fn(&Path),
    /// What the run has done to the world, as text.
    effects: fn(&Path) -> String,
}

const EXAMPLES: [Example; 5] = [
    Example {
        name: "rotate-logs",
        runbook: "rotate.star",
        args: |dir| words(&["--services", "web", "--services", "db", "--dir"], dir.join("logs")),
        prepare: |dir| {
            std::fs::create_dir(dir.join("logs")).unwrap();
            for (name, lines) in [("web", 3), ("db", 5)] {
                std::fs::write(dir.join(format!("logs/{name}.log")), "line\n".repeat(lines)).unwrap();
            }
        },
        effects: |dir| common::files(&dir.join("logs")),
    },
    Example {
        name: "release",
        runbook: "release.star",
        args: |dir| words(&["--version", "1.2.3", "--dir"], dir.join("svc")),
        prepare: |dir| {
            std::fs::create_dir(dir.join("svc")).unwrap();
            std::fs::write(dir.join("svc/web"), "1.0.0\n").unwrap();
        },
        effects: |dir| common::files(&dir.join("svc")),
    },
    Example {
        name: "fleet",
        runbook: "fleet.star",
        args: |dir| words(&["--services", "web", "--services", "db", "--dir"], dir.join("fleet")),
        prepare: |dir| {
            std::fs::create_dir(dir.join("fleet")).unwrap();
            for name in ["web", "db"] {
                std::fs::write(dir.join(format!("fleet/{name}.conf")), "platform = old\n").unwrap();
            }
        },
        effects: |dir| common::files(&dir.join("fleet")),
    },
    Example {
        name: "backfill",
        runbook: "backfill.star",
        args: |dir| words(&["--batch", "40", "--db"], dir.join("shop.db")),
        prepare: |dir| orders(dir, 100),
        effects: |dir| common::tables(&dir.join("shop.db"), &["orders"]),
    },
    Example {
        name: "sqlite-migration",
        runbook: "migrate.star",
        args: |dir| words(&["--batch", "40", "--db"], dir.join("people.db")),
        prepare: |dir| {
            let db = rusqlite::Connection::open(dir.join("people.db")).unwrap();
            db.execute_batch(
                "create table people (id integer primary key, name text);
                 create table migrations (runs integer); insert into migrations values (0);
                 create table notes (word text);
                 with recursive n(i) as (select 1 union all select i + 1 from n where i < 100)
                 insert into people select i, 'First' || i || ' Last' || i from n;",
            )
            .unwrap();
        },
        effects: |dir| {
            common::tables(&dir.join("people.db"), &["people_split", "migrations", "notes", "current_people"])
        },
    },
];

/// A shop's orders, of which the total is to be filled in.
fn orders(dir: &Path, rows: u32) {
    let db = rusqlite::Connection::open(dir.join("shop.db")).unwrap();
    db.execute_batch(&format!(
        "create table orders (id integer primary key, price_cents integer not null, quantity integer not null,
                              total_cents integer, filled integer not null default 0);
         with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows})
         insert into orders (id, price_cents, quantity) select 3 * i, 100 + i % 900, 1 + i % 5 from n;"
    ))
    .unwrap();
}

fn words(words: &[&str], path: std::path::PathBuf) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).chain([path.to_string_lossy().into_owned()]).collect()
}

/// A new world with the example in it.
fn world_of(one: &Example) -> World {
    let world = World::new();
    common::copy(&example(one.name), &world.dir.join("runbook"));
    (one.prepare)(&world.dir);
    world
}

fn run_args(one: &Example, world: &World) -> Vec<String> {
    let mut args = vec!["run".to_owned(), format!("runbook/{}", one.runbook)];
    args.extend((one.args)(&world.dir));
    args
}

/// Runs to the end, a person answering what is asked; the outcome, what it emitted and the effects.
fn undisturbed(one: &Example) -> (String, u64) {
    let world = world_of(one);
    world.run_to_end(&run_args(one, &world));
    (world.outcome() + &(one.effects)(&world.dir), world.events())
}

#[test]
fn every_example_ends_the_same_when_killed_after_any_event() {
    for one in &EXAMPLES {
        let (expected, events) = undisturbed(one);
        println!("{}: {events} events", one.name);
        for cut in 1..events {
            let world = world_of(one);
            let died = world.run_until_crash(&run_args(one, &world), cut);
            if died {
                world.resume_to_end();
            }
            let found = world.outcome() + &(one.effects)(&world.dir);
            assert_eq!(found, expected, "{}: killed after event {cut} of {events}", one.name);
            world.nothing_runs_twice();
        }
    }
}

/// The long one, killed at 99 %: it goes on where it was, does nothing twice, and needs no more memory at its end.
#[test]
fn a_backfill_killed_near_its_end_goes_on_from_there() {
    const ROWS: u32 = 100_000;
    const BATCHES: u32 = 1000;
    let one = EXAMPLES.iter().find(|one| one.name == "backfill").unwrap();
    let world = World::new();
    common::copy(&example(one.name), &world.dir.join("runbook"));
    orders(&world.dir, ROWS);
    let args = words(&["run", "runbook/backfill.star", "--batch", "100", "--db"], world.dir.join("shop.db"));
    let mut engine = world.spawn(&args, None);
    let nearly = format!("Batch {} ", BATCHES * 99 / 100);
    let start = std::time::Instant::now();
    while !world.words().contains(&nearly) {
        assert!(start.elapsed() < common::PATIENCE, "{}", world.words());
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let peak = common::peak_mib(engine.id());
    engine.kill().unwrap();
    engine.wait().unwrap();
    let done = filled(&world);
    assert!(done >= i64::from(ROWS) * 98 / 100, "{done} rows were filled when it was killed");
    world.resume_to_end();
    assert_eq!((filled(&world), world.show().unwrap()["value"].as_i64()), (i64::from(ROWS), Some(i64::from(BATCHES))));
    assert!(peak < 128, "{peak} MiB");
}

/// Rows that were filled exactly once, with the right total.
fn filled(world: &World) -> i64 {
    let db = rusqlite::Connection::open(world.dir.join("shop.db")).unwrap();
    let count = |condition: &str| -> i64 {
        db.query_row(&format!("select count(*) from orders where {condition}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count("filled > 1 or total_cents <> price_cents * quantity"), 0, "filled twice, or wrongly");
    count("filled = 1")
}

#[test]
fn every_example_can_be_taken_back_until_its_commit_point() {
    for one in EXAMPLES.iter().filter(|one| matches!(one.name, "rotate-logs" | "fleet")) {
        let world = world_of(one);
        let before = (one.effects)(&world.dir);
        world.run_to_end(&run_args(one, &world));
        assert_ne!((one.effects)(&world.dir), before);
        let undone = world.piton(&["undo", "@last"]);
        assert_eq!(undone.status.code(), Some(4), "{}", common::text(&undone));
        assert_eq!((one.effects)(&world.dir), before);
    }
}

#[test]
fn every_example_checks_clean() {
    for one in &EXAMPLES {
        let world = world_of(one);
        let checked = world.piton(&["check", &format!("runbook/{}", one.runbook)]);
        assert!(checked.status.success(), "{}", common::text(&checked));
    }
}
