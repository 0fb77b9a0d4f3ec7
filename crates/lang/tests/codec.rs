//! Values that cross threads and come back as they were.

mod support;

use expect_test::expect;
use piton_core::Value;

#[test]
fn every_kind_of_value_crosses_and_comes_back() {
    let source = r#"
load("lib.star", "Point", "Color", helper = "help")

def main():
    values = [
        None, True, 1, -5, 1 << 100, 2.5, "text", [1, [2]], (1,), {"a": 1, 2: (3,)}, struct(x = 1, y = [2]),
        Point(x = 1, y = Color("red")), Color("blue"), duration("90s"), secret("env:S"), sh("x"), helper,
        partial(helper, 1, b = 2),
    ]
    back = phase("there and back", same, values)
    for before, after in zip(values, back):
        if before != after:
            fail("%s came back as %s" % (before, after))
    o = step("o", noop(Point(x = 7, y = Color("red"))))
    again = phase("outcome", same, o)
    return [type(v) for v in back] + [again.value.x, again.value.y.value, back[-1](c = 3), back[-2](1, 2, 3)]

def same(x):
    return x
### lib.star
Color = enum("red", "blue")
Point = record(x = int, y = Color)

def help(a, b, c = 0):
    return [a, b, c]
"#;
    expect![[r#"
        enter there and back {"scope":"phase"}
        leave there and back
        step o @main.star:13:9: noop
        enter outcome {"scope":"phase"}
        leave outcome
        => ["NoneType", "bool", "int", "int", "int", "float", "string", "list", "tuple", "dict", "struct", "record", "enum", "duration", "secret", "action", "function", "function", 7, "red", [1, 2, 3], [1, 2, 3]]
    "#]].assert_eq(&support::run(source, |_| {}));
}

#[test]
fn floats_survive_json_in_this_build() {
    // `starlark` turns on serde_json's `arbitrary_precision` for the whole build, which changes how floats are read.
    for value in [Value::Float(1.5), Value::Float(-0.25), Value::List(vec![Value::Float(1e300), Value::Int(3)])] {
        let json = serde_json::to_string(&value).expect("json");
        assert_eq!(serde_json::from_str::<Value>(&json).expect("a value"), value, "{json}");
    }
    let action = piton_core::Action::Noop { value: Value::Float(2.5) };
    let json = serde_json::to_string(&action).expect("json");
    assert_eq!(serde_json::from_str::<piton_core::Action>(&json).expect("an action"), action);
}

#[test]
fn definitions_that_are_gone_are_told() {
    let source = "def main():\n    return step(\"x\", noop()).value\n";
    let gone = piton_core::value::Definition { file: "main.star".into(), name: "Old".into() };
    let run = support::run(source, |fake| {
        let value =
            Value::Record(Box::new(piton_core::value::Record { of: gone, fields: vec![("x".into(), 1i64.into())] }));
        let outcome = piton_core::Outcome { ok: true, value: Some(value), ..Default::default() };
        fake.outcomes.insert("x".into(), outcome);
    });
    expect![[r#"
        step x @main.star:2:12: noop
        error: `Old` is no longer defined in main.star
         ┌─ main.star:2:12
        2│     return step("x", noop()).value
         │            ^^^^
         = help: a recorded value needs it; keep the name, or start a new run
    "#]]
    .assert_eq(&run);
}

#[test]
fn functions_are_known_by_the_file_that_defines_them() {
    let source = r#"
load("lib.star", "work")

again = work

def main():
    return [step("a", noop(work)).value, step("b", noop(again)).value, step("c", noop(_private)).value]

def _private():
    pass
### lib.star
def work():
    pass
"#;
    expect![[r#"
        step a @main.star:6:13: {"do":"noop","value":{"$":"function","v":{"function":{"file":"lib.star","name":"work"}}}}
        step b @main.star:6:42: {"do":"noop","value":{"$":"function","v":{"function":{"file":"lib.star","name":"work"}}}}
        step c @main.star:6:72: {"do":"noop","value":{"$":"function","v":{"function":{"file":"main.star","name":"_private"}}}}
        => [<function work>, <function work>, <function _private>]
    "#]].assert_eq(&support::run(source, |fake| fake.whole_actions = true));
}
