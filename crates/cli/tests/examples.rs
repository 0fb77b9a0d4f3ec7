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

const EXAMPLES: [Example; 3] = [
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

#[test]
fn every_example_can_be_taken_back_until_its_commit_point() {
    for one in EXAMPLES.iter().filter(|one| one.name == "rotate-logs") {
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
