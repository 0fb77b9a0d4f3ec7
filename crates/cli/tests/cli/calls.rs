//! Wrong calls: each is refused with a code, the reason and what to do, and nothing is run. And output that nobody can
//! take.

use crate::place::Place;

const PARAMS: &str = r#"
def main(service: str, budget: duration = duration("90s"), token: secret = secret("env:NOBODY"), times: int = 1):
    """Touches a file.

    Args:
      service: which one
      budget: how long
      token: what opens it
      times: how often
    """
    step("touch", write_file("ran.txt", service))
"#;

fn refused(words: &[&str], code: i32) -> String {
    let place = Place::with(PARAMS);
    let ran = place.ran(words).ends(code);
    assert_eq!(place.read("ran.txt"), "", "it ran");
    assert_eq!(ran.out, "");
    place.plain(&ran.err)
}

#[test]
fn an_unknown_flag_is_named() {
    insta::assert_snapshot!(refused(&["run", "book.star", "--service", "a", "--frobnicate"], 2), @r#"
    error: unexpected argument '--frobnicate' found

      tip: to pass '--frobnicate' as a value, use '-- --frobnicate'

    Usage: piton run book.star [--PARAM VALUE]...

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(refused(&["frobnicate"], 2), @r#"
    error: unrecognized subcommand 'frobnicate'

    Usage: piton <COMMAND>

    For more information, try '--help'.
    "#);
}

#[test]
fn a_missing_parameter_is_named() {
    insta::assert_snapshot!(refused(&["run", "book.star"], 2), @r#"
    error[P0003]: a parameter is missing
      = missing: --service which one
    "#);
}

#[test]
fn a_value_of_another_type_is_refused_in_the_types_own_words() {
    insta::assert_snapshot!(refused(&["run", "book.star", "--service", "a", "--budget", "90"], 2), @r#"error[P0003]: --budget: "90" is not a duration: write a number and a unit, as in "250ms", "90s", "10m", "2h", "1d" or "1h30m"; at most 10 years"#);
    insta::assert_snapshot!(refused(&["run", "book.star", "--service", "a", "--times", "many"], 2), @r#"error[P0003]: --times: "many" is not an integer"#);
}

#[test]
fn a_plain_secret_is_refused_and_not_repeated() {
    let said = refused(&["run", "book.star", "--service", "a", "--token", "hunter2hunter2"], 2);
    assert!(!said.contains("hunter2"), "{said}");
    insta::assert_snapshot!(said, @"error[P0004]: --token: a secret is given by reference, never as a plain value: env:NAME (an environment variable), file:PATH (a file's first line) or cmd:COMMAND (what a command prints)");
}

#[test]
fn a_file_that_is_not_there_is_said_so() {
    insta::assert_snapshot!(refused(&["run", "nothing.star"], 2), @r#"
    error[P0005]: nothing.star cannot be read
      because: No such file or directory (os error 2)
    "#);
    insta::assert_snapshot!(refused(&["check", "nothing.star"], 2), @r#"
    error[P0005]: nothing.star cannot be read
      because: No such file or directory (os error 2)
    "#);
}

#[test]
fn an_unknown_run_is_refused_by_every_command() {
    insta::assert_snapshot!(refused(&["show", "zzzz"], 2), @r#"error[P0020]: no run is named "zzzz"; `piton runs` lists them"#);
    insta::assert_snapshot!(refused(&["show", "@last"], 2), @"error[P0020]: there is no run yet; `piton run FILE` starts one");
    for words in [
        &["resume", "zzzz"][..],
        &["undo", "zzzz"],
        &["abort", "zzzz"],
        &["approve", "zzzz"],
        &["answer", "zzzz", "x", "a=1"],
        &["watch", "zzzz"],
        &["logs", "zzzz"],
        &["receipt", "zzzz"],
    ] {
        assert!(refused(words, 2).contains("error[P0020]"), "{words:?}");
    }
}

#[test]
fn an_ambiguous_prefix_shows_its_candidates() {
    let place = Place::with("def main():\n    step(\"x\", noop())\n");
    // Ids begin with one of 32 characters: of 33 runs two begin alike.
    for _ in 0..33 {
        place.ran(&["run", "book.star"]).ends(0);
    }
    let runs: serde_json::Value = serde_json::from_str(&place.ran(&["runs", "--json"]).out).unwrap();
    let mut firsts: Vec<&str> = runs.as_array().unwrap().iter().map(|run| &run["id"].as_str().unwrap()[..1]).collect();
    firsts.sort_unstable();
    let twice = firsts.windows(2).find(|pair| pair[0] == pair[1]).unwrap()[0];
    place.ran(&["show", twice]).ends(2).says("error[P0020]: several runs begin with").says("give more of the id");
}

#[test]
fn a_runbook_with_errors_is_shown_with_its_line_and_not_run() {
    let place = Place::with("def main():\n    step(\"x\", shh(\"true\"))\n");
    let ran = place.ran(&["run", "book.star"]).ends(2);
    insta::assert_snapshot!(place.plain(&ran.err), @r#"
    error: unknown name `shh`
     ┌─ book.star:2:15
    2│     step("x", shh("true"))
     │               ^^^
     = help: did you mean `sh`?

    error[P0002]: book.star has 1 error; nothing was run
    "#);
}

#[test]
fn a_store_that_cannot_be_made_ends_with_its_own_code() {
    let place = Place::with("def main():\n    pass\n").file("not-a-directory", "");
    let home = place.path("not-a-directory");
    let ran = place.piton(&["run", "book.star"]).env("PITON_HOME", home.to_str().unwrap()).ran().ends(5);
    insta::assert_snapshot!(place.plain(&ran.err), @r#"
    error[P0010]: cannot create the store's directory ‹dir›/project/not-a-directory: something else of that name is in the way
      because: File exists (os error 17)
    "#);
}

#[test]
fn later_commands_are_not_offered() {
    for command in ["drill", "test", "serve", "worker", "mcp", "lsp"] {
        assert!(refused(&[command], 2).contains("unrecognized subcommand"), "{command}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let place = Place::with(PARAMS);
    insta::assert_snapshot!(place.ran(&["--version"]).ends(0).out, @"piton 0.1.0");
    insta::assert_snapshot!(place.ran(&["run", "book.star", "--help"]).ends(0).out, @r"
    Touches a file.

    Usage: piton run book.star [--PARAM VALUE]...

    Options:
          --json                     One JSON record per line on standard output
          --detach                   Go on in the background
          --plan <PLANFILE>          Do only what this plan allows, and hold where the runbook wants something else; parameters are the plan's
          --as <NAME>                Who starts it, for the receipt; the operating system's account is recorded beside it
          --rehearse <forward|back>  A rehearsal on stand-in systems: forward as any run, or back at its window's commit point
          --accept                   Open windows even where commands and watchdogs end with this engine, as in a systemd service
          --param <NAME=VALUE>       A parameter whose name is a flag of piton's own
      -h, --help                     Print help

    Parameters:
          --service <STR>                           which one
          --budget <DURATION>                       how long [default: 1m30s]
          --token <env:NAME|file:PATH|cmd:COMMAND>  what opens it [default: «secret env:NOBODY»]
          --times <INT>                             how often [default: 1]
    ");
    insta::assert_snapshot!(place.ran(&["--help"]).ends(0).out, @r"
    Durable, dynamic runbooks: programs of steps that change live systems

    Usage: piton <COMMAND>

    Commands:
      run          Start a run in the foreground; `piton run FILE --help` shows the runbook's own parameters
      plan         Show what a runbook would do; only reads are performed. `piton plan FILE --help` shows its parameters
      check        Check runbooks without running anything: syntax, types, names
      docs         Print a runbook's documentation as Markdown
      resume       Go on with a run that was interrupted, paused or held
      undo         Take back what a run has done
      abort        End a run where it is; what was done stays
      approve      Approve, or reject, what a run asks
      answer       Answer what a run asks, or say that a manual step is done
      runs         List runs
      show         Show a run
      watch        Follow a run from another terminal
      locks        List the locks that runs hold and wait for, or take one away
      logs         Print a run's events, or a step's output
      receipt      Write a run's signed receipt
      verify       Verify a receipt, offline
      gate         Proxy a service's MySQL connections, so that they can be held, switched to another server and released
      move         Move live tables to another server, compare both sides, and cut over with a short pause
      waker        Start engines for parked runs when they are due, until it is ended: for systemd or cron's @reboot
      completions  Print a shell's completion script

    Options:
      -h, --help     Print help
      -V, --version  Print version

    RUN may be a unique prefix of a run's id, or @last. Runs live in .piton/ here or above, or in $PITON_HOME.
    ");
}

#[test]
fn a_listing_into_a_closed_pipe_ends_quietly() {
    let place = Place::with(
        "def main():\n    for i in range(3000):\n        step(\"step number %d of this run\" % i, noop())\n",
    );
    place.ran(&["run", "book.star"]).ends(0);
    for words in [&["logs", "@last"][..], &["show", "@last", "--json"], &["watch", "@last"]] {
        let mut started = place.piton(words).started();
        started.until("");
        let ran = started.closes_and_ends();
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{words:?}");
    }
}

#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    let place = Place::with("def main():\n    step(\"x\", noop())\n");
    place.ran(&["run", "book.star"]).ends(0);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = place.piton(&["receipt", "@last"]).into_file(full).ran().ends(2);
    insta::assert_snapshot!(ran.err, @r#"
    error[P0005]: standard output cannot be written
      because: No space left on device (os error 28)
    "#);
}

#[test]
fn a_reader_that_closes_its_end_does_not_end_the_run() {
    let place = Place::with(
        "def main():\n    for i in range(300):\n        step(\"s%d\" % i, noop())\n    step(\"last\", write_file(\"ran.txt\", \"x\"))\n",
    );
    let mut started = place.piton(&["run", "book.star"]).started();
    started.until("s3");
    let ran = started.closes_and_ends();
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    assert_eq!(place.read("ran.txt"), "x");
}

fn full() -> std::fs::File {
    std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// Of a command that did something to the run: how that ended, and one line about its output.
#[track_caller]
fn unread(place: &Place, words: &[&str], code: i32) {
    let ran = place.piton(words).into_file(full()).ran().ends(code);
    let id = place.show()["id"].as_str().unwrap().to_owned();
    let lines: Vec<&str> = ran.err.lines().filter(|line| line.contains("standard output")).collect();
    let warning = "warning: standard output cannot be written (No space left on device (os error 28)): the run went on \
                   without it; see how it stands: piton show ";
    assert_eq!(lines, [format!("{warning}{}", &id[..4])], "{words:?}\n{}", ran.err);
    assert!(!ran.err.contains("error["), "{words:?}\n{}", ran.err);
}

#[test]
fn a_run_whose_output_cannot_be_written_ends_as_it_ended_and_is_found_by_its_name() {
    let book = "def main():\n    step(\"Do\", sh(\"echo did >> world\"), undo = sh(\"echo undid >> world\"))\n";
    let place = Place::with(book)
        .file("held.star", "def main():\n    step(\"Check\", sh(\"test -e fine\", reads = True))\n")
        .file("asks.star", "def main():\n    approve(\"Sure\", by = \"ops\")\n");
    unread(&place, &["run", "book.star"], 0);
    unread(&place, &["undo", "@last"], 4);
    unread(&place, &["run", "book.star", "--json"], 0);
    unread(&place, &["undo", "@last", "--json"], 4);
    assert_eq!(place.read("world"), "did\nundid\ndid\nundid\n");
    unread(&place, &["run", "held.star"], 1);
    unread(&place, &["resume", "@last", "--retry"], 1);
    unread(&place, &["abort", "@last"], 4);
    unread(&place, &["run", "asks.star", "--detach"], 0);
    place.wait_until("waiting");
    unread(&place, &["approve", "@last"], 0);
    place.wait_until("succeeded");
    // What only prints has failed.
    for words in [["show", "@last"], ["watch", "@last"], ["logs", "@last"]] {
        place.piton(&words).into_file(full()).ran().ends(2).says("error[P0005]: standard output cannot be written");
    }
}

#[test]
fn a_command_that_nobody_reads_ends_with_the_run_it_did_something_to_and_one_that_looks_at_once() {
    let place =
        Place::with("def main():\n    step(\"Wait\", sh(\"touch begun; until [ -e go ]; do sleep 0.02; done\"))\n");
    let running = place.piton(&["run", "book.star"]).started();
    place.wait_for("begun");
    let looks = place.piton(&["watch", "@last"]).started().closes_and_ends();
    assert_eq!((looks.code, looks.err.as_str()), (Some(0), ""));
    let aborts = place.piton(&["abort", "@last"]).started().closes_and_ends();
    assert_eq!(aborts.code, Some(4), "{}", aborts.err);
    assert!(!aborts.err.contains("standard output"), "{}", aborts.err);
    running.ended().ends(4);
}
