//! What each built-in asks of its host: one row per call, with what is recorded.

mod support;

use expect_test::{Expect, expect};
use piton_core::{Outcome, Value};

fn check(source: &str, expected: Expect) {
    expected.assert_eq(&support::run(source, |_| {}));
}

/// The body of `main`, indented.
fn main(body: &str) -> String {
    format!("def main():\n{}\n", body.trim_matches('\n'))
}

fn check_main(body: &str, expected: Expect) {
    check(&main(body), expected);
}

#[test]
fn every_action_says_what_it_does() {
    let source = r#"
def main():
    for i, action in enumerate([
        sh("echo hi", env = {"A": "x", "N": 3, "B": True}, cwd = "sub", stdin = "in"),
        sh("uptime", reads = True),
        exec(["rsync", "-a", 1, 2.5, True, duration("90s")]),
        script("scripts/x.sh", "a", 1, env = {"S": secret("env:S")}),
        query("sqlite:x", "select ?", [1, None, "x", secret("env:S")], limit = 5),
        sql("sqlite:x", "drop table t"),
        sql("sqlite:x", ["a", "b"], once = True),
        http("get", "http://x/" + secret("env:T"), headers = {"Authorization": "Bearer " + secret("env:T")}, expect = 200),
        http("POST", "http://x", json = {"a": [1, None]}, expect = [200, 404]),
        write_file("f", "text", mode = 0o640),
        write_file("f", secret("env:S"), mode = "0600"),
        read_file("f"),
        noop(),
        noop({"a": 1}),
    ]):
        step("%d" % i, action)
### scripts/x.sh
echo
"#;
    let run = support::run(source, |fake| fake.whole_actions = true);
    expect![[r#"
        step 0 @main.star:18:9: {"do":"process","program":{"shell":{"script":"echo hi"}},"env":{"A":"x","B":"true","N":"3"},"cwd":"sub","stdin":"in","reads":false}
        step 1 @main.star:18:9: {"do":"process","program":{"shell":{"script":"uptime"}},"reads":true}
        step 2 @main.star:18:9: {"do":"process","program":{"argv":{"argv":["rsync","-a","1","2.5","true","1m30s"]}},"reads":false}
        step 3 @main.star:18:9: {"do":"process","program":{"script":{"path":"scripts/x.sh","digest":"sha256:86b0c5a1e2b73b08fd54c727f4458649ed9fe3ad1b6e8ac9460c070113509a1e","args":["a","1"]}},"env":{"S":[{"secret":{"name":"env:S","source":"env:S"}}]},"reads":false}
        step 4 @main.star:18:9: {"do":"query","url":"sqlite:x","sql":"select ?","params":[1,null,"x",{"$":"secret","v":[{"secret":{"name":"env:S","source":"env:S"}}]}],"limit":5}
        step 5 @main.star:18:9: {"do":"sql","url":"sqlite:x","statements":["drop table t"],"once":false}
        step 6 @main.star:18:9: {"do":"sql","url":"sqlite:x","statements":["a","b"],"once":true}
        step 7 @main.star:18:9: {"do":"http","method":"GET","url":["http://x/",{"secret":{"name":"env:T","source":"env:T"}}],"headers":[["Authorization",["Bearer ",{"secret":{"name":"env:T","source":"env:T"}}]]],"expect":[200]}
        step 8 @main.star:18:9: {"do":"http","method":"POST","url":"http://x","json":{"a":[1,null]},"expect":[200,404]}
        step 9 @main.star:18:9: {"do":"write_file","path":"f","text":"text","mode":416}
        step 10 @main.star:18:9: {"do":"write_file","path":"f","text":[{"secret":{"name":"env:S","source":"env:S"}}],"mode":384}
        step 11 @main.star:18:9: {"do":"read_file","path":"f"}
        step 12 @main.star:18:9: {"do":"noop","value":null}
        step 13 @main.star:18:9: {"do":"noop","value":{"a":1}}
        => None
    "#]].assert_eq(&run);
}

#[test]
fn a_step_carries_its_options() {
    check(
        r#"
def drop(outcome):
    return sql("u", "drop") if outcome else None

def main():
    step("all", sql("u", "create"),
        requires = query("u", "select 1"),
        ensures = check(query("u", "select 2"), lambda o: o.ok),
        undo = drop,
        retry = retry(3, backoff = "2s", factor = 1.5, cap = duration("1m"), on = lambda o: not o.ok),
        timeout = "6h", settle = "30s", repeatable = True, memory = "1GiB", doc = "why")
    step("action", sql("u", "x"), undo = sql("u", "y"), retry = 2, memory = 4096)
    step("inverse", write_file("f", "x"), undo = inverse())
    step("nothing", noop(), ensures = None, undo = None, retry = None, timeout = None)
    step("bare check", noop(), ensures = check(query("u", "select 1")))
"#,
        expect![[r#"
            step all @main.star:5:5: sql u: create requires=[query u: select 1] ensures=[query u: select 2 ?] undo=Asked retry=3/2s/1.5/1m/true timeout=6h settle=30s repeatable=True memory=1073741824 doc="why"
              Ensures -> true
              Retry -> false
              undo(None) -> nothing
              undo(outcome) -> sql u: drop
            step action @main.star:11:5: sql u: x undo=Asked retry=2/1s/2/1m/false memory=4096
              undo(None) -> sql u: y
              undo(outcome) -> sql u: y
            step inverse @main.star:12:5: write_file f undo=Inverse
            step nothing @main.star:13:5: noop
            step bare check @main.star:14:5: noop ensures=[query u: select 1]
            => None
        "#]],
    );
}

#[test]
fn expect_only_looks() {
    check_main(
        r#"
    expect("bare", query("u", "select 1"), hint = "do that")
    expect("own", query("u", "select 1"), predicate = lambda o: False)
    expect("check", check(query("u", "select 1"), lambda o: True), retry = 2, timeout = "5s")
"#,
        expect![[r#"
            expect bare @main.star:2:5: query u: select 1 hint="do that"
            expect own @main.star:3:5: query u: select 1 predicate=?
              Check -> false
            expect check @main.star:4:5: query u: select 1 predicate=? retry=2/1s/2/1m/false timeout=5s
              Check -> true
            => None
        "#]],
    );
    check_main(
        r#"    expect("writes", sh("rm x"))"#,
        expect![[r#"
        error: expect() only looks, and sh() changes the world
         ┌─ main.star:2:5
        2│     expect("writes", sh("rm x"))
         │     ^^^^^^
         = help: use step(...), or say reads = True where the command changes nothing
    "#]],
    );
}

#[test]
fn scopes_nest_and_give_results() {
    check(
        r#"
def main():
    a = phase("Outer", outer, 1, y = 2)
    r = attempt("Maybe", maybe)
    w = window("Pause", pause, budget = "90s")
    window("Long", pause, budget = "90s", reserve = "30s", on_over = "warn")
    return (a, r.ok, w)

def outer(x, y):
    return phase("Inner", inner, x + y)

def inner(z):
    step("deep", noop(z))
    return z * 10

def maybe():
    fail("no luck")

def pause():
    step("cut", noop())
    commit_point("done")
    return "cut"
"#,
        expect![[r#"
            enter Outer {"scope":"phase"}
            enter Outer/Inner {"scope":"phase"}
            step Outer/Inner/deep @main.star:12:5: noop
            leave Outer/Inner
            leave Outer
            enter Maybe {"scope":"attempt"}
            leave Maybe
            enter Pause {"scope":"window","budget":90000,"reserve":22500,"on_over":"undo"}
            step Pause/cut @main.star:19:5: noop
            commit point Pause/done
            leave Pause
            enter Long {"scope":"window","budget":90000,"reserve":30000,"on_over":"warn"}
            step Long/cut @main.star:19:5: noop
            commit point Long/done
            leave Long
            => (30, False, "cut")
        "#]],
    );
}

#[test]
fn branches_get_keys_and_copies() {
    check(
        r#"
Table = record(name = str, rows = int)

def main():
    a = each("strings", ["x", "y"], one, concurrency = 8)
    b = each("records", [Table(name = "t", rows = 1)], of_table, "extra", more = True)
    c = each("dicts", [{"id": 7}], one)
    d = each("keyed", [3, 4], one, key = lambda n: "n%d" % n)
    e = each("by field", [struct(zone = "eu")], one, key = "zone", on_failure = "continue")
    each("none", [], one)
    f = parallel("both", {"left": partial(named, "l", x = 1), "right": nothing})
    return [a, b, c, d, e, f]

def one(item):
    step("work", noop())
    return item

def of_table(table, extra, more):
    step("work", noop([extra, more]))
    return table.rows

def named(name, x):
    step("work", noop(x))
    return name

def nothing():
    pass
"#,
        expect![[r#"
            branches strings ["x", "y"] concurrency=8 Hold
            step strings/x/work @main.star:14:5: noop
            step strings/y/work @main.star:14:5: noop
            branches records ["t"] concurrency=1 Hold
            step records/t/work @main.star:18:5: noop
            branches dicts ["7"] concurrency=1 Hold
            step dicts/7/work @main.star:14:5: noop
            branches keyed ["n3", "n4"] concurrency=1 Hold
            step keyed/n3/work @main.star:14:5: noop
            step keyed/n4/work @main.star:14:5: noop
            branches by field ["eu"] concurrency=1 Continue
            step by field/eu/work @main.star:14:5: noop
            branches none [] concurrency=1 Hold
            branches both ["left", "right"] concurrency=2 Hold
            step both/left/work @main.star:22:5: noop
            => [["x", "y"], [1], [{"id": 7}], [3, 4], [struct(ok = True, value = struct(zone = "eu"), error = None)], {"left": "l", "right": None}]
        "#]],
    );
}

#[test]
fn each_passes_failed_items_when_told_to() {
    let source = r#"
def main():
    return [r.error for r in each("all", ["a", "b"], work, on_failure = "continue")]

def work(item):
    step("work", noop())
"#;
    let run = support::run(source, |fake| fake.failing.push("all/b/work".into()));
    expect![[r#"
        branches all ["a", "b"] concurrency=1 Continue
        step all/a/work @main.star:5:5: noop
        step all/b/work @main.star:5:5: noop
        => [None, "it did not work"]
    "#]]
    .assert_eq(&run);
}

#[test]
fn people_are_asked() {
    let source = r#"
Color = enum("red", "green")
Zone = record(name = str, racks = list[int])

def main():
    who = approve("Go?", by = "oncall", count = 2, not_starter = True, show = {"n": 1}, expires = "2h")
    given = ask("Which?", {"zone": str, "n": int, "c": Color, "z": Zone, "p": path, "l": list[duration]})
    manual("Call them", "Phone the owner.", ensures = query("u", "select 1"), doc = "why")
    return who.value
"#;
    let run = support::run(source, |fake| {
        let outcome = |value| Outcome { ok: true, value: Some(value), ..Outcome::default() };
        fake.outcomes.insert("Go?".into(), outcome(Value::List(vec!["ann".into()])));
        fake.outcomes.insert("Which?".into(), outcome(Value::Struct(vec![("zone".into(), "eu".into())])));
    });
    expect![[r#"
        person Go? @main.star:5:11: {"ask":"approve","by":"oncall","count":2,"not_starter":true,"show":{"n":1},"expires":7200000}
        person Which? @main.star:6:13: {"ask":"fields","fields":[["zone","str"],["n","int"],["c",{"enum":{"name":"Color","values":["red","green"]}}],["z",{"record":{"name":"Zone","fields":[["name","str"],["racks",{"list":"int"}]]}}],["p","path"],["l",{"list":"duration"}]]}
        person Call them @main.star:7:5: {"ask":"manual","instructions":"Phone the owner."}
        => ["ann"]
    "#]].assert_eq(&run);
}

#[test]
fn time_and_reads_are_journaled() {
    check(
        r#"
def main():
    wait("Quiet", "10m")
    wait("Short", duration = duration("1s"))
    poll("Caught up", check(query("u", "select lag"), lambda o: True), every = "1s", timeout = "2h")
    emit("tables", [1, 2])
    note("Done")
    note("really")
    return [now("Start"), new_id("Id"), env("HOME"), env("HOME"), env("NOT_SET"), phase("In", inner)]

def inner():
    note("inside")
    return env("HOME")
"#,
        expect![[r#"
            wait Quiet @main.star:2:5: 10m
            wait Short @main.star:3:5: 1s
            poll Caught up @main.star:4:5: query u: select lag every=1s timeout=2h
              Check -> true
            emit tables tables = [1, 2]
            note note 1: Done
            note note 2: really
            read Start @main.star:8:13: now
            read Id @main.star:8:27: new_id
            read env HOME @main.star:8:41: env HOME
            read env HOME @main.star:8:54: env HOME
            read env NOT_SET @main.star:8:67: env NOT_SET
            enter In {"scope":"phase"}
            note In/note 1: inside
            read env HOME @main.star:12:12: env HOME
            leave In
            => ["2026-01-02T03:04:05Z", "00ff", "/root", "/root", None, "/root"]
        "#]],
    );
}

#[test]
fn quoting_knows_the_dialects() {
    check(
        r#"
def main():
    return [
        ident("a`b"), ident("a\"b", dialect = "postgres"),
        literal("it's \\"), literal("it's \\", dialect = "ansi"), literal(None), literal(True), literal(3), literal(2.5),
        quote("plain-1.txt"), quote("it's"), quote(""), quote(3),
    ]
"#,
        expect![[r#"
            => ["`a``b`", "\"a\"\"b\"", "'it''s \\\\'", "'it''s \\'", "NULL", "TRUE", "3", "2.5", "plain-1.txt", "'it'\\''s'", "''", "3"]
        "#]],
    );
}

#[test]
fn durations_secrets_and_paths_are_types_and_constructors() {
    check(
        r#"
def longer(d: duration) -> duration:
    return d + duration("30s")

def open(url: secret, file: path):
    return [str(url), file, type(url)]

def main():
    d = longer(duration("1m"))
    token = "Bearer " + secret("env:TOKEN", name = "token") + "!"
    return [d, d > duration("1m"), d == duration("90s"), d.ms, d.seconds, str(token), "%s" % token, open(token, path("a/b"))]
"#,
        expect![[r#"
            => [1m30s, True, True, 90000, 90.0, "Bearer «secret token»!", "Bearer «secret token»!", ["Bearer «secret token»!", "a/b", "secret"]]
        "#]],
    );
}

#[test]
fn outcomes_are_decoded_on_access() {
    let source = r#"
def main():
    q = step("q", query("u", "select"))
    p = step("p", sh("x"))
    j = step("j", sh("x"))
    h = step("h", http("GET", "http://x"))
    s = step("s", sql("u", "x"))
    return [
        q.rows, q.rows[0]["b"].hex(), q.rows[0]["b"].base64(), len(q.rows[0]["b"]),
        p.ok, p.code, p.signal, p.out, p.err, j.json["a"][1], h.status, h.headers["etag"], s.affected, s.took,
        step("v", query("u", "select 1")).value, step("r", query("u", "select 1")).row["n"],
    ]
"#;
    let run = support::run(source, |fake| {
        let blob = Value::Bytes(vec![0, 255]);
        fake.outcomes.insert(
            "q".into(),
            support::rows(&["n", "b"], vec![vec![1i64.into(), blob], vec![Value::None, "x".into()]]),
        );
        fake.outcomes.insert("v".into(), support::rows(&["n"], vec![vec![5i64.into()]]));
        fake.outcomes.insert("r".into(), support::rows(&["n"], vec![vec![6i64.into()]]));
        let outcome = Outcome { ok: true, ..Outcome::default() };
        let process = Outcome { code: Some(0), out: Some("o".into()), err: Some("e".into()), ..outcome.clone() };
        fake.outcomes.insert("p".into(), process.clone());
        fake.outcomes.insert("j".into(), Outcome { out: Some(r#"{"a": [1, 2.5]}"#.into()), ..process });
        let headers = vec![("ETag".into(), "x".into())];
        fake.outcomes.insert("h".into(), Outcome { status: Some(204), headers, ..outcome.clone() });
        fake.outcomes.insert("s".into(), Outcome { affected: Some(3), took_us: 1_500_000, ..outcome });
    });
    expect![[r#"
        step q @main.star:2:9: query u: select
        step p @main.star:3:9: sh x
        step j @main.star:4:9: sh x
        step h @main.star:5:9: http GET http://x
        step s @main.star:6:9: sql u: x
        step v @main.star:10:9: query u: select 1
        step r @main.star:10:50: query u: select 1
        => [[{"n": 1, "b": ‹2 bytes›}, {"n": None, "b": "x"}], "00ff", "AP8=", 2, True, 0, None, "o", "e", 2.5, 204, "x", 3, 1s500ms, 5, 6]
    "#]].assert_eq(&run);
}

#[test]
fn a_retry_and_undo_function_sees_the_outcome() {
    let source = r#"
def take_back(outcome):
    if outcome == None:
        return sql("u", "nothing known")
    return sql("u", "drop " + str(outcome.value))

def main():
    step("x", sql("u", "create"), undo = take_back)
    step("bad", sql("u", "create"), undo = lambda o: 3)
    step("worse", sql("u", "create"), undo = lambda o: o.nope)
"#;
    let run = support::run(source, |fake| {
        let outcome = Outcome { ok: true, value: Some(7i64.into()), ..Outcome::default() };
        fake.outcomes.insert("x".into(), outcome);
    });
    expect![[r#"
        step x @main.star:7:5: sql u: create undo=Asked
          undo(None) -> sql u: nothing known
          undo(outcome) -> sql u: drop 7
        step bad @main.star:8:5: sql u: create undo=Asked
          undo(None) -> Predicate: the function of `undo` raised an error: it gave an int where an action is needed
          undo(outcome) -> Predicate: the function of `undo` raised an error: it gave an int where an action is needed
        step worse @main.star:9:5: sql u: create undo=Asked
          undo(None) -> Predicate: the function of `undo` raised an error at main.star:9:56: object of type `NoneType` has no attribute `nope`
          undo(outcome) -> Predicate: the function of `undo` raised an error at main.star:9:56: object of type `outcome` has no attribute `nope`, did you mean `code`?
        => None
    "#]].assert_eq(&run);
}

#[test]
fn the_same_answers_give_the_same_requests() {
    let source = r#"
def main():
    names = phase("List", list_them)
    each("Each", names, work, concurrency = 4)
    d = {n: len(n) for n in names}
    step("sum", noop(d))
    return d

def list_them():
    return ["t%d" % i for i in range(40)]

def work(name):
    if len(name) % 2:
        step("odd " + name, sh("echo " + quote(name)), retry = retry(2))
    return name.upper()
"#;
    let runs: Vec<String> = (0..3).map(|_| support::run(source, |_| {})).collect();
    assert_eq!(runs[0], runs[1]);
    assert_eq!(runs[1], runs[2]);
    assert!(runs[0].lines().count() > 30, "{}", runs[0]);
}
