//! Arguments of built-ins: their types for the checker, and their conversion with messages an author understands.

use crate::codec::encode;
use crate::error::{AuthorError, author};
use crate::limits::MAX_ITEMS;
use crate::session::Session;
use crate::values::secret::text_of;
use crate::values::{ActionValue, Check, DurationValue, SecretValue};
use either::Either;
use piton_core::{Action, Duration, Text, Value as Plain};
use starlark::eval::Evaluator;
use starlark::values::dict::DictRef;
use starlark::values::float::UnpackFloat;
use starlark::values::list::ListRef;
use starlark::values::tuple::TupleRef;
use starlark::values::{StringValue, UnpackValue, Value, ValueLike, ValueOfUnchecked};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) type ActionArg<'v> = ValueOfUnchecked<'v, &'v ActionValue>;
pub(crate) type CheckArg<'v> = ValueOfUnchecked<'v, Either<&'v ActionValue, &'v Check<'v>>>;
pub(crate) type DurationArg<'v> = ValueOfUnchecked<'v, Either<&'v str, &'v DurationValue>>;
pub(crate) type TextArg<'v> = ValueOfUnchecked<'v, Either<&'v str, &'v SecretValue>>;

/// Its kind, with the article that it needs.
pub(crate) fn a_kind(value: Value<'_>) -> String {
    match value.get_type() {
        "NoneType" => "None".to_owned(),
        kind if kind.starts_with(['a', 'e', 'i', 'o', 'u']) => format!("an {kind}"),
        kind => format!("a {kind}"),
    }
}

/// How a value is named in a message: its kind, and the value where it is short.
pub(crate) fn shown(value: Value<'_>) -> String {
    match value.get_type() {
        "NoneType" => "None".to_owned(),
        kind @ ("int" | "float" | "bool") => format!("the {kind} {value}"),
        "string" => match value.unpack_str() {
            Some(text) if text.len() <= 40 => format!("the string {text:?}"),
            _ => "a string".to_owned(),
        },
        _ => a_kind(value),
    }
}

pub(crate) fn duration(value: Value<'_>, what: &str) -> Result<Duration, AuthorError> {
    if let Some(duration) = value.downcast_ref::<DurationValue>() {
        return Ok(duration.0);
    }
    match value.unpack_str() {
        Some(text) => Duration::parse(text).map_err(|error| author(format!("{what}: {error}"))),
        None => Err(author(format!("{what}: a duration is needed, not {}", shown(value)))
            .help("write it with its unit, as in \"90s\" or \"10m\"")),
    }
}

/// A plain string. A secret is refused with `help`, and so is a text into which a secret was formatted.
pub(crate) fn plain_text(value: Value<'_>, what: &str, help: &str) -> Result<String, AuthorError> {
    match value.unpack_str() {
        Some(text) if holds_mask(text) => {
            Err(author(format!("{what}: a secret was formatted into this text, which now holds only its masked form"))
                .help(help))
        }
        Some(text) => Ok(text.to_owned()),
        None if value.downcast_ref::<SecretValue>().is_some() => {
            Err(author(format!("{what}: a secret cannot stand here")).help(help))
        }
        None => Err(author(format!("{what}: a string is needed, not {}", shown(value)))),
    }
}

/// A text that may hold secrets.
pub(crate) fn text(value: Value<'_>, what: &str) -> Result<Text, AuthorError> {
    if value.unpack_str().is_some_and(holds_mask) {
        return Err(author(format!(
            "{what}: a secret was formatted into this text, which now holds only its masked form"
        ))
        .help("join it with +, as in \"Bearer \" + token: the joined text stays a secret"));
    }
    text_of(value).ok_or_else(|| author(format!("{what}: a string or a secret is needed, not {}", shown(value))))
}

/// The masked form of a secret, which formatting gives.
fn holds_mask(text: &str) -> bool {
    text.contains("«secret ")
}

/// An argument or a variable of a program: numbers and truth values are written out.
pub(crate) fn word(value: Value<'_>, what: &str, help: &str) -> Result<String, AuthorError> {
    match value.get_type() {
        "int" | "float" | "duration" => Ok(value.to_str()),
        "bool" => Ok(if value.to_bool() { "true" } else { "false" }.to_owned()),
        _ => plain_text(value, what, help),
    }
}

/// Elements of a list or a tuple.
pub(crate) fn list<'v>(value: Value<'v>, what: &str) -> Result<Vec<Value<'v>>, AuthorError> {
    let items = ListRef::from_value(value).map(|list| list.content().to_vec());
    let items = items.or_else(|| TupleRef::from_value(value).map(|tuple| tuple.content().to_vec()));
    match items {
        Some(items) if items.len() > MAX_ITEMS => Err(author(format!("{what}: more than {MAX_ITEMS} items"))),
        Some(items) => Ok(items),
        None => {
            let error = author(format!("{what}: a list is needed, not {}", shown(value)));
            Err(if matches!(value.get_type(), "range" | "set" | "dict") {
                error.help("make a list of it: list(...)")
            } else {
                error
            })
        }
    }
}

/// Entries of a dict with string keys.
pub(crate) fn entries<'v>(value: Value<'v>, what: &str) -> Result<Vec<(String, Value<'v>)>, AuthorError> {
    let Some(dict) = DictRef::from_value(value) else {
        return Err(author(format!("{what}: a dict is needed, not {}", shown(value))));
    };
    dict.iter()
        .map(|(key, value)| match StringValue::new(key) {
            Some(key) => Ok((key.as_str().to_owned(), value)),
            None => Err(author(format!("{what}: its keys are strings, not {}", shown(key)))),
        })
        .collect()
}

/// Variables of a program. The only way, beside `stdin` and files, in which a program is given a secret.
pub(crate) fn variables(value: Option<Value<'_>>) -> Result<BTreeMap<String, Text>, AuthorError> {
    let mut variables = BTreeMap::new();
    for (name, value) in value.map(|value| entries(value, "env")).transpose()?.unwrap_or_default() {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(author(format!("env: {name:?} cannot be the name of an environment variable")));
        }
        let what = format!("env[{name:?}]");
        let text = match value.get_type() {
            "string" | "secret" => text(value, &what)?,
            _ => Text::plain(word(value, &what, "")?),
        };
        variables.insert(name, text);
    }
    Ok(variables)
}

pub(crate) fn action<'v>(value: Value<'v>, what: &str) -> Result<Arc<Action>, AuthorError> {
    match ActionValue::from_value(value) {
        Some(action) => Ok(action.0.clone()),
        None => Err(author(format!("{what}: an action is needed, not {}", shown(value)))
            .help("such as sh(\"...\"), query(url, \"...\") or sql(url, \"...\")")),
    }
}

/// A check and its predicate: `check(...)`, or a bare action.
pub(crate) fn check<'v>(
    value: Value<'v>,
    what: &str,
) -> Result<(piton_core::request::Check, Option<Value<'v>>), AuthorError> {
    if let Some(check) = Check::from_value(value) {
        let request =
            piton_core::request::Check { action: (*check.action).clone(), has_predicate: !check.predicate.is_none() };
        return Ok((request, (!check.predicate.is_none()).then_some(check.predicate)));
    }
    if value.get_type() == "function" {
        return Err(author(format!("{what}: an action is needed, not a function"))
            .help("a predicate needs something to look at: check(query(...), predicate)"));
    }
    Ok((piton_core::request::Check { action: (*action(value, what)?).clone(), has_predicate: false }, None))
}

/// A function that the author wrote, or one of the language's.
pub(crate) fn function<'v>(value: Value<'v>, what: &str) -> Result<Value<'v>, AuthorError> {
    if value.get_type() == "function" {
        Ok(value)
    } else {
        Err(author(format!("{what}: a function is needed, not {}", shown(value)))
            .help("give the function itself, without calling it: phase(\"Copy\", copy, tables)"))
    }
}

pub(crate) fn whole<T: TryFrom<i64>>(value: Value<'_>, what: &str, range: &str) -> Result<T, AuthorError> {
    let number = if value.get_type() == "int" { i64::unpack_value(value).ok().flatten() } else { None };
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| author(format!("{what}: {range} is needed, not {}", shown(value))))
}

pub(crate) fn number(value: Value<'_>, what: &str) -> Result<f64, AuthorError> {
    let number = if value.unpack_bool().is_some() { None } else { UnpackFloat::unpack_value(value).ok().flatten() };
    number.map(|number| number.0).ok_or_else(|| author(format!("{what}: a number is needed, not {}", shown(value))))
}

/// `"1GiB"`, `"512MiB"`, or bytes.
pub(crate) fn memory(value: Value<'_>) -> Result<u64, AuthorError> {
    const UNITS: [(&str, u64); 7] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
    ];
    let bytes = match value.unpack_str() {
        None => whole::<u64>(value, "memory", "a size").ok(),
        Some(text) => UNITS.iter().find_map(|(unit, scale)| {
            text.trim().strip_suffix(unit)?.trim_end().parse::<u64>().ok()?.checked_mul(*scale)
        }),
    };
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| {
        author(format!("memory: {} is not a size", shown(value)))
            .help("write it with its unit, as in \"512MiB\" or \"2GiB\", or as a number of bytes")
    })
}

/// Values in plain form, such as a statement's parameters. A secret may stand among them.
pub(crate) fn plain_values<'v>(
    value: Option<Value<'v>>,
    what: &str,
    eval: &Evaluator<'v, '_, '_>,
) -> Result<Vec<Plain>, AuthorError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let registry = Session::of(eval)?.registry;
    let mut values = Vec::new();
    for (index, value) in list(value, what)?.into_iter().enumerate() {
        let name = format!("{what}[{index}]");
        if value.unpack_str().is_some() {
            text(value, &name)?;
        }
        values.push(encode(value, &name, registry, eval.heap())?);
    }
    Ok(values)
}
