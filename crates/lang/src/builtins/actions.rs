//! `sh exec script query sql http write_file read_file noop`: values that say what to do.

use super::args::{TextArg, entries, list, plain_text, plain_values, shown, text, variables, whole, word};
use crate::codec::encode;
use crate::error::{AuthorError, author};
use crate::session::Session;
use crate::values::ActionValue;
use either::Either;
use piton_core::Action;
use piton_core::action::{DEFAULT_ROW_LIMIT, Http, Process, Program, Query, Sql, WriteFile};
use piton_core::ports::SourceError;
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::list::UnpackList;
use starlark::values::none::NoneOr;
use starlark::values::tuple::UnpackTuple;
use starlark::values::{Value, ValueOfUnchecked};

type Dict<'v> = ValueOfUnchecked<'v, starlark::values::dict::DictType<String, Value<'v>>>;

const NOT_AN_ARGUMENT: &str =
    "a program's arguments can be seen by everyone on the machine (ps): pass the secret with env=, stdin= or a file";
const NOT_IN_SQL: &str = "pass it as a parameter: params=[...]";

fn given<T>(value: NoneOr<T>) -> Option<T> {
    value.into_option()
}

fn process<'v>(
    program: Program,
    env: NoneOr<Dict<'v>>,
    cwd: NoneOr<Value<'v>>,
    stdin: NoneOr<TextArg<'v>>,
    reads: bool,
) -> Result<ActionValue, AuthorError> {
    Ok(ActionValue::new(Action::Process(Process {
        program,
        env: variables(given(env).map(|env| env.get()))?,
        cwd: given(cwd).map(|cwd| plain_text(cwd, "cwd", "a path is no secret")).transpose()?,
        stdin: given(stdin).map(|stdin| text(stdin.get(), "stdin")).transpose()?,
        reads,
    })))
}

fn arguments<'v>(values: &[Value<'v>], what: &str) -> Result<Vec<String>, AuthorError> {
    let argument =
        |(index, value): (usize, &Value<'v>)| word(*value, &format!("{what} {}", index + 1), NOT_AN_ARGUMENT);
    values.iter().enumerate().map(argument).collect()
}

fn statements(value: Value<'_>) -> Result<Vec<String>, AuthorError> {
    let statements = match value.unpack_str() {
        Some(_) => vec![plain_text(value, "statement", NOT_IN_SQL)?],
        None => list(value, "statement")?
            .into_iter()
            .map(|value| plain_text(value, "statement", NOT_IN_SQL))
            .collect::<Result<_, _>>()?,
    };
    if statements.iter().all(|statement| statement.trim().is_empty()) {
        return Err(author("sql() needs a statement"));
    }
    Ok(statements)
}

fn mode(value: Value<'_>) -> Result<u32, AuthorError> {
    let bits = match value.unpack_str() {
        Some(text) => u32::from_str_radix(text.trim_start_matches("0o"), 8).ok(),
        None => whole::<u32>(value, "mode", "permission bits").ok(),
    };
    bits.filter(|bits| *bits <= 0o7777).ok_or_else(|| {
        author(format!("mode: {} are no permission bits", shown(value))).help("write them as 0o640 or \"0640\"")
    })
}

fn status(value: Value<'_>) -> Result<u16, AuthorError> {
    whole::<u16>(value, "expect", "a status code")
        .ok()
        .filter(|code| (100..600).contains(code))
        .ok_or_else(|| author(format!("expect: a status code such as 200 is needed, not {}", shown(value))))
}

fn statuses(value: Value<'_>) -> Result<Vec<u16>, AuthorError> {
    if value.get_type() == "int" {
        return Ok(vec![status(value)?]);
    }
    list(value, "expect")?.into_iter().map(status).collect()
}

#[starlark_module]
pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    /// Runs `bash -euo pipefail -c SCRIPT`.
    fn sh<'v>(
        script: TextArg<'v>,
        #[starlark(require = named, default = NoneOr::None)] env: NoneOr<Dict<'v>>,
        #[starlark(require = named, default = NoneOr::None)] cwd: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] stdin: NoneOr<TextArg<'v>>,
        #[starlark(require = named, default = false)] reads: bool,
    ) -> starlark::Result<ActionValue> {
        let script = plain_text(script.get(), "script", "pass it with env= and write \"$NAME\" in the script")?;
        Ok(process(Program::Shell { script }, env, cwd, stdin, reads)?)
    }

    /// Runs a program with its arguments, without a shell.
    fn exec<'v>(
        argv: ValueOfUnchecked<'v, UnpackList<Value<'v>>>,
        #[starlark(require = named, default = NoneOr::None)] env: NoneOr<Dict<'v>>,
        #[starlark(require = named, default = NoneOr::None)] cwd: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] stdin: NoneOr<TextArg<'v>>,
        #[starlark(require = named, default = false)] reads: bool,
    ) -> starlark::Result<ActionValue> {
        let argv = arguments(&list(argv.get(), "argv")?, "argument")?;
        if argv.first().is_none_or(String::is_empty) {
            return Err(author("exec() needs a program").help("exec([\"rsync\", \"-a\", source, target])").raise());
        }
        Ok(process(Program::Argv { argv }, env, cwd, stdin, reads)?)
    }

    /// Runs a script of the project's tree with arguments.
    fn script<'v>(
        #[starlark(require = pos)] path: &str,
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] env: NoneOr<Dict<'v>>,
        #[starlark(require = named, default = NoneOr::None)] cwd: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] stdin: NoneOr<TextArg<'v>>,
        #[starlark(require = named, default = false)] reads: bool,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<ActionValue> {
        let path = crate::load::normalize(path).ok_or_else(|| outside(path))?;
        let digest = Session::of(eval)?.registry.script_digest(&path).map_err(|error| no_script(&path, &error))?;
        let args = arguments(&args.items, "argument")?;
        Ok(process(Program::Script { path, digest, args }, env, cwd, stdin, reads)?)
    }

    /// Reads rows, in a read-only transaction.
    fn query<'v>(
        url: TextArg<'v>,
        sql: TextArg<'v>,
        #[starlark(default = NoneOr::None)] params: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] limit: NoneOr<i64>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<ActionValue> {
        let limit = given(limit).map_or(Ok(DEFAULT_ROW_LIMIT), |limit| {
            u64::try_from(limit)
                .ok()
                .filter(|limit| *limit > 0)
                .ok_or_else(|| author("limit: at least 1 row is needed"))
        })?;
        Ok(ActionValue::new(Action::Query(Query {
            url: text(url.get(), "url")?,
            sql: plain_text(sql.get(), "sql", NOT_IN_SQL)?,
            params: plain_values(given(params), "params", eval)?,
            limit,
        })))
    }

    /// Writes, in one transaction. `once` leaves a mark in it, so that it happens exactly once.
    fn sql<'v>(
        url: TextArg<'v>,
        statement: ValueOfUnchecked<'v, Either<TextArg<'v>, UnpackList<String>>>,
        #[starlark(default = NoneOr::None)] params: NoneOr<Value<'v>>,
        #[starlark(require = named, default = false)] once: bool,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<ActionValue> {
        let statements = statements(statement.get())?;
        let params = plain_values(given(params), "params", eval)?;
        if !params.is_empty() && statements.len() > 1 {
            return Err(author("parameters go with a single statement")
                .help("give several statements without parameters, or several steps")
                .raise());
        }
        Ok(ActionValue::new(Action::Sql(Sql { url: text(url.get(), "url")?, statements, params, once })))
    }

    /// Makes a request and honours `Retry-After`. GET and HEAD read, everything else writes.
    fn http<'v>(
        method: &str,
        url: TextArg<'v>,
        #[starlark(require = named, default = NoneOr::None)] headers: NoneOr<Dict<'v>>,
        #[starlark(require = named)] json: Option<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] body: NoneOr<TextArg<'v>>,
        #[starlark(require = named, default = NoneOr::None)] expect: NoneOr<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<ActionValue> {
        let method = method.to_ascii_uppercase();
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(author(format!("{method:?} is not a method"))
                .help("http(\"POST\", url, json = {...})")
                .raise());
        }
        if json.is_some() && !matches!(body, NoneOr::None) {
            return Err(author("json= and body= exclude each other").raise());
        }
        let registry = Session::of(eval)?.registry;
        let mut fields = Vec::new();
        for (name, value) in given(headers).map(|h| entries(h.get(), "headers")).transpose()?.unwrap_or_default() {
            fields.push((name.clone(), text(value, &format!("headers[{name:?}]"))?));
        }
        Ok(ActionValue::new(Action::Http(Http {
            method,
            url: text(url.get(), "url")?,
            headers: fields,
            json: json.map(|json| encode(json, "json", registry, eval.heap())).transpose()?,
            body: given(body).map(|body| text(body.get(), "body")).transpose()?,
            expect: given(expect).map(statuses).transpose()?.unwrap_or_default(),
        })))
    }

    /// Writes a file, all or nothing.
    fn write_file<'v>(
        path: &str,
        text: TextArg<'v>,
        #[starlark(require = named, default = NoneOr::None)] mode: NoneOr<Value<'v>>,
    ) -> starlark::Result<ActionValue> {
        Ok(ActionValue::new(Action::WriteFile(WriteFile {
            path: path.to_owned(),
            text: super::args::text(text.get(), "text")?,
            mode: given(mode).map(self::mode).transpose()?,
        })))
    }

    /// Reads a file's text.
    fn read_file<'v>(path: &str) -> starlark::Result<ActionValue> {
        Ok(ActionValue::new(Action::ReadFile { path: path.to_owned() }))
    }

    /// Does nothing and gives `value`.
    fn noop<'v>(
        #[starlark(default = NoneOr::None)] value: NoneOr<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<ActionValue> {
        let registry = Session::of(eval)?.registry;
        let value = given(value).map(|value| encode(value, "value", registry, eval.heap())).transpose()?;
        Ok(ActionValue::new(Action::Noop { value: value.unwrap_or_default() }))
    }
}

fn outside(path: &str) -> AuthorError {
    author(format!("{path:?} is outside the project"))
        .help("a script lies below the project's root; give its path from there")
}

fn no_script(path: &str, error: &SourceError) -> AuthorError {
    match error {
        SourceError::Missing { .. } => author(format!("there is no script {path:?} in the project")).help(
            "its path starts at the project's root; a run sees only scripts whose path is written out in a source",
        ),
        other => author(other.to_string()),
    }
}
