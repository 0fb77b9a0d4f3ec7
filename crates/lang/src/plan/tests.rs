//! What becomes of a hole in every operator, every method and every built-in: it is passed on, or it ends the plan.

use crate::{Limits, Runbook};
use expect_test::{expect, expect_file};
use piton_core::event::Stored;
use piton_core::ports::{Host, Program as _, SourceError, Sources, Unwind};
use piton_core::request::{BranchesRequest, Callbacks, PersonRequest, PollRequest, StepRequest, WaitRequest};
use piton_core::scope::{Scope, ScopeKind};
use piton_core::value::{Callable, Definition};
use piton_core::{Outcome, Path, Value, hole};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

struct Files(BTreeMap<String, Vec<u8>>);

impl Sources for Files {
    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        self.0.get(path).cloned().ok_or_else(|| SourceError::Missing { path: path.to_owned() })
    }
}

/// Nothing is known: every step gives a hole. Keeps the branches that it is asked for.
#[derive(Default)]
struct Unknowing(Mutex<Vec<String>>);

impl Unknowing {
    fn hole(path: &Path) -> Stored<Outcome> {
        Stored::seal(&Outcome::hole(&format!("{:?}", path.name())))
    }
}

impl Host for Unknowing {
    fn step(&self, _: &Arc<Scope>, request: &StepRequest, _: &mut dyn Callbacks) -> Result<Stored<Outcome>, Unwind> {
        Ok(Self::hole(&request.path))
    }

    fn poll(&self, _: &Arc<Scope>, request: &PollRequest, _: &mut dyn Callbacks) -> Result<Stored<Outcome>, Unwind> {
        Ok(Self::hole(&request.path))
    }

    fn wait(&self, _: &Arc<Scope>, _: &WaitRequest) -> Result<(), Unwind> {
        Ok(())
    }

    fn person(
        &self,
        _: &Arc<Scope>,
        request: &PersonRequest,
        _: &mut dyn Callbacks,
    ) -> Result<Stored<Outcome>, Unwind> {
        Ok(Self::hole(&request.path))
    }

    fn scope(&self, _: &Arc<Scope>, body: &mut dyn FnMut() -> Result<Value, Unwind>) -> Result<Value, Unwind> {
        body()
    }

    fn branches(&self, _: &Arc<Scope>, request: BranchesRequest) -> Result<Vec<Value>, Unwind> {
        let shown =
            |branch: &piton_core::request::Branch| format!("{} {:?}", hole::render(&branch.key), branch.call.args);
        self.0.lock().expect("unpoisoned").extend(request.branches.iter().map(shown));
        Ok(vec![Value::from(hole::mark("result of \"branch\"")); request.branches.len()])
    }

    fn commit_point(&self, _: &Arc<Scope>, _: &Path) -> Result<(), Unwind> {
        Ok(())
    }

    fn emit(&self, _: &Arc<Scope>, _: &Path, _: &str, _: &Value) -> Result<(), Unwind> {
        Ok(())
    }

    fn note(&self, _: &Arc<Scope>, _: &Path, _: &str) -> Result<(), Unwind> {
        Ok(())
    }
}

fn loaded(text: &str) -> Runbook {
    let sources = Files(BTreeMap::from([("main.star".to_owned(), text.as_bytes().to_vec())]));
    let limits = Limits { heap_bytes: 64 << 20, ..Limits::default() };
    Runbook::load(Arc::new(sources), "main.star").unwrap_or_else(|wrong| panic!("{wrong}")).limited(limits)
}

fn planned(text: &str) -> Runbook {
    loaded(text).planning().unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn on_engine_stack<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(16 << 20).spawn_scoped(scope, work).expect("a thread");
        thread.join().expect("no panic")
    })
}

/// The names that expressions may use, all untyped to the checker.
const PARAMS: &str = "list_h, tuple_h, dict_t, h, t, one, text, list_1, tuple_1, dict_1";

/// Each expression over `h` (a hole), `t` (a text with a hole in it) and `f` (a function), with what it gives.
fn results(expressions: &[String]) -> Vec<(String, Result<Value, Unwind>)> {
    let mut text =
        String::from("def f(*args, **kwargs):\n    return args\n\ndef u(x):\n    return x\n\ndef main():\n    pass\n");
    for (index, expression) in expressions.iter().enumerate() {
        let body = if expression.contains('\n') { expression.clone() } else { format!("return {expression}") };
        text.push_str(&format!("\ndef f{index}({PARAMS}):\n    {}\n", body.replace('\n', "\n    ")));
    }
    let runbook = planned(&text);
    let call = |(index, expression): (usize, &String)| {
        let (h, t) =
            (Value::from(hole::mark("out of \"S\"")), Value::from(format!("a {} b", hole::mark("x of \"T\""))));
        let one = Value::Int(1);
        let args = vec![
            Value::List(vec![h.clone()]),
            Value::Tuple(vec![h.clone(), one.clone()]),
            Value::Dict(vec![(Value::from("k"), t.clone())]),
            h,
            t,
            one.clone(),
            Value::from("te{}xt"),
            Value::List(vec![one.clone()]),
            Value::Tuple(vec![one.clone()]),
            Value::Dict(vec![(Value::from("k"), one)]),
        ];
        let function = Definition { file: "main.star".into(), name: format!("f{index}") };
        let scope = Scope::run().child(ScopeKind::Branch, &index.to_string());
        let call = Callable { function, args, kwargs: vec![] };
        (expression.clone(), runbook.call(&Unknowing::default(), &scope, &call))
    };
    on_engine_stack(|| expressions.iter().enumerate().map(call).collect())
}

fn told(result: &Result<Value, Unwind>) -> String {
    match result {
        Ok(value) => hole::render(&value.to_string().replace("\\u{f7b00}", "‹").replace("\\u{f7b01}", "›")),
        Err(Unwind::Undetermined(what)) => format!("depends on {what}"),
        Err(Unwind::Program(message)) => format!("WRONG {}", message.lines().next().unwrap_or_default()),
        Err(other) => format!("{other:?}"),
    }
}

/// The hole is still there, or the plan ends with it. What is wrong whatever is in the hole may be said.
fn is_honest(expression: &str, result: &Result<Value, Unwind>) -> bool {
    let on_the_hole = || expression.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "h");
    match result {
        Ok(value) => serde_json::to_string(value).expect("json").contains(hole::OPEN),
        Err(Unwind::Program(message)) => !on_the_hole() || message.contains("wrong number of positional arguments"),
        Err(Unwind::Failed { failure, .. }) => failure.message.contains(hole::OPEN),
        Err(why) => matches!(why, Unwind::Undetermined(_)),
    }
}

/// What is passed on, a line each; the others end the plan.
fn all_told(expressions: &[String], fine: &[String]) -> String {
    let (mut lines, mut lost) = (Vec::new(), Vec::new());
    for (expression, result) in results(expressions) {
        let line = format!("{} → {}", expression.replace('\n', "; "), told(&result));
        if !is_honest(&expression, &result) && !fine.contains(&expression) {
            lost.push(line.clone());
        }
        if result.is_ok() {
            lines.push(line);
        }
    }
    assert!(lost.is_empty(), "the hole is lost:\n{}", lost.join("\n"));
    lines.join("\n") + "\n"
}

#[test]
fn operators_pass_a_hole_on_or_end_the_plan() {
    let mut expressions = Vec::new();
    for hole in ["h", "t", "list_h", "tuple_h", "dict_t", "h.rows[0][\"n\"]"] {
        for operator in
            ["==", "!=", "<", "<=", ">", ">=", "in", "not in", "+", "-", "*", "/", "//", "%", "&", "|", "^", "<<", ">>"]
        {
            for other in ["one", "text", "list_1", "tuple_1", "dict_1", "h"] {
                expressions.push(format!("{hole} {operator} {other}"));
                expressions.push(format!("{other} {operator} {hole}"));
            }
        }
        for unary in ["-", "+", "~", "not "] {
            expressions.push(format!("{unary}{hole}"));
        }
        for place in [
            "{} and 1",
            "{} or 1",
            "1 if {} else 2",
            "[x for x in [1] if {}]",
            "dict_1[{}]",
            "list_1[{}]",
            "list_1[{}:]",
            "text[:{}]",
            "{{}: 1}",
            "{{}: 1 for _ in [1]}",
            "(lambda x: 1 if x else 2)({})",
        ] {
            expressions.push(place.replace("{}", hole));
        }
        for assign in ["+=", "-=", "/=", "//=", "&=", "|=", "^=", ">>="] {
            for first in ["one", "text", "list_1"] {
                expressions.push(format!("x = {first}\nx {assign} {hole}\nreturn x"));
                expressions.push(format!("x = {hole}\nx {assign} {first}\nreturn x"));
            }
        }
        expressions.push(format!("x = 0\nif {hole}:\n    x = 1\nreturn x"));
        expressions.push(format!("x = 0\nif 0:\n    x = 1\nelif {hole}:\n    x = 2\nreturn x"));
    }
    for only in [
        "h[0]",
        "h[1:]",
        "t[0]",
        "t[1:]",
        "h()",
        "f\"-{h}-{t}-\"",
        "\"%s|%s\" % (h, t)",
        "\"%d\" % h",
        "\"%r\" % t",
        "h.a.b",
        "t.upper",
        "text.startswith",
        "[x for x in h]",
        "a, b = h\nreturn a",
        "for x in h:\n    return x\nreturn 0",
        "x = {}\nx[h] = 1\nreturn x",
        "x = {}\nx[\"k\"] = h\nreturn x",
        "x = [0]\nx[0] = t\nreturn x",
        "h[0] = 1\nreturn h",
        "f(*h)",
        "f(**h)",
        "f(h, t)",
        "f(*[h], **{\"k\": t})",
    ] {
        expressions.push(only.to_owned());
    }
    // A list is not empty, whatever the hole in it stands for; a key that is known wins over a hole behind it.
    let mut fine = vec!["dict_t | dict_1".to_owned(), "x = list_1\nx += dict_t\nreturn x".to_owned()];
    for place in [
        "not {}",
        "{} and 1",
        "1 if {} else 2",
        "[x for x in [1] if {}]",
        "(lambda x: 1 if x else 2)({})",
        "x = 0\nif {}:\n    x = 1\nreturn x",
        "x = 0\nif 0:\n    x = 1\nelif {}:\n    x = 2\nreturn x",
    ] {
        fine.extend(["list_h", "tuple_h", "dict_t"].map(|holding| place.replace("{}", holding)));
    }
    expect_file!["../../tests/data/holes-operators.txt"].assert_eq(&all_told(&expressions, &fine));
}

/// Names of what a value of the language has.
fn names(expression: &str) -> Vec<String> {
    let runbook = loaded(&format!("def main():\n    return {expression}\n"));
    match on_engine_stack(|| runbook.main(&Unknowing::default(), &[])) {
        Ok(Value::List(names)) => names.iter().map(|name| name.to_string().trim_matches('"').to_owned()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn methods_pass_a_hole_on_or_end_the_plan() {
    let mut expressions = Vec::new();
    for (known, unknown) in
        [("text", vec!["t", "h"]), ("list_1", vec!["list_h"]), ("dict_1", vec!["dict_t"]), ("u(set(list_1))", vec![])]
    {
        let value =
            known.replace("u(", "(").replace("text", "\"\"").replace("list_1", "[1]").replace("dict_1", "{\"k\": 1}");
        for name in names(&format!("dir({value})")) {
            for args in ["h", "t", "h, h", "h, 1", "t, 1", "*[h]", "list_h", "[(t, 1)]", "{\"k\": h}"] {
                // What changes its object shows in it.
                let shown = if known.contains("set") { "r" } else { "[x, r]" };
                expressions.push(format!("x = {known}\nr = x.{name}({args})\nreturn {shown}"));
            }
            for object in &unknown {
                for args in ["", "1", "text", "list_1", "\"k\""] {
                    expressions.push(format!("x = {object}\nr = x.{name}({args})\nreturn [x, r]"));
                }
            }
            expressions.push(format!("[{known}.{name}][0](t)"));
        }
    }
    let mut fine = vec!["x = u(set(list_1))\nr = x.update({\"k\": h})\nreturn r".to_owned()];
    // What is emptied, and what only takes a dict's keys.
    for (object, method, args) in [
        ("list_h", "clear", ""),
        ("dict_t", "clear", ""),
        ("text", "join", "{\"k\": h}"),
        ("list_1", "extend", "{\"k\": h}"),
        ("dict_1", "setdefault", "{\"k\": h}"),
    ] {
        fine.push(format!("x = {object}\nr = x.{method}({args})\nreturn [x, r]"));
    }
    expect_file!["../../tests/data/holes-methods.txt"].assert_eq(&all_told(&expressions, &fine));
}

#[test]
fn built_ins_pass_a_hole_on_or_end_the_plan() {
    let mut expressions = Vec::new();
    let globals = crate::builtins::globals();
    let mut all: Vec<String> = globals.names().map(|name| name.as_str().to_owned()).collect();
    all.extend(crate::builtins::json_members().names().map(|name| format!("json.{}", name.as_str())));
    for name in all.iter().filter(|name| {
        !name.starts_with("__")
            && !["field", "record", "json", "typing", "None", "True", "False"].contains(&name.as_str())
    }) {
        for args in [
            "h",
            "t",
            "h, h",
            "\"n\", h",
            "\"n\", noop(h)",
            "\"n\", noop(t)",
            "\"n\", f, h",
            "\"n\", list_h, f",
            "\"n\", h, f",
            "f, list_h",
            "1, h",
            "h, \"q\"",
            "a = h",
            "a = t",
        ] {
            expressions.push(format!("u({name})({args})"));
        }
    }
    // What only the host sees gives nothing back.
    let told = |expression: &&String| {
        ["u(emit)", "u(note)", "u(commit_point)", "u(print)", "u(wait)"].iter().any(|f| expression.starts_with(f))
    };
    let fine: Vec<String> = expressions.iter().filter(told).cloned().collect();
    expect_file!["../../tests/data/holes-built-ins.txt"].assert_eq(&all_told(&expressions, &fine));
}

/// What a whole runbook asks for and gives while nothing is known.
fn result_of(text: &str) -> String {
    let runbook = planned(text);
    told(&on_engine_stack(|| runbook.main(&Unknowing::default(), &[])))
}

#[test]
fn types_are_not_checked_where_holes_may_come() {
    let text = r#"
Row = record(name = str, size = field(int, 0), tags = list[str] | None)

def first(a: str, b: dict[str, list[int]] = {}, *rest: (int | None), c: (
    str
) = "c", **more: str) -> list[
    str
]:
    x: tuple[str, ...] = (a, "1")
    return [a, b, rest, c, x[0]]

def main():
    h = step("S", noop()).value
    row = Row(name = h, size = h, tags = h)
    return [first(h, h, h, c = h, d = h), row.size]
"#;
    assert_eq!(result_of(text).matches('‹').count(), 6);
}

#[test]
fn an_error_stands_where_the_author_wrote_it() {
    let text = "def f(a: int = 1) -> str:\n    if (a == 1) and a in [1, 2]: return nothing(a)[a:1]\n\ndef nothing(a): return (a + 1) + \"x\"\n\ndef main():\n    return f()\n";
    let runbook = planned(text);
    let Err(Unwind::Program(message)) = on_engine_stack(|| runbook.main(&Unknowing::default(), &[])) else {
        panic!("it adds a text to a number")
    };
    expect![[r#"
        error: operation `+` not supported for types `int` and `string`
         ┌─ main.star:4:25
        4│ def nothing(a): return (a + 1) + "x"
         │                         ^^^^^^^^^^^^
         = called at main.star:2:41, in f
         = called at main.star:7:12, in main"#]]
    .assert_eq(&message);
}
