//! `run`: another runbook, as a run of its own.
//!
//! Owns its name, and that every keyword is a parameter of the child's. The file is found and loaded with its caller (see
//! `children`); the engine starts it.

use super::args::text;
use super::scopes::plain_args;
use super::step::{bare, perform};
use crate::callbacks::Functions;
use crate::error::{AuthorError, author};
use crate::session::Session;
use crate::values::OutcomeValue;
use piton_core::Action;
use piton_core::action::ChildRun;
use piton_core::request::{StepKind, UndoForm};
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::ValueOfUnchecked;
use starlark::values::dict::DictRef;

type OutcomeReturn<'v> = ValueOfUnchecked<'v, &'v OutcomeValue<'v>>;

/// The name of a child run that is given none: its file's, without directories and ending.
pub(crate) fn stem(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.strip_suffix(".star").unwrap_or(name)
}

fn in_window(window: &str) -> AuthorError {
    author("run() cannot be inside a window: a window waits for nobody")
        .label(format!("inside the window {window:?}"))
        .help(
            "run it before the window opens, or after it closes; what belongs inside is loaded and called: phase(...)",
        )
}

#[starlark_module]
pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    /// Runs another runbook as a run of its own, and gives its outcome: `.value` is what its `main` returned.
    fn run<'v>(
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] runbook: Option<&str>,
        #[starlark(kwargs)] kwargs: DictRef<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<OutcomeReturn<'v>> {
        let (name, file) = match runbook {
            Some(file) => (name, file),
            None => (stem(name), name),
        };
        let session = Session::of(eval)?;
        session.host("run")?;
        if let Some(window) = session.scope().window() {
            return Err(in_window(&window.path.name()).raise());
        }
        let known = crate::load::normalize(file).and_then(|file| Some((session.registry.children.get(&file)?, file)));
        let Some((child, file)) = known else {
            return Err(author(format!("{file:?} is not among the runbooks that this one may run"))
                .help("write its path out in the call: run(\"Move\", \"move.star\", ...); a run's sources are fixed when it starts")
                .raise());
        };
        for (name, value) in kwargs.iter().filter(|(_, value)| value.unpack_str().is_some()) {
            // One into which a secret was formatted would hand on its masked form.
            text(value, name.unpack_str().unwrap_or_default())?;
        }
        let given = plain_args(&[], &kwargs, eval)?.kwargs;
        let params = child.interface.fill(given).map_err(|error| {
            author(format!("{file}: {}", error.message)).help("every keyword of run() is a parameter of its `main`")
        })?;
        let action = Action::Run(ChildRun { file, digest: child.digest, params });
        let mut request = bare("run", name, StepKind::Run, action, eval)?;
        // The engine knows it: the run is taken back.
        request.undo = UndoForm::Inverse;
        Ok(ValueOfUnchecked::new(perform("run", request, Functions::default(), eval)?))
    }
}
