//! `piton docs`: a runbook as a page.
//!
//! Owns nothing of its own: the page is the language's.

use crate::args::FileArgs;
use crate::commands::check;
use crate::error::CliError;
use crate::exit::Exit;
use crate::print;
use crate::ui::text::printable_lines;

pub(crate) fn run(args: FileArgs) -> Result<Exit, CliError> {
    let file = args.file.to_string_lossy();
    let runbook = check::load(&args.file)?.map_err(|diagnostics| CliError::runbook(&file, &diagnostics))?;
    let page = printable_lines(&runbook.docs_markdown());
    print::out(&format!("{}\n", page.trim_end()));
    Ok(Exit::Done)
}
