//! What an author is told of guards and locks, word for word; and that a guard's predicate is asked as it is written.

mod support;

use expect_test::{Expect, expect};
use piton_core::ports::Program;
use piton_core::value::{Callable, Definition};
use piton_core::{Outcome, Value};
use std::sync::Arc;

/// What is wrong when the sources load, or what a run of them gives.
fn check(source: &str, expected: Expect) {
    expected.assert_eq(&support::run(source, |_| {}));
}

/// What a top-level function says of an outcome.
fn judged(function: &str, args: Vec<Value>) -> String {
    let source = r#"
LIMIT = 5

def calm(limit, outcome):
    return outcome.value < limit

def default(outcome, limit = LIMIT):
    return calm(limit, outcome)

def truthy(outcome):
    return [outcome]

def raises(outcome):
    return outcome.rows[3]

def acts(outcome):
    step("x", noop())
    return True

def endless(outcome):
    for _ in range(1000000):
        for _ in range(1000000):
            pass

def main():
    pass
"#;
    let runbook = support::load(source).unwrap_or_else(|wrong| panic!("{wrong}"));
    let predicate =
        Callable { function: Definition { file: "main.star".into(), name: function.into() }, args, kwargs: vec![] };
    let outcome = Arc::new(Outcome { ok: true, value: Some(Value::Int(3)), ..Outcome::default() });
    match support::on_engine_stack(|| runbook.judge(&predicate, &outcome)) {
        Ok(holds) => holds.to_string(),
        Err(failure) => failure.to_string(),
    }
}

#[test]
fn a_predicate_is_asked_by_itself_with_the_outcome_as_its_last_argument() {
    assert_eq!(judged("default", vec![]), "true");
    assert_eq!(judged("calm", vec![Value::Int(3)]), "false");
    assert_eq!(judged("truthy", vec![]), "true");
}

#[test]
fn a_predicate_that_raises_an_error_or_acts_or_never_ends_is_a_failure() {
    for (function, says) in [
        ("raises", "the predicate of a guard raised an error at main.star:13:12"),
        ("acts", "step() cannot be called in the predicate of a guard"),
        ("endless", "computes for too long"),
        ("gone", "`gone` is not defined in main.star"),
        ("calm", "raised an error"),
    ] {
        let told = judged(function, vec![]);
        assert!(told.contains(says), "{function}: {told}");
    }
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
