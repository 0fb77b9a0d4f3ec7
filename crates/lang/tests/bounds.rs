//! Nothing an author writes aborts the process or hangs it: each bound has its own words.

mod support;

use expect_test::{Expect, expect};

/// The error that ends it; what was asked of the host before is not shown.
fn check(source: &str, expected: Expect) {
    let run = support::run(source, |_| {});
    expected.assert_eq(&run[run.find("error: ").unwrap_or(0)..]);
}

fn check_main(body: &str, expected: Expect) {
    check(&format!("def main():\n    {}\n", body.replace('\n', "\n    ")), expected);
}

#[test]
fn recursion_ends() {
    check(
        "def f(n):\n    return f(n + 1)\n\ndef main():\n    f(0)\n",
        expect![[r#"
        error: functions call each other too deeply: more than 200 calls inside each other
         ┌─ main.star:2:14
        2│     return f(n + 1)
         │              ^^^^^
         = called at main.star:2:12, in f
         = called at main.star:2:12, in f
         = called at main.star:2:12, in f
         = called at main.star:2:12, in f
         = and from 194 calls around that
         = help: a function that calls itself needs an end; loop over a list instead
    "#]],
    );
    check(
        "def f(n):\n    return phase(\"p\", f, n + 1)\n\ndef main():\n    f(0)\n",
        expect![[r#"
        error: scopes are nested deeper than 64 levels
         ┌─ main.star:2:12
        2│     return phase("p", f, n + 1)
         │            ^^^^^
         = called at main.star:5:5, in main
         = help: a phase that calls itself needs an end; use each(...) over a list
    "#]],
    );
    check(
        "def f(n):\n    each(\"e\", [\"a\"], f)\n\ndef main():\n    f(0)\n",
        expect![[r#"
        error: scopes are nested deeper than 64 levels
         ┌─ main.star:2:5
        2│     each("e", ["a"], f)
         │     ^^^^
         = help: a phase that calls itself needs an end; use each(...) over a list
    "#]],
    );
    check(
        "f = lambda n: f(n + 1)\n\ndef main():\n    f(0)\n",
        expect![[r#"
        error: functions call each other too deeply: more than 200 calls inside each other
         ┌─ main.star:1:17
        1│ f = lambda n: f(n + 1)
         │                 ^^^^^
         = called at main.star:1:15, in lambda
         = called at main.star:1:15, in lambda
         = called at main.star:1:15, in lambda
         = called at main.star:1:15, in lambda
         = and from 194 calls around that
         = help: a function that calls itself needs an end; loop over a list instead
    "#]],
    );
    check(
        "def f(o):\n    return sorted([1, 2], key = f)\n\ndef main():\n    f(0)\n",
        expect![[r#"
        error: functions call each other too deeply: more than 200 calls inside each other
         ┌─ main.star:2:12
        2│     return sorted([1, 2], key = f)
         │            ^^^^^^
         = called at main.star:5:5, in main
         = help: a function that calls itself needs an end; loop over a list instead
    "#]],
    );
    check(
        "def f(n = 0):\n    partial(f)()\n\ndef main():\n    f()\n",
        expect![[r#"
        error: functions call each other too deeply: more than 200 calls inside each other
         ┌─ main.star:2:5
        2│     partial(f)()
         │     ^^^^^^^
         = called at main.star:5:5, in main
         = help: a function that calls itself needs an end; loop over a list instead
    "#]],
    );
}

#[test]
fn loops_end() {
    check_main(
        "n = 0\nfor i in range(10000):\n    for j in range(10000):\n        for k in range(10000):\n            n += 1",
        expect![[r#"
        error: the runbook computes for too long, with no end in sight
         ┌─ main.star:6:17
        6│                 n += 1
         │                 ^^^^^^
         = help: loops and calls are counted; do heavy work in a step
    "#]],
    );
    check_main(
        "l = [1]\nfor i in range(1000000000):\n    pass",
        expect![[r#"
        error: a range of more than 10000000 integers
         ┌─ main.star:3:14
        3│     for i in range(1000000000):
         │              ^^^^^
    "#]],
    );
    check_main(
        "[0 for i in range(10000) for j in range(10000) for k in range(10000)]",
        expect![[r#"
        error: the runbook computes for too long, with no end in sight
         ┌─ main.star:2:61
        2│     [0 for i in range(10000) for j in range(10000) for k in range(10000)]
         │                                                             ^^^^^
         = help: loops and calls are counted; do heavy work in a step
    "#]],
    );
}

#[test]
fn multiplication_and_growth_end() {
    check_main(
        "[0] * 2000000000",
        expect![[r#"
        error: 1 items times 2000000000 are too many: at most 10000000
         ┌─ main.star:2:5
        2│     [0] * 2000000000
         │     ^^^^^^^^^^^^^^^^
    "#]],
    );
    check_main(
        "2000000000 * (1, 2)",
        expect![[r#"
        error: 2 items times 2000000000 are too many: at most 10000000
         ┌─ main.star:2:5
        2│     2000000000 * (1, 2)
         │     ^^^^^^^^^^^^^^^^^^
    "#]],
    );
    check_main(
        "\"x\" * 2000000000",
        expect![[r#"
        error: 1 bytes times 2000000000 are too many: at most 67108864
         ┌─ main.star:2:5
        2│     "x" * 2000000000
         │     ^^^^^^^^^^^^^^^^
    "#]],
    );
    check_main(
        "x = [0] * 100\nx *= 2000000000",
        expect![[r#"
        error: there is no `*=`
         ┌─ main.star:3:5
        3│     x *= 2000000000
         │     ^^^^^^^^^^^^^^^
         = help: write it out: x = x * n
    "#]],
    );
    check_main(
        "x = \"x\" * 100\nx *= 2000000000",
        expect![[r#"
        error: there is no `*=`
         ┌─ main.star:3:5
        3│     x *= 2000000000
         │     ^^^^^^^^^^^^^^^
         = help: write it out: x = x * n
    "#]],
    );
    check_main(
        "s = \"x\" * 1000\nfor i in range(60):\n    s = s + s",
        expect![[r#"
        error: the runbook uses too much memory
         ┌─ main.star:3:5
        3│     for i in range(60):
         │     ^^^^^^^^^^^^^^^^^^^
         = help: at most 256 MiB of values; keep large data in files or tables and let steps handle it
    "#]],
    );
    check_main(
        "s = \"x\" * 1000\nfor i in range(60):\n    s += s",
        expect![[r#"
        error: the runbook uses too much memory
         ┌─ main.star:4:9
        4│         s += s
         │         ^^^^^^
         = help: at most 256 MiB of values; keep large data in files or tables and let steps handle it
    "#]],
    );
    check_main(
        "l = [1]\nfor i in range(60):\n    l += l",
        expect![[r#"
        error: the runbook uses too much memory
         ┌─ main.star:4:9
        4│         l += l
         │         ^^^^^^
         = help: at most 256 MiB of values; keep large data in files or tables and let steps handle it
    "#]],
    );
    check_main(
        "l = [1]\nfor i in range(60):\n    l.extend(l)",
        expect![[r#"
        error: the runbook uses too much memory
         ┌─ main.star:3:5
        3│     for i in range(60):
         │     ^^^^^^^^^^^^^^^^^^^
         = help: at most 256 MiB of values; keep large data in files or tables and let steps handle it
    "#]],
    );
    check_main(
        "s = \"xxxxxxxxx\"\nfor i in range(60):\n    s = \"%s%s\" % (s, s)",
        expect![[r#"
        error: the runbook uses too much memory
         ┌─ main.star:3:5
        3│     for i in range(60):
         │     ^^^^^^^^^^^^^^^^^^^
         = help: at most 256 MiB of values; keep large data in files or tables and let steps handle it
    "#]],
    );
    check_main(
        "s = \"xxxxxxxxx\"\nfor i in range(60):\n    s = f\"{s}{s}\"",
        expect![[r#"
        error: the runbook uses too much memory
         ┌─ main.star:3:5
        3│     for i in range(60):
         │     ^^^^^^^^^^^^^^^^^^^
         = help: at most 256 MiB of values; keep large data in files or tables and let steps handle it
    "#]],
    );
    check_main(
        "s = \"xxxxxxxxx\"\nfor i in range(60):\n    s = \"{}{}\".format(s, s)",
        expect![[r#"
        error: the runbook uses too much memory
         ┌─ main.star:3:5
        3│     for i in range(60):
         │     ^^^^^^^^^^^^^^^^^^^
         = help: at most 256 MiB of values; keep large data in files or tables and let steps handle it
    "#]],
    );
    check_main(
        "s = \"xxxxxxxxx\"\nfor i in range(60):\n    s = s.join([s, s])",
        expect![[r#"
        error: the runbook uses too much memory
         ┌─ main.star:3:5
        3│     for i in range(60):
         │     ^^^^^^^^^^^^^^^^^^^
         = help: at most 256 MiB of values; keep large data in files or tables and let steps handle it
    "#]],
    );
    check_main(
        "s = \"xxxxxxxxx\"\nfor i in range(60):\n    s = s.replace(\"x\", \"xx\")",
        expect![[r#"
        error: the runbook uses too much memory
         ┌─ main.star:3:5
        3│     for i in range(60):
         │     ^^^^^^^^^^^^^^^^^^^
         = help: at most 256 MiB of values; keep large data in files or tables and let steps handle it
    "#]],
    );
    check_main(
        "n = 3\nfor i in range(60):\n    n = n * n",
        expect![[r#"
        error: an integer of more than 4096 bits
         ┌─ main.star:4:13
        4│         n = n * n
         │             ^^^^^
    "#]],
    );
    check_main(
        "n = 1 << 2000000000",
        expect![[r#"
        error: an integer of more than 4096 bits
         ┌─ main.star:2:9
        2│     n = 1 << 2000000000
         │         ^^^^^^^^^^^^^^^
    "#]],
    );
}

#[test]
fn deep_values_end() {
    let nest = "x = []\nfor i in range(200000):\n    x = [x]\n";
    for (what, expected) in [
        (
            "str(x)",
            expect![[r#"
            error: a value is nested deeper than 1000 levels
             ┌─ main.star:4:13
            4│         x = [x]
             │             ^^^
             = help: keep a list of items instead of items inside items
        "#]],
        ),
        (
            "repr(x)",
            expect![[r#"
            error: a value is nested deeper than 1000 levels
             ┌─ main.star:4:13
            4│         x = [x]
             │             ^^^
             = help: keep a list of items instead of items inside items
        "#]],
        ),
        (
            "\"%s\" % x",
            expect![[r#"
            error: a value is nested deeper than 1000 levels
             ┌─ main.star:4:13
            4│         x = [x]
             │             ^^^
             = help: keep a list of items instead of items inside items
        "#]],
        ),
        (
            "\"{}\".format(x)",
            expect![[r#"
            error: a value is nested deeper than 1000 levels
             ┌─ main.star:4:13
            4│         x = [x]
             │             ^^^
             = help: keep a list of items instead of items inside items
        "#]],
        ),
        (
            "f\"{x}\"",
            expect![[r#"
            error: a value is nested deeper than 1000 levels
             ┌─ main.star:4:13
            4│         x = [x]
             │             ^^^
             = help: keep a list of items instead of items inside items
        "#]],
        ),
        (
            "x == [x]",
            expect![[r#"
            error: a value is nested deeper than 1000 levels
             ┌─ main.star:4:13
            4│         x = [x]
             │             ^^^
             = help: keep a list of items instead of items inside items
        "#]],
        ),
        (
            "noop(x)",
            expect![[r#"
            error: a value is nested deeper than 1000 levels
             ┌─ main.star:4:13
            4│         x = [x]
             │             ^^^
             = help: keep a list of items instead of items inside items
        "#]],
        ),
        (
            "phase(\"p\", main, x)",
            expect![[r#"
            error: a value is nested deeper than 1000 levels
             ┌─ main.star:4:13
            4│         x = [x]
             │             ^^^
             = help: keep a list of items instead of items inside items
        "#]],
        ),
        (
            "json.encode(x)",
            expect![[r#"
            error: a value is nested deeper than 1000 levels
             ┌─ main.star:4:13
            4│         x = [x]
             │             ^^^
             = help: keep a list of items instead of items inside items
        "#]],
        ),
        (
            "fail(x)",
            expect![[r#"
            error: expected type `str` but got `list[list[list[list[list[list[list[list[list[list[list[list[list[list[list[list[…`
             ┌─ main.star:5:10
            5│     fail(x)
             │          ^
        "#]],
        ),
        (
            "x + 1",
            expect![[r#"
            error: binary operator `+` is not available on the types `list[list[list[list[list[list[list[list[list[list[list[list[list[list[list[list[…` and `int`
             ┌─ main.star:5:5
            5│     x + 1
             │     ^^^^^
        "#]],
        ),
        (
            "x.foo",
            expect![[r#"
            error: the attribute `foo` is not available on the type `list[list[list[list[list[list[list[list[list[list[list[list[list[list[list[list[…`
             ┌─ main.star:5:7
            5│     x.foo
             │       ^^^
        "#]],
        ),
        (
            "ident(x)",
            expect![[r#"
            error: a value is nested deeper than 1000 levels
             ┌─ main.star:4:13
            4│         x = [x]
             │             ^^^
             = help: keep a list of items instead of items inside items
        "#]],
        ),
        (
            "{(x, x): 1}",
            expect![[r#"
            error: a value is nested deeper than 1000 levels
             ┌─ main.star:4:13
            4│         x = [x]
             │             ^^^
             = help: keep a list of items instead of items inside items
        "#]],
        ),
        (
            "sorted([x, [x]])",
            expect![[r#"
            error: a value is nested deeper than 1000 levels
             ┌─ main.star:4:13
            4│         x = [x]
             │             ^^^
             = help: keep a list of items instead of items inside items
        "#]],
        ),
        (
            "return x",
            expect![[r#"
            error: a value is nested deeper than 1000 levels
             ┌─ main.star:4:13
            4│         x = [x]
             │             ^^^
             = help: keep a list of items instead of items inside items
        "#]],
        ),
    ] {
        check_main(&format!("{nest}{what}"), expected);
    }
}

#[test]
fn a_deep_value_fits_no_annotation() {
    check(
        "def f(x: str):\n    pass\n\ndef main():\n    x = []\n    for i in range(200000):\n        x = [x]\n    f(x)\n",
        expect![[r#"
        error: expected type `str` but got `list[list[list[list[list[list[list[list[list[list[list[list[list[list[list[list[…`
         ┌─ main.star:8:7
        8│     f(x)
         │       ^
    "#]],
    );
    check(
        "def f(x: list[int]):\n    pass\n\ndef main():\n    x = []\n    for i in range(200000):\n        x = [x]\n    f(x)\n",
        expect![[r#"
        error: expected type `list[int]` but got `list[list[list[list[list[list[list[list[list[list[list[list[list[list[list[list[…`
         ┌─ main.star:8:7
        8│     f(x)
         │       ^
    "#]],
    );
}

#[test]
fn wide_values_end() {
    check_main(
        "x = [1]\nfor i in range(60):\n    x = [x, x]\nnoop(x)",
        expect![[r#"
        error: value[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: nested deeper than 32 levels
         ┌─ main.star:5:5
        5│     noop(x)
         │     ^^^^
    "#]],
    );
    check_main(
        "x = [1]\nfor i in range(20):\n    x = [x, x]\nnoop(x)",
        expect![[r#"
        error: value[0][1][0][1][0][0][0][1][0][1][1][0][0][0][0][1][0][0][0][1]: more than 1000000 values
         ┌─ main.star:5:5
        5│     noop(x)
         │     ^^^^
         = help: keep large data in a file or a table
    "#]],
    );
}

#[test]
fn deep_sources_end() {
    for source in [
        format!("x = {}{}\n\ndef main():\n    pass\n", "[".repeat(100_000), "]".repeat(100_000)),
        format!("x = {}1{}\n\ndef main():\n    pass\n", "(".repeat(100_000), ")".repeat(100_000)),
        format!("x = {}1\n\ndef main():\n    pass\n", "-".repeat(100_000)),
        format!("x = {}1\n\ndef main():\n    pass\n", "not ".repeat(100_000)),
        format!("x = {}1\n\ndef main():\n    pass\n", "1 + ".repeat(100_000)),
        format!("x = 1{}\n\ndef main():\n    pass\n", ".a".repeat(100_000)),
        format!("x = {}1\n\ndef main():\n    pass\n", "lambda: ".repeat(100_000)),
        format!("x = {}1\n\ndef main():\n    pass\n", "1 if 1 else ".repeat(100_000)),
        (0..1000).map(|n| format!("{}if True:\n", " ".repeat(n))).collect::<String>() + &" ".repeat(1000) + "pass\n",
    ] {
        let answer = support::run(&source, |_| {});
        assert!(answer.starts_with("error: "), "{answer}");
        let first = answer.lines().next().unwrap_or_default();
        println!("{first}");
    }
}

#[test]
fn steps_end() {
    check(
        "def main():\n    for i in range(1000):\n        step(\"s%d\" % i, noop())\n",
        expect![[r#"
        error: more steps than one branch may have
         ┌─ main.star:3:9
        3│         step("s%d" % i, noop())
         │         ^^^^
         = help: at most 1000000: spread them over the branches of each(...), or let one step handle many items
    "#]],
    );
    check(
        "def main():\n    for i in range(1000):\n        phase(\"s%d\" % i, one)\n\ndef one():\n    wait(\"w\", \"1s\")\n",
        expect![[r#"
        error: more steps than one branch may have
         ┌─ main.star:6:5
        6│     wait("w", "1s")
         │     ^^^^
         = called at main.star:3:9, in main
         = help: at most 1000000: spread them over the branches of each(...), or let one step handle many items
    "#]],
    );
}
