//! What an author is told of options, outcomes and predicates, word for word.

mod support;

use expect_test::{Expect, expect};
use piton_core::{Outcome, Value};

/// What is wrong when the sources load, or what a run of them gives.
fn check(source: &str, expected: Expect) {
    expected.assert_eq(&support::run(source, |_| {}));
}

#[test]
fn what_is_performed_by_a_plan_only_reads() {
    for (call, expected) in [
        (
            "step(\"x\", sh(\"true\"), plan = \"live\")",
            expect![[r#"
                error: plan = "live" has a plan perform the step, and sh() changes the world
                 ┌─ main.star:2:15
                2│     step("x", sh("true"), plan = "live")
                 │               ^^
                 = help: it is for steps that read, where no write before them changes what they read
            "#]],
        ),
        (
            "step(\"x\", [sh(\"true\")][0], plan = \"live\")",
            expect![[r#"
                error: plan = "live" has a plan perform the step, and sh() changes the world
                 ┌─ main.star:2:5
                2│     step("x", [sh("true")][0], plan = "live")
                 │     ^^^^
                 = help: it is for steps that read, where no write before them changes what they read
            "#]],
        ),
        (
            "step(\"x\", noop(), plan = \"later\")",
            expect![[r#"
                error: plan: "live" is all that can be said, not "later"
                 ┌─ main.star:2:5
                2│     step("x", noop(), plan = "later")
                 │     ^^^^
                 = help: it is for steps that read, where no write before them changes what they read
            "#]],
        ),
    ] {
        check(&format!("def main():\n    {call}"), expected);
    }
}

#[test]
fn options_that_cannot_be_are_told_in_the_authors_words() {
    for (call, expected) in [
        (
            "step(\"x\", noop(), timeout = \"5\")",
            expect![[r#"
            error: timeout: "5" is not a duration: write a number and a unit, as in "250ms", "90s", "10m", "2h", "1d" or "1h30m"; at most 10 years
             ┌─ main.star:2:5
            2│     step("x", noop(), timeout = "5")
             │     ^^^^
        "#]],
        ),
        (
            "step(\"x\", noop(), memory = \"1 gigabyte\")",
            expect![[r#"
            error: memory: the string "1 gigabyte" is not a size
             ┌─ main.star:2:5
            2│     step("x", noop(), memory = "1 gigabyte")
             │     ^^^^
             = help: write it with its unit, as in "512MiB" or "2GiB", or as a number of bytes
        "#]],
        ),
        (
            "step(\"x\", noop(), retry = -1)",
            expect![[r#"
            error: retry: a number of times or retry(...) is needed, not the int -1
             ┌─ main.star:2:5
            2│     step("x", noop(), retry = -1)
             │     ^^^^
        "#]],
        ),
        (
            "step(\"x\", noop(), undo = 3)",
            expect![[r#"
            error: undo: an action is needed, not the int 3
             ┌─ main.star:2:5
            2│     step("x", noop(), undo = 3)
             │     ^^^^
             = help: an action, a function of the outcome that gives one, or inverse()
        "#]],
        ),
        (
            "step(\"x\", noop(), ensures = 3)",
            expect![[r#"
            error: expected type `None | action | check` but got `int`
             ┌─ main.star:2:23
            2│     step("x", noop(), ensures = 3)
             │                       ^^^^^^^^^^^
        "#]],
        ),
        (
            "retry(3, factor = 0.5)",
            expect![[r#"
            error: factor: 1 to 100, not 0.5
             ┌─ main.star:2:5
            2│     retry(3, factor = 0.5)
             │     ^^^^^
        "#]],
        ),
        (
            "each(\"x\", [[1]], main)",
            expect![[r#"
            error: item 0 has nothing to name it by: it is a list
             ┌─ main.star:2:5
            2│     each("x", [[1]], main)
             │     ^^^^
             = help: give key = lambda item: ..., or items with a `name` or an `id`
        "#]],
        ),
        (
            "each(\"x\", [{\"name\": \"a\"}, {\"name\": \"a\"}], main)",
            expect![[r#"
            error: two items of each() have the same key "a"
             ┌─ main.star:2:5
            2│     each("x", [{"name": "a"}, {"name": "a"}], main)
             │     ^^^^ items 0 and 1
             = help: a key is a branch's identity across resumes; give key = lambda item: ... that tells them apart
        "#]],
        ),
        (
            "each(\"x\", \"abc\", main)",
            expect![[r#"
            error: items: a list is needed, not the string "abc"
             ┌─ main.star:2:5
            2│     each("x", "abc", main)
             │     ^^^^
        "#]],
        ),
        (
            "each(\"x\", [\"a\"], main, concurrency = 0)",
            expect![[r#"
            error: concurrency: 1 to 1024 branches, not the int 0
             ┌─ main.star:2:5
            2│     each("x", ["a"], main, concurrency = 0)
             │     ^^^^
        "#]],
        ),
        (
            "each(\"x\", [\"a\"], main, on_failure = \"stop\")",
            expect![[r#"
            error: on_failure: "stop" is neither "hold" nor "continue"
             ┌─ main.star:2:5
            2│     each("x", ["a"], main, on_failure = "stop")
             │     ^^^^
        "#]],
        ),
        (
            "each(\"x\", [lambda: 1], main, key = lambda f: \"k\")",
            expect![[r#"
            error: items[0]: a lambda belongs to the function that made it and cannot be passed on
             ┌─ main.star:2:5
            2│     each("x", [lambda: 1], main, key = lambda f: "k")
             │     ^^^^
             = help: write a top-level `def`; give it what it needs with partial(fn, ...)
        "#]],
        ),
        (
            "approve(\"x\", by = \"a\", count = 0)",
            expect![[r#"
            error: count: at least 1 person, not the int 0
             ┌─ main.star:2:5
            2│     approve("x", by = "a", count = 0)
             │     ^^^^^^^
        "#]],
        ),
        (
            "ask(\"x\", {\"a\": typing.Callable})",
            expect![[r#"
            error: fields["a"]: a typing.Callable is no type a person can fill in
             ┌─ main.star:2:5
            2│     ask("x", {"a": typing.Callable})
             │     ^^^
             = help: str, int, float, bool, duration, secret, path, list[...], an enum or a record
        "#]],
        ),
        (
            "ask(\"x\", {})",
            expect![[r#"
            error: ask() needs fields
             ┌─ main.star:2:5
            2│     ask("x", {})
             │     ^^^
             = help: ask("Which zone?", {"zone": str})
        "#]],
        ),
        (
            "poll(\"x\", sh(\"rm\"), every = \"1s\", timeout = \"1m\")",
            expect![[r#"
            error: poll() only looks, and sh() changes the world
             ┌─ main.star:2:5
            2│     poll("x", sh("rm"), every = "1s", timeout = "1m")
             │     ^^^^
             = help: say reads = True where the command changes nothing; else use step(..., retry = ...)
        "#]],
        ),
        (
            "poll(\"x\", noop(), every = \"1ms\", timeout = \"1m\")",
            expect![[r#"
            error: every: 1ms is less than 10ms
             ┌─ main.star:2:5
            2│     poll("x", noop(), every = "1ms", timeout = "1m")
             │     ^^^^
        "#]],
        ),
        (
            "exec([])",
            expect![[r#"
            error: exec() needs a program
             ┌─ main.star:2:5
            2│     exec([])
             │     ^^^^
             = help: exec(["rsync", "-a", source, target])
        "#]],
        ),
        (
            "sql(\"u\", [\"a\", \"b\"], [1])",
            expect![[r#"
            error: parameters go with a single statement
             ┌─ main.star:2:5
            2│     sql("u", ["a", "b"], [1])
             │     ^^^
             = help: give several statements without parameters, or several steps
        "#]],
        ),
        (
            "http(\"G T\", \"u\")",
            expect![[r#"
            error: "G T" is not a method
             ┌─ main.star:2:5
            2│     http("G T", "u")
             │     ^^^^
             = help: http("POST", url, json = {...})
        "#]],
        ),
        (
            "http(\"GET\", \"u\", expect = 99)",
            expect![[r#"
            error: expect: a status code such as 200 is needed, not the int 99
             ┌─ main.star:2:5
            2│     http("GET", "u", expect = 99)
             │     ^^^^
        "#]],
        ),
        (
            "write_file(\"f\", \"t\", mode = \"rwx\")",
            expect![[r#"
            error: mode: the string "rwx" are no permission bits
             ┌─ main.star:2:5
            2│     write_file("f", "t", mode = "rwx")
             │     ^^^^^^^^^^
             = help: write them as 0o640 or "0640"
        "#]],
        ),
        (
            "sh(\"x\", env = {\"A=\": \"b\"})",
            expect![[r#"
            error: env: "A=" cannot be the name of an environment variable
             ┌─ main.star:2:5
            2│     sh("x", env = {"A=": "b"})
             │     ^^
        "#]],
        ),
        (
            "sh(\"x\", env = {\"A\": [1]})",
            expect![[r#"
            error: env["A"]: a string is needed, not a list
             ┌─ main.star:2:5
            2│     sh("x", env = {"A": [1]})
             │     ^^
        "#]],
        ),
        (
            "script(\"scr\" + \"ipt.sh\")",
            expect![[r#"
            error: there is no script "script.sh" in the project
             ┌─ main.star:2:5
            2│     script("scr" + "ipt.sh")
             │     ^^^^^^
             = help: its path starts at the project's root; a run sees only scripts whose path is written out in a source
        "#]],
        ),
        (
            "script(\"../x.sh\")",
            expect![[r#"
            error: "../x.sh" is outside the project
             ┌─ main.star:2:12
            2│     script("../x.sh")
             │            ^^^^^^^^^
             = help: a script lies below the project's root; give its path from there
        "#]],
        ),
        (
            "ident(3)",
            expect![[r#"
            error: ident(): a name is needed, not the int 3
             ┌─ main.star:2:5
            2│     ident(3)
             │     ^^^^^
        "#]],
        ),
        (
            "ident(\"x\", dialect = \"oracle\")",
            expect![[r#"
            error: dialect: "oracle" is not known
             ┌─ main.star:2:5
            2│     ident("x", dialect = "oracle")
             │     ^^^^^
             = help: "mysql", "postgres", "sqlite" or "ansi"
        "#]],
        ),
        (
            "emit(\"x\", set([1]))",
            expect![[r#"
            error: value: a set cannot be passed on
             ┌─ main.star:2:5
            2│     emit("x", set([1]))
             │     ^^^^
             = help: make a list of it: list(...)
        "#]],
        ),
        (
            "noop(1 << 200)",
            expect![[r#"
            error: value: an integer beyond 128 bits cannot leave this function
             ┌─ main.star:2:5
            2│     noop(1 << 200)
             │     ^^^^
             = help: give it as a string
        "#]],
        ),
    ] {
        check(&format!("def main():\n    {call}\n"), expected);
    }
}

#[test]
fn an_outcome_tells_what_it_has() {
    let source = |attribute: &str| format!("def main():\n    return step(\"x\", query(\"u\", \"s\")).{attribute}\n");
    let rows = || support::rows(&["a", "b"], vec![vec![1i64.into(), Value::None], vec![2i64.into(), Value::None]]);
    let process = || Outcome { ok: true, signal: Some(9), out: Some("nope".into()), ..Outcome::default() };
    for (attribute, outcome, expected) in [
        (
            "row",
            rows(),
            expect![[r#"
            step x @main.star:2:12: query u: s
            error: there is no single .row: the query gave 2 rows
             ┌─ main.star:2:12
            2│     return step("x", query("u", "s")).row
             │            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
             = help: use .rows, or make the query give one row
        "#]],
        ),
        (
            "value",
            rows(),
            expect![[r#"
            step x @main.star:2:12: query u: s
            error: there is no single .value: the query gave 2 rows of 2 columns
             ┌─ main.star:2:12
            2│     return step("x", query("u", "s")).value
             │            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
             = help: use .rows or .row, or select one column of one row
        "#]],
        ),
        (
            "out",
            rows(),
            expect![[r#"
            step x @main.star:2:12: query u: s
            error: this outcome has no .out
             ┌─ main.star:2:12
            2│     return step("x", query("u", "s")).out
             │            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
             = help: its action gave .ok .took .rows .row .value
        "#]],
        ),
        (
            "code",
            process(),
            expect![[r#"
            step x @main.star:2:12: query u: s
            error: this outcome has no .code: signal 9 ended the program
             ┌─ main.star:2:12
            2│     return step("x", query("u", "s")).code
             │            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "#]],
        ),
        (
            "json",
            process(),
            expect![[r#"
            step x @main.star:2:12: query u: s
            error: the output is not JSON: expected ident at line 1 column 2
             ┌─ main.star:2:12
            2│     return step("x", query("u", "s")).json
             │            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "#]],
        ),
        (
            "status",
            process(),
            expect![[r#"
            step x @main.star:2:12: query u: s
            error: this outcome has no .status
             ┌─ main.star:2:12
            2│     return step("x", query("u", "s")).status
             │            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
             = help: its action gave .ok .took .signal .out .json
        "#]],
        ),
    ] {
        let run = support::run(&source(attribute), |fake| _ = fake.outcomes.insert("x".into(), outcome));
        expected.assert_eq(&run);
    }
}

#[test]
fn predicates_only_look() {
    check(
        "def main():\n    step(\"x\", noop(), ensures = check(noop(), lambda o: step(\"y\", noop())))\n",
        expect![[r#"
        step x @main.star:2:5: noop ensures=[noop ?]
          Ensures -> Predicate: the predicate of `ensures` raised an error at main.star:2:57: step() cannot be called in the predicate of `ensures`
        => None
    "#]],
    );
    check(
        "def main():\n    step(\"x\", noop(), ensures = check(noop(), lambda o: 1 // 0))\n",
        expect![[r#"
        step x @main.star:2:5: noop ensures=[noop ?]
          Ensures -> Predicate: the predicate of `ensures` raised an error at main.star:2:57: floor division by zero: 1 // 0
        => None
    "#]],
    );
    check(
        "def bad(o):\n    fail(\"odd\")\n\ndef main():\n    expect(\"x\", noop(), predicate = bad)\n",
        expect![[r#"
        expect x @main.star:5:5: noop predicate=?
          Check -> Predicate: the predicate raised an error at main.star:2:5: odd
        => None
    "#]],
    );
    check(
        "def main():\n    expect(\"x\", noop(), predicate = 3)\n",
        expect![[r#"
        error: predicate: a function is needed, not the int 3
         ┌─ main.star:2:5
        2│     expect("x", noop(), predicate = 3)
         │     ^^^^^^
         = help: give the function itself, without calling it: phase("Copy", copy, tables)
    "#]],
    );
}

#[test]
fn an_error_deep_inside_tells_the_calls_that_led_there() {
    check(
        "load(\"lib.star\", \"work\")\n\ndef main():\n    phase(\"P\", outer, 0)\n\ndef outer(n):\n    return work(n)\n### lib.star\ndef work(n):\n    x = 1\n    return inner(n)\n\ndef inner(n):\n    x = [1, 2]\n    return 10 // n + x[5]\n",
        expect![[r#"
            enter P {"scope":"phase"}
            leave P
            error: floor division by zero: 10 // 0
             ┌─ lib.star:7:12
            7│     return 10 // n + x[5]
             │            ^^^^^^^
             = called at lib.star:3:12, in work
             = called at main.star:7:12, in outer
             = called at main.star:4:5, in main
        "#]],
    );
}

#[test]
fn a_callee_cannot_change_its_callers_list() {
    check(
        "def main():\n    l = [1]\n    d = {\"k\": l}\n    r = phase(\"p\", change, l, d)\n    each(\"e\", [\"a\"], change_item, l)\n    return [l, d, r]\n\ndef change(l, d):\n    l.append(2)\n    d[\"x\"] = 1\n    return [l, d]\n\ndef change_item(i, l):\n    l.append(3)\n",
        expect![[r#"
            enter p {"scope":"phase"}
            leave p
            branches e ["a"] concurrency=1 Hold
            => [[1], {"k": [1]}, [[1, 2], {"k": [1], "x": 1}]]
        "#]],
    );
}
