//! `piton verify`: whether a receipt is what it claims to be, offline and without a store.
//!
//! Owns reading the receipt and the key, and saying the verdict plainly. The checks are `core`'s.

use crate::args::VerifyArgs;
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::ui::text::{count, printable};
use piton_core::receipt::{Finding, PublicKey, Report, Statement, is_page, verify, verify_page};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Larger files are no receipts; so much is read that the verifier can say so.
const MAX_BYTES: u64 = 1024 * 1024 * 1024;
/// A key file has a line or three.
const MAX_KEY_BYTES: u64 = 64 * 1024;

pub(crate) fn run(args: VerifyArgs) -> Result<Exit, CliError> {
    let bytes = read(&args.receipt, MAX_BYTES)?;
    let key = args.key.as_deref().map(trusted).transpose()?;
    let check = if is_page(&bytes) { verify_page } else { verify };
    let report = check(&bytes, key.as_ref());
    print::out(&text(&report, key.is_some()));
    Ok(if report.is_valid() { Exit::Done } else { Exit::Failed })
}

/// At most `limit` bytes; `-` is standard input.
fn read(file: &Path, limit: u64) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|opened| opened.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| CliError::new(Kind::File, format!("cannot read {}", file.display())).source(error))?;
    Ok(bytes)
}

/// A file that holds the key, or the key itself.
fn trusted(given: &Path) -> Result<PublicKey, CliError> {
    let bad = |error| {
        CliError::new(
            Kind::BadKey,
            format!("{} is no public key and no file with one", printable(&given.to_string_lossy())),
        )
        .source(error)
    };
    if given.exists() {
        let bytes = read(given, MAX_KEY_BYTES)?;
        return PublicKey::parse(&String::from_utf8_lossy(&bytes)).map_err(bad);
    }
    PublicKey::parse(&given.to_string_lossy()).map_err(bad)
}

fn text(report: &Report, key_given: bool) -> String {
    let mut text = String::new();
    if let Some(statement) = &report.statement {
        text.push_str(&about(statement));
    }
    for check in &report.checks {
        let word = check.part.word();
        match &check.finding {
            Finding::Holds(what) => text.push_str(&format!("✓ {word:<10} {}\n", printable(what))),
            Finding::Fails(failures) => {
                for failure in failures {
                    text.push_str(&format!("✗ {word:<10} {}\n", printable(failure)));
                }
            }
            Finding::NotChecked => text.push_str(&format!("· {word:<10} not checked\n")),
        }
    }
    text.push_str(match (report.is_valid(), report.is_trusted(), key_given) {
        (true, true, _) => "valid: signed by the trusted key\n",
        (true, false, _) => {
            "valid: nothing was changed since it was signed, by the key that it carries\n\
             whose key that is, only you can know: piton verify RECEIPT --key PUB\n"
        }
        (false, _, _) => "INVALID\n",
    });
    text
}

fn about(statement: &Statement) -> String {
    let told = &statement.predicate;
    let run = &told.run;
    let steps = count(told.counts.done, "step");
    format!("run {}   {}   {steps} done   {}\n", run.id, run.status, printable(&run.title))
}
