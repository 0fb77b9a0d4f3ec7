//! The rolling restart of a three-node service, over real processes behind a real balancer, under load: no request fails,
//! each node is restarted once, and what turns out bad is taken back.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]
#![allow(clippy::print_stdout, reason = "what it measured")]

#[path = "../common/mod.rs"]
mod common;
mod fleet;

use common::{World, example};
use fleet::{Fleet, NODES, until};
use std::sync::atomic::Ordering;

/// Every so many events the engine dies, in CI.
const CUT_EVERY: usize = 9;

fn world() -> World {
    let world = World::new();
    common::copy(&example("rolling-restart"), &world.dir.join("runbook"));
    world
}

#[test]
#[ignore = "a process of its own, started by the other tests"]
fn a_node_of_the_service() {
    fleet::be_a_node();
}

#[test]
fn no_request_fails_and_each_node_is_restarted_once_whatever_kills_the_engine() {
    let world = world();
    let fleet = Fleet::start(&world);
    let clients = fleet.load();
    world.run_to_end(&fleet.args("2"));
    let events = world.events();
    world.nothing_runs_twice();
    let starts = |name: &&str| fleet.starts(name);
    assert_eq!(NODES.each_ref().map(starts), [2, 2, 2]);
    let mut releases = 2;
    for cut in (1..usize::try_from(events).unwrap()).step_by(CUT_EVERY) {
        releases += 1;
        let release = releases.to_string();
        let home = world.dir.join("home");
        std::fs::remove_dir_all(home).unwrap();
        if world.run_until_crash(&fleet.args(&release), cut as u64) {
            world.resume_to_end();
        }
        world.nothing_runs_twice();
        for name in NODES {
            assert_eq!(fleet.release(name).as_deref(), Some(&*release), "{name}, killed after event {cut}");
            assert_eq!(fleet.starts(name), releases, "{name}, killed after event {cut}");
        }
        until("all are in rotation", || fleet.in_rotation() == 3);
    }
    let answers = clients();
    let (good, bad) = (answers.good.load(Ordering::Relaxed), answers.bad.load(Ordering::Relaxed));
    println!("{events} events, {releases} releases, {good} requests, {bad} failed");
    assert!(good > 100 && bad == 0, "{good} good, {bad} bad\n{}", world.words());
}

#[test]
fn a_release_that_answers_with_errors_trips_the_guard_and_is_taken_back() {
    let world = world();
    let fleet = Fleet::start(&world);
    let clients = fleet.load();
    let mut args = fleet.args("2-bad");
    let soak = args.iter().position(|arg| arg == "--soak").unwrap();
    args[soak + 1] = "60s".to_owned();
    let code = world.wait(world.spawn(&args, None));
    assert_eq!(code, Some(1), "{}", world.words());
    let show = world.show().unwrap();
    assert_eq!(show["status"], "held", "{show}");
    assert!(world.words().contains("Error rate"), "{}", world.words());
    for name in NODES {
        assert_eq!(fleet.release(name).as_deref(), Some("1"), "{name}");
    }
    assert_eq!([fleet.starts("n2"), fleet.starts("n3")], [1, 1], "others were touched");
    until("all are in rotation", || fleet.in_rotation() == 3);
    let bad = clients().bad.load(Ordering::Relaxed);
    assert!(bad > 0, "the bad release failed nothing");
}

#[test]
fn a_release_that_does_not_come_up_holds_out_of_rotation_and_can_be_taken_back() {
    let world = world();
    let fleet = Fleet::start(&world);
    let clients = fleet.load();
    let mut args = fleet.args("2-dead");
    let timeout = args.iter().position(|arg| arg == "--start-timeout").unwrap();
    args[timeout + 1] = "2s".to_owned();
    let code = world.wait(world.spawn(&args, None));
    assert_eq!(code, Some(1), "{}", world.words());
    assert!(world.words().contains("Restart/n1/Restart"), "{}", world.words());
    assert_eq!(fleet.in_rotation(), 2, "the node that is not healthy gets requests");
    let undone = world.piton(&["undo", "@last"]);
    assert_eq!(undone.status.code(), Some(4), "{}", common::text(&undone));
    until("all are in rotation", || fleet.in_rotation() == 3);
    for name in NODES {
        assert_eq!(fleet.release(name).as_deref(), Some("1"), "{name}");
    }
    assert_eq!(clients().bad.load(Ordering::Relaxed), 0);
}
