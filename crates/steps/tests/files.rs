//! `write_file`, `read_file` and taking them back, on a real file system.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use piton_core::action::WriteFile;
use piton_core::ports::{Cancel, Executor, Remains};
use piton_core::{Action, Outcome, Text};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use support::World;

fn write(path: &str, text: impl Into<Text>, mode: Option<u32>) -> Action {
    Action::WriteFile(WriteFile { path: path.into(), text: text.into(), mode })
}

impl World {
    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.folder.path().join(path)).unwrap()
    }

    fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.folder.path().join(path)).unwrap().permissions().mode() & 0o7777
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn undo(&self, action: &Action) -> Outcome {
        self.perform(action, &self.context("undo", 1)).unwrap()
    }
}

#[test]
fn a_file_is_replaced_whole_and_keeps_its_mode() {
    let world = World::new();
    let path = world.folder.path().join("conf");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let prepared = world.prepare(&write("conf", "new", None), &world.context("w", 1));
    assert!(prepared.atomic());
    prepared.perform(&Cancel::new()).unwrap();
    assert_eq!((world.read("conf").as_str(), world.mode("conf")), ("new", 0o640));
    world.perform(&write("conf", "newer", Some(0o600)), &world.context("w", 1)).unwrap();
    assert_eq!((world.read("conf").as_str(), world.mode("conf")), ("newer", 0o600));
    world.perform(&write("fresh", "x", None), &world.context("w", 1)).unwrap();
    assert_eq!(world.mode("fresh"), 0o644);
    let secret = world.secret("token", "hunter2hunter2");
    world.perform(&write("key", secret, None), &world.context("w", 1)).unwrap();
    assert_eq!((world.read("key").as_str(), world.mode("key")), ("hunter2hunter2", 0o600));
    assert_eq!(world.names(), ["conf", "fresh", "key", "token"]);
}

#[test]
fn a_symlink_stays_and_its_file_is_written() {
    let world = World::new();
    fs::create_dir(world.folder.path().join("real")).unwrap();
    fs::write(world.folder.path().join("real/conf"), "old").unwrap();
    symlink("real/conf", world.folder.path().join("link")).unwrap();
    symlink("link", world.folder.path().join("link2")).unwrap();
    let mut prepared = world.prepare(&write("link2", "new", None), &world.context("w", 1));
    let undo = prepared.inverse().unwrap().unwrap();
    prepared.perform(&Cancel::new()).unwrap();
    assert_eq!(world.read("real/conf"), "new");
    assert!(fs::symlink_metadata(world.folder.path().join("link2")).unwrap().is_symlink());
    world.undo(&undo);
    assert_eq!(world.read("link2"), "old");
    symlink("self", world.folder.path().join("self")).unwrap();
    assert!(world.executors.prepare(&write("self", "x", None), &world.context("w", 1)).is_err());
}

#[test]
fn taking_back_restores_the_former_file_twice_too() {
    let world = World::new();
    let path = world.folder.path().join("conf");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    let mut prepared = world.prepare(&write("conf", "new", None), &world.context("w", 1));
    let undo = prepared.inverse().unwrap().unwrap();
    prepared.perform(&Cancel::new()).unwrap();
    for _ in 0..3 {
        world.undo(&undo);
        assert_eq!((world.read("conf").as_str(), world.mode("conf")), ("old", 0o604));
        assert_eq!(world.names(), ["conf"]);
    }
}

#[test]
fn what_an_interrupted_attempt_left_half_written_is_swept_away() {
    let world = World::new();
    fs::write(world.folder.path().join("conf"), "old").unwrap();
    let (action, context) = (write("conf", "new", None), world.context("w", 1));
    // The name that an attempt writes under is this attempt's alone: seen where its rename cannot happen.
    let stranger = world.folder.path().join(".conf.piton-000000000000-new");
    fs::write(&stranger, "another's").unwrap();
    let mut prepared = world.prepare(&action, &context);
    let Some(Action::RestoreFile { backup: Some(backup), .. }) = prepared.inverse().unwrap() else { panic!() };
    let half = format!("{}-new", backup.rsplit_once('-').unwrap().0);
    fs::write(&half, "ne").unwrap();
    let remains = world.executors.remains(&action, &piton_core::event::Handle::Engine, &context);
    assert!(matches!(remains, Remains::Gone));
    assert!(!std::path::Path::new(&half).exists() && stranger.exists());
    assert!(std::path::Path::new(&backup).exists(), "an undo may need it");
}

#[test]
fn only_what_inverse_kept_is_ever_forgotten() {
    let world = World::new();
    let path = |name: &str| world.folder.path().join(name).display().to_string();
    for name in ["conf", ".hidden", ".conf.piton-1-2"] {
        fs::write(path(name), "x").unwrap();
    }
    let forget = |backup: Option<String>| piton_steps::forget(&Action::RestoreFile { path: "conf".into(), backup });
    forget(None);
    forget(Some(path("conf")));
    forget(Some(path(".hidden")));
    forget(Some(".conf.piton-1-2".into()));
    assert_eq!(world.names(), [".conf.piton-1-2", ".hidden", "conf"]);
    forget(Some(path(".conf.piton-1-2")));
    assert_eq!(world.names(), [".hidden", "conf"]);
}

#[test]
fn taking_back_what_was_never_written_changes_nothing() {
    let world = World::new();
    fs::write(world.folder.path().join("conf"), "old").unwrap();
    let undo = world.prepare(&write("conf", "new", None), &world.context("w", 1)).inverse().unwrap().unwrap();
    let none = world.prepare(&write("fresh", "new", None), &world.context("w", 1)).inverse().unwrap().unwrap();
    for _ in 0..2 {
        world.undo(&undo);
        world.undo(&none);
        assert_eq!((world.read("conf").as_str(), world.names()), ("old", vec!["conf".to_owned()]));
    }
}

#[test]
fn attempts_are_taken_back_in_reverse_to_the_first_state() {
    let world = World::new();
    fs::write(world.folder.path().join("conf"), "old").unwrap();
    let mut undos = Vec::new();
    for attempt in 1..=3 {
        let action = write("conf", format!("attempt {attempt}"), None);
        let mut prepared = world.prepare(&action, &world.context("w", attempt));
        undos.push(prepared.inverse().unwrap().unwrap());
        prepared.perform(&Cancel::new()).unwrap();
    }
    for undo in undos.iter().rev() {
        world.undo(undo);
    }
    assert_eq!((world.read("conf").as_str(), world.names()), ("old", vec!["conf".to_owned()]));
}

#[test]
fn a_file_that_was_not_there_is_removed_again() {
    let world = World::new();
    let mut prepared = world.prepare(&write("fresh", "new", None), &world.context("w", 1));
    let undo = prepared.inverse().unwrap().unwrap();
    assert_eq!(undo, Action::RestoreFile { path: "fresh".into(), backup: None });
    prepared.perform(&Cancel::new()).unwrap();
    world.undo(&undo);
    world.undo(&undo);
    assert!(world.names().is_empty());
}

#[test]
fn a_lost_backup_is_said_and_not_glossed_over() {
    let world = World::new();
    fs::write(world.folder.path().join("conf"), "old").unwrap();
    let mut prepared = world.prepare(&write("conf", "new", None), &world.context("w", 1));
    let undo = prepared.inverse().unwrap().unwrap();
    prepared.perform(&Cancel::new()).unwrap();
    let Action::RestoreFile { backup: Some(backup), .. } = &undo else { panic!("{undo:?}") };
    fs::remove_file(backup).unwrap();
    let failed = world.perform(&undo, &world.context("undo", 1)).unwrap_err();
    assert!(failed.failure.message.contains("is gone"), "{failed:?}");
    assert_eq!(world.read("conf"), "new");
}

#[test]
fn what_cannot_be_written_or_read_says_why() {
    let world = World::new();
    fs::create_dir(world.folder.path().join("folder")).unwrap();
    for (path, why) in [("folder", "not a regular file"), ("nowhere/file", "is not a directory")] {
        let failure = world.executors.prepare(&write(path, "x", None), &world.context("w", 1)).err().unwrap();
        assert!(failure.message.contains(why), "{failure}");
    }
    fs::write(world.folder.path().join("binary"), [0xff]).unwrap();
    fs::write(world.folder.path().join("large"), vec![b'x'; 1024 * 1024 + 1]).unwrap();
    for (path, why) in
        [("absent", "No such file"), ("folder", "not a regular file"), ("binary", "UTF-8"), ("large", "1 MiB")]
    {
        let read = Action::ReadFile { path: path.into() };
        let failed = world.perform(&read, &world.context("r", 1)).unwrap_err();
        assert!(failed.failure.message.contains(why), "{failed:?}");
    }
    fs::write(world.folder.path().join("whole"), vec![b'x'; 1024 * 1024]).unwrap();
    let read = world.perform(&Action::ReadFile { path: "whole".into() }, &world.context("r", 1)).unwrap();
    assert_eq!(read.out.unwrap().len(), 1024 * 1024);
}

#[test]
fn a_write_dies_with_its_engine() {
    let world = World::new();
    let action = write("conf", "new", None);
    let handle = world.prepare(&action, &world.context("w", 1)).handle();
    assert!(matches!(world.remains(&action, &handle, &world.context("w", 1)), Remains::Gone));
}
