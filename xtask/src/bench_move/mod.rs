//! `make bench-move`: speed of the move's parts, each figure beside what it is compared to, measured in turns in one run.
//!
//! `xtask bench-move WORD` measures only the rows whose name contains the word. Owns which rows there are and
//! `target/bench-move.json`; each part's measurements stand in a file of their own.

mod gate;

use crate::bench::{Figure, report};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) fn run(word: &str) -> ExitCode {
    match measure(word) {
        Ok(figures) => report(&figures, "target/bench-move.json"),
        Err(error) => crate::bench::could_not(&error),
    }
}

fn measure(word: &str) -> io::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    if gate::NAMES.iter().any(|name| name.contains(word)) {
        figures.extend(gate::measure(&piton()?)?);
    }
    Ok(figures.into_iter().filter(|figure| figure.name.contains(word)).collect())
}

/// The binary that is measured: the one beside this, or what `PITON_BENCH_BINARY` names.
fn piton() -> io::Result<PathBuf> {
    match std::env::var_os("PITON_BENCH_BINARY") {
        Some(path) => Ok(path.into()),
        None => Ok(std::env::current_exe()?.with_file_name("piton")),
    }
}
