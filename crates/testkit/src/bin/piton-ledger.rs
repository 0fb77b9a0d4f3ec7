//! The ledger service as a program: `prepare`, `serve` and `reconcile`.
//!
//! Owns reading its command line. The account's password comes from the environment, never from an argument.
//! The only file of this crate that prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use piton_testkit::ledger::{Account, Settings, prepare, reconcile, serve};

const USAGE: &str = "\
usage: piton-ledger prepare   --address HOST:PORT --schema NAME
       piton-ledger serve     --endpoint-file FILE --folder DIR --schema NAME [--clients 8] [--pause-ms 10]
       piton-ledger reconcile --address HOST:PORT --folder DIR --schema NAME
environment: PITON_LEDGER_USER, PITON_LEDGER_PASSWORD";

/// The wanted comparison was made and found a difference.
const DIFFERENT: u8 = 1;
/// The call is wrong or something could not be used.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("piton-ledger: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::from(UNUSABLE)
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let command = words.next().ok_or(USAGE)?;
    let options = Options::read(words)?;
    match command.as_str() {
        "prepare" => {
            prepare(&options.required("--address")?, &options.account()?)?;
            Ok(ExitCode::SUCCESS)
        }
        "serve" => {
            let stop = Arc::new(AtomicBool::new(false));
            for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
                signal_hook::flag::register(signal, Arc::clone(&stop))?;
            }
            let settings = Settings {
                endpoint_file: PathBuf::from(options.required("--endpoint-file")?),
                folder: PathBuf::from(options.required("--folder")?),
                account: options.account()?,
                clients: options.number("--clients", 8)?,
                pause: Duration::from_millis(options.number("--pause-ms", 10)?),
            };
            println!("{}", serde_json::to_string(&serve(&settings, stop)?)?);
            Ok(ExitCode::SUCCESS)
        }
        "reconcile" => {
            let folder = PathBuf::from(options.required("--folder")?);
            let found = reconcile(&folder, &options.required("--address")?, &options.account()?)?;
            println!("{}", serde_json::to_string(&found)?);
            Ok(if found.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
        }
        _ => Err(USAGE.into()),
    }
}

struct Options(HashMap<String, String>);

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = HashMap::new();
        while let Some(name) = words.next() {
            let value = words.next().filter(|_| name.starts_with("--")).ok_or(USAGE)?;
            options.insert(name, value);
        }
        Ok(Self(options))
    }

    fn required(&self, name: &str) -> Result<String, String> {
        self.0.get(name).cloned().ok_or_else(|| format!("{name} is missing\n{USAGE}"))
    }

    fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T, String> {
        match self.0.get(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("{name} wants a number, not {text:?}")),
        }
    }

    fn account(&self) -> Result<Account, String> {
        let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set\n{USAGE}"));
        Ok(Account {
            user: variable("PITON_LEDGER_USER")?,
            password: variable("PITON_LEDGER_PASSWORD")?,
            schema: self.required("--schema")?,
        })
    }
}
