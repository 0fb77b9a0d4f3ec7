//! `piton receipt`: a run's signed receipt.
//!
//! Owns where it is written, and the store's public key beside the journal. What it says is a pure function of the
//! journal, in `core`.

use crate::args::{ReceiptArgs, ReceiptFormat};
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::ui::text::shell_word;
use crate::wire::Wire;
use piton_core::ports::Store as _;
use piton_core::receipt::{SigningKey, Statement, markdown};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The public half of the key that signs, in the store's directory.
const PUBLIC_KEY: &str = "signing.pub";

pub(crate) fn run(args: ReceiptArgs) -> Result<Exit, CliError> {
    let wire = Wire::open()?;
    let run = wire.store.find(&args.run)?.id;
    let sealed = wire.sealed(&run)?;
    let statement = Statement::from_journal(&sealed)?;
    let bytes = match args.format {
        ReceiptFormat::Json => {
            let key = SigningKey::from_seed(&wire.store.signing_key_seed()?);
            write(&wire.home.join(PUBLIC_KEY), key.public().pem().as_bytes())?;
            statement.sign(&key)?
        }
        ReceiptFormat::Md => markdown(&statement).into_bytes(),
    };
    let Some(file) = args.output else {
        print::out_bytes(&bytes);
        return Ok(Exit::Done);
    };
    write(&file, &bytes)?;
    print::line(&format!("the receipt of run {run} is in {}", file.display()));
    if args.format == ReceiptFormat::Json {
        let key = shell_word(&wire.home.join(PUBLIC_KEY).to_string_lossy());
        print::line(&format!("verify it: piton verify {} --key {key}", shell_word(&file.to_string_lossy())));
    }
    Ok(Exit::Done)
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
