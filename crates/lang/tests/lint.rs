//! Warnings: what is questionable but may be meant.

mod support;

use expect_test::{Expect, expect};

fn check(source: &str, expected: Expect) {
    let runbook = support::load(source).unwrap_or_else(|wrong| panic!("{wrong}"));
    expected.assert_eq(&runbook.warnings().to_string());
}

#[test]
fn sql_and_shell_from_data_is_told_unless_quoted() {
    check(
        r#"
TABLE = "t"

def main(name: str, n: int):
    step("a", query("u", "select * from " + name))
    step("b", query("u", "select * from %s where a = %s" % (ident(name), name)))
    step("c", query("u", "select {}".format(name)))
    step("d", query("u", f"select {name}"))
    step("e", sh("echo " + name, reads = True))
    step("f", query("u", "select * from " + ident(name) + " where a = " + literal(name)))
    step("g", sh("echo " + quote(name) + " " + str(n), reads = True))
    step("h", query("u", "select * from " + TABLE))
    step("i", query("u", name))
    step("j", query("u", "select ?", [name]))
    step("k", query("u", "select " + ", ".join([ident(c) for c in [name]])))
    step("l", query("u", "select * from " + named(name)))
    step("m", query("u", "select * from " + bare(name)))
    step("n", query("u", "select * from " + again(name)))

def named(name):
    """A function that is nothing but quoted text."""
    return "x." + ident(name)

def bare(name):
    return name.strip()

def again(name):
    return ", ".join([again(name)])
"#,
        expect![[r#"
            warning: SQL is put together from data that is not quoted
             ┌─ main.star:4:45
            4│     step("a", query("u", "select * from " + name))
             │                                             ^^^^
             = help: a quote in the data would change what runs: use params=, ident(...) or literal(...)

            warning: SQL is put together from data that is not quoted
             ┌─ main.star:5:74
            5│     step("b", query("u", "select * from %s where a = %s" % (ident(name), name)))
             │                                                                          ^^^^
             = help: a quote in the data would change what runs: use params=, ident(...) or literal(...)

            warning: SQL is put together from data that is not quoted
             ┌─ main.star:6:45
            6│     step("c", query("u", "select {}".format(name)))
             │                                             ^^^^
             = help: a quote in the data would change what runs: use params=, ident(...) or literal(...)

            warning: SQL is put together from data that is not quoted
             ┌─ main.star:7:36
            7│     step("d", query("u", f"select {name}"))
             │                                    ^^^^
             = help: a quote in the data would change what runs: use params=, ident(...) or literal(...)

            warning: a shell script is put together from data that is not quoted
             ┌─ main.star:8:28
            8│     step("e", sh("echo " + name, reads = True))
             │                            ^^^^
             = help: a quote in the data would change what runs: use env= and "$NAME", or quote(...)

            warning: a shell script is put together from data that is not quoted
              ┌─ main.star:10:48
            10│     step("g", sh("echo " + quote(name) + " " + str(n), reads = True))
              │                                                ^^^
              = help: a quote in the data would change what runs: use env= and "$NAME", or quote(...)

            warning: SQL is put together from data that is not quoted
              ┌─ main.star:16:45
            16│     step("m", query("u", "select * from " + bare(name)))
              │                                             ^^^^
              = help: a quote in the data would change what runs: use params=, ident(...) or literal(...)

            warning: SQL is put together from data that is not quoted
              ┌─ main.star:17:45
            17│     step("n", query("u", "select * from " + again(name)))
              │                                             ^^^^^
              = help: a quote in the data would change what runs: use params=, ident(...) or literal(...)"#]],
    );
}

#[test]
fn a_number_put_into_sql_is_none_of_its_dangers() {
    check(
        r#"
def main(name: str, n: int):
    step("a", query("u", "select date_format(x, '%d') from t"))
    step("b", query("u", "select date_format(x, '%%Y-%%m-%%d') from %s limit %d" % (ident(name), n)))
    step("c", query("u", "select 1 limit %d" % n))
    step("d", sh("date +%%d; sleep %f" % n, reads = True))
    step("e", query("u", "select date_format(x, '%%d'), '%s' from t limit %d" % (name, n)))
    step("f", query("u", "select %d, %s" % (n, name)))
    step("g", query("u", "select '%%%s'" % name))
"#,
        expect![[r#"
            warning: SQL is put together from data that is not quoted
             ┌─ main.star:6:82
            6│     step("e", query("u", "select date_format(x, '%%d'), '%s' from t limit %d" % (name, n)))
             │                                                                                  ^^^^
             = help: a quote in the data would change what runs: use params=, ident(...) or literal(...)

            warning: SQL is put together from data that is not quoted
             ┌─ main.star:7:48
            7│     step("f", query("u", "select %d, %s" % (n, name)))
             │                                                ^^^^
             = help: a quote in the data would change what runs: use params=, ident(...) or literal(...)

            warning: SQL is put together from data that is not quoted
             ┌─ main.star:8:44
            8│     step("g", query("u", "select '%%%s'" % name))
             │                                            ^^^^
             = help: a quote in the data would change what runs: use params=, ident(...) or literal(...)"#]],
    );
}

#[test]
fn a_write_that_a_crash_leaves_open_is_told() {
    check(
        r#"
def main():
    step("a", sh("rm x"))
    step("b", exec(["rm", "x"]), repeatable = True)
    step("c", sh("ls"), repeatable = False)
    step("d", sh("ls", reads = True))
    step("e", http("POST", "u"))
    step("f", http("GET", "u"))
    step("g", sql("u", "drop"))
"#,
        expect![[r#"
            warning: a crash during this sh() leaves a person to say what became of it
             ┌─ main.star:2:5
            2│     step("a", sh("rm x"))
             │     ^^^^
             = help: say repeatable = True where it is safe to run again after any part of it

            warning: a crash during this sh() leaves a person to say what became of it
             ┌─ main.star:4:5
            4│     step("c", sh("ls"), repeatable = False)
             │     ^^^^
             = help: say repeatable = True where it is safe to run again after any part of it

            warning: a crash during this http() leaves a person to say what became of it
             ┌─ main.star:6:5
            6│     step("e", http("POST", "u"))
             │     ^^^^
             = help: say repeatable = True where it is safe to run again after any part of it"#]],
    );
}

#[test]
fn a_write_in_a_window_without_a_way_back_is_told() {
    check(
        r#"
def main():
    window("w", cut, budget = "9s")

def cut():
    step("close", sql("u", "close"))
    step("stop", sql("u", "stop"), undo = sql("u", "start"))
    commit_point("done")
    step("open", sql("u", "open"))
"#,
        expect![[r#"
            warning: a write before the window's commit point, which nothing takes back
             ┌─ main.star:5:5
            5│     step("close", sql("u", "close"))
             │     ^^^^
             = help: the window goes back when its budget cannot be kept: give undo=, or move it behind the commit point"#]],
    );
}

#[test]
fn a_comparison_that_can_never_hold_is_told() {
    check(
        r#"
Mode = enum("fast", "careful")

def main(mode: Mode = Mode("fast"), other: str = "x"):
    if mode == "fast":
        noop()
    if mode.value == "fats" or mode.value in ["careful", "slow"]:
        noop()
    if mode.value != "never" or other == "fats" or mode == Mode("fast"):
        noop()
    if mode.value == "fast" and mode.value not in ("careful",):
        noop()

def twice(mode: Mode):
    mode = mode.value
    if mode == "fast":
        noop()
"#,
        expect![[r#"
            warning: this comparison with "fast" never holds
             ┌─ main.star:4:16
            4│     if mode == "fast":
             │                ^^^^^^
             = help: `mode` is a value of Mode, not a text: compare mode.value, or with Mode("fast")

            warning: this comparison with "fats" never holds
             ┌─ main.star:6:22
            6│     if mode.value == "fats" or mode.value in ["careful", "slow"]:
             │                      ^^^^^^
             = help: `mode` is one of fast, careful

            warning: this comparison with "slow" never holds
             ┌─ main.star:6:58
            6│     if mode.value == "fats" or mode.value in ["careful", "slow"]:
             │                                                          ^^^^^^
             = help: `mode` is one of fast, careful

            warning: this comparison with "never" always holds
             ┌─ main.star:8:22
            8│     if mode.value != "never" or other == "fats" or mode == Mode("fast"):
             │                      ^^^^^^^
             = help: `mode` is one of fast, careful"#]],
    );
}

/// A tuple's type has those of its members in it: working such types out goes on for hours (a fuzzer found it).
#[test]
fn a_variable_that_is_made_of_itself_in_a_tuple_is_told_and_ends_the_check_of_types() {
    for grows in [
        "x = (\"x\", x)",
        "y = (x, 1)\n    x = [y]",
        "x += [(1, x)]",
        "x = [(1, k) for k in [x]]",
        "for k in [1]:\n        x = {\"a\": (k, x)}",
        "x = []\n    x.append((1, x))",
        "x = {}\n    x[\"a\"] = (1, x)",
        "x, y = (x, 1), 2",
        "x = (1, x) if x else x",
        "x = list(zip([x], [x]))",
    ] {
        let runbook = support::load(&format!("def main():\n    x = []\n    {grows}\n"));
        let runbook = runbook.unwrap_or_else(|wrong| panic!("{grows}: {wrong}"));
        let warnings = runbook.warnings().to_string();
        assert!(warnings.contains("is made of itself, in a tuple"), "{grows}: {warnings}");
    }
    for stays in [
        "a, b = 1, 2\n    a, b = b, a + b",
        "x = x + [1]",
        "pairs = []\n    for i in x:\n        pairs.append((i, 1))",
        "pairs = [(i, 1) for i in x]\n    x = len(pairs)",
        "seen = {}\n    for i in x:\n        seen[i] = (i, i)",
        "x = str((x, 1))",
        "x = (1, 2)\n    y = (x, x)\n    z = (y, y)",
    ] {
        check(&format!("def main():\n    x = []\n    {stays}\n"), expect![[""]]);
    }
    // Outside of functions, too; and what another function does with the name is its own.
    let runbook =
        support::load("x = 1\nx2 = (x, 1)\ndef f(x):\n    return (x, 1)\ndef main():\n    x = f(1)\n").unwrap();
    assert_eq!(runbook.warnings().to_string(), "");
}
