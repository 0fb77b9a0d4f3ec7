//! How people name steps and scopes: by path, or by the end of one where that is enough.
//!
//! Owns the search. Never guesses between two.

use crate::error::{CliError, Kind};
use crate::ui::text::path_word;
use piton_core::{Path, RunState};

/// Candidates named in an error.
const MAX_CANDIDATES: usize = 8;

/// The step of this name.
pub(crate) fn step(state: &RunState, name: &str, run: &str) -> Result<Path, CliError> {
    find("step", state.steps.keys(), name, run)
}

/// The step, guard or lock of this name, that a decision is about.
pub(crate) fn decided(state: &RunState, name: &str, run: &str) -> Result<Path, CliError> {
    find("step or guard", state.other_holds.keys().chain(state.guards.keys()).chain(state.steps.keys()), name, run)
}

/// The scope or step of this name; `""` and `"/"` are the run itself.
pub(crate) fn scope(state: &RunState, name: &str, run: &str) -> Result<Path, CliError> {
    if matches!(name, "" | "/") {
        return Ok(Path::root());
    }
    // A scope entered without a step of its own is known by its entry alone.
    find("scope or step", state.scopes.keys().chain(state.steps.keys()), name, run)
}

fn find<'a>(what: &str, paths: impl Iterator<Item = &'a Path>, name: &str, run: &str) -> Result<Path, CliError> {
    // As paths escape it: people may write more of a name as `%2F` than paths do.
    let wanted = Path::from_escaped(name).names().fold(Path::root(), |path, name| path.child(&name));
    let mut ends: Vec<&Path> = Vec::new();
    for path in paths {
        if *path == wanted {
            return Ok(path.clone());
        }
        let ends_so = path.as_str().strip_suffix(wanted.as_str()).is_some_and(|rest| rest.ends_with('/'));
        if (ends_so || path.name() == name) && !ends.contains(&path) {
            ends.push(path);
        }
    }
    ends.sort();
    match ends.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(CliError::new(Kind::UnknownStep, format!("run {run} has no {what} \"{name}\""))
            .hint(format!("see its paths: piton show {run}"))),
        several => {
            let error = CliError::new(Kind::UnknownStep, format!("several paths of run {run} end with \"{name}\""));
            let shown = several.iter().take(MAX_CANDIDATES);
            Err(shown.fold(error, |error, path| error.hint(path_word(path))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str) -> Result<String, Vec<String>> {
        let root = Path::root();
        let copy = root.child("Copy");
        let paths = [
            copy.child("a").child("Load"),
            copy.child("b").child("Load"),
            copy.child("b").child("x/y"),
            root.child("Load"),
        ];
        find("step", paths.iter(), name, "k7m2").map(|path| path.to_string()).map_err(|error| error.hints)
    }

    #[test]
    fn a_whole_path_wins_and_an_unambiguous_end_is_enough() {
        assert_eq!(found("Load").unwrap(), "Load");
        assert_eq!(found("a/Load").unwrap(), "Copy/a/Load");
        assert_eq!(found("x%2Fy").unwrap(), "Copy/b/x%2Fy");
        assert_eq!(found("%43opy/b/Load/").unwrap(), "Copy/b/Load");
        assert_eq!(found("x/y").unwrap(), "Copy/b/x%2Fy");
        assert!(found("oad").is_err(), "a name is not a part of a name");
    }

    #[test]
    fn two_candidates_are_shown_and_not_chosen_between() {
        let paths = [Path::root().child("a").child("x"), Path::root().child("b").child("x")];
        let error = find("step", paths.iter(), "x", "k7m2").unwrap_err();
        assert_eq!(error.hints, ["a/x", "b/x"]);
    }
}
