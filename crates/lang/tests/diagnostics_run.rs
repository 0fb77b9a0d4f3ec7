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
fn what_comes_later_says_so() {
    check(
        "def main():\n    run(\"x.star\")\n",
        expect![[r#"
        error: run() is not yet in this version
         ┌─ main.star:2:5
        2│     run("x.star")
         │     ^^^
         = help: the language page lists what is
    "#]],
    );
    check(
        "def main():\n    f = run\n    f(\"x\")\n",
        expect![[r#"
        error: run() is not yet in this version
         ┌─ main.star:3:5
        3│     f("x")
         │     ^
         = help: the language page lists what is
    "#]],
    );
}

#[test]
fn a_guard_only_looks_and_asks_a_top_level_function() {
    let guarded = |guards: &str| {
        format!(
            "def calm(o):\n    return True\n\ndef body():\n    pass\n\ndef main():\n    phase(\"p\", body, guards = {guards})\n"
        )
    };
    for (guards, expected) in [
        (
            "[guard(\"g\", sh(\"rm x\"), every = \"5s\")]",
            expect![[r#"
            error: a guard only looks, and sh() changes the world
             ┌─ main.star:8:43
            8│     phase("p", body, guards = [guard("g", sh("rm x"), every = "5s")])
             │                                           ^^
             = help: say reads = True where the command changes nothing
        "#]],
        ),
        (
            "[guard(\"g\", sql(\"u\", \"s\"), every = \"5s\")]",
            expect![[r#"
            error: a guard only looks, and sql() changes the world
             ┌─ main.star:8:43
            8│     phase("p", body, guards = [guard("g", sql("u", "s"), every = "5s")])
             │                                           ^^^
             = help: say reads = True where the command changes nothing
        "#]],
        ),
        (
            "[guard(\"g\", noop(), predicate = lambda o: True, every = \"5s\")]",
            expect![[r#"
            error: guard() cannot ask a lambda: it belongs to the thread that made it
             ┌─ main.star:8:63
            8│     phase("p", body, guards = [guard("g", noop(), predicate = lambda o: True, every = "5s")])
             │                                                               ^^^^^^^^^^^^^^
             = help: write a top-level `def`; give it what it needs as arguments or with partial(fn, ...)
        "#]],
        ),
        (
            "[guard(\"g\", noop(), below = \"1\", every = \"5s\")]",
            expect![[r#"
            error: below: a number is needed, not the string "1"
             ┌─ main.star:8:32
            8│     phase("p", body, guards = [guard("g", noop(), below = "1", every = "5s")])
             │                                ^^^^^
        "#]],
        ),
        (
            "[guard(\"g\", noop(), below = 1, above = 2, every = \"5s\")]",
            expect![[r#"
            error: no number is above 2 and below 1
             ┌─ main.star:8:32
            8│     phase("p", body, guards = [guard("g", noop(), below = 1, above = 2, every = "5s")])
             │                                ^^^^^
        "#]],
        ),
        (
            "[guard(\"g\", noop(), below = 1, predicate = calm, every = \"5s\")]",
            expect![[r#"
            error: a guard has a predicate or a limit, not both
             ┌─ main.star:8:32
            8│     phase("p", body, guards = [guard("g", noop(), below = 1, predicate = calm, every = "5s")])
             │                                ^^^^^
             = help: compare with the limit in the predicate
        "#]],
        ),
        (
            "[guard(\"g\", noop(), every = \"1ms\")]",
            expect![[r#"
            error: every: 1ms is less than 50ms
             ┌─ main.star:8:32
            8│     phase("p", body, guards = [guard("g", noop(), every = "1ms")])
             │                                ^^^^^
        "#]],
        ),
        (
            "[guard(\"g\", noop(), tolerate = -1, every = \"5s\")]",
            expect![[r#"
            error: tolerate: 0 to 10000 failures in a row, not the int -1
             ┌─ main.star:8:32
            8│     phase("p", body, guards = [guard("g", noop(), tolerate = -1, every = "5s")])
             │                                ^^^^^
        "#]],
        ),
        (
            "[guard(\"g\", noop(), on_trip = \"abort\", every = \"5s\")]",
            expect![[r#"
            error: on_trip: "abort" is neither "hold" nor "undo"
             ┌─ main.star:8:32
            8│     phase("p", body, guards = [guard("g", noop(), on_trip = "abort", every = "5s")])
             │                                ^^^^^
        "#]],
        ),
        (
            "[guard(\" \", noop(), every = \"5s\")]",
            expect![[r#"
            error: guard() needs a name
             ┌─ main.star:8:32
            8│     phase("p", body, guards = [guard(" ", noop(), every = "5s")])
             │                                ^^^^^
             = help: people name a guard to look again or to waive it
        "#]],
        ),
        (
            "[guard(\"g\", noop())]",
            expect![[r#"
            error: guard() needs `every`
             ┌─ main.star:8:32
            8│     phase("p", body, guards = [guard("g", noop())])
             │                                ^^^^^
        "#]],
        ),
        (
            "[guard(\"g\", noop(), every = \"5s\"), guard(\"g\", noop(), every = \"6s\")]",
            expect![[r#"
            error: two guards of one scope are named "g"
             ┌─ main.star:8:5
            8│     phase("p", body, guards = [guard("g", noop(), every = "5s"), guard("g", noop(), every = "6s")])
             │     ^^^^^
             = help: people name a guard to look again or to waive it; give each its own name
        "#]],
        ),
        (
            "[noop()]",
            expect![[r#"
            error: guards[0]: a guard is needed, not an action
             ┌─ main.star:8:5
            8│     phase("p", body, guards = [noop()])
             │     ^^^^^
             = help: write it as guard("Error rate", query(...), below = 0.01, every = "5s")
        "#]],
        ),
        (
            "[guard(str(n), noop(), every = \"5s\") for n in range(17)]",
            expect![[r#"
            error: at most 16 guards watch over one scope, not 17
             ┌─ main.star:8:5
            8│     phase("p", body, guards = [guard(str(n), noop(), every = "5s") for n in range(17)])
             │     ^^^^^
             = help: let one read look at several things
        "#]],
        ),
    ] {
        check(&guarded(guards), expected);
    }
    // What the file's text does not show, the call does.
    check(
        "def body():\n    pass\n\ndef main():\n    def calm(o):\n        return True\n    phase(\"p\", body, guards = [guard(\"g\", noop(), predicate = calm, every = \"5s\")])\n",
        expect![[r#"
            error: predicate: `calm` is not defined at the top level of a file and cannot be passed on
             ┌─ main.star:7:32
            7│     phase("p", body, guards = [guard("g", noop(), predicate = calm, every = "5s")])
             │                                ^^^^^
             = help: write a top-level `def`; give it what it needs with partial(fn, ...)
        "#]],
    );
    check(
        "def body():\n    pass\n\ndef main():\n    look = sh(\"true\")\n    phase(\"p\", body, guards = [guard(\"g\", look, every = \"5s\")])\n",
        expect![[r#"
            error: a guard only looks, and sh() changes the world
             ┌─ main.star:6:32
            6│     phase("p", body, guards = [guard("g", look, every = "5s")])
             │                                ^^^^^
             = help: say reads = True where the command changes nothing
        "#]],
    );
}

#[test]
fn a_guard_is_named_like_a_step_of_its_scope() {
    check(
        "def body():\n    step(\"g\", noop())\n\ndef main():\n    phase(\"p\", body, guards = [guard(\"g\", noop(), every = \"5s\")])\n",
        expect![[r#"
            enter p {"scope":"phase"}
              guard "g": noop must be true, every 5s, else it holds @main.star:5:32
            leave p
            error: two steps of one scope have the same name
             ┌─ main.star:2:5
            2│     step("g", noop())
             │     ^^^^ "g" again; it is first made at main.star:5:32
             = called at main.star:5:5, in main
             = help: a step's path is its identity across resumes; give each its own name
        "#]],
    );
    check(
        "def body(x):\n    pass\n\ndef main():\n    each(\"e\", [\"a\", \"g\"], body, guards = [guard(\"g\", noop(), every = \"5s\")])\n",
        expect![[r#"
            error: a branch of each() and one of its guards are named "g"
             ┌─ main.star:5:5
            5│     each("e", ["a", "g"], body, guards = [guard("g", noop(), every = "5s")])
             │     ^^^^
             = help: people name a guard as they name a branch; give the guard another name
        "#]],
    );
}

#[test]
fn a_lock_is_neither_in_a_window_nor_in_itself() {
    let inner = "def inner():\n    pass\n\n";
    check(
        &format!(
            "{inner}def body():\n    lock(\"db\", inner)\n\ndef main():\n    window(\"w\", body, budget = \"9s\")\n"
        ),
        expect![[r#"
            error: a lock cannot be inside a window: a window waits for nobody
             ┌─ main.star:5:5
            5│     lock("db", inner)
             │     ^^^^ called from the window at main.star:8:5
             = help: take the lock around the window
        "#]],
    );
    check(
        &format!(
            "{inner}def body():\n    take = lock\n    take(\"db\", inner)\n\ndef main():\n    window(\"w\", body, budget = \"9s\")\n"
        ),
        expect![[r#"
            enter w {"scope":"window","budget":9000,"reserve":2250,"on_over":"undo"}
            leave w
            error: a lock cannot be inside a window: a window waits for nobody
             ┌─ main.star:6:5
            6│     take("db", inner)
             │     ^^^^ inside the window "w"
             = called at main.star:9:5, in main
             = help: take the lock around the window
        "#]],
    );
    check(
        &format!(
            "{inner}def body():\n    phase(\"p\", again)\n\ndef again():\n    lock(\"db\", inner)\n\ndef main():\n    lock(\"db\", body)\n"
        ),
        expect![[r#"
            enter db {"scope":"lock"}
            enter db/p {"scope":"phase"}
            leave db/p
            leave db
            error: a lock cannot be inside itself
             ┌─ main.star:8:5
            8│     lock("db", inner)
             │     ^^^^ it is held since "db"
             = called at main.star:5:5, in body
             = called at main.star:11:5, in main
             = help: give what is inside another name, or use phase(...)
        "#]],
    );
    check(
        &format!("{inner}def main():\n    lock(\" \", inner)\n"),
        expect![[r#"
        error: lock() needs a name
         ┌─ main.star:5:5
        5│     lock(" ", inner)
         │     ^^^^
         = help: the name is how people find the step on a screen and in the receipt
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
