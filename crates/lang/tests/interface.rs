//! What a runbook takes, and how people give it.

mod support;

use expect_test::{Expect, expect};
use piton_core::Value;
use piton_core::ports::Program;

const SOURCE: &str = r#"
"""Rotate the keys of a service."""

load("lib/types.star", "Zone", kind = "Kind")

Size = enum("small", "large")
Rack = record(name = str, units = field(int, 42), zone = Zone)

def main(
        service: str,
        password: secret,
        count: int = 3,
        ratio: float = 0.5,
        dry: bool = False,
        pause: duration = duration("90s"),
        where: path = "etc/x",
        names: list[str] = ["a"],
        waits: list[duration] = [],
        size: Size = Size("small"),
        which: kind = kind("b"),
        rack: Rack = Rack(name = "r", zone = Zone(name = "eu")),
        maybe: str | None = None,
        any = "x"):
    """Changes one key after the other.

    Old keys stay valid for a day.

    Args:
      service: name in the catalogue
      count: keys at the same time
    """
    return [service, count, ratio, dry, pause, where, names, waits, size.value, which.value, rack.units, rack.zone.name, maybe, any, str(password)]
### lib/types.star
Zone = record(name = str)
Kind = enum("a", "b")
"#;

#[test]
fn the_signature_is_the_interface() {
    let runbook = support::load(SOURCE).unwrap_or_else(|wrong| panic!("{wrong}"));
    let interface = runbook.interface();
    let mut text = format!("{}\n{:?}\n{:?}\n", interface.title, interface.summary, interface.details);
    for param in &interface.params {
        let default = param.default.as_ref().map(Value::to_string);
        text += &format!("{}: {:?} = {default:?} {:?}\n", param.name, param.ty, param.doc);
    }
    expect![[r#"
        Rotate the keys of a service.
        Some("Changes one key after the other.")
        Some("Old keys stay valid for a day.")
        service: Str = None Some("name in the catalogue")
        password: Secret = None None
        count: Int = Some("3") Some("keys at the same time")
        ratio: Float = Some("0.5") None
        dry: Bool = Some("False") None
        pause: Duration = Some("1m30s") None
        where: Path = Some("\"etc/x\"") None
        names: List(Str) = Some("[\"a\"]") None
        waits: List(Duration) = Some("[]") None
        size: Enum { name: "Size", values: ["small", "large"] } = Some("Size(\"small\")") None
        which: Enum { name: "Kind", values: ["a", "b"] } = Some("Kind(\"b\")") None
        rack: Record { name: "Rack", fields: [("name", Str), ("units", Int), ("zone", Record { name: "Zone", fields: [("name", Str)] })] } = Some("Rack(name = \"r\", units = 42, zone = Zone(name = \"eu\"))") None
        maybe: Optional(Str) = Some("None") None
        any: Str = Some("\"x\"") None
    "#]].assert_eq(&text);
    expect![[r##"
        # Rotate the keys of a service.

        Changes one key after the other.

        Old keys stay valid for a day.

        ```
        piton run main.star --service SERVICE --password PASSWORD
        ```

        | parameter | type | default | |
        |---|---|---|---|
        | `--service` | str |  | name in the catalogue |
        | `--password` | secret |  |  |
        | `--count` | int | `3` | keys at the same time |
        | `--ratio` | float | `0.5` |  |
        | `--dry` | bool | `False` |  |
        | `--pause` | duration | `1m30s` |  |
        | `--where` | path | `etc/x` |  |
        | `--names` | list[str] | `["a"]` |  |
        | `--waits` | list[duration] | `[]` |  |
        | `--size` | small \| large | `small` |  |
        | `--which` | a \| b | `b` |  |
        | `--rack` | Rack(name: str, units: int, zone: Zone(name: str)) | `Rack(name = "r", units = 42, zone = Zone(name = "eu"))` |  |
        | `--maybe` | str or None | `None` |  |
        | `--any` | str | `x` |  |

        A secret is given by reference: `env:NAME`, `file:PATH` or `cmd:COMMAND`.
    "##]].assert_eq(&runbook.docs_markdown());
    let sources: Vec<&str> = runbook.sources().map(|(path, _)| path).collect();
    assert_eq!(sources, ["lib/types.star", "main.star"]);
}

#[test]
fn parameters_are_read_by_their_types() {
    let runbook = support::load(SOURCE).unwrap_or_else(|wrong| panic!("{wrong}"));
    let check = |name: &str, text: &str, expected: Expect| {
        let read = runbook.parse_param(name, text);
        expected.assert_eq(&read.map_or_else(|error| error.to_string(), |value| format!("{value:?}")));
    };
    check("service", "x y", expect![[r#"Str("x y")"#]]);
    check(
        "password",
        "env:PASSWORD",
        expect![[
            r#"Secret(Text { parts: [Secret { secret: SecretRef { name: "password", source: "env:PASSWORD" } }] })"#
        ]],
    );
    check(
        "password",
        "hunter2",
        expect![
            "password: a secret is given by reference, never as a plain value: env:NAME (an environment variable), file:PATH (a file's first line) or cmd:COMMAND (what a command prints)"
        ],
    );
    check("count", "1_000", expect!["Int(1000)"]);
    check("count", "three", expect![[r#"count: "three" is not an integer"#]]);
    check("ratio", "2", expect!["Float(2.0)"]);
    check("ratio", "nan", expect![[r#"ratio: "nan" is not a number"#]]);
    check("dry", "yes", expect!["Bool(true)"]);
    check("dry", "maybe", expect![[r#"dry: "maybe" is neither true nor false"#]]);
    check("pause", "2m", expect!["Duration(2m)"]);
    check(
        "pause",
        "2",
        expect![[
            r#"pause: "2" is not a duration: write a number and a unit, as in "250ms", "90s", "10m", "2h", "1d" or "1h30m"; at most 10 years"#
        ]],
    );
    check("where", "", expect!["where: a path cannot be empty"]);
    check("names", "a, b,c", expect![[r#"List([Str("a"), Str("b"), Str("c")])"#]]);
    check("names", "[\"a,b\", \"c\"]", expect![[r#"List([Str("a,b"), Str("c")])"#]]);
    check("names", "[1]", expect!["names: the JSON has another type than the parameter"]);
    check("names", "", expect!["List([])"]);
    check("waits", "1s,2m", expect!["List([Duration(1s), Duration(2m)])"]);
    check(
        "size",
        "large",
        expect![[r#"Enum { of: Definition { file: "main.star", name: "Size" }, value: Str("large") }"#]],
    );
    check("size", "huge", expect![[r#"size: "huge" is not one of small, large"#]]);
    check(
        "which",
        "a",
        expect![[r#"Enum { of: Definition { file: "lib/types.star", name: "Kind" }, value: Str("a") }"#]],
    );
    check(
        "rack",
        "{\"name\": \"r1\", \"zone\": {\"name\": \"us\"}}",
        expect![[
            r#"Record(Record { of: Definition { file: "main.star", name: "Rack" }, fields: [("name", Str("r1")), ("zone", Record(Record { of: Definition { file: "lib/types.star", name: "Zone" }, fields: [("name", Str("us"))] }))] })"#
        ]],
    );
    check("rack", "{\"nam\": \"r1\"}", expect![[r#"rack: a Rack has no field "nam""#]]);
    check("rack", "{}", expect!["rack: this is no Rack: the call of `Rack` needs `name`"]);
    check("rack", "r1", expect!["rack: a Rack is given as a JSON object with name, units, zone"]);
    check("maybe", "", expect!["None"]);
    check("maybe", "x", expect![[r#"Str("x")"#]]);
    check("any", "{\"a\": [1, 2.5]}", expect![[r#"Str("{\"a\": [1, 2.5]}")"#]]);
    check(
        "other",
        "x",
        expect![
            "other: there is no such parameter; the runbook takes service, password, count, ratio, dry, pause, where, names, waits, size, which, rack, maybe, any"
        ],
    );
    let texts = ["a".to_owned(), "b,c".to_owned()];
    assert_eq!(runbook.parse_params("names", &texts), Ok(Value::List(vec!["a".into(), "b".into(), "c".into()])));
    assert!(runbook.parse_params("count", &["1".to_owned(), "2".to_owned()]).is_err());
}

#[test]
fn given_parameters_reach_main_and_the_rest_have_their_defaults() {
    let runbook = support::load(SOURCE).unwrap_or_else(|wrong| panic!("{wrong}"));
    let run = |given: &[(&str, &str)]| {
        let params: Vec<(String, Value)> = given
            .iter()
            .map(|(name, text)| ((*name).to_owned(), runbook.parse_param(name, text).expect("readable")))
            .collect();
        let fake = support::Fake::new(runbook.clone());
        match support::on_engine_stack(|| runbook.main(&fake, &params)) {
            Ok(value) => value.to_string(),
            Err(error) => format!("{error:?}"),
        }
    };
    expect![[
        r#"["s", 3, 0.5, False, 1m30s, "etc/x", ["a"], [], "small", "b", 42, "eu", None, "x", "«secret password»"]"#
    ]]
    .assert_eq(&run(&[("service", "s"), ("password", "env:P")]));
    expect![[
        r#"["s", 3, 0.5, False, 1m30s, "etc/x", ["a"], [1s], "small", "a", 7, "us", None, "x", "«secret password»"]"#
    ]]
    .assert_eq(&run(&[
        ("rack", "{\"name\": \"r1\", \"units\": 7, \"zone\": {\"name\": \"us\"}}"),
        ("which", "a"),
        ("password", "env:P"),
        ("service", "s"),
        ("waits", "1s"),
    ]));
    expect![[r#"Program("error: password: it must be given")"#]].assert_eq(&run(&[("service", "s")]));
}

#[test]
fn parameters_keep_their_words_wherever_args_stands() {
    for (docstring, summary) in [
        ("\n    Args:\n      service: which one\n      count: how many\n    ", None),
        ("Args:\n      service: which one\n      count: how many\n    ", None),
        ("Moves.\n    Args:\n      service: which one\n      count: how many\n    ", Some("Moves.")),
        ("\n    Moves.\n\n    Args:\n      service: which one\n      count: how\n        many\n    ", Some("Moves.")),
        ("Moves.\n\n    Arguments:\n        service: which one\n        count: how many", Some("Moves.")),
    ] {
        let source = format!("def main(service: str, count: int):\n    \"\"\"{docstring}\"\"\"\n    return service\n");
        let runbook = support::load(&source).unwrap_or_else(|wrong| panic!("{wrong}"));
        let interface = runbook.interface();
        let docs: Vec<_> = interface.params.iter().map(|param| param.doc.as_deref()).collect();
        assert_eq!(docs, [Some("which one"), Some("how many")], "{source}");
        assert_eq!((interface.summary.as_deref(), interface.details.as_deref()), (summary, None), "{source}");
    }
}

#[test]
fn a_runbook_without_words_has_its_files_name() {
    let runbook = support::load("def main():\n    pass\n").unwrap_or_else(|wrong| panic!("{wrong}"));
    expect![[r#"
        # main.star

        ```
        piton run main.star
        ```
    "#]]
    .assert_eq(&runbook.docs_markdown());
}

#[test]
fn a_default_tells_the_type_where_none_is_written() {
    let source =
        "def main(n = 3, f = 0.5, b = True, d = duration(\"1s\"), l = [1], s = \"x\", none = None):\n    pass\n";
    let runbook = support::load(source).unwrap_or_else(|wrong| panic!("{wrong}"));
    let types: Vec<_> = runbook.interface().params.iter().map(|param| format!("{:?}", param.ty)).collect();
    assert_eq!(types, ["Int", "Float", "Bool", "Duration", "List(Int)", "Str", "Str"]);
}

#[test]
fn a_runbook_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<piton_lang::Runbook>();
}
