//! `each` and `parallel`: function calls side by side, each on a thread and a heap of its own.
//!
//! Owns the keys of branches and the refusal of what cannot cross threads.

use super::args::{entries, list, shown, whole};
use super::guards::guards;
use super::scopes::plain_args;
use crate::codec::{decode, encode};
use crate::error::{AuthorError, author, needed_hole};
use crate::limits::MAX_CONCURRENCY;
use crate::session::{Session, call_site};
use crate::values::Hole;
use piton_core::Value as Plain;
use piton_core::guard::Guard;
use piton_core::hole;
use piton_core::request::{Branch, BranchesRequest, OnFailure};
use piton_core::scope::ScopeKind;
use piton_core::value::Callable;
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::Value;
use starlark::values::dict::{AllocDict, DictRef};
use starlark::values::list::AllocList;
use starlark::values::none::NoneOr;
use starlark::values::tuple::UnpackTuple;
use std::collections::HashMap;

/// A top-level function, or a partial of one.
fn callable<'v>(function: Value<'v>, what: &str, eval: &Evaluator<'v, '_, '_>) -> Result<Callable, AuthorError> {
    super::args::function(function, what)?;
    match encode(function, what, Session::of(eval)?.registry, eval.heap()) {
        Ok(Plain::Function(callable)) => Ok(*callable),
        _ => {
            let name = function.function_name().unwrap_or("it");
            let message = if name == "lambda" {
                format!("{what}: a lambda cannot run in parallel: it belongs to the thread that made it")
            } else {
                format!("{what}: `{name}` cannot run in parallel: it is not defined at the top level of a file")
            };
            Err(author(message)
                .help("write a top-level `def`; give it what it needs as arguments or with partial(fn, ...)"))
        }
    }
}

/// What names an item: `key=`, else the string itself, its `name` or `id`.
fn key_of<'v>(
    item: Value<'v>,
    index: usize,
    key: Option<Value<'v>>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<String> {
    let found = match key {
        Some(key) if key.get_type() == "function" => {
            let session = Session::of(eval)?;
            Some(session.asking("the function of `key`", || eval.eval_function(key, &[item], &[]))?)
        }
        Some(key) => match key.unpack_str() {
            Some(field) => Some(
                field_of(item, field, eval)
                    .ok_or_else(|| author(format!("key: item {index} has no field {field:?}")).raise())?,
            ),
            None => {
                return Err(author(format!("key: a function or a field's name is needed, not {}", shown(key))).raise());
            }
        },
        None if matches!(item.get_type(), "string" | "int") => Some(item),
        None if item.get_type() == "enum" => item.get_attr("value", eval.heap())?,
        None => field_of(item, "name", eval).or_else(|| field_of(item, "id", eval)),
    };
    match found.map(|key| (key.get_type(), key)) {
        Some(("hole", key)) => Ok(key.to_str()),
        Some(("string" | "int", key)) if !key.to_str().trim().is_empty() => Ok(key.to_str()),
        Some((_, key)) => Err(author(format!("the key of item {index} is {}, which names nothing", shown(key)))
            .help("a key is a string or an integer")
            .raise()),
        None => Err(author(format!("item {index} has nothing to name it by: it is {}", shown(item)))
            .help("give key = lambda item: ..., or items with a `name` or an `id`")
            .raise()),
    }
}

fn field_of<'v>(item: Value<'v>, field: &str, eval: &Evaluator<'v, '_, '_>) -> Option<Value<'v>> {
    match DictRef::from_value(item) {
        Some(dict) => dict.get_str(field),
        None => item.get_attr(field, eval.heap()).ok().flatten(),
    }
}

/// The key of each item. Two equal ones are the author's mistake.
fn keys<'v>(
    items: &[Value<'v>],
    key: Option<Value<'v>>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<Vec<String>> {
    let planning = Session::of(eval)?.registry.planning.is_some();
    let mut first: HashMap<String, usize> = HashMap::with_capacity(items.len());
    let mut keys = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let mut key = key_of(*item, index, key, eval)?;
        if planning && hole::first(&key).is_some() && first.contains_key(&key) {
            // What is not known yet may tell it from the others of this key.
            key.push_str(&hole::mark(&format!("item {index}")));
        }
        if let Some(first) = first.insert(key.clone(), index) {
            return Err(author(format!("two items of each() have the same key {key:?}"))
                .label(format!("items {first} and {index}"))
                .help("a key is a branch's identity across resumes; give key = lambda item: ... that tells them apart")
                .raise());
        }
        keys.push(key);
    }
    Ok(keys)
}

/// The branch that stands for all of them, where it is not known yet what there will be: its key is a hole, too.
fn template<'v>(
    items: &str,
    key: Option<Value<'v>>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<(String, Plain)> {
    let item = Hole::parse(items).item();
    let value = eval.heap().alloc(item.clone());
    let key = match key {
        None => item.mark(),
        Some(_) => match key_of(value, 0, key, eval) {
            // It decides on the item.
            Err(error) if needed_hole(&error).is_some() => item.mark(),
            key => key?,
        },
    };
    Ok((key, Plain::from(item.mark())))
}

/// Every item in plain form, with what names it.
fn keyed<'v>(
    items: &[Value<'v>],
    key: Option<Value<'v>>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<Vec<(String, Plain)>> {
    let registry = Session::of(eval)?.registry;
    let keys = keys(items, key, eval)?;
    let mut keyed = Vec::with_capacity(items.len());
    for (index, (item, key)) in items.iter().zip(keys).enumerate() {
        keyed.push((key, encode(*item, &format!("items[{index}]"), registry, eval.heap())?));
    }
    Ok(keyed)
}

fn concurrency(value: Value<'_>) -> Result<u32, AuthorError> {
    whole::<u32>(value, "concurrency", "a number of branches")
        .ok()
        .filter(|n| (1..=MAX_CONCURRENCY).contains(n))
        .ok_or_else(|| author(format!("concurrency: 1 to {MAX_CONCURRENCY} branches, not {}", shown(value))))
}

fn on_failure(word: &str) -> Result<OnFailure, AuthorError> {
    match word {
        "hold" => Ok(OnFailure::Hold),
        "continue" => Ok(OnFailure::Continue),
        other => Err(author(format!("on_failure: {other:?} is neither \"hold\" nor \"continue\""))),
    }
}

fn run<'v>(
    builtin: &str,
    name: &str,
    (kind, guards): (ScopeKind, Vec<Guard>),
    request: BranchesRequest,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<Vec<Value<'v>>> {
    let session = Session::of(eval)?;
    let host = session.host(builtin)?;
    let path = session.name(builtin, name, &call_site(eval))?;
    if let Some(guard) = guards.iter().find(|guard| request.branches.iter().any(|branch| branch.key == guard.name)) {
        return Err(author(format!("a branch of {builtin}() and one of its guards are named {:?}", guard.name))
            .help("people name a guard as they name a branch; give the guard another name")
            .raise());
    }
    let scope = session.child_scope(kind, &path, guards)?;
    let results = host.branches(&scope, request).map_err(|why| session.leave(why))?;
    let mut values = Vec::with_capacity(results.len());
    for result in &results {
        values.push(decode(result, session.registry, eval)?);
    }
    Ok(values)
}

#[starlark_module]
pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    /// Calls `fn(item, *args)` for every item, in parallel; results in the items' order.
    fn each<'v>(
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] items: Value<'v>,
        #[starlark(require = pos)] r#fn: Value<'v>,
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] key: NoneOr<Value<'v>>,
        #[starlark(require = named)] concurrency: Option<Value<'v>>,
        #[starlark(require = named, default = "hold")] on_failure: &str,
        #[starlark(require = named, default = NoneOr::None)] guards: NoneOr<Value<'v>>,
        #[starlark(kwargs)] kwargs: DictRef<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let session = Session::of(eval)?;
        session.host("each")?;
        let function = callable(r#fn, "each()", eval)?;
        let arguments = plain_args(&args.items, &kwargs, eval)?;
        let concurrency = concurrency.map_or(Ok(1), self::concurrency)?;
        let on_failure = self::on_failure(on_failure)?;
        let kind = ScopeKind::Each { continue_on_failure: on_failure == OnFailure::Continue };
        let guards = self::guards(guards)?;
        let key = key.into_option();
        let with = |item: Plain| {
            let mut call = function.clone();
            call.args.push(item);
            call.args.extend(arguments.args.iter().cloned());
            call.kwargs.extend(arguments.kwargs.iter().cloned());
            call
        };
        if session.registry.planning.is_some()
            && let Some(unknown) = items.unpack_str().and_then(hole::whole)
        {
            let (key, item) = template(unknown, key, eval)?;
            let branches = vec![Branch { key, call: with(item) }];
            run("each", name, (kind, guards), BranchesRequest { branches, concurrency, on_failure }, eval)?;
            return Ok(eval.heap().alloc(Hole::parse(&format!("results of {name:?}"))));
        }
        let items = keyed(&list(items, "items")?, key, eval)?;
        let branches = items.into_iter().map(|(key, item)| Branch { key, call: with(item) }).collect();
        let results = run("each", name, (kind, guards), BranchesRequest { branches, concurrency, on_failure }, eval)?;
        Ok(eval.heap().alloc(AllocList(results)))
    }

    /// Calls different functions side by side; gives a dict of their results.
    fn parallel<'v>(
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] branches: Value<'v>,
        #[starlark(require = named, default = NoneOr::None)] guards: NoneOr<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        Session::of(eval)?.host("parallel")?;
        let mut calls = Vec::new();
        for (key, function) in entries(branches, "parallel()")? {
            if key.trim().is_empty() {
                return Err(author("a branch of parallel() needs a name").raise());
            }
            let call = callable(function, &format!("parallel()[{key:?}]"), eval)?;
            calls.push(Branch { key, call });
        }
        let keys: Vec<String> = calls.iter().map(|branch| branch.key.clone()).collect();
        let concurrency = u32::try_from(keys.len()).unwrap_or(u32::MAX).clamp(1, MAX_CONCURRENCY);
        let request = BranchesRequest { branches: calls, concurrency, on_failure: OnFailure::Hold };
        let results = run("parallel", name, (ScopeKind::Parallel, self::guards(guards)?), request, eval)?;
        Ok(eval.heap().alloc(AllocDict(keys.into_iter().zip(results).collect::<Vec<_>>())))
    }
}
