//! Where commands would not survive the engine: it is said, and windows are refused unless that is accepted.

use crate::place::{Place, Ran};

const WINDOW: &str = "def main():\n    step(\"first\", write_file(\"first\", \"1\"))\n    window(\"Pause\", cut, budget = \"20s\")\n\n\
    def cut():\n    step(\"switch\", write_file(\"switched\", \"1\"), undo = inverse())\n";
const PLAIN: &str = "def main():\n    step(\"first\", write_file(\"first\", \"1\"))\n";

/// `piton` as the first process of a namespace of its own, as in a container. `None`, loudly, where that is not allowed.
#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
fn as_first_process(place: &Place, words: &[&str], accept: Option<&str>) -> Option<Ran> {
    let unshare = |program: &str, words: &[&str]| {
        let mut command = std::process::Command::new("unshare");
        command.args(["-r", "--pid", "--fork", "--mount-proc", "--kill-child", program]).args(words);
        command.current_dir(place.path("")).env("PITON_HOME", place.home()).env_remove("PITON_ACCEPT");
        command.envs(accept.map(|value| ("PITON_ACCEPT", value)));
        command.output()
    };
    if !unshare("true", &[]).is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: this user may not make a process namespace");
        return None;
    }
    let output = unshare(env!("CARGO_BIN_EXE_piton"), words).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Some(Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) })
}

#[test]
fn a_window_is_refused_where_nothing_survives_before_anything_runs() {
    let place = Place::with(WINDOW);
    let Some(ran) = as_first_process(&place, &["run", "book.star"], None) else { return };
    insta::assert_snapshot!(place.plain(&ran.ends(2).err), @r"
    error[P0015]: this engine is its container's first process: when it dies, the container ends every command with it; the runbook has windows, which would stay open
      = start it from a shell, or with `systemd-run --scope`; or, if that may happen, say --accept
    ");
    assert_eq!(place.read("first"), "");
    assert!(place.ran(&["runs"]).err.contains("there is no run yet"));
}

#[test]
fn an_accepted_window_is_opened_and_said() {
    for (words, accept) in [(&["run", "book.star", "--accept"][..], None), (&["run", "book.star"], Some("1"))] {
        let place = Place::with(WINDOW);
        let Some(ran) = as_first_process(&place, words, accept) else { return };
        ran.ends(0).says("warning: this engine is its container's first process");
        assert_eq!(place.read("switched"), "1");
    }
    let place = Place::with(WINDOW);
    let Some(ran) = as_first_process(&place, &["run", "book.star"], Some("0")) else { return };
    ran.ends(2);
}

#[test]
fn a_runbook_without_windows_is_warned_of_and_runs() {
    let place = Place::with(PLAIN);
    let Some(ran) = as_first_process(&place, &["run", "book.star"], None) else { return };
    ran.ends(0).says("warning: this engine is its container's first process");
}

#[test]
fn going_on_with_a_run_asks_for_the_same_word() {
    let place = Place::with(&WINDOW.replace("write_file(\"first\", \"1\")", "sh(\"test -e mended\")"));
    place.ran(&["run", "book.star"]).ends(1);
    std::fs::write(place.path("mended"), "").unwrap();
    let words = ["resume", "@last", "--retry"];
    let Some(ran) = as_first_process(&place, &words, None) else { return };
    ran.ends(2).says("error[P0015]");
    as_first_process(&place, &["resume", "@last", "--retry", "--accept"], None).unwrap().ends(0);
    assert_eq!(place.read("switched"), "1");
}
