//! `step` and `expect`: an action, performed durably.

use super::args::{ActionArg, CheckArg, DurationArg, check, duration, function, shown, whole};
use crate::callbacks::{Functions, Live};
use crate::codec::alloc_outcome;
use crate::error::{AuthorError, author};
use crate::session::{Session, call_site};
use crate::values::{ActionValue, Given, Inverse, OutcomeValue, RetryValue};
use either::Either;
use piton_core::action::Effect;
use piton_core::request::{Retry, StepKind, StepRequest, UndoForm};
use piton_core::{Action, Duration};
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::none::NoneOr;
use starlark::values::{Value, ValueLike, ValueOfUnchecked};
use std::sync::Arc;

/// Where `plan = "live"` stands at an action that changes the world.
pub(crate) const LIVE_WRITE: &str = "plan = \"live\" has a plan perform the step, and {}() changes the world";
pub(crate) const LIVE_HELP: &str = "it is for steps that read, where no write before them changes what they read";

type RetryArg<'v> = ValueOfUnchecked<'v, Either<i32, &'v RetryValue<'v>>>;
type OutcomeReturn<'v> = ValueOfUnchecked<'v, &'v OutcomeValue<'v>>;

fn retry<'v>(value: NoneOr<RetryArg<'v>>) -> Result<(Retry, Option<Value<'v>>), AuthorError> {
    let NoneOr::Other(value) = value else { return Ok((Retry::NONE, None)) };
    let value = value.get();
    match RetryValue::from_value(value) {
        Some(retry) => Ok((retry.policy, (!retry.on.is_none()).then_some(retry.on))),
        None => Ok((Retry { times: whole(value, "retry", "a number of times or retry(...)")?, ..Retry::NONE }, None)),
    }
}

fn undo_form(undo: Option<Value<'_>>) -> Result<UndoForm, AuthorError> {
    match undo {
        None => Ok(UndoForm::None),
        Some(undo) if undo.downcast_ref::<Inverse>().is_some() => Ok(UndoForm::Inverse),
        Some(undo) if undo.get_type() == "function" || ActionValue::from_value(undo).is_some() => Ok(UndoForm::Asked),
        Some(undo) => Err(author(format!("undo: an action is needed, not {}", shown(undo)))
            .help("an action, a function of the outcome that gives one, or inverse()")),
    }
}

fn only_looks(action: &Action) -> Result<(), AuthorError> {
    match action.effect() {
        Effect::Read => Ok(()),
        Effect::Write => Err(author(format!("expect() only looks, and {}() changes the world", action.verb()))
            .help("use step(...), or say reads = True where the command changes nothing")),
    }
}

/// `plan=`: whether a plan performs the read whatever goes before it.
fn live(plan: Option<&str>, action: &Action) -> Result<bool, AuthorError> {
    match (plan, action.effect()) {
        (None, _) => Ok(false),
        (Some("live"), Effect::Read) => Ok(true),
        (Some("live"), Effect::Write) => Err(author(LIVE_WRITE.replace("{}", action.verb())).help(LIVE_HELP)),
        (Some(other), _) => {
            Err(author(format!("plan: \"live\" is all that can be said, not {other:?}")).help(LIVE_HELP))
        }
    }
}

/// Asks the host for the step and gives its outcome.
pub(crate) fn perform<'v>(
    builtin: &str,
    request: StepRequest,
    functions: Functions<'v>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<Value<'v>> {
    let session = Session::of(eval)?;
    let host = session.host(builtin)?;
    session.count_step()?;
    let outcome = host.step(&session.scope(), &request, &mut Live { eval, functions });
    match outcome {
        Ok(outcome) => Ok(alloc_outcome(Given::Sealed(outcome), session.registry, eval)?),
        Err(why) => Err(session.leave(why)),
    }
}

/// A request with nothing but what every step has.
pub(crate) fn bare(
    builtin: &str,
    name: &str,
    kind: StepKind,
    action: impl Into<Arc<Action>>,
    eval: &Evaluator<'_, '_, '_>,
) -> Result<StepRequest, AuthorError> {
    let site = call_site(eval);
    let session = Session::of(eval)?;
    session.host(builtin)?;
    Ok(StepRequest {
        path: session.name(builtin, name, &site)?,
        site,
        kind,
        action: action.into(),
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
    })
}

#[starlark_module]
pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    /// Performs the action durably and gives its outcome.
    fn step<'v>(
        name: &str,
        action: ActionArg<'v>,
        #[starlark(require = named, default = NoneOr::None)] ensures: NoneOr<CheckArg<'v>>,
        #[starlark(require = named, default = NoneOr::None)] requires: NoneOr<CheckArg<'v>>,
        #[starlark(require = named, default = NoneOr::None)] undo: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] retry: NoneOr<RetryArg<'v>>,
        #[starlark(require = named, default = NoneOr::None)] timeout: NoneOr<DurationArg<'v>>,
        #[starlark(require = named, default = NoneOr::None)] settle: NoneOr<DurationArg<'v>>,
        #[starlark(require = named, default = false)] repeatable: bool,
        #[starlark(require = named, default = NoneOr::None)] memory: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] on: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] plan: NoneOr<&str>,
        #[starlark(require = named, default = NoneOr::None)] doc: NoneOr<&str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<OutcomeReturn<'v>> {
        let mut functions = Functions::default();
        on.into_option().map_or(Ok(()), |_| Err(super::options::not_yet("step(on=)")))?;
        let action = super::args::action(action.get(), "action")?;
        let mut request = bare("step", name, StepKind::Step, action, eval)?;
        request.live = live(plan.into_option(), &request.action)?;
        if let NoneOr::Other(value) = requires {
            let (requires, predicate) = check(value.get(), "requires")?;
            (request.requires, functions.requires) = (Some(requires), predicate);
        }
        if let NoneOr::Other(value) = ensures {
            let (ensures, predicate) = check(value.get(), "ensures")?;
            (request.ensures, functions.ensures) = (Some(ensures), predicate);
        }
        functions.undo = undo.into_option();
        request.undo = undo_form(functions.undo)?;
        (request.retry, functions.retry) = self::retry(retry)?;
        request.timeout = timeout.into_option().map(|t| duration(t.get(), "timeout")).transpose()?;
        request.settle = settle.into_option().map(|t| duration(t.get(), "settle")).transpose()?.unwrap_or_default();
        request.repeatable = repeatable;
        request.memory_bytes = memory.into_option().map(super::args::memory).transpose()?;
        request.doc = doc.into_option().map(str::to_owned);
        Ok(ValueOfUnchecked::new(perform("step", request, functions, eval)?))
    }

    /// A step that only looks: it fails, with the hint, where the check does not hold.
    fn expect<'v>(
        name: &str,
        action: CheckArg<'v>,
        #[starlark(require = named, default = NoneOr::None)] predicate: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] hint: NoneOr<&str>,
        #[starlark(require = named, default = NoneOr::None)] retry: NoneOr<RetryArg<'v>>,
        #[starlark(require = named, default = NoneOr::None)] timeout: NoneOr<DurationArg<'v>>,
        #[starlark(require = named, default = NoneOr::None)] plan: NoneOr<&str>,
        #[starlark(require = named, default = NoneOr::None)] doc: NoneOr<&str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<OutcomeReturn<'v>> {
        let (check, of_check) = check(action.get(), "action")?;
        let own = predicate.into_option().map(|p| function(p, "predicate")).transpose()?;
        if own.is_some() && of_check.is_some() {
            return Err(author("predicate= is given twice: the check has one already").raise());
        }
        only_looks(&check.action)?;
        let mut functions = Functions { check: own.or(of_check), ..Functions::default() };
        let mut request = bare("expect", name, StepKind::Expect, check.action, eval)?;
        request.live = live(plan.into_option(), &request.action)?;
        request.has_predicate = functions.check.is_some();
        request.hint = hint.into_option().map(str::to_owned);
        (request.retry, functions.retry) = self::retry(retry)?;
        request.timeout = timeout.into_option().map(|t| duration(t.get(), "timeout")).transpose()?;
        request.doc = doc.into_option().map(str::to_owned);
        Ok(ValueOfUnchecked::new(perform("expect", request, functions, eval)?))
    }
}
