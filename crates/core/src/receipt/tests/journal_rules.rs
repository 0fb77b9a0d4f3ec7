//! Journals that no sound engine writes, well chained and signed: verification tells what cannot have happened.

use super::*;
use crate::action::Effect;
use crate::event::*;
use crate::fixture::*;
use crate::hold::{Choice, Decision, HoldReason};
use crate::outcome::{Failure, FailureKind};
use crate::request::StepKind;
use crate::scope::ScopeKind;

/// What verification says is broken in the journal that this makes; everything but the rules holds.
fn broken(happens: impl FnOnce(&mut Log)) -> Vec<String> {
    let mut log = Log::new();
    happens(&mut log);
    let bytes = receipt(&log);
    let fails_at = fails_at(&bytes);
    assert!(matches!(fails_at, None | Some(Part::Rules)), "{fails_at:?}");
    failures(&verify(&bytes, None))
}

/// The one sentence that tells what is broken.
fn told(happens: impl FnOnce(&mut Log)) -> String {
    let told = broken(happens);
    assert_eq!(told.len(), 1, "{told:#?}");
    told[0].split_once(": ").unwrap().1.to_owned()
}

fn attempt(log: &mut Log, change: impl FnOnce(&mut AttemptStarted), at: &str) {
    let mut started = log.starting(at);
    change(&mut started);
    log.add(Event::AttemptStarted(Box::new(started)));
}

fn success(log: &mut Log, at: &str, change: impl FnOnce(&mut StepSucceeded)) {
    let mut succeeded = log.succeeding(at);
    change(&mut succeeded);
    log.add(Event::StepSucceeded(Box::new(succeeded)));
}

#[test]
fn a_sentence_names_the_record_and_the_step() {
    let told = broken(|log| {
        log.done("Copy/a").start("Copy/a");
    });
    assert_eq!(told, ["record 5: \"Copy/a\" is performed again although it is done"]);
}

#[test]
fn a_write_is_not_performed_without_its_intent() {
    let because = "\"a\" was performed without its intent being recorded before";
    assert_eq!(
        told(|log| {
            log.succeed("a");
        }),
        because
    );
    let sql = |log: &mut Log| success(log, "a", |s| s.summary = Some("sql mysql://db: drop table x".into()));
    assert_eq!(told(sql), because);
    assert_eq!(
        broken(|log| {
            log.read("a");
        }),
        [""; 0]
    );
}

#[test]
fn a_write_that_looks_like_a_read_needs_its_intent_too() {
    let because = "\"a\" was performed without its intent being recorded before";
    // What a shell does, its summary does not tell: only the effect does.
    let looks_like_a_read = |kind, effect| {
        move |log: &mut Log| {
            let summary = Some("sh psql -c 'select version()'".to_owned());
            success(log, "a", |s| (s.attempt, s.kind, s.effect, s.summary) = (1, kind, effect, summary));
        }
    };
    for kind in [StepKind::Step, StepKind::Expect, StepKind::Poll] {
        assert_eq!(told(looks_like_a_read(kind, Some(Effect::Write))), because, "{kind:?}");
        assert_eq!(broken(looks_like_a_read(kind, Some(Effect::Read))), [""; 0], "{kind:?}");
    }
    let sql = |log: &mut Log| {
        let summary = Some("sql mysql://db: drop table x".to_owned());
        success(log, "a", |s| (s.effect, s.summary) = (Some(Effect::Read), summary));
    };
    assert_eq!(told(sql), because, "what cannot have read only");
}

#[test]
fn leaving_the_effect_out_does_not_make_a_write_a_read_save_in_a_journal_of_a_version_that_never_said() {
    let silent = |log: &mut Log| {
        success(log, "a", |s| (s.attempt, s.effect, s.summary) = (1, None, Some("sh rm -rf /".into())));
    };
    assert_eq!(told(silent), "\"a\" was performed, and nothing says whether it only read");
    let old = |log: &mut Log| {
        log.fence += 1;
        let engine = crate::ids::EngineId { host: "ops1".into(), boot_id: "boot-a".into(), pid: 1 };
        log.add(Event::EngineAttached(EngineAttached { engine, reason: Attach::Resumed, by: None, piton: None }));
        silent(log);
    };
    assert_eq!(broken(old), [""; 0]);
}

#[test]
fn a_finished_step_is_not_performed_again_within_its_generation() {
    assert_eq!(
        told(|log| {
            log.done("a").start("a");
        }),
        "\"a\" is performed again although it is done"
    );
    assert_eq!(
        told(|log| {
            log.read("a").read("a");
        }),
        "\"a\" is done a second time"
    );
    assert_eq!(
        told(|log| {
            log.done("a").fail("a");
        }),
        "\"a\" failed after it was done"
    );
    assert_eq!(
        broken(|log| {
            log.done("a").begin_undo("").undo("a").end_undo("").done("a");
        }),
        [""; 0]
    );
}

#[test]
fn an_attempt_does_not_begin_while_nothing_says_what_became_of_the_one_before() {
    let because = "\"a\" is performed again while nothing says what became of the attempt before";
    assert_eq!(
        told(|log| {
            log.start("a").start("a");
        }),
        because
    );
    let because = "\"a\" is performed under an attempt's number used before";
    let again = |log: &mut Log| {
        log.start("a").fail_retry_in("a", -1);
        attempt(log, |started| started.attempt = 1, "a");
    };
    assert_eq!(told(again), because);
}

#[test]
fn a_failure_without_a_retry_is_not_followed_by_one() {
    let because = "\"a\" is performed again although nothing allowed a retry";
    assert_eq!(
        told(|log| {
            log.start("a").fail("a").start("a");
        }),
        because
    );
}

#[test]
fn a_generation_begins_only_after_the_one_before_was_taken_back() {
    let skip = |log: &mut Log| {
        log.done("a");
        attempt(log, |started| (started.generation, started.attempt) = (2, 1), "a");
    };
    assert_eq!(told(skip), "\"a\" is of generation 2, and generation 1 is due");
    let stay = |log: &mut Log| {
        log.done("a").begin_undo("").undo("a").end_undo("");
        success(log, "a", |s| {
            (s.generation, s.effect, s.summary) = (1, Some(Effect::Read), Some("query x".into()));
        });
    };
    assert_eq!(told(stay), "\"a\" is of generation 1, and generation 2 is due");
}

#[test]
fn another_attempt_than_the_running_one_does_not_succeed_or_fail() {
    let succeeds = |log: &mut Log| {
        log.start("a");
        success(log, "a", |s| s.attempt = 2);
    };
    assert_eq!(told(succeeds), "\"a\" was performed by another attempt than the one running");
    let fails = |log: &mut Log| {
        log.start("a");
        let failed = AttemptFailed { attempt: 2, ..log.failing("a") };
        log.add(Event::AttemptFailed(Box::new(failed)));
    };
    assert_eq!(told(fails), "\"a\" failed in attempt 2, and attempt 1 was running");
}

#[test]
fn nothing_is_recovered_adopted_or_already_true_without_ground() {
    let how = |how, evidence| move |log: &mut Log| success(log, "a", |s| (s.how, s.evidence) = (how, evidence));
    let never = "\"a\" was recovered from an attempt that never began";
    assert_eq!(told(how(How::Recovered, saw("t"))), never);
    assert_eq!(told(how(How::Adopted, None)), never);
    assert_eq!(told(how(How::AlreadyTrue, None)), "\"a\" was already true, and no postcondition was seen");
    let unseen = |log: &mut Log| {
        log.start("a");
        success(log, "a", |s| s.how = How::Recovered);
    };
    assert_eq!(told(unseen), "\"a\" was recovered, and no postcondition was seen");
    let after = |log: &mut Log| {
        log.start("a").fail_retry_in("a", -1);
        success(log, "a", |s| (s.how, s.evidence) = (How::AlreadyTrue, saw("t")));
    };
    assert_eq!(told(after), "\"a\" was already true, says the journal, after an attempt of it began");
}

#[test]
fn a_step_is_done_by_a_persons_word_only_where_one_said_so() {
    let because = "\"a\" is done by the word of nobody";
    for how in [How::Waived, How::SaidDone, How::Kept] {
        let nobody = |log: &mut Log| {
            log.start("a").hold_failed("a");
            success(log, "a", |s| s.how = how);
        };
        assert_eq!(told(nobody), because);
    }
    let another = |log: &mut Log| {
        log.start("a").hold_failed("a").choose("a", Choice::Waive).accepted("a", How::SaidDone);
    };
    assert_eq!(told(another), because);
}

#[test]
fn a_person_decides_only_what_is_held_and_offered_and_shown() {
    let not_held = |log: &mut Log| {
        log.start("a").fail_retry_in("a", 5).choose("a", Choice::Waive);
    };
    let because = "grace decided what was not theirs to decide: \"a\" does not wait for a decision";
    assert_eq!(told(not_held), because);
    let not_offered = |log: &mut Log| {
        log.start("a").hold_failed("a").choose("a", Choice::Keep);
    };
    assert!(
        told(not_offered)
            .starts_with("grace decided what was not theirs to decide: \"a\" takes --retry or --waive, not --keep")
    );
    let not_shown = |log: &mut Log| {
        log.start("a").hold_failed("a");
        let decision = Decision { saw: fingerprint("another journal"), ..log.by("grace", 1001) };
        log.add(Event::Decided(Decided { path: path("a"), choice: Choice::Waive, decision }));
    };
    assert_eq!(told(not_shown), "grace decided on something that this journal never said");
}

#[test]
fn approvals_count_accounts_and_what_they_saw() {
    let ask = Log::approval(2, true);
    let settle = |names: &[(&str, u32)]| {
        let (ask, names) = (ask.clone(), names.to_vec());
        broken(|log| {
            log.ask("go", ask.clone());
            for (name, uid) in &names {
                log.answer("go", name, *uid, Answer::Approve);
            }
            log.answered("go", &ask);
        })
    };
    assert_eq!(settle(&[("grace", 1001), ("linus", 1002)]), [""; 0]);
    assert!(settle(&[("grace", 1001)])[0].ends_with("\"go\" is done without enough valid answers"));
    let twice = settle(&[("grace", 1001), ("linus", 1001)]);
    assert!(twice[0].ends_with("linus answered \"go\": this account has approved already"), "{twice:#?}");
    assert!(twice[1].ends_with("\"go\" is done without enough valid answers"), "{twice:#?}");
    let starter = settle(&[("ada", 1000), ("grace", 1001)]);
    assert!(starter[0].ends_with("whoever started the run may not approve this step"), "{starter:#?}");
    let rejected = broken(|log| {
        log.ask("go", ask.clone()).answer("go", "grace", 1001, Answer::Reject);
        log.answer("go", "linus", 1002, Answer::Approve)
            .answer("go", "tim", 1003, Answer::Approve)
            .answered("go", &ask);
    });
    assert!(rejected[0].ends_with("\"go\" is done without enough valid answers"), "{rejected:#?}");
    let unasked = broken(|log| {
        log.answer("go", "grace", 1001, Answer::Approve);
    });
    assert!(unasked[0].ends_with("grace answered \"go\": nothing is asked at \"go\" now"), "{unasked:#?}");
}

#[test]
fn nothing_begins_where_nothing_may() {
    let begins = |why: &str| format!("\"b\" begins {why}");
    let held = |log: &mut Log| {
        log.start("a").hold_failed("a").start("b");
    };
    assert_eq!(told(held), begins("while the run is held"));
    let aborted = |log: &mut Log| {
        log.add(Event::AbortAsked { by: actor("ada", 1000), why: None }).start("b");
    };
    assert_eq!(told(aborted), begins("after a person asked to abort"));
    assert_eq!(
        told(|log| {
            log.begin_undo("").start("b");
        }),
        begins("while the run is being taken back")
    );
    let settled = |log: &mut Log| {
        log.enter("s", ScopeKind::Attempt).settle("s", vec![]).start("s/b");
    };
    assert_eq!(told(settled), "\"s/b\" begins in a scope whose end is settled");
    let back = |log: &mut Log| {
        log.open_window("w").done("w/a").go_back("w").start("w/b");
    };
    assert_eq!(told(back), "\"w/b\" begins in a window that goes back");
    let past = |log: &mut Log| {
        log.open_window("w").commit_point("w/c").start("w/a").hold_failed("w/a").start("w/b");
    };
    assert_eq!(told(past), "\"w/b\" begins while another step is held");
}

#[test]
fn a_held_step_is_not_performed_and_a_waived_one_neither() {
    let told = broken(|log| {
        log.start("a").hold_failed("a").start("a");
    });
    assert!(told[0].ends_with("\"a\" is performed while it waits for a person"), "{told:#?}");
    let told = broken(|log| {
        log.start("a").hold_failed("a").choose("a", Choice::Waive).start("a");
    });
    assert!(told[0].ends_with("\"a\" is performed although a person decided otherwise"), "{told:#?}");
}

#[test]
fn undos_are_those_declared_in_their_order_and_within_what_is_taken_back() {
    let other = |log: &mut Log| {
        log.done("a").begin_undo("");
        let (action, handle) = (sh("rm -rf /"), Handle::Engine);
        let started = UndoStarted { path: path("a"), generation: 1, attempt: 1, action, handle };
        log.add(Event::UndoStarted(Box::new(started)));
    };
    assert_eq!(told(other), "\"a\" is taken back by an action that was not declared for it");
    let order = |log: &mut Log| {
        log.done("a").done("b").begin_undo("").undo("a");
    };
    assert_eq!(told(order), "\"a\" is taken back before what was done after it");
    let twice = broken(|log| {
        log.done("a").undo("a");
    });
    assert!(twice[0].ends_with("\"a\" is taken back, and nobody began taking it back"), "{twice:#?}");
    let beside = broken(|log| {
        log.done("a").done("b").begin_undo("b").start_undo("a");
    });
    assert!(beside[0].ends_with("\"a\" is taken back, and nobody began taking it back"), "{beside:#?}");
    let only_said = |log: &mut Log| {
        log.done("a").begin_undo("").undone("a");
    };
    assert_eq!(told(only_said), "\"a\" is taken back, and no undo of it was begun");
    let left = |log: &mut Log| {
        log.done("a").done("b").begin_undo("").undo("b").end_undo("");
    };
    assert_eq!(told(left), "taking back is finished, and \"a\" is not taken back");
    let read = broken(|log| {
        log.read("a").begin_undo("").undone("a");
    });
    assert!(read[0].ends_with("\"a\" is taken back and was not done"), "{read:#?}");
}

#[test]
fn after_a_failed_undo_the_next_may_have_its_turn() {
    let sound = |log: &mut Log| {
        log.open_window("w").done("w/a").done("w/b").go_back("w").begin_undo_for_window("w");
        log.start_undo("w/b")
            .fail_undo("w/b", None)
            .hold("w/b", HoldReason::UndoFailed { failure: broke() })
            .undo("w/a");
        log.choose("w/b", Choice::Retry).undo("w/b").end_undo("w").close_window("w", true);
    };
    assert_eq!(broken(sound), [""; 0]);
}

#[test]
fn nothing_from_before_a_commit_point_is_taken_back() {
    let told = broken(|log| {
        log.done("a").commit_point("c").begin_undo("").start_undo("a");
    });
    assert!(told[0].ends_with("\"a\" is taken back although a commit point was passed since"), "{told:#?}");
}

#[test]
fn taking_back_begins_and_ends_once_and_for_a_window_that_goes_back() {
    assert_eq!(
        told(|log| {
            log.begin_undo("").begin_undo("a");
        }),
        "taking back begins while it is going on"
    );
    assert_eq!(
        told(|log| {
            log.end_undo("");
        }),
        "taking back is finished and never began"
    );
    let other = "taking back \"b\" is finished, and another scope was taken back";
    assert_eq!(
        told(|log| {
            log.begin_undo("a").end_undo("b");
        }),
        other
    );
    let because = "taken back for the window \"w\", which does not go back";
    assert_eq!(
        told(|log| {
            log.open_window("w").begin_undo_for_window("w");
        }),
        because
    );
}

#[test]
fn a_window_does_not_go_back_after_its_commit_point_nor_commit_while_going_back() {
    let because = "the window \"w\" goes back after its commit point";
    assert_eq!(
        told(|log| {
            log.open_window("w").commit_point("w/c").go_back("w");
        }),
        because
    );
    let because = "the commit point \"w/c\" is passed while going back";
    assert_eq!(
        told(|log| {
            log.open_window("w").go_back("w").commit_point("w/c");
        }),
        because
    );
}

#[test]
fn windows_open_and_close_once() {
    assert_eq!(
        told(|log| {
            log.open_window("w").open_window("w");
        }),
        "the window \"w\" opens while it is open"
    );
    let closed = |log: &mut Log| {
        log.open_window("w");
        let closing = log.closing("w", false);
        log.close_window("w", false).add(Event::WindowClosed(closing));
    };
    assert_eq!(told(closed), "the window \"w\" closes and is not open");
    let otherwise = |log: &mut Log| {
        log.open_window("w").go_back("w");
        let closing = WindowClosed { went_back: false, ..log.closing("w", true) };
        log.add(Event::WindowClosed(closing));
    };
    assert_eq!(told(otherwise), "the window \"w\" closes otherwise than it went");
}

#[test]
fn a_window_cannot_be_told_to_have_been_shorter_or_longer_than_it_was() {
    let measured = |us: u64, within: bool| {
        broken(move |log| {
            log.open_window("w").done("w/a");
            let closing = WindowClosed { measured_us: us, within_budget: within, ..log.closing("w", false) };
            log.add(Event::WindowClosed(closing));
        })
    };
    assert_eq!(measured(110_000, true), [""; 0]);
    assert!(measured(109_999, true)[0].contains("is told to have taken 109999 us, and took 110000 to 120000"));
    assert!(measured(120_001, true)[0].contains("is told to have taken 120001 us"));
    assert!(measured(110_000, false)[0].contains("is told otherwise"));
}

#[test]
fn nothing_happens_after_the_end_but_taking_back() {
    let because = "something happened after the run had finished (\"a\")";
    assert_eq!(
        told(|log| {
            log.finish(Finish::Succeeded).done("a").sealed.pop();
        }),
        because
    );
    let back = |log: &mut Log| {
        log.done("a").finish(Finish::Succeeded).crash(Attach::Resumed).begin_undo("").undo("a").end_undo("");
        log.finish(Finish::Undone);
    };
    assert_eq!(broken(back), [""; 0]);
}

#[test]
fn a_run_does_not_end_over_what_is_open() {
    let because = "the run finishes while nothing says how \"a\" ended";
    assert_eq!(
        told(|log| {
            log.start("a").finish(Finish::Succeeded);
        }),
        because
    );
    let because = "the run succeeds while a person is to decide";
    assert_eq!(
        told(|log| {
            log.start("a").hold_failed("a").finish(Finish::Succeeded);
        }),
        because
    );
    let because = "the run finishes with a window open";
    assert_eq!(
        told(|log| {
            log.open_window("w").finish(Finish::Succeeded);
        }),
        because
    );
    let because = "the run finishes while it is being taken back";
    assert_eq!(
        told(|log| {
            log.begin_undo("").finish(Finish::Undone);
        }),
        because
    );
    let because = "the run is aborted, and nobody asked for it";
    assert_eq!(
        told(|log| {
            log.finish(Finish::Aborted);
        }),
        because
    );
}

#[test]
fn leases_and_clocks_do_not_run_backwards() {
    let fence = |log: &mut Log| {
        log.crash(Attach::Resumed);
        log.fence = 1;
        log.read("a");
    };
    assert_eq!(told(fence), "appended under the lease 1 after the lease 2 was taken");
    let clock = |log: &mut Log| {
        log.now.boot_us -= 20_000;
        log.read("a");
    };
    assert_eq!(told(clock), "the boot-time clock ran backwards within one life of an engine");
    let wall = |log: &mut Log| {
        log.now.wall_us = -5;
        log.read("a");
    };
    assert_eq!(broken(wall), [""; 0], "the wall clock may jump");
}

#[test]
fn a_run_starts_once() {
    assert_eq!(
        told(|log| {
            log.add(Event::RunStarted(Box::new(run_started())));
        }),
        "a run starts with its first record, and once"
    );
}

#[test]
fn however_much_is_broken_the_report_stays_short_and_printable() {
    let told = broken(|log| {
        for index in 0..500 {
            log.succeed(&format!("\u{1b}[31m{index}\u{202e}"));
        }
    });
    assert_eq!(told.len(), 21);
    assert_eq!(told[20], "and perhaps more: the rest was not looked at");
    assert!(told.iter().all(|line| !line.chars().any(crate::receipt::markdown::is_unprintable)), "{told:#?}");
}

#[test]
fn a_sound_journal_of_every_kind_breaks_no_rule() {
    let reject = |log: &mut Log| {
        log.ask("go", Log::approval(1, false)).answer("go", "grace", 1001, Answer::Reject);
        let failure = Failure::new(FailureKind::Rejected, "rejected by grace");
        let failed = AttemptFailed { failure, attempt: 1, kind: StepKind::Approve, ..log.failing("go") };
        log.add(Event::AttemptFailed(Box::new(failed))).hold("go", HoldReason::Failed { failure: broke() });
        log.choose("go", Choice::Waive).accepted("go", How::Waived).finish(Finish::Succeeded);
    };
    assert_eq!(broken(reject), [""; 0]);
    let proven_dead_later = |log: &mut Log| {
        log.start("a").hold("a", HoldReason::Unprovable { why: "no answer".into() }).choose("a", Choice::Retry);
        log.succeed("a").finish(Finish::Succeeded);
    };
    assert_eq!(broken(proven_dead_later), [""; 0]);
    let asked_to_undo_with_a_window_open = |log: &mut Log| {
        log.done("a").open_window("w").done("w/b").begin_undo("").go_back("w").undo("w/b").end_undo("w");
        log.close_window("w", true).undo("a").end_undo("").finish(Finish::Undone);
    };
    assert_eq!(broken(asked_to_undo_with_a_window_open), [""; 0]);
}
