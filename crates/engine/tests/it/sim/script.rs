//! The language of fake actions: commands separated by semicolons.
//!
//! Owns the reading. `set x`, `clear x` (safe to repeat), `add x`, `sub x` (not safe), `get x` gives the variable,
//! `say TEXT` prints, `fail` and `fail N` (the first N times), `sleep MS` on the simulated clock, `lost` (it goes on, but
//! its reply never comes), `die` (the engine does), `signal NAME`, `await NAME`, `hook NAME` for the test.

use piton_core::Action;
use piton_core::action::{Http, Process, Program, Query, Sql, WriteFile};
use piton_core::secret::Text;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Set(String),
    Clear(String),
    Add(String),
    Sub(String),
    Get(String),
    Say(String),
    Fail(Option<u32>),
    Sleep(u64),
    Lost,
    Die,
    Signal(String),
    Await(String),
    Hook(String),
}

impl Command {
    pub(crate) fn changes(&self) -> bool {
        matches!(self, Self::Set(_) | Self::Clear(_) | Self::Add(_) | Self::Sub(_))
    }

    fn parse(text: &str) -> Self {
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let name = rest.trim().to_owned();
        match verb {
            "set" => Self::Set(name),
            "clear" => Self::Clear(name),
            "add" => Self::Add(name),
            "sub" => Self::Sub(name),
            "get" => Self::Get(name),
            "say" => Self::Say(name),
            "fail" => Self::Fail(name.parse().ok()),
            "sleep" => Self::Sleep(name.parse().expect("milliseconds")),
            "lost" => Self::Lost,
            "die" => Self::Die,
            "signal" => Self::Signal(name),
            "await" => Self::Await(name),
            "hook" => Self::Hook(name),
            other => panic!("no such command: {other}"),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(name) => write!(f, "set {name}"),
            Self::Clear(name) => write!(f, "clear {name}"),
            Self::Add(name) => write!(f, "add {name}"),
            Self::Sub(name) => write!(f, "sub {name}"),
            other => write!(f, "{other:?}"),
        }
    }
}

pub(crate) fn parse(script: &str) -> Vec<Command> {
    script.split(';').map(str::trim).filter(|part| !part.is_empty()).map(Command::parse).collect()
}

/// A command under a supervisor: it outlives the engine.
pub(crate) fn sh(script: &str) -> Action {
    let program = Program::Shell { script: script.to_owned() };
    Action::Process(Process { program, env: Default::default(), cwd: None, stdin: None, reads: false })
}

/// A command that needs a secret.
pub(crate) fn sh_with(script: &str, secret: &piton_core::SecretRef) -> Action {
    let Action::Process(mut process) = sh(script) else { unreachable!() };
    process.env.insert("TOKEN".to_owned(), Text::secret(secret.clone()));
    Action::Process(process)
}

/// A write that ends with the engine, somewhere in its middle.
pub(crate) fn http(script: &str) -> Action {
    Action::Http(Http {
        method: "POST".to_owned(),
        url: Text::plain(script),
        headers: vec![],
        json: None,
        body: None,
        expect: vec![],
    })
}

/// A write in one transaction.
pub(crate) fn sql(script: &str) -> Action {
    Action::Sql(Sql { url: Text::plain("db"), statements: vec![script.to_owned()], params: vec![], once: false })
}

/// A write in one transaction that leaves a mark in it.
pub(crate) fn sql_once(script: &str) -> Action {
    Action::Sql(Sql { url: Text::plain("db"), statements: vec![script.to_owned()], params: vec![], once: true })
}

/// A read.
pub(crate) fn query(script: &str) -> Action {
    Action::Query(Query { url: Text::plain("db"), sql: script.to_owned(), params: vec![], limit: 10 })
}

pub(crate) fn write_file(path: &str, text: &str) -> Action {
    Action::WriteFile(WriteFile { path: path.to_owned(), text: Text::plain(text), mode: None })
}

pub(crate) fn noop(value: i64) -> Action {
    Action::Noop { value: value.into() }
}
