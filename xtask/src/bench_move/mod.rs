//! `make bench-move`: speed of the move's parts, each figure beside what it is compared to, measured in turns in one run.
//!
//! `xtask bench-move WORD` measures only the rows whose name contains the word. Owns which rows there are and
//! `target/bench-move.json`; each part's measurements stand in a file of their own.

mod copy;
mod gate;
mod memory;
mod pause;
mod servers;
mod stream;
mod verify;

use crate::bench::{Figure, report};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Rows that are measured together, by their names; only those that are wanted start servers.
type Rows = (&'static [&'static str], fn(&Path, &str) -> io::Result<Vec<Figure>>);

const ROWS: [Rows; 6] = [
    (&copy::NAMES, |piton, _| copy::measure(piton)),
    (&stream::NAMES, stream::measure),
    (&verify::NAMES, |piton, _| verify::measure(piton)),
    (&gate::NAMES, |piton, _| gate::measure(piton)),
    (&pause::NAMES, |piton, _| pause::measure(piton)),
    (&memory::NAMES, |piton, _| memory::measure(piton)),
];

pub(crate) fn run(word: &str) -> ExitCode {
    match measure(word) {
        Ok(figures) => report(&figures, "target/bench-move.json"),
        Err(error) => crate::bench::could_not(&error),
    }
}

fn measure(word: &str) -> io::Result<Vec<Figure>> {
    let piton = piton()?;
    let mut figures = Vec::new();
    for (names, measure) in ROWS {
        if names.iter().any(|name| name.contains(word)) {
            figures.extend(measure(&piton, word)?.into_iter().filter(|figure| figure.name.contains(word)));
        }
    }
    Ok(figures)
}

/// The binary that is measured: the one beside this, or what `PITON_BENCH_BINARY` names.
fn piton() -> io::Result<PathBuf> {
    match std::env::var_os("PITON_BENCH_BINARY") {
        Some(path) => Ok(path.into()),
        None => Ok(std::env::current_exe()?.with_file_name("piton")),
    }
}
