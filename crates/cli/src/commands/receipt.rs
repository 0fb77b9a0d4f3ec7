//! `piton receipt`: a run's signed receipt.
//!
//! Owns where it is written, and the store's public key beside the journal. What it says is a pure function of the
//! journal, in `core`.

use super::anchor;
use crate::args::{ReceiptArgs, ReceiptFormat};
use crate::commands::waker;
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::ui::text::shell_word;
use crate::wire::Wire;
use piton_core::ports::{Clock as _, Store as _};
use piton_core::receipt::time::Instant;
use piton_core::receipt::{PublicKey, SigningKey, Statement, html, markdown};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The public half of the key that signs, in the store's directory.
const PUBLIC_KEY: &str = "signing.pub";

pub(crate) fn run(args: ReceiptArgs) -> Result<Exit, CliError> {
    let place = args.anchor.as_deref().map(anchor::Place::parse).transpose()?;
    let wire = waker::open()?;
    let run = wire.store.find(&args.run)?.id;
    let sealed = wire.sealed(&run)?;
    let statement = Statement::from_journal(&sealed)?;
    let key = SigningKey::from_seed(&wire.store.signing_key_seed()?);
    let bytes = match args.format {
        ReceiptFormat::Json => statement.sign(&key)?,
        ReceiptFormat::Html => html(&statement, &statement.seal(&key)?)?.into_bytes(),
        ReceiptFormat::Md => markdown(&statement).into_bytes(),
    };
    if args.format != ReceiptFormat::Md || place.is_some() {
        write(&wire.home.join(PUBLIC_KEY), key.public().pem().as_bytes())?;
    }
    match &args.output {
        Some(file) => {
            write(file, &bytes)?;
            print::line(&format!("the receipt of run {run} is in {}", file.display()));
            if args.format != ReceiptFormat::Md {
                let key = shell_word(&wire.home.join(PUBLIC_KEY).to_string_lossy());
                print::line(&format!("verify it: piton verify {} --key {key}", shell_word(&file.to_string_lossy())));
            }
        }
        None => print::out_bytes(&bytes),
    }
    if let Some(place) = place {
        hand_over(&wire, &statement, key.public(), &place)?;
        let said = format!("its chain head is anchored: {place}");
        // Standard output may be the receipt itself.
        if args.output.is_some() { print::line(&said) } else { print::note(&said) }
    }
    Ok(Exit::Done)
}

fn hand_over(wire: &Wire, statement: &Statement, key: PublicKey, place: &anchor::Place) -> Result<(), CliError> {
    let chain = &statement.predicate.chain;
    let at = Instant(wire.clock.now().wall_us);
    let line = anchor::Line {
        run: statement.predicate.run.id.clone(),
        head: chain.head,
        records: chain.records,
        key: key.id(),
        at,
    };
    place.take(&line)
}

/// Writes the file whole or not at all.
fn write(file: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let cannot =
        |error: std::io::Error| CliError::new(Kind::File, format!("cannot write {}", file.display())).source(error);
    if file.metadata().is_ok_and(|meta| !meta.is_file()) {
        // A device or a pipe is written to, not replaced.
        return fs::write(file, bytes).map_err(cannot);
    }
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = fs::File::create(&beside)
        .and_then(|mut new| new.write_all(bytes).and_then(|()| new.sync_all()))
        .and_then(|()| fs::rename(&beside, file));
    written.map_err(|error| {
        let _ = fs::remove_file(&beside);
        cannot(error)
    })
}
