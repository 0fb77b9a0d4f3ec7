//! `wait` and `poll`: durable timers.

use super::args::{CheckArg, DurationArg, check, duration};
use crate::callbacks::{Functions, Live};
use crate::codec::alloc_outcome;
use crate::error::{AuthorError, author};
use crate::session::{Session, call_site};
use crate::values::{Given, OutcomeValue};
use piton_core::Duration;
use piton_core::request::{PollRequest, WaitRequest};
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::none::{NoneOr, NoneType};
use starlark::values::{Value, ValueOfUnchecked};

/// Shortest pause between two looks of a `poll`: a look costs a query or a process.
const MIN_EVERY: Duration = Duration::from_ms(10);

pub(crate) fn at_least(value: Value<'_>, what: &str, least: Duration) -> Result<Duration, AuthorError> {
    let duration = duration(value, what)?;
    if duration < least {
        return Err(author(format!("{what}: {duration} is less than {least}")));
    }
    Ok(duration)
}

#[starlark_module]
pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    /// Waits.
    fn wait<'v>(
        name: &str,
        duration: DurationArg<'v>,
        #[starlark(require = named, default = NoneOr::None)] doc: NoneOr<&str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        let session = Session::of(eval)?;
        let host = session.host("wait")?;
        session.count_step()?;
        let site = call_site(eval);
        let request = WaitRequest {
            path: session.name("wait", name, &site)?,
            site,
            duration: self::duration(duration.get(), "duration")?,
            doc: doc.into_option().map(str::to_owned),
        };
        host.wait(&session.scope(), &request).map_err(|why| session.leave(why))?;
        Ok(NoneType)
    }

    /// Looks every so often until the check holds; fails when the time is over.
    fn poll<'v>(
        name: &str,
        check: CheckArg<'v>,
        #[starlark(require = named)] every: DurationArg<'v>,
        #[starlark(require = named)] timeout: DurationArg<'v>,
        #[starlark(require = named, default = NoneOr::None)] doc: NoneOr<&str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<ValueOfUnchecked<'v, &'v OutcomeValue<'v>>> {
        let session = Session::of(eval)?;
        let host = session.host("poll")?;
        session.count_step()?;
        let (check, predicate) = self::check(check.get(), "check")?;
        if check.action.effect() == piton_core::action::Effect::Write {
            return Err(author(format!("poll() only looks, and {}() changes the world", check.action.verb()))
                .help("say reads = True where the command changes nothing; else use step(..., retry = ...)")
                .raise());
        }
        let site = call_site(eval);
        let request = PollRequest {
            path: session.name("poll", name, &site)?,
            site,
            check,
            every: at_least(every.get(), "every", MIN_EVERY)?,
            timeout: duration(timeout.get(), "timeout")?,
            doc: doc.into_option().map(str::to_owned),
        };
        let functions = Functions { check: predicate, ..Functions::default() };
        match host.poll(&session.scope(), &request, &mut Live { eval, functions }) {
            Ok(outcome) => Ok(ValueOfUnchecked::new(alloc_outcome(Given::Sealed(outcome), session.registry, eval)?)),
            Err(why) => Err(session.leave(why)),
        }
    }
}
