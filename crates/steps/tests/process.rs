//! What a command gives, how it fails, and that nothing of it stays: over real supervisors and real processes.

#![allow(clippy::unwrap_used)]

mod process_support;

use piton_core::outcome::FailureKind;
use piton_core::ports::{Cancel, Purpose};
use piton_core::progress::{Progress, Said};
use piton_core::{Digest, Duration, Text};
use process_support::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

fn text(output: &Option<std::sync::Arc<str>>) -> &str {
    output.as_deref().unwrap_or("‹none›")
}

#[test]
fn a_command_gives_its_output_code_and_cost() {
    let world = World::new();
    let outcome = world.ok(1, "echo out; echo err >&2");
    assert_eq!((text(&outcome.out), text(&outcome.err)), ("out\n", "err\n"));
    assert_eq!((outcome.ok, outcome.code, outcome.signal), (true, Some(0), None));
    assert!(outcome.took_us > 0 && outcome.usage.unwrap().max_rss_bytes > 0);
    assert_eq!(outcome.notes, Vec::<String>::new());
    let silent = world.ok(2, "true");
    assert_eq!((text(&silent.out), text(&silent.err)), ("", ""));
    assert!(!world.attempt_dir(2).join("out").exists());
}

#[test]
fn environment_directory_and_input_are_what_the_author_said() {
    let world = World::new();
    fs::create_dir_all(world.dir.path().join("root/sub")).unwrap();
    let mut process = sh("cat; echo $A; pwd; echo $PITON_RUN $PITON_STEP; echo $PITON_ATTEMPT_ID");
    process.env.insert("A".into(), "a b".into());
    process.cwd = Some("sub".into());
    process.stdin = Some("typed\n".into());
    let outcome = world.prepare(&process, &world.context(1)).perform(&Cancel::new()).unwrap();
    let lines: Vec<&str> = text(&outcome.out).lines().collect();
    assert_eq!(lines[..2], ["typed", "a b"]);
    assert!(lines[2].ends_with("root/sub"));
    let run = world.context(1).run;
    assert_eq!(lines[3], format!("{run} step"));
    assert!(lines[4].starts_with(&format!("{run}-")) && lines[4].contains("-g1-a1-"), "{}", lines[4]);
}

#[test]
fn a_failing_command_says_why_in_its_own_words() {
    let world = World::new();
    let failed = world.fails(1, "echo half; echo 'table is gone' >&2; exit 3");
    assert_eq!(failed.failure.kind, FailureKind::Action);
    assert_eq!(failed.failure.message, "exit code 3: table is gone");
    assert!(!failed.never_began && !failed.unknown);
    let outcome = failed.outcome.unwrap();
    assert_eq!((outcome.code, text(&outcome.out)), (Some(3), "half\n"));
    assert_eq!(world.fails(2, "kill -SEGV $$").failure.message, "ended by signal 11 (SIGSEGV)");
    let missing = world.fails(3, "nonsense-command");
    assert!(missing.failure.message.starts_with("exit code 127 (a command was not found): "), "{missing:?}");
    assert_eq!(world.fails(4, "false | true; echo unreached").outcome.unwrap().out.as_deref(), Some(""));
}

#[test]
fn what_cannot_be_started_never_began() {
    let world = World::new();
    let failed = world.prepare(&exec(&["no-such-program"]), &world.context(1)).perform(&Cancel::new()).unwrap_err();
    assert!(failed.never_began);
    assert_eq!(failed.failure.message, "cannot start no-such-program: No such file or directory (os error 2)");
    let mut process = sh("true");
    process.cwd = Some("nowhere".into());
    let failed = world.prepare(&process, &world.context(2)).perform(&Cancel::new()).unwrap_err();
    assert!(failed.never_began && failed.failure.message.contains("its working directory"), "{failed:?}");
    let cancel = Cancel::new();
    cancel.fire("the run was aborted");
    let failed = world.prepare(&sh("true"), &world.context(3)).perform(&cancel).unwrap_err();
    assert!(failed.never_began && failed.failure.kind == FailureKind::Stopped, "{failed:?}");
}

#[test]
fn arguments_pass_without_a_shell() {
    let world = World::new();
    let process = exec(&["printf", "%s|", "a b", "$HOME", "*"]);
    let outcome = world.prepare(&process, &world.context(1)).perform(&Cancel::new()).unwrap();
    assert_eq!(text(&outcome.out), "a b|$HOME|*|");
}

/// Packs run what this binary does by itself, wherever it was installed.
#[test]
fn a_program_may_be_this_binary() {
    let world = World::new();
    let process = exec(&["@piton", "--list", "a_program_may_be"]);
    let outcome = world.prepare(&process, &world.context(1)).perform(&Cancel::new()).unwrap();
    assert!(text(&outcome.out).starts_with("a_program_may_be_this_binary: test\n"), "{outcome:?}");
}

#[test]
fn a_script_runs_from_the_snapshot_only_as_the_run_knows_it() {
    let world = World::new();
    let file = world.dir.path().join("tree/ops/say.sh");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let source = "echo said $1; undefined_is_an_error=1; false; echo not reached";
    fs::write(&file, source).unwrap();
    let script = |path: &str| {
        let digest = Digest::of_bytes(source.as_bytes());
        let program = piton_core::action::Program::Script { path: path.into(), digest, args: vec!["x y".into()] };
        piton_core::action::Process { program, ..sh("") }
    };
    for attempt in 1..3 {
        let ready = world.prepare(&script("ops/say.sh"), &world.context(attempt));
        let failed = ready.perform(&Cancel::new()).unwrap_err();
        assert_eq!(text(&failed.outcome.unwrap().out), "said x y\n", "{:?}", failed.failure);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(&file, "echo other").unwrap();
    let refused = world.processes.prepare(&script("ops/say.sh"), &world.context(3)).err().unwrap();
    assert!(refused.message.contains("was changed"), "{refused}");
    for outside in ["../x", "/etc/passwd", ""] {
        assert!(world.processes.prepare(&script(outside), &world.context(4)).is_err(), "{outside}");
    }
}

#[test]
fn binary_output_is_kept_byte_for_byte() {
    let world = World::new();
    let outcome = world.ok(1, r"printf 'a\xff\x00b'");
    assert_eq!(text(&outcome.out), "a\u{fffd}\0b");
    let artifact = &outcome.artifacts[0];
    assert_eq!((artifact.name.as_str(), artifact.bytes, artifact.digest), ("out", 4, Digest::of_bytes(b"a\xff\x00b")));
    assert_eq!(fs::read(world.dir.path().join(&artifact.file)).unwrap(), b"a\xff\x00b");
}

#[test]
fn a_hundred_megabytes_pass_through_little_memory() {
    let world = World::new();
    let outcome = world.ok(1, "head -c 100000000 /dev/zero | tr '\\0' x");
    assert_eq!(outcome.out, None);
    let artifact = &outcome.artifacts[0];
    assert_eq!(artifact.bytes, 100_000_000);
    assert_eq!(fs::metadata(world.dir.path().join(&artifact.file)).unwrap().len(), 100_000_000);
    let status = fs::read_to_string(format!("/proc/{}/status", world.supervisor(1))).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 32 * 1024, "the supervisor needed {kib} KiB");
}

#[test]
fn output_beyond_the_limit_is_cut_and_the_command_goes_on() {
    let world = World::with(|config| config.output_bytes = 1000);
    let outcome = world.ok(1, "head -c 300000 /dev/zero | tr '\\0' x; echo fine >&2");
    assert_eq!((outcome.out.as_deref().unwrap().len(), text(&outcome.err)), (1000, "fine\n"));
    assert_eq!(outcome.notes, ["out: cut after 1000 bytes, the most that is kept"]);
}

#[test]
fn a_secret_reaches_the_command_and_nothing_else() {
    let world = World::new();
    let value = "hunter2 & co/1";
    let mut process =
        sh("read -r line; test \"$line\" = \"$TOKEN\"; printf '%s' \"${TOKEN:0:5}\"; read -rt 0.3 <> <(:) || true
         printf '%s\\n' \"${TOKEN:5}\"; printf %s \"x$TOKEN\" | base64 >&2; exit 1");
    process.env.insert("TOKEN".into(), secret("token", value));
    process.stdin = Some(secret("token", value).concat(Text::plain("\n")));
    let failed = world.prepare(&process, &world.context(1)).perform(&Cancel::new()).unwrap_err();
    let outcome = failed.outcome.as_ref().unwrap();
    assert_eq!(text(&outcome.out), "«secret token»\n");
    assert!(text(&outcome.err).contains("«secret token»"), "{}", text(&outcome.err));
    assert!(failed.failure.message.contains("«secret token»"));
    for entry in fs::read_dir(world.attempt_dir(1)).unwrap() {
        let path = entry.unwrap().path();
        let content = fs::read(&path).unwrap();
        assert!(!String::from_utf8_lossy(&content).contains("hunter2"), "{}", path.display());
    }
    let supervisor = world.supervisor(1);
    for file in ["cmdline", "environ"] {
        let content = fs::read(format!("/proc/{supervisor}/{file}")).unwrap();
        assert!(!String::from_utf8_lossy(&content).contains("hunter2"), "{file}");
    }
}

#[test]
fn a_timeout_ends_everything_and_keeps_what_was_said() {
    let world = World::new();
    let mut context = world.context(1);
    context.timeout = Some(Duration::from_secs(2));
    let script = "trap 'echo tidied; exit 0' TERM; echo begun; sleep 100 & wait";
    let failed = world.prepare(&sh(script), &context).perform(&Cancel::new()).unwrap_err();
    assert_eq!(failed.failure.kind, FailureKind::Timeout);
    assert_eq!(failed.failure.message, "took longer than 2s; TERM ended it");
    assert_eq!(text(&failed.outcome.unwrap().out), "begun\ntidied\n");
}

#[test]
fn who_ignores_term_is_killed_after_the_grace() {
    let world = World::with(|config| config.grace = std::time::Duration::from_millis(300));
    let cancel = Cancel::new();
    let script = "trap '' TERM; (trap '' TERM; sleep 1000) & echo ready; sleep 1000; sleep 1000";
    let ready = world.prepare(&sh(script), &world.context(1));
    let waiter = std::thread::spawn({
        let cancel = cancel.clone();
        move || ready.perform(&cancel)
    });
    line_of(world.attempt_dir(1).join("out"));
    let begin = Instant::now();
    cancel.fire("enough");
    let failed = waiter.join().unwrap().unwrap_err();
    assert!(begin.elapsed().as_millis() >= 300, "{:?}", begin.elapsed());
    assert_eq!(failed.outcome.unwrap().signal, Some(9));
    assert!(!alive(world.command(1)));
}

/// Starts a daemon that has left group, session and parents behind, and keeps the command running.
fn daemon_script(pid_file: &std::path::Path) -> String {
    let inner = format!("echo $$ > {}; exec sleep 1000", pid_file.display());
    format!("(setsid bash -c \"trap '' TERM; (env -i bash -c '{inner}' </dev/null >/dev/null 2>&1 &)\"); sleep 1000")
}

#[test]
fn a_cancel_finds_even_a_daemon() {
    let world = World::new();
    let pid_file = world.dir.path().join("daemon");
    let cancel = Cancel::new();
    let ready = world.prepare(&sh(&daemon_script(&pid_file)), &world.context(1));
    let waiter = std::thread::spawn({
        let cancel = cancel.clone();
        move || ready.perform(&cancel)
    });
    let daemon = pid_in(&pid_file);
    assert!(alive(daemon));
    cancel.fire("somebody said abort");
    let failed = waiter.join().unwrap().unwrap_err();
    assert_eq!(
        (failed.failure.kind, failed.failure.message.as_str()),
        (FailureKind::Stopped, "ended: somebody said abort")
    );
    assert!(!alive(daemon));
    assert!(!failed.unknown);
}

#[test]
fn a_stopped_command_can_be_cancelled() {
    let world = World::new();
    let cancel = Cancel::new();
    let ready = world.prepare(&sh("echo ready; kill -STOP $$; sleep 1000"), &world.context(1));
    let waiter = std::thread::spawn({
        let cancel = cancel.clone();
        move || ready.perform(&cancel)
    });
    line_of(world.attempt_dir(1).join("out"));
    cancel.fire("enough");
    assert_eq!(waiter.join().unwrap().unwrap_err().failure.kind, FailureKind::Stopped);
}

#[test]
fn a_background_child_that_holds_the_output_open_does_not_hang_the_step() {
    let world = World::new();
    let first = world.ok(1, "true");
    assert!(first.notes.is_empty());
    let begin = Instant::now();
    let outcome = world.ok(2, "sleep 1000 & echo $!");
    assert!(begin.elapsed().as_secs() < 20);
    let child: i32 = text(&outcome.out).trim().parse().unwrap();
    assert_eq!(
        outcome.notes,
        [
            "reading stopped although something still holds its out and err open".to_owned(),
            format!("left running: sleep (pid {child})")
        ]
    );
    assert!(alive(child), "a command may leave a daemon behind on purpose");
    // Its supervisor takes no other job.
    until("the supervisor's exit", || !alive(world.supervisor(2)));
    world.ok(3, "true");
    assert_ne!(world.supervisor(3), world.supervisor(2));
    kill(child);
}

#[test]
fn stragglers_that_end_soon_are_waited_for() {
    let world = World::new();
    let outcome = world.ok(1, "(sleep 0.01; echo late) & echo early");
    assert_eq!(text(&outcome.out), "early\nlate\n");
    assert!(outcome.notes.is_empty(), "{:?}", outcome.notes);
}

#[test]
fn supervisors_are_used_again_and_leave_with_their_engine() {
    let world = World::new();
    for attempt in 1..6 {
        world.ok(attempt, "true");
    }
    let supervisors: Vec<i32> = (1..6).map(|attempt| world.supervisor(attempt)).collect();
    let mut different = supervisors.clone();
    different.sort_unstable();
    different.dedup();
    assert!(different.len() <= 2, "{supervisors:?}");
    let World { dir, processes } = world;
    drop(processes);
    until("the supervisors' exit", || supervisors.iter().all(|pid| !alive(*pid)));
    drop(dir);
}

#[test]
fn many_commands_run_at_once() {
    let world = World::new();
    std::thread::scope(|scope| {
        let run = |attempt: u32| text(&world.ok(attempt, &format!("echo {attempt}")).out).to_owned();
        let threads: Vec<_> = (1..=40u32).map(|attempt| (attempt, scope.spawn(move || run(attempt)))).collect();
        for (attempt, thread) in threads {
            assert_eq!(thread.join().unwrap(), format!("{attempt}\n"));
        }
    });
}

#[test]
fn a_look_leaves_no_directory_and_can_be_repeated() {
    let world = World::new();
    let mut context = world.context(1);
    context.purpose = Purpose::Look;
    for _ in 0..3 {
        world.prepare(&sh("echo x"), &context).perform(&Cancel::new()).unwrap();
    }
    assert_eq!(fs::read_dir(world.dir.path().join("attempts")).unwrap().count(), 0);
    let (first, second) = (world.prepare(&sh("true"), &context), world.prepare(&sh("true"), &context));
    assert_ne!(first.handle(), second.handle());
}

#[test]
fn a_write_that_was_begun_is_not_begun_again_under_its_number() {
    let world = World::new();
    world.ok(1, "true");
    let refused = world.processes.prepare(&sh("true"), &world.context(1)).err().unwrap();
    assert!(refused.message.contains("the journal does not know"), "{refused}");
    // An engine that died between preparing and journaling leaves a directory that nobody claimed.
    let (first, second) =
        (world.prepare(&sh("true"), &world.context(2)), world.prepare(&sh("true"), &world.context(2)));
    assert_eq!(first.handle(), second.handle());
}

#[test]
fn what_a_command_says_is_there_while_it_runs() {
    let world = World::new();
    let cancel = Cancel::new();
    let mut process =
        sh("printf '10 %%\\r20 %%\\nsaid %s\\npart' \"$T\"; echo piton:progress 3/4 rows >&2; sleep 1000");
    process.env.insert("T".into(), secret("t", "hunter2hunter2"));
    let ready = world.prepare(&process, &world.context(1));
    let waiter = std::thread::spawn({
        let cancel = cancel.clone();
        move || ready.perform(&cancel)
    });
    let context = world.context(1);
    let progress = Progress { done: 3, total: Some(4), unit: "rows".into() };
    let expected = Said { line: Some("said «secret t»".into()), progress: Some(progress) };
    until("what it says", || world.processes.said(&context).as_ref() == Some(&expected));
    cancel.fire("seen");
    assert!(waiter.join().unwrap().is_err());
}

#[test]
fn a_memory_limit_is_enforced_or_said_not_to_be() {
    let world = World::new();
    let mut context = world.context(1);
    context.memory_bytes = Some(64 << 20);
    let told = world.prepare(&sh("true"), &context).perform(&Cancel::new()).unwrap();
    if told.notes.is_empty() {
        context.attempt = 2;
        let eater = sh("head -c 300M /dev/zero | tail");
        let failed = world.prepare(&eater, &context).perform(&Cancel::new()).unwrap_err();
        assert_eq!(failed.failure.kind, FailureKind::Memory);
    } else {
        assert!(told.notes[0].starts_with("memory is measured, not enforced: "), "{:?}", told.notes);
    }
}
