//! Child runs as an author writes them: what is asked of the engine, and what is wrong before anything runs.

mod support;

use expect_test::{Expect, expect};

/// What is wrong when the sources load, or what a run of them asks for and gives.
fn check(source: &str, expected: Expect) {
    expected.assert_eq(&support::run(source, |fake| fake.whole_actions = true));
}

const CHILD: &str = r#"
### lib/child.star
def main(service: str, count: int = 3, grace: duration = duration("10s"), password: secret = secret("env:NOBODY")):
    step("work", sh("true"), repeatable = True)
"#;

fn with_child(main: &str) -> String {
    format!("{main}{}", CHILD)
}

#[test]
fn a_child_run_is_a_step_with_every_parameter_of_the_childs_and_is_taken_back_as_a_run() {
    check(
        &with_child(
            r#"
def main(token: secret = secret("env:TOKEN")):
    run("Move it", "lib/child.star", service = "payments", grace = "1m", password = token)
    run("lib/child.star", service = "ledger")
"#,
        ),
        expect![[r#"
            run Move it @main.star:2:5: {"do":"run","file":"lib/child.star","digest":"sha256:0d9d39b14d4592f356c9ea74564c66928682f4601fce154b46a923e7d11ad145","params":[["service","payments"],["count",3],["grace",{"$":"duration","v":60000}],["password",{"$":"secret","v":[{"secret":{"name":"env:TOKEN","source":"env:TOKEN"}}]}]]} undo=Inverse
            run child @main.star:3:5: {"do":"run","file":"lib/child.star","digest":"sha256:0d9d39b14d4592f356c9ea74564c66928682f4601fce154b46a923e7d11ad145","params":[["service","ledger"],["count",3],["grace",{"$":"duration","v":10000}],["password",{"$":"secret","v":[{"secret":{"name":"env:NOBODY","source":"env:NOBODY"}}]}]]} undo=Inverse
            => None
        "#]],
    );
}

#[test]
fn what_a_call_gives_is_checked_against_the_signature_before_anything_runs() {
    check(
        &with_child(
            r#"
def main():
    run("a", "lib/child.star", service = 7, sevice = "x")
    run("b", "lib/child.star", count = True)
    run("c", "lib/child.star", service = "x", grace = "soon", password = "hunter2")
"#,
        ),
        expect![[r#"
            error: lib/child.star: `service` is of type str, not 7
             ┌─ main.star:2:32
            2│     run("a", "lib/child.star", service = 7, sevice = "x")
             │                                ^^^^^^^^^^^

            error: lib/child.star: there is no parameter `sevice`; it takes service, count, grace, password
             ┌─ main.star:2:45
            2│     run("a", "lib/child.star", service = 7, sevice = "x")
             │                                             ^^^^^^^^^^^^

            error: lib/child.star: `count` is of type int, not True
             ┌─ main.star:3:32
            3│     run("b", "lib/child.star", count = True)
             │                                ^^^^^^^^^^^^

            error: lib/child.star needs service
             ┌─ main.star:3:5
            3│     run("b", "lib/child.star", count = True)
             │     ^^^
             = help: its parameters are given by name: run("Name", "file.star", parameter = value)

            error: lib/child.star: `grace`: "soon" is not a duration: write a number and a unit, as in "250ms", "90s", "10m", "2h", "1d" or "1h30m"; at most 10 years
             ┌─ main.star:4:47
            4│     run("c", "lib/child.star", service = "x", grace = "soon", password = "hunter2")
             │                                               ^^^^^^^^^^^^^^

            error: lib/child.star: `password` is a secret: hand on a parameter of type secret, or secret("env:NAME")
             ┌─ main.star:4:63
            4│     run("c", "lib/child.star", service = "x", grace = "soon", password = "hunter2")
             │                                                               ^^^^^^^^^^^^^^^^^^^^
        "#]],
    );
}

#[test]
fn what_only_a_run_knows_is_checked_when_the_step_begins() {
    check(
        &with_child(
            r#"
def main():
    services = ["payments", 7]
    for service in services:
        run("Move " + str(service), "lib/child.star", service = service)
"#,
        ),
        expect![[r#"
            run Move payments @main.star:4:9: {"do":"run","file":"lib/child.star","digest":"sha256:0d9d39b14d4592f356c9ea74564c66928682f4601fce154b46a923e7d11ad145","params":[["service","payments"],["count",3],["grace",{"$":"duration","v":10000}],["password",{"$":"secret","v":[{"secret":{"name":"env:NOBODY","source":"env:NOBODY"}}]}]]} undo=Inverse
            error: lib/child.star: `service` is of type str, not 7
             ┌─ main.star:4:9
            4│         run("Move " + str(service), "lib/child.star", service = service)
             │         ^^^
             = help: every keyword of run() is a parameter of its `main`
        "#]],
    );
}

#[test]
fn a_runbook_that_would_run_itself_is_refused() {
    check(
        "def main():\n    run(\"main.star\")\n",
        expect![[r#"
        error: main.star would run itself
         ┌─ main.star:2:9
        2│     run("main.star")
         │         ^^^^^^^^^^^
         = help: such a run would never end; use each(...) over a list, or phase(...)
    "#]],
    );
    check(
        r#"
def main():
    run("a.star")
### a.star
load("b.star", "b")

def main():
    b()
### b.star
def b():
    run("main.star")
"#,
        expect![[r#"
            error: runbooks run each other in a circle: main.star -> a.star -> main.star
             ┌─ b.star:2:9
            2│     run("main.star")
             │         ^^^^^^^^^^^
             = help: such a run would never end; use each(...) over a list, or phase(...)
        "#]],
    );
}

#[test]
fn runs_below_runs_are_bounded() {
    let mut project = "def main():\n    run(\"r1.star\")\n".to_owned();
    for level in 1..=9 {
        project.push_str(&format!("### r{level}.star\ndef main():\n    run(\"r{}.star\")\n", level + 1));
    }
    project.push_str("### r10.star\ndef main():\n    pass\n");
    check(
        &project,
        expect![[r#"
        error: runbooks run each other more than 8 levels deep
         ┌─ r8.star:2:9
        2│     run("r9.star")
         │         ^^^^^^^^^
         = help: each level is a process of its own; use load(...) and phase(...)
    "#]],
    );
}

#[test]
fn a_path_that_is_computed_missing_outside_or_no_runbook_is_refused() {
    check(
        r#"
def main(file: str = "a.star"):
    run("a", file)
    run("b", "../other.star")
    run("c", "nothing.star")
    run("d", "lib.star")
### lib.star
def helper():
    pass
"#,
        expect![[r#"
            error: run() needs the path of its runbook written out
             ┌─ main.star:2:14
            2│     run("a", file)
             │              ^^^^
             = help: a run's sources are fixed when it starts: run("Move", "move.star", ...), one call for each runbook
        "#]],
    );
    check(
        r#"
def main(file: str = "a.star"):
    run("b", "../other.star")
    run("c", "nothing.star")
    run("d", "lib.star")
### lib.star
def helper():
    pass
"#,
        expect![[r#"
            error: "../other.star" is outside the project
             ┌─ main.star:2:14
            2│     run("b", "../other.star")
             │              ^^^^^^^^^^^^^^^
             = help: a runbook to run lies below the project's root; give its path from there

            error: nothing.star does not exist in the project
             ┌─ main.star:3:14
            3│     run("c", "nothing.star")
             │              ^^^^^^^^^^^^^^
             = help: its path starts at the project's root

            error: lib.star has no `main` function
             ┌─ main.star:4:14
            4│     run("d", "lib.star")
             │              ^^^^^^^^^^
             = help: a runbook starts with `def main(...)`; its parameters are what a run is given
        "#]],
    );
}

#[test]
fn a_child_run_is_named_like_any_step_and_cannot_be_in_a_window() {
    check(
        &with_child(
            r#"
def main():
    run("lib/child.star", service = "a")
    step("child", sh("true"), repeatable = True)
"#,
        ),
        expect![[r#"
            error: two steps of one scope have the same name
             ┌─ main.star:3:5
            3│     step("child", sh("true"), repeatable = True)
             │     ^^^^ "child" again; it is first made at main.star:2:5
             = help: a step's path is its identity across resumes; give each its own name
        "#]],
    );
    check(
        &with_child(
            r#"
def cut():
    run("lib/child.star", service = "a")

def main():
    window("Pause", cut, budget = "10s")
"#,
        ),
        expect![[r#"
            error: run() cannot be inside a window: a window waits for nobody
             ┌─ main.star:2:5
            2│     run("lib/child.star", service = "a")
             │     ^^^ called from the window at main.star:5:5
             = help: run it before the window opens, or after it closes
        "#]],
    );
}
