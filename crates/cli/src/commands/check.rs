//! `piton check`: what is wrong with runbooks, without running anything.
//!
//! Owns the verdict over several files. What is wrong is the language's to say.

use crate::args::CheckArgs;
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use crate::print;
use crate::project::{self, Tree};
use crate::ui::text::printable_lines;
use piton_lang::{Diagnostics, Runbook};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

pub(crate) fn run(args: CheckArgs) -> Result<Exit, CliError> {
    let mut all_good = true;
    let mut reports = Vec::new();
    for file in &args.files {
        let checked = load(file)?;
        let diagnostics = match &checked {
            Ok(runbook) => runbook.warnings(),
            Err(diagnostics) => diagnostics,
        };
        let good = !diagnostics.has_errors() && checked.is_ok();
        all_good &= good;
        if args.json {
            let file = file.to_string_lossy();
            reports.push(json!({ "file": file, "ok": good, "diagnostics": diagnostics.0 }));
        } else {
            print::out(&verdict(file, diagnostics, good));
        }
    }
    if args.json {
        print::out(&format!("{:#}\n", json!({ "ok": all_good, "files": reports })));
    }
    Ok(if all_good { Exit::Done } else { Exit::Wrong })
}

/// The runbook, or what is wrong with it.
pub(super) fn load(file: &Path) -> Result<Result<Runbook, Diagnostics>, CliError> {
    let (root, below) = project::locate(file)
        .map_err(|error| CliError::new(Kind::File, format!("{} cannot be read", file.display())).source(error))?;
    Ok(Runbook::load(Arc::new(Tree::new(root)), &below))
}

fn verdict(file: &Path, diagnostics: &Diagnostics, good: bool) -> String {
    let mut text = String::new();
    if diagnostics.iter().next().is_some() {
        text.push_str(&format!("{diagnostics}\n\n"));
    }
    let errors = diagnostics.iter().filter(|one| one.severity == piton_lang::Severity::Error).count() as u64;
    let warnings = diagnostics.iter().count() as u64 - errors;
    let count = crate::ui::text::count;
    let said = match (good, warnings) {
        (true, 0) => "ok".to_owned(),
        (true, _) => format!("ok, with {}", count(warnings, "warning")),
        (false, 0) => count(errors, "error"),
        (false, _) => format!("{} and {}", count(errors, "error"), count(warnings, "warning")),
    };
    text.push_str(&format!("{}: {said}\n", file.display()));
    printable_lines(&text)
}
