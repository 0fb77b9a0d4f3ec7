//! What a later engine finds: commands that lived on, records, orphans, claims; after real kills of real processes.

#![allow(clippy::unwrap_used)]

mod process_support;

use piton_core::outcome::{FailureKind, Outcome};
use piton_core::ports::{ActionFailed, Cancel, Remains};
use process_support::*;
use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// An engine in a process of its own that runs the script as attempt 1. Killed when dropped.
struct Engine(Child);

impl Engine {
    fn start(world: &World, script: &str, timeout_ms: Option<u64>) -> Self {
        let mut command = Command::new(TEST_PROGRAM);
        command.arg("engine").arg(world.dir.path()).arg(script);
        command.args(timeout_ms.map(|ms| ms.to_string()));
        Self(command.spawn().unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

fn remains(world: &World) -> Remains {
    world.processes.remains(&world.handle(1), &world.context(1))
}

fn name(remains: &Remains) -> String {
    match remains {
        Remains::Exited(told) => format!("exited: {told:?}"),
        Remains::Running(_) => "running".into(),
        Remains::Gone => "gone".into(),
        Remains::NeverBegan => "never began".into(),
        Remains::Unprovable(why) => format!("unprovable: {why}"),
    }
}

fn attached(world: &World, cancel: &Cancel) -> Result<Outcome, ActionFailed> {
    match remains(world) {
        Remains::Running(running) => running.wait(cancel),
        other => panic!("{}", name(&other)),
    }
}

#[test]
fn a_command_outlives_its_engine_and_is_told_whole_to_the_next() {
    let world = World::new();
    let (go, begun) = (world.dir.path().join("go"), world.dir.path().join("begun"));
    let script = format!(
        "echo begun >> {}; echo before; until test -e {}; do sleep 0.02; done; echo after; echo bad >&2; exit 7",
        begun.display(),
        go.display()
    );
    let mut engine = Engine::start(&world, &script, None);
    line_of(&begun);
    engine.kill();
    let command = world.command(1);
    assert!(alive(command));
    let waiter = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| attached(&world, &Cancel::new()));
        // Still running: nobody may take it for ended, however often somebody looks.
        for _ in 0..20 {
            assert_eq!(name(&remains(&world)), "running");
        }
        fs::write(&go, "").unwrap();
        waiter.join().unwrap()
    });
    let failed = waiter.unwrap_err();
    assert_eq!(failed.failure.message, "exit code 7: bad");
    let outcome = failed.outcome.unwrap();
    assert_eq!((outcome.out.as_deref(), outcome.err.as_deref()), (Some("before\nafter\n"), Some("bad\n")));
    assert_eq!(fs::read_to_string(&begun).unwrap(), "begun\n");
    assert!(name(&remains(&world)).starts_with("exited: Err"));
    until("the supervisor's exit", || !alive(world.supervisor(1)));
}

#[test]
fn a_command_that_ended_meanwhile_left_its_record() {
    let world = World::new();
    let mut engine = Engine::start(&world, "echo done; sleep 0.3", None);
    line_of(world.attempt_dir(1).join("out"));
    engine.kill();
    until("the record", || world.attempt_dir(1).join("exit").exists());
    match remains(&world) {
        Remains::Exited(Ok(outcome)) => assert_eq!(outcome.out.as_deref(), Some("done\n")),
        other => panic!("{}", name(&other)),
    }
}

#[test]
fn a_later_engine_can_end_it_with_everything_below() {
    let world = World::new();
    let pid_file = world.dir.path().join("daemon");
    let inner = format!("echo $$ > {}; exec sleep 1000", pid_file.display());
    let script = format!("(setsid bash -c \"trap '' TERM; (env -i bash -c '{inner}' &)\"); sleep 1000");
    let mut engine = Engine::start(&world, &script, None);
    let daemon = pid_in(&pid_file);
    engine.kill();
    let cancel = Cancel::new();
    cancel.fire("it goes back");
    let failed = attached(&world, &cancel).unwrap_err();
    assert_eq!((failed.failure.kind, failed.failure.message.as_str()), (FailureKind::Stopped, "ended: it goes back"));
    assert!(!alive(daemon) && !alive(world.command(1)));
    until("the supervisor's exit", || !alive(world.supervisor(1)));
}

#[test]
fn a_supervisor_that_cannot_write_its_record_does_not_hold_up_an_engine_that_ends_it() {
    let world = World::new();
    let begun = world.dir.path().join("begun");
    let mut engine = Engine::start(&world, &format!("echo begun >> {}; sleep 1000", begun.display()), None);
    line_of(&begun);
    engine.kill();
    // As on a full disk: the record cannot be written, now or later.
    fs::create_dir(world.attempt_dir(1).join("exit.new")).unwrap();
    let cancel = Cancel::new();
    cancel.fire("the window goes back");
    let start = Instant::now();
    let failed = attached(&world, &cancel).unwrap_err();
    // A supervisor that does not obey is killed after twenty seconds: longer than many a window's reserve.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(failed.unknown, "{failed:?}");
    assert!(!alive(world.command(1)) && !alive(world.supervisor(1)));
    assert_eq!(name(&remains(&world)), "gone");
}

#[test]
fn the_timeout_holds_without_an_engine() {
    let world = World::new();
    let mut engine = Engine::start(&world, "echo begun; sleep 1000", Some(3000));
    line_of(world.attempt_dir(1).join("out"));
    engine.kill();
    until("the record", || world.attempt_dir(1).join("exit").exists());
    match remains(&world) {
        Remains::Exited(Err(failed)) => assert_eq!(failed.failure.kind, FailureKind::Timeout),
        other => panic!("{}", name(&other)),
    }
    assert!(!alive(world.command(1)));
}

#[test]
fn a_dead_supervisors_orphans_are_found_and_ended() {
    let world = World::with(|config| config.grace = Duration::from_millis(300));
    let pids = world.dir.path().to_owned();
    // One that stays, one that left the session but kept its environment, one that did the opposite, and a child of it.
    let script = format!(
        "setsid bash -c 'echo $$ > {0}/left; sleep 1000; :' & (env -i bash -c 'trap \"\" TERM; echo $$ > {0}/bare; sleep 1000; :' &) ; wait",
        pids.display()
    );
    let mut engine = Engine::start(&world, &script, None);
    let all = [pid_in(pids.join("left")), pid_in(pids.join("bare")), world.command(1)];
    engine.kill();
    assert!(all.iter().all(|pid| alive(*pid)));
    kill(world.supervisor(1));
    until("the supervisor's death", || !alive(world.supervisor(1)));
    assert!(all.iter().all(|pid| alive(*pid)));
    assert_eq!(name(&remains(&world)), "gone");
    assert!(!all.iter().any(|pid| alive(*pid)));
    assert_eq!(name(&remains(&world)), "gone");
}

#[test]
fn an_engine_whose_supervisor_is_killed_does_not_know_what_happened() {
    let world = World::new();
    let ready = world.prepare(&sh("echo begun; sleep 1000"), &world.context(1));
    let waiter = std::thread::spawn(move || ready.perform(&Cancel::new()));
    line_of(world.attempt_dir(1).join("out"));
    let command = world.command(1);
    kill(world.supervisor(1));
    let failed = waiter.join().unwrap().unwrap_err();
    assert!(failed.unknown && !failed.never_began, "{failed:?}");
    assert!(failed.failure.message.contains("its supervisor died"), "{failed:?}");
    assert!(!alive(command));
    assert_eq!(name(&remains(&world)), "gone");
}

#[test]
fn a_supervisor_that_dies_idle_costs_nothing() {
    let world = World::new();
    world.ok(1, "true");
    let first = world.supervisor(1);
    kill(first);
    until("its death", || !alive(first));
    world.ok(2, "true");
    assert_ne!(world.supervisor(2), first);
}

#[test]
fn what_nobody_claimed_never_began_and_never_will() {
    let world = World::new();
    let ready = world.prepare(&sh("touch began"), &world.context(1));
    assert_eq!(name(&remains(&world)), "never began");
    assert_eq!(name(&remains(&world)), "never began");
    let refused = ready.perform(&Cancel::new()).unwrap_err();
    assert!(refused.never_began, "{refused:?}");
    assert!(!world.dir.path().join("root/began").exists());
    world.ok(2, "true");
}

#[test]
fn of_a_supervisor_and_a_later_engine_exactly_one_wins() {
    let world = World::new();
    world.ok(1000, "true");
    let (mut won, mut lost) = (0, 0);
    for attempt in 1..60 {
        let ready = world.prepare(&sh("echo x >> began"), &world.context(attempt));
        let handle = dir_of(&ready.handle());
        let context = world.context(attempt);
        let (told, remains) = std::thread::scope(|scope| {
            let performing = scope.spawn(move || ready.perform(&Cancel::new()));
            let spins = attempt * 3000;
            (0..spins).for_each(|_| std::hint::spin_loop());
            let remains = name(&world.processes.remains(&handle, &context));
            (performing.join().unwrap(), remains)
        });
        match told {
            Ok(_) => {
                won += 1;
                assert!(remains == "running" || remains.starts_with("exited: Ok"), "{remains}");
            }
            Err(failed) => {
                lost += 1;
                assert!(failed.never_began, "{failed:?}");
                assert_eq!(remains, "never began");
            }
        }
    }
    let effects = fs::read_to_string(world.dir.path().join("root/began")).unwrap_or_default();
    assert_eq!(effects.lines().count(), won, "{lost} never began");
}

#[test]
fn an_engine_killed_at_any_instant_leaves_nothing_unknown() {
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..40u32 {
        let world = World::new();
        let effect = world.dir.path().join("effect");
        let mut engine = Engine::start(&world, &format!("echo x >> {}; sleep 0.01", effect.display()), None);
        std::thread::sleep(Duration::from_micros(u64::from(round) * 400));
        engine.kill();
        let Some(attempts) = fs::read_dir(world.dir.path().join("attempts")).ok() else { continue };
        if attempts.count() == 0 {
            continue;
        }
        let told = match remains(&world) {
            Remains::Running(running) => name(&Remains::Exited(running.wait(&Cancel::new()))),
            other => name(&other),
        };
        let effects = fs::read_to_string(&effect).unwrap_or_default().lines().count();
        let expected = usize::from(told.starts_with("exited: Ok"));
        assert_eq!(effects, expected, "{told}");
        assert!(expected == 1 || told == "never began", "{told}");
        seen.insert(expected);
    }
    assert!(!seen.is_empty());
}

#[test]
fn a_supervisor_that_does_not_obey_is_killed() {
    let world = World::with(|config| {
        config.grace = Duration::from_millis(100);
        config.stubborn = Duration::from_millis(300);
    });
    let cancel = Cancel::new();
    let ready = world.prepare(&sh("echo begun; sleep 1000"), &world.context(1));
    let waiter = std::thread::spawn({
        let cancel = cancel.clone();
        move || ready.perform(&cancel)
    });
    line_of(world.attempt_dir(1).join("out"));
    let supervisor = rustix::process::Pid::from_raw(world.supervisor(1)).unwrap();
    rustix::process::kill_process(supervisor, rustix::process::Signal::STOP).unwrap();
    cancel.fire("enough");
    let failed = waiter.join().unwrap().unwrap_err();
    assert!(failed.unknown, "{failed:?}");
    assert!(!alive(world.command(1)));
}

fn forge_claim(world: &World, pid: u32, start: u64) {
    let _ready = world.prepare(&sh("true"), &world.context(1));
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let claim = serde_json::json!({"by": "supervisor", "process": {"pid": pid, "start": start}, "boot": boot.trim()});
    let command = serde_json::json!({"pid": pid, "start": start + 1});
    fs::write(world.attempt_dir(1).join("claim"), format!("{claim}\n{command}\n")).unwrap();
}

#[test]
fn a_number_used_again_is_not_taken_for_the_supervisor() {
    let world = World::new();
    let mut stranger = Command::new("setsid").args(["-w", "sleep", "1000"]).spawn().unwrap();
    // The claim's supervisor had this number, but started at another time: the stranger is left alone.
    forge_claim(&world, stranger.id(), 1);
    assert_eq!(name(&remains(&world)), "gone");
    assert!(alive(i32::try_from(stranger.id()).unwrap()));
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_copy_of_a_run_never_ends_the_originals_commands() {
    let (original, copy) = (World::new(), World::new());
    let mut engine = Engine::start(&original, "echo begun; sleep 1000", None);
    line_of(original.attempt_dir(1).join("out"));
    engine.kill();
    forge_claim(&copy, 1, 1);
    assert_eq!(original.handle(1), copy.handle(1));
    assert_eq!(name(&remains(&copy)), "gone");
    assert!(alive(original.command(1)));
    let cancel = Cancel::new();
    cancel.fire("seen");
    assert!(attached(&original, &cancel).is_err());
}

#[test]
fn a_lock_without_its_supervisor_proves_nothing() {
    let world = World::new();
    forge_claim(&world, std::process::id(), 1);
    let lock = fs::File::open(world.attempt_dir(1)).unwrap();
    lock.lock().unwrap();
    let told = name(&remains(&world));
    assert_eq!(told, "unprovable: its lock is held by something that is not its supervisor");
}

#[test]
fn a_claim_cut_in_the_middle_began_nothing() {
    let world = World::new();
    let _ready = world.prepare(&sh("true"), &world.context(1));
    fs::write(world.attempt_dir(1).join("claim"), "{\"by\":\"super").unwrap();
    assert_eq!(name(&remains(&world)), "never began");
}

/// Renames the attempt's directory as if it had been made in another boot, and gives its handle.
fn in_another_boot(world: &World) -> String {
    let dir = world.attempt_dir(1);
    let text = dir.to_str().unwrap();
    let other = format!("{}-00000000", text.rsplit_once('-').unwrap().0);
    fs::rename(text, &other).unwrap();
    format!("attempts/{}", other.rsplit('/').next().unwrap())
}

#[test]
fn after_another_boot_only_a_whole_record_says_anything() {
    let world = World::new();
    let _ready = world.prepare(&sh("true"), &world.context(1));
    let handle = in_another_boot(&world);
    // No claim: it may have been lost with the machine.
    assert_eq!(name(&world.processes.remains(&handle, &world.context(1))), "gone");

    let world = World::new();
    world.ok(1, "echo whole");
    let handle = in_another_boot(&world);
    let told = name(&world.processes.remains(&handle, &world.context(1)));
    assert!(told.starts_with("exited: Ok") && told.contains("whole"), "{told}");
    let dir = world.dir.path().join(&handle);
    fs::write(dir.join("out"), "\0\0\0\0\0\0").unwrap();
    assert_eq!(name(&world.processes.remains(&handle, &world.context(1))), "gone");
    fs::write(dir.join("out"), "whole\n").unwrap();
    fs::write(dir.join("exit"), "{\"cause\":\"exi").unwrap();
    assert_eq!(name(&world.processes.remains(&handle, &world.context(1))), "gone");
}

#[test]
fn a_handle_that_is_none_is_refused() {
    let world = World::new();
    for handle in ["", "attempts/", "attempts/../../etc", "/etc", "attempts/a/b", "attempts/.."] {
        let told = name(&world.processes.remains(handle, &world.context(1)));
        assert!(told.starts_with("unprovable: "), "{handle}: {told}");
    }
}

#[test]
fn a_removed_directory_proves_nothing() {
    let world = World::new();
    let handle = dir_of(&world.prepare(&sh("true"), &world.context(1)).handle());
    fs::remove_dir(world.dir.path().join(&handle)).unwrap();
    let told = name(&world.processes.remains(&handle, &world.context(1)));
    assert!(told.starts_with("unprovable: its directory"), "{told}");
}
