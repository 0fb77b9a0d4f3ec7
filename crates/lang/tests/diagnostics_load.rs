//! What an author is told before anything runs, word for word.

mod support;

use expect_test::{Expect, expect};

/// What is wrong when the sources load, or what a run of them gives.
fn check(source: &str, expected: Expect) {
    expected.assert_eq(&support::run(source, |_| {}));
}

#[test]
fn syntax_errors_tell_the_way_to_write_it() {
    check(
        "def main(:\n    pass\n",
        expect![[r#"
        error: syntax error: unexpected symbol ':', expected identifier
         ┌─ main.star:1:10
        1│ def main(:
         │          ^
    "#]],
    );
    check(
        "def main():\n    while True:\n        pass\n",
        expect![[r#"
        error: there is no `while`
         ┌─ main.star:2:5
        2│     while True:
         │     ^^^^^
         = help: loop over a list or a range; wait for something with poll(...)
    "#]],
    );
    check(
        "import os\n",
        expect![[r#"
        error: there is no `import`
         ┌─ main.star:1:1
        1│ import os
         │ ^^^^^^
         = help: load("lib/file.star", "name") loads a file of the project
    "#]],
    );
    check(
        "def main():\n    try:\n        pass\n",
        expect![[r#"
        error: there is no `try`
         ┌─ main.star:2:5
        2│     try:
         │     ^^^
         = help: attempt(name, fn, ...) catches a failure and gives .ok .value .error
    "#]],
    );
    check(
        "def main():\n    x = (1,\n",
        expect![[r#"
            error: syntax error: unexpected new line, expected symbol ')'
             ┌─ main.star:3:1
            3│ 
             │ ^
             = help: a bracket that was opened before this is never closed
        "#]],
    );
    check(
        "def main():\n\tif True:\n\t\tx = = 1\n",
        expect![[r#"
        error: tabs are not allowed
         ┌─ main.star:1:12
        1│ def main():
         │            ^
         = help: indent with spaces
    "#]],
    );
}

#[test]
fn names_and_types_are_checked_before_anything_runs() {
    check(
        "def main():\n    stepp(\"x\", noop())\n",
        expect![[r#"
        error: unknown name `stepp`
         ┌─ main.star:2:5
        2│     stepp("x", noop())
         │     ^^^^^
         = help: did you mean `step`?
    "#]],
    );
    check(
        "def main():\n    print(1)\n",
        expect![[r#"
        error: unknown name `print`
         ┌─ main.star:2:5
        2│     print(1)
         │     ^^^^^
         = help: a runbook prints nothing; note(markdown) writes into the receipt
    "#]],
    );
    check(
        "def main():\n    step(\"x\", noop(), timeoot = \"5s\")\n",
        expect![[r#"
        error: step() has no option `timeoot`
         ┌─ main.star:2:23
        2│     step("x", noop(), timeoot = "5s")
         │                       ^^^^^^^
         = help: did you mean `timeout`?
    "#]],
    );
    check(
        "def main():\n    step(\"x\", \"rm -rf\")\n",
        expect![[r#"
        error: expected type `action` but got `str`
         ┌─ main.star:2:15
        2│     step("x", "rm -rf")
         │               ^^^^^^^^
    "#]],
    );
    check(
        "def main():\n    step(\"x\", noop(), timeout = 5)\n",
        expect![[r#"
        error: expected type `None | duration | str` but got `int`
         ┌─ main.star:2:23
        2│     step("x", noop(), timeout = 5)
         │                       ^^^^^^^^^^^
    "#]],
    );
    check(
        "def main():\n    return step(\"x\", noop()).rwos\n",
        expect![[r#"
        error: the attribute `rwos` is not available on the type `outcome`
         ┌─ main.star:2:30
        2│     return step("x", noop()).rwos
         │                              ^^^^
    "#]],
    );
    check(
        "def f(n: int):\n    pass\n\ndef main():\n    f(\"x\")\n",
        expect![[r#"
        error: expected type `int` but got `str`
         ┌─ main.star:5:7
        5│     f("x")
         │       ^^^
    "#]],
    );
    check(
        "def f(n: int) -> str:\n    return n\n\ndef main():\n    f(1)\n",
        expect![[r#"
        error: expected type `str` but got `int`
         ┌─ main.star:2:5
        2│     return n
         │     ^^^^^^^^
    "#]],
    );
    check(
        "def main():\n    step()\n",
        expect![[r#"
        error: step() needs `name` and `action`
         ┌─ main.star:2:5
        2│     step()
         │     ^^^^
    "#]],
    );
    check(
        "Table = record(name = str)\n\ndef main():\n    Table(nam = \"x\")\n",
        expect![[r#"
        error: the call of `Table` needs `name`
         ┌─ main.star:4:5
        4│     Table(nam = "x")
         │     ^^^^^
    "#]],
    );
}

#[test]
fn several_errors_are_told_at_once_in_order() {
    check(
        "def a():\n    nope()\n\ndef main():\n    step(\"x\", noop())\n    step(\"x\", noop())\n    gone\n",
        expect![[r#"
        error: unknown name `nope`
         ┌─ main.star:2:5
        2│     nope()
         │     ^^^^
         = help: did you mean `note`?

        error: two steps of one scope have the same name
         ┌─ main.star:6:5
        6│     step("x", noop())
         │     ^^^^ "x" again; it is first made at main.star:5:5
         = help: a step's path is its identity across resumes; give each its own name

        error: unknown name `gone`
         ┌─ main.star:7:5
        7│     gone
         │     ^^^^
         = help: did you mean `None`?
    "#]],
    );
}

#[test]
fn the_same_name_twice_is_told_with_both_places() {
    check(
        "def main():\n    step(\"a\", noop())\n    expect(\"a\", noop())\n",
        expect![[r#"
        error: two steps of one scope have the same name
         ┌─ main.star:3:5
        3│     expect("a", noop())
         │     ^^^^^^ "a" again; it is first made at main.star:2:5
         = help: a step's path is its identity across resumes; give each its own name
    "#]],
    );
    check(
        "def main():\n    for i in range(3):\n        step(\"a\", noop())\n",
        expect![[r#"
        step a @main.star:3:9: noop
        error: two steps of one scope have the same name
         ┌─ main.star:3:9
        3│         step("a", noop())
         │         ^^^^ "a" again: this call has made it before
         = help: a step's path is its identity across resumes: put what differs into the name, or use each(...)
    "#]],
    );
    check(
        "def f():\n    step(\"a\", noop())\n\ndef main():\n    f()\n    f()\n",
        expect![[r#"
        step a @main.star:2:5: noop
        error: two steps of one scope have the same name
         ┌─ main.star:2:5
        2│     step("a", noop())
         │     ^^^^ "a" again: this call has made it before
         = called at main.star:6:5, in main
         = help: a step's path is its identity across resumes: put what differs into the name, or use each(...)
    "#]],
    );
    check(
        "def main():\n    n = \"a\"\n    step(n, noop())\n    step(n, noop())\n",
        expect![[r#"
        step a @main.star:3:5: noop
        error: two steps of one scope have the same name
         ┌─ main.star:4:5
        4│     step(n, noop())
         │     ^^^^ "a" again; it is first made at main.star:3:5
         = help: a step's path is its identity across resumes; give each its own name
    "#]],
    );
    check(
        "def main():\n    step(\" \", noop())\n",
        expect![[r#"
        error: step() needs a name
         ┌─ main.star:2:5
        2│     step(" ", noop())
         │     ^^^^
         = help: the name is how people find the step on a screen and in the receipt
    "#]],
    );
}

#[test]
fn ways_that_exclude_each_other_may_use_a_name_each() {
    check(
        "def main():\n    if True:\n        step(\"a\", noop())\n    else:\n        step(\"a\", noop())\n    x = step(\"b\", noop(1)) if True else step(\"b\", noop(2))\n    phase(\"c\", other)\n\ndef other():\n    if len(\"x\") == 1:\n        step(\"a\", noop())\n        return\n    step(\"a\", noop())\n",
        expect![[r#"
            step a @main.star:3:9: noop
            step b @main.star:6:9: noop
            enter c {"scope":"phase"}
            step c/a @main.star:11:9: noop
            leave c
            => None
        "#]],
    );
}

#[test]
fn a_pack_is_loaded_by_its_name_and_is_sound() {
    for (name, has) in [("@piton/move.star", "mover"), ("@piton/mysql.star", "definition")] {
        let pack = piton_lang::packs::source(name).unwrap();
        let book = format!("load(\"{name}\", \"{has}\")\ndef main():\n    return {has}\n### {name}\n{pack}");
        let loaded = support::load(&book).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(loaded.warnings().iter().count(), 0, "{}", loaded.warnings());
    }
    check(
        "load(\"@piton/mvoe.star\", \"a\")\n",
        expect![[r#"
        error: there is no pack "@piton/mvoe.star"
         ┌─ main.star:1:6
        1│ load("@piton/mvoe.star", "a")
         │      ^^^^^^^^^^^^^^^^^^
         = help: the packs of this binary are @piton/move.star, @piton/mysql.star
    "#]],
    );
}

#[test]
fn loads_stay_inside_the_project() {
    check(
        "load(\"../x.star\", \"a\")\n",
        expect![[r#"
        error: "../x.star" is outside the project
         ┌─ main.star:1:6
        1│ load("../x.star", "a")
         │      ^^^^^^^^^^^
         = help: only files below the project's root can be loaded; give the path from there, as in load("lib/mysql.star", ...)
    "#]],
    );
    check(
        "load(\"/etc/x.star\", \"a\")\n",
        expect![[r#"
        error: "/etc/x.star" is outside the project
         ┌─ main.star:1:6
        1│ load("/etc/x.star", "a")
         │      ^^^^^^^^^^^^^
         = help: only files below the project's root can be loaded; give the path from there, as in load("lib/mysql.star", ...)
    "#]],
    );
    check(
        "load(\"lib/gone.star\", \"a\")\n",
        expect![[r#"
        error: lib/gone.star does not exist in the project
         ┌─ main.star:1:6
        1│ load("lib/gone.star", "a")
         │      ^^^^^^^^^^^^^^^
    "#]],
    );
    check(
        "load(\"lib/a.star\", \"a\")\ndef main():\n    a()\n### lib/a.star\nload(\"lib/../main.star\", \"main\")\ndef a():\n    pass\n",
        expect![[r#"
        error: files load each other in a circle: main.star -> lib/a.star -> main.star
         ┌─ lib/a.star:1:6
        1│ load("lib/../main.star", "main")
         │      ^^^^^^^^^^^^^^^^^^
         = help: move what both need into a third file
    "#]],
    );
    check(
        "load(\"lib/a.star\", \"b\")\ndef main():\n    b()\n### lib/a.star\ndef a():\n    pass\n",
        expect![[r#"
        error: the loaded file has no `b`
         ┌─ main.star:1:20
        1│ load("lib/a.star", "b")
         │                    ^^^
         = help: did you mean `a`?
    "#]],
    );
    check(
        "load(\"lib/a.star\", \"a\")\ndef main():\n    a()\n### lib/a.star\ndef a():\n    nope\n",
        expect![[r#"
        error: unknown name `nope`
         ┌─ lib/a.star:2:5
        2│     nope
         │     ^^^^
         = help: did you mean `note`?
    "#]],
    );
    check(
        "load(\"lib/a.star\", \"_a\")\ndef main():\n    _a()\n### lib/a.star\ndef _a():\n    pass\n",
        expect![[r#"
        error: `_a` is private to its file
         ┌─ main.star:1:20
        1│ load("lib/a.star", "_a")
         │                    ^^^^
         = help: a name that starts with _ cannot be loaded; rename it there
    "#]],
    );
}

#[test]
fn a_runbook_needs_a_main_whose_types_people_can_give() {
    check(
        "def other():\n    pass\n",
        expect![[r#"
        error: main.star has no `main` function
        = help: a runbook starts with `def main(...)`; its parameters are what a run is given
    "#]],
    );
    check(
        "def main(*args):\n    pass\n",
        expect![[r#"
        error: `main` cannot have the parameter `args` that takes any arguments
         ┌─ main.star:1:10
        1│ def main(*args):
         │          ^^^^^
         = help: its parameters are the runbook's interface: give each a name and a type
    "#]],
    );
    check(
        "def main(f: typing.Callable):\n    pass\n",
        expect![[r#"
        error: `typing.Callable` is no type that a person can give on a command line
         ┌─ main.star:1:13
        1│ def main(f: typing.Callable):
         │             ^^^^^^^^^^^^^^^
         = help: str, int, float, bool, duration, secret, path, list[...], an enum or a record
    "#]],
    );
}
