//! `guard`, and the `guards=` of scopes: checks that must keep holding while a scope runs.
//!
//! Owns what the author may get wrong about them. Never looks: the engine does, beside the scope.

use super::args::{ActionArg, DurationArg, action, list, number, shown, whole};
use super::options::top_level;
use super::time::at_least;
use crate::error::{AuthorError, author};
use crate::session::call_site;
use crate::values::GuardValue;
use piton_core::Duration;
use piton_core::action::Effect;
use piton_core::guard::{Guard, Limit, MAX_GUARDS, OnTrip};
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::none::NoneOr;
use starlark::values::{Value, ValueLike};
use std::sync::Arc;

/// Shortest pause between two looks: a look costs a query or a process.
const MIN_EVERY: Duration = Duration::from_ms(50);
/// More failures than this in a row are no exception.
const MAX_TOLERATED: u32 = 10_000;

/// The guards of a scope.
pub(crate) fn guards(given: NoneOr<Value<'_>>) -> Result<Vec<Guard>, AuthorError> {
    let NoneOr::Other(given) = given else { return Ok(Vec::new()) };
    let mut guards: Vec<Guard> = Vec::new();
    for (index, value) in list(given, "guards")?.into_iter().enumerate() {
        let Some(guard) = value.downcast_ref::<GuardValue>() else {
            return Err(author(format!("guards[{index}]: a guard is needed, not {}", shown(value)))
                .help("write it as guard(\"Error rate\", query(...), below = 0.01, every = \"5s\")"));
        };
        if guards.iter().any(|known| known.name == guard.0.name) {
            return Err(author(format!("two guards of one scope are named {:?}", guard.0.name))
                .help("people name a guard to look again or to waive it; give each its own name"));
        }
        guards.push((*guard.0).clone());
    }
    if guards.len() > MAX_GUARDS {
        return Err(author(format!("at most {MAX_GUARDS} guards watch over one scope, not {}", guards.len()))
            .help("let one read look at several things"));
    }
    Ok(guards)
}

fn limit(number: Option<f64>) -> Result<Option<f64>, AuthorError> {
    match number {
        Some(number) if !number.is_finite() => Err(author(format!("{number} is no limit"))),
        number => Ok(number),
    }
}

#[starlark_module]
pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    /// In `guards=` of a scope: keeps looking beside it, and holds it or takes it back where the check fails.
    fn guard<'v>(
        name: &str,
        action: ActionArg<'v>,
        #[starlark(require = named, default = NoneOr::None)] below: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] above: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] predicate: NoneOr<Value<'v>>,
        #[starlark(require = named)] every: DurationArg<'v>,
        #[starlark(require = named)] tolerate: Option<Value<'v>>,
        #[starlark(require = named, default = "hold")] on_trip: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<GuardValue> {
        if name.trim().is_empty() {
            return Err(author("guard() needs a name")
                .help("people name a guard to look again or to waive it")
                .raise());
        }
        let action = self::action(action.get(), "action")?;
        if action.effect() == Effect::Write {
            return Err(author(format!("a guard only looks, and {}() changes the world", action.verb()))
                .help("say reads = True where the command changes nothing")
                .raise());
        }
        let below = limit(below.into_option().map(|below| number(below, "below")).transpose()?)?;
        let above = limit(above.into_option().map(|above| number(above, "above")).transpose()?)?;
        let limit = match (predicate.into_option(), below, above) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                return Err(author("a guard has a predicate or a limit, not both")
                    .help("compare with the limit in the predicate")
                    .raise());
            }
            (Some(predicate), None, None) => Limit::Predicate(top_level(predicate, "predicate", eval)?),
            (None, None, None) => Limit::Truth,
            (None, Some(below), Some(above)) if above >= below => {
                let message = format!("no number is above {above} and below {below}");
                return Err(author(message).raise());
            }
            (None, below, above) => Limit::Number { below, above },
        };
        let tolerate = tolerate.map_or(Ok(0), |tolerate| {
            let times = whole::<u32>(tolerate, "tolerate", "a number of failures").ok();
            times.filter(|times| *times <= MAX_TOLERATED).ok_or_else(|| {
                author(format!("tolerate: 0 to {MAX_TOLERATED} failures in a row, not {}", shown(tolerate)))
            })
        })?;
        let on_trip = match on_trip {
            "hold" => OnTrip::Hold,
            "undo" => OnTrip::Undo,
            other => return Err(author(format!("on_trip: {other:?} is neither \"hold\" nor \"undo\"")).raise()),
        };
        let every = at_least(every.get(), "every", MIN_EVERY)?;
        let name = name.to_owned();
        Ok(GuardValue(Arc::new(Guard { name, action, limit, every, tolerate, on_trip, site: call_site(eval) })))
    }
}
