//! What an author is told while it runs, and of built-ins that are used wrongly, word for word.

mod support;

use expect_test::{Expect, expect};

/// What is wrong when the sources load, or what a run of them gives.
fn check(source: &str, expected: Expect) {
    expected.assert_eq(&support::run(source, |_| {}));
}

#[test]
fn nothing_is_performed_while_a_file_loads() {
    check(
        "step(\"x\", noop())\n\ndef main():\n    pass\n",
        expect![[r#"
        error: step() cannot be called while the file loads
         ┌─ main.star:1:1
        1│ step("x", noop())
         │ ^^^^
         = help: steps belong into a function: `main` or one that it calls
    "#]],
    );
    check(
        "fail(\"no\")\n\ndef main():\n    pass\n",
        expect![[r#"
        error: no
         ┌─ main.star:1:1
        1│ fail("no")
         │ ^^^^
    "#]],
    );
}

#[test]
fn lambdas_stay_on_their_thread() {
    check(
        "def main():\n    each(\"x\", [\"a\"], lambda i: i)\n",
        expect![[r#"
        error: each() cannot run a lambda: it belongs to the thread that made it
         ┌─ main.star:2:22
        2│     each("x", ["a"], lambda i: i)
         │                      ^^^^^^^^^^^
         = help: write a top-level `def`; give it what it needs as arguments or with partial(fn, ...)
    "#]],
    );
    check(
        "def main():\n    f = lambda i: i\n    each(\"x\", [\"a\"], f)\n",
        expect![[r#"
        error: each(): a lambda cannot run in parallel: it belongs to the thread that made it
         ┌─ main.star:3:5
        3│     each("x", ["a"], f)
         │     ^^^^
         = help: write a top-level `def`; give it what it needs as arguments or with partial(fn, ...)
    "#]],
    );
    check(
        "def main():\n    def f(i):\n        pass\n    each(\"x\", [\"a\"], f)\n",
        expect![[r#"
        error: each(): `f` cannot run in parallel: it is not defined at the top level of a file
         ┌─ main.star:4:5
        4│     each("x", ["a"], f)
         │     ^^^^
         = help: write a top-level `def`; give it what it needs as arguments or with partial(fn, ...)
    "#]],
    );
    check(
        "def main():\n    parallel(\"x\", {\"a\": lambda: 1})\n",
        expect![[r#"
        error: parallel() cannot run a lambda: it belongs to the thread that made it
         ┌─ main.star:2:25
        2│     parallel("x", {"a": lambda: 1})
         │                         ^^^^^^^^^
         = help: write a top-level `def`; give it what it needs as arguments or with partial(fn, ...)
    "#]],
    );
    check(
        "def g(f):\n    pass\n\ndef main():\n    phase(\"x\", g, [1, {\"k\": struct(f = lambda: 1)}])\n",
        expect![[r#"
        error: argument 1[1]["k"].f: a lambda belongs to the function that made it and cannot be passed on
         ┌─ main.star:5:5
        5│     phase("x", g, [1, {"k": struct(f = lambda: 1)}])
         │     ^^^^^
         = help: write a top-level `def`; give it what it needs with partial(fn, ...)
    "#]],
    );
    check(
        "def main():\n    partial(lambda: 1)\n",
        expect![[r#"
        error: partial(): a lambda belongs to the function that made it and cannot be passed on
         ┌─ main.star:2:5
        2│     partial(lambda: 1)
         │     ^^^^^^^
         = help: write a top-level `def`; give it what it needs with partial(fn, ...)
    "#]],
    );
    check(
        "def main():\n    each(\"x\", [\"a\"], step)\n",
        expect![[r#"
        error: each(): `step` cannot run in parallel: it is not defined at the top level of a file
         ┌─ main.star:2:5
        2│     each("x", ["a"], step)
         │     ^^^^
         = help: write a top-level `def`; give it what it needs as arguments or with partial(fn, ...)
    "#]],
    );
    check(
        "def main():\n    phase(\"x\", main())\n",
        expect![[r#"
        error: functions call each other too deeply: more than 200 calls inside each other
         ┌─ main.star:2:16
        2│     phase("x", main())
         │                ^^^^
         = help: a function that calls itself needs an end; loop over a list instead
    "#]],
    );
}

#[test]
fn a_phase_may_run_a_lambda_on_its_own_thread() {
    check(
        "def main():\n    n = 4\n    return phase(\"x\", lambda i: i + n, 3)\n",
        expect![[r#"
        enter x {"scope":"phase"}
        leave x
        => 7
    "#]],
    );
}

#[test]
fn windows_never_wait_for_people() {
    check(
        "def main():\n    window(\"w\", cut, budget = \"90s\")\n\ndef cut():\n    deeper()\n\ndef deeper():\n    approve(\"now?\", by = \"x\")\n",
        expect![[r#"
        error: approve() cannot be inside a window: a window never waits for a person
         ┌─ main.star:8:5
        8│     approve("now?", by = "x")
         │     ^^^^^^^ called from the window at main.star:2:5
         = help: ask before the window opens, or after it closes
    "#]],
    );
    check(
        "def main():\n    f = cut\n    window(\"w\", f, budget = \"90s\")\n\ndef cut():\n    manual(\"now\", \"do it\")\n",
        expect![[r#"
        enter w {"scope":"window","budget":90000,"reserve":22500,"on_over":"undo"}
        leave w
        error: manual() cannot be inside a window: a window never waits for a person
         ┌─ main.star:6:5
        6│     manual("now", "do it")
         │     ^^^^^^
         = called at main.star:3:5, in main
         = help: ask before the window opens, or after it closes
    "#]],
    );
    check(
        "def main():\n    window(\"w\", cut, budget = \"90s\")\n\ndef cut():\n    window(\"v\", main, budget = \"9s\")\n",
        expect![[r#"
        enter w {"scope":"window","budget":90000,"reserve":22500,"on_over":"undo"}
        leave w
        error: a window cannot be inside a window
         ┌─ main.star:5:5
        5│     window("v", main, budget = "9s")
         │     ^^^^^^ inside the window "w"
         = called at main.star:2:5, in main
         = help: one budget holds for everything inside; use phase(...)
    "#]],
    );
    check(
        "def main():\n    window(\"w\", main, budget = \"10s\", reserve = \"10s\")\n",
        expect![[r#"
        error: a budget of 10s leaves no time for the way in; 10s of it are kept for the way back
         ┌─ main.star:2:5
        2│     window("w", main, budget = "10s", reserve = "10s")
         │     ^^^^^^
         = help: the reserve is less than the budget; where it is not given, it is a quarter of it
    "#]],
    );
    check(
        "def main():\n    window(\"w\", main, budget = \"10s\", on_over = \"panic\")\n",
        expect![[r#"
        error: on_over: "panic" is neither "undo" nor "warn"
         ┌─ main.star:2:5
        2│     window("w", main, budget = "10s", on_over = "panic")
         │     ^^^^^^
    "#]],
    );
}

#[test]
fn commit_points_are_not_inside_branches() {
    check(
        "def main():\n    each(\"x\", [\"a\"], work)\n\ndef work(i):\n    commit_point(\"c\")\n",
        expect![[r#"
        error: a commit point cannot be inside a branch of each() or parallel()
         ┌─ main.star:5:5
        5│     commit_point("c")
         │     ^^^^^^^^^^^^ called from main.star:2:5
         = help: its siblings could still go back; put it after the each() or parallel()
    "#]],
    );
    check(
        "def main():\n    f = work\n    each(\"x\", [\"a\"], f)\n\ndef work(i):\n    commit_point(\"c\")\n",
        expect![[r#"
        branches x ["a"] concurrency=1 Hold
        error: a commit point cannot be inside a branch of each() or parallel()
         ┌─ main.star:6:5
        6│     commit_point("c")
         │     ^^^^^^^^^^^^
         = help: its siblings could still go back; put it after the each() or parallel()
    "#]],
    );
}

#[test]
fn a_runbook_that_is_run_through_another_name_was_not_found_when_the_run_started() {
    check(
        "def main():\n    f = run\n    f(\"x.star\")\n",
        expect![[r#"
            error: "x.star" is not among the runbooks that this one may run
             ┌─ main.star:3:5
            3│     f("x.star")
             │     ^
             = help: write its path out in the call: run("Move", "move.star", ...); a run's sources are fixed when it starts
        "#]],
    );
}

#[test]
fn secrets_never_reach_a_programs_arguments() {
    check(
        "def main():\n    open(secret(\"env:S\"))\n\ndef open(url: secret):\n    step(\"x\", exec([\"mysql\", url]))\n",
        expect![[r#"
            error: the secret `url` is among the arguments of a program, which everyone on the machine can see
             ┌─ main.star:5:30
            5│     step("x", exec(["mysql", url]))
             │                              ^^^
             = help: pass it with env = {"URL": url}, stdin= or a file
        "#]],
    );
    check(
        "def main():\n    url = secret(\"env:S\")\n    step(\"x\", exec([\"mysql\", url]))\n",
        expect![[r#"
        error: argument 2: a secret cannot stand here
         ┌─ main.star:3:15
        3│     step("x", exec(["mysql", url]))
         │               ^^^^
         = help: a program's arguments can be seen by everyone on the machine (ps): pass the secret with env=, stdin= or a file
    "#]],
    );
    check(
        "def main():\n    url = secret(\"env:S\")\n    step(\"x\", sh(\"mysql %s\" % url))\n",
        expect![[r#"
        error: script: a secret was formatted into this text, which now holds only its masked form
         ┌─ main.star:3:15
        3│     step("x", sh("mysql %s" % url))
         │               ^^
         = help: pass it with env= and write "$NAME" in the script
    "#]],
    );
    check(
        "def main():\n    url = secret(\"env:S\")\n    step(\"x\", sh(\"mysql \" + url))\n",
        expect![[r#"
        error: script: a secret cannot stand here
         ┌─ main.star:3:15
        3│     step("x", sh("mysql " + url))
         │               ^^
         = help: pass it with env= and write "$NAME" in the script
    "#]],
    );
    check(
        "def main():\n    url = secret(\"env:S\")\n    step(\"x\", query(url, \"select '\" + str(url) + \"'\"))\n",
        expect![[r#"
        error: sql: a secret was formatted into this text, which now holds only its masked form
         ┌─ main.star:3:15
        3│     step("x", query(url, "select '" + str(url) + "'"))
         │               ^^^^^
         = help: pass it as a parameter: params=[...]
    "#]],
    );
    check(
        "def main():\n    secret(\"hunter2hunter2\")\n",
        expect![[r#"
        error: a secret is given by reference, never as a plain value: env:NAME (an environment variable), file:PATH (a file's first line) or cmd:COMMAND (what a command prints)
         ┌─ main.star:2:5
        2│     secret("**************")
         │     ^^^^^^
    "#]],
    );
    check(
        "def main():\n    quote(secret(\"env:S\"))\n",
        expect![[r#"
        error: quote(): a secret cannot stand here
         ┌─ main.star:2:5
        2│     quote(secret("env:S"))
         │     ^^^^^
         = help: pass it with env= and write "$NAME" in the script
    "#]],
    );
}

#[test]
fn arguments_that_do_not_fit_are_told_where_the_call_stands() {
    let types = "def typed(n: int):\n    pass\n\ndef two(a, b):\n    pass\n\ndef main():\n    ";
    check(
        &format!("{types}phase(\"p\", typed, \"x\")\n"),
        expect![[r#"
        enter p {"scope":"phase"}
        leave p
        error: argument `n`: int is needed, not `x` (string)
         ┌─ main.star:8:5
        8│     phase("p", typed, "x")
         │     ^^^^^
    "#]],
    );
    check(
        &format!("{types}phase(\"p\", two, 1, 2, 3, 4)\n"),
        expect![[r#"
        enter p {"scope":"phase"}
        leave p
        error: `two` is given 2 arguments more than it takes
         ┌─ main.star:8:5
        8│     phase("p", two, 1, 2, 3, 4)
         │     ^^^^^
    "#]],
    );
    check(
        &format!("{types}phase(\"p\", two, 1)\n"),
        expect![[r#"
        enter p {"scope":"phase"}
        leave p
        error: the call of `two` needs `b`
         ┌─ main.star:8:5
        8│     phase("p", two, 1)
         │     ^^^^^
    "#]],
    );
    check(
        &format!("{types}phase(\"p\", two, 1, 2, c = 3)\n"),
        expect![[r#"
        enter p {"scope":"phase"}
        leave p
        error: the function has no parameter `c`
         ┌─ main.star:8:5
        8│     phase("p", two, 1, 2, c = 3)
         │     ^^^^^
    "#]],
    );
    check(
        &format!("{types}each(\"p\", [\"a\"], typed)\n"),
        expect![[r#"
        branches p ["a"] concurrency=1 Hold
        error: argument `n`: int is needed, not `a` (string)
         ┌─ main.star:1:5
        1│ def typed(n: int):
         │     ^^^^^
    "#]],
    );
    check(
        "def main():\n    return set([1])\n",
        expect![[r#"
        error: the result of main: a set cannot be passed on
         ┌─ main.star:1:5
        1│ def main():
         │     ^^^^
         = help: make a list of it: list(...)
    "#]],
    );
}

#[test]
fn a_built_in_may_be_the_function_of_a_scope() {
    check(
        "def main():\n    attempt(\"a\", step, \"s\", noop(3))\n    return phase(\"p\", len, [1, 2])\n",
        expect![[r#"
        enter a {"scope":"attempt"}
        step a/s @main.star:2:5: noop
        leave a
        enter p {"scope":"phase"}
        leave p
        => 2
    "#]],
    );
}
