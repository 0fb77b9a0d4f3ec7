//! `now`, `new_id`, `env`, `emit`, `note`, `fail`: journaled reads of the outside, words for the receipt, giving up.

use super::step::{bare, perform};
use crate::callbacks::{Functions, Live};
use crate::codec::{decode, encode};
use crate::error::author;
use crate::session::{Session, call_site};
use crate::values::Given;
use piton_core::outcome::{Failure, FailureKind};
use piton_core::ports::Unwind;
use piton_core::request::{Retry, Site, StepKind, StepRequest, UndoForm};
use piton_core::scope::Scope;
use piton_core::{Action, Duration, Path};
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::none::{NoneOr, NoneType};
use starlark::values::typing::StarlarkNever;
use starlark::values::{Value, ValueOfUnchecked};

fn read<'v>(
    builtin: &str,
    name: &str,
    action: Action,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<Value<'v>> {
    let request = bare(builtin, name, StepKind::Read, action, eval)?;
    let outcome = perform(builtin, request, Functions::default(), eval)?;
    outcome.get_attr_error("value", eval.heap())
}

/// The step that reads an environment variable.
fn read_of(variable: &str, site: Site) -> StepRequest {
    // At the run's root, wherever it is called, so that every part of the run sees one value.
    StepRequest {
        path: Path::root().child(&format!("env {variable}")),
        site,
        kind: StepKind::Read,
        action: Action::Env { variable: variable.to_owned() }.into(),
        requires: None,
        ensures: None,
        has_predicate: false,
        hint: None,
        undo: UndoForm::None,
        retry: Retry::NONE,
        timeout: None,
        settle: Duration::default(),
        repeatable: false,
        memory_bytes: None,
        live: false,
        doc: None,
    }
}

#[starlark_module]
pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    /// The wall clock as RFC 3339 in UTC, read once.
    fn now<'v>(name: &str, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<ValueOfUnchecked<'v, String>> {
        Ok(ValueOfUnchecked::new(read("now", name, Action::Now, eval)?))
    }

    /// 128 random bits in hexadecimal, drawn once.
    fn new_id<'v>(name: &str, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<ValueOfUnchecked<'v, String>> {
        Ok(ValueOfUnchecked::new(read("new_id", name, Action::NewId, eval)?))
    }

    /// An environment variable of the engine, read once a run; None where it is not set.
    fn env<'v>(
        variable: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<ValueOfUnchecked<'v, NoneOr<String>>> {
        let session = Session::of(eval)?;
        let host = session.host("env")?;
        session.count_step()?;
        if variable.is_empty() || variable.contains(['=', '\0']) {
            return Err(author(format!("{variable:?} cannot be the name of an environment variable")).raise());
        }
        let request = read_of(variable, call_site(eval));
        let functions = Functions::default();
        let given =
            host.step(&Scope::run(), &request, &mut Live { eval, functions }).map_err(|why| session.leave(why))?;
        let outcome = Given::Sealed(given).open()?;
        let value = outcome.value.as_ref().map(|value| decode(value, session.registry, eval)).transpose()?;
        Ok(ValueOfUnchecked::new(value.unwrap_or_else(Value::new_none)))
    }

    /// Writes a named value into the receipt.
    fn emit<'v>(name: &str, value: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<NoneType> {
        let session = Session::of(eval)?;
        let host = session.host("emit")?;
        let value = encode(value, "value", session.registry, eval.heap())?;
        let path = session.name("emit", name, &call_site(eval))?;
        host.emit(&session.scope(), &path, name, &value).map_err(|why| session.leave(why))?;
        Ok(NoneType)
    }

    /// Writes Markdown into the receipt.
    fn note<'v>(markdown: &str, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<NoneType> {
        let session = Session::of(eval)?;
        let host = session.host("note")?;
        host.note(&session.scope(), &session.note_path(), markdown).map_err(|why| session.leave(why))?;
        Ok(NoneType)
    }

    /// The author gives up.
    fn fail<'v>(message: &str, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<StarlarkNever> {
        let session = Session::of(eval)?;
        match session.host("fail") {
            Ok(_) => {
                let failure = Failure::new(FailureKind::Fail, message);
                Err(session.leave(Unwind::Failed { path: session.scope().path.clone(), failure }))
            }
            // While a file loads or a predicate is asked there is no scope to fail: it is an error there.
            Err(_) => Err(author(message).raise()),
        }
    }
}
