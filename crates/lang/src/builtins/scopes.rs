//! `phase`, `window`, `attempt`, `commit_point`: named stretches of a run on the thread that called them.
//!
//! Owns that what a function receives and gives are copies.

use super::args::{DurationArg, duration, function};
use super::guards::guards;
use crate::codec::{decode, encode};
use crate::error::{AuthorError, author};
use crate::session::{Session, call_site};
use piton_core::scope::{OnOver, ScopeKind};
use piton_core::window::DEFAULT_RESERVE_FRACTION;
use piton_core::{Duration, Value as Plain};
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::Value;
use starlark::values::dict::DictRef;
use starlark::values::none::{NoneOr, NoneType};
use starlark::values::tuple::UnpackTuple;

/// Arguments in plain form: copies.
pub(crate) struct PlainArgs {
    pub(crate) args: Vec<Plain>,
    pub(crate) kwargs: Vec<(String, Plain)>,
}

pub(crate) fn plain_args<'v>(
    args: &[Value<'v>],
    kwargs: &DictRef<'v>,
    eval: &Evaluator<'v, '_, '_>,
) -> Result<PlainArgs, AuthorError> {
    let registry = Session::of(eval)?.registry;
    let mut plain = PlainArgs { args: Vec::with_capacity(args.len()), kwargs: Vec::new() };
    for (index, value) in args.iter().enumerate() {
        plain.args.push(encode(*value, &format!("argument {}", index + 1), registry, eval.heap())?);
    }
    for (name, value) in kwargs.iter() {
        let name = name.unpack_str().unwrap_or_default().to_owned();
        let value = encode(value, &name, registry, eval.heap())?;
        plain.kwargs.push((name, value));
    }
    Ok(plain)
}

/// Calls `function` with copies of the arguments, and gives a copy of its result.
fn call<'v>(function: Value<'v>, arguments: &PlainArgs, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Plain> {
    let registry = Session::of(eval)?.registry;
    let mut args = Vec::with_capacity(arguments.args.len());
    for value in &arguments.args {
        args.push(decode(value, registry, eval)?);
    }
    let mut kwargs = Vec::with_capacity(arguments.kwargs.len());
    for (name, value) in &arguments.kwargs {
        kwargs.push((name.as_str(), decode(value, registry, eval)?));
    }
    let result = eval.eval_function(function, &args, &kwargs)?;
    Ok(encode(result, "its result", registry, eval.heap())?)
}

pub(crate) fn enter<'v>(
    builtin: &str,
    name: &str,
    (kind, guards): (ScopeKind, NoneOr<Value<'v>>),
    function: Value<'v>,
    arguments: &PlainArgs,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<Value<'v>> {
    let session = Session::of(eval)?;
    let host = session.host(builtin)?;
    let function = self::function(function, &format!("{builtin}()"))?;
    let path = session.name(builtin, name, &call_site(eval))?;
    let scope = session.child_scope(kind, &path, self::guards(guards)?)?;
    let result = host.scope(&scope, &mut || {
        let result = session.inside(&scope, || call(function, arguments, eval));
        result.map_err(|error| session.ended(&error))
    });
    match result {
        Ok(value) => Ok(decode(&value, session.registry, eval)?),
        Err(why) => Err(session.leave(why)),
    }
}

#[starlark_module]
pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    /// Calls `fn` as a named scope and gives its result.
    fn phase<'v>(
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] r#fn: Value<'v>,
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] guards: NoneOr<Value<'v>>,
        #[starlark(kwargs)] kwargs: DictRef<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let arguments = plain_args(&args.items, &kwargs, eval)?;
        enter("phase", name, (ScopeKind::Phase, guards), r#fn, &arguments, eval)
    }

    /// Calls `fn` and catches failure: `.ok .value .error`.
    fn attempt<'v>(
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] r#fn: Value<'v>,
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] guards: NoneOr<Value<'v>>,
        #[starlark(kwargs)] kwargs: DictRef<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let arguments = plain_args(&args.items, &kwargs, eval)?;
        enter("attempt", name, (ScopeKind::Attempt, guards), r#fn, &arguments, eval)
    }

    /// A measured critical section that is held to its budget.
    fn window<'v>(
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] r#fn: Value<'v>,
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        #[starlark(require = named)] budget: DurationArg<'v>,
        #[starlark(require = named, default = NoneOr::None)] reserve: NoneOr<DurationArg<'v>>,
        #[starlark(require = named, default = "undo")] on_over: &str,
        #[starlark(require = named, default = NoneOr::None)] guards: NoneOr<Value<'v>>,
        #[starlark(kwargs)] kwargs: DictRef<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let budget = duration(budget.get(), "budget")?;
        let reserve = reserve.into_option().map(|value| duration(value.get(), "reserve")).transpose()?;
        let reserve = reserve.unwrap_or(Duration::from_ms(budget.as_ms() / DEFAULT_RESERVE_FRACTION));
        if budget.as_ms() == 0 || reserve >= budget {
            return Err(author(format!(
                "a budget of {budget} leaves no time for the way in; {reserve} of it are kept for the way back"
            ))
            .help("the reserve is less than the budget; where it is not given, it is a quarter of it")
            .raise());
        }
        let on_over = match on_over {
            "undo" => OnOver::Undo,
            "warn" => OnOver::Warn,
            other => {
                return Err(author(format!("on_over: {other:?} is neither \"undo\" nor \"warn\"")).raise());
            }
        };
        if let Some(outer) = Session::of(eval)?.scope().window() {
            return Err(author("a window cannot be inside a window")
                .label(format!("inside the window {:?}", outer.path.name()))
                .help("one budget holds for everything inside; use phase(...)")
                .raise());
        }
        let arguments = plain_args(&args.items, &kwargs, eval)?;
        enter("window", name, (ScopeKind::Window { budget, reserve, on_over }, guards), r#fn, &arguments, eval)
    }

    /// From here on only forward.
    fn commit_point<'v>(
        #[starlark(require = pos)] name: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        let session = Session::of(eval)?;
        let host = session.host("commit_point")?;
        let scope = session.scope();
        if scope.in_branch() {
            return Err(author("a commit point cannot be inside a branch of each() or parallel()")
                .help("its siblings could still go back; put it after the each() or parallel()")
                .raise());
        }
        let path = session.name("commit_point", name, &call_site(eval))?;
        host.commit_point(&scope, &path).map_err(|why| session.leave(why))?;
        Ok(NoneType)
    }
}
