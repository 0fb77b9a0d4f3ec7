//! The only place that writes to standard output and standard error.
//!
//! Owns what happens when nobody reads any more: a closed pipe silences all further output and nothing else, since a
//! run must not die because `head` has seen enough; any other failure to write is kept for `main` to report, with the run
//! that was told of, if any: what became of that is no matter of who could read it. Never decides what is said.

use piton_core::RunId;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);
static TOLD: Mutex<Option<RunId>> = Mutex::new(None);

/// Writes to standard output, as it is.
pub(crate) fn out(text: &str) {
    out_bytes(text.as_bytes());
}

/// Writes a line to standard output.
pub(crate) fn line(text: &str) {
    out_bytes(format!("{text}\n").as_bytes());
}

/// Writes bytes to standard output: outputs of commands, receipts.
pub(crate) fn out_bytes(bytes: &[u8]) {
    if closed() {
        return;
    }
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        CLOSED.store(true, Ordering::Relaxed);
        if error.kind() != io::ErrorKind::BrokenPipe {
            FAILED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}

/// Writes a line to standard error: errors, warnings, and what is not a command's answer.
pub(crate) fn note(text: &str) {
    // Nowhere is left to say that standard error is gone.
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// True once nobody can read what is printed: commands that follow something stop then.
pub(crate) fn closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Why output was lost, where it was not a closed pipe. For `main`, at the end.
pub(crate) fn failure() -> Option<io::Error> {
    FAILED.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// This command does something to this run: what it prints only tells of that.
pub(crate) fn tells_of(run: &RunId) {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| run.clone());
}

/// The run that this command has done something to.
pub(crate) fn told() -> Option<RunId> {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Standard output is a terminal that takes control sequences.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Colours are wanted: a terminal, and `NO_COLOR` (https://no-color.org) not set.
pub(crate) fn colors() -> bool {
    is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Columns of the terminal, where it tells them.
pub(crate) fn columns() -> Option<usize> {
    rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Lines of the terminal, where it tells them.
pub(crate) fn rows() -> Option<usize> {
    rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_row)).filter(|rows| *rows > 0)
}
