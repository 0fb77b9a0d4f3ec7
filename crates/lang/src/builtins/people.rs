//! `approve`, `ask`, `manual`: what people decide, type and do.

use super::args::{CheckArg, DurationArg, check, duration, entries, shown, whole};
use crate::callbacks::{Functions, Live};
use crate::codec::{alloc_outcome, encode};
use crate::error::{AuthorError, author};
use crate::session::{Session, call_site};
use crate::values::{Given, OutcomeValue};
use piton_core::request::{Ask, PersonRequest};
use piton_core::{Duration, Value as Plain};
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::none::NoneOr;
use starlark::values::{Value, ValueOfUnchecked};

type OutcomeReturn<'v> = ValueOfUnchecked<'v, &'v OutcomeValue<'v>>;

/// The error for asking a person inside a window, said before anything runs where the checker can see it.
pub(crate) fn in_window(builtin: &str) -> AuthorError {
    author(format!("{builtin}() cannot be inside a window: a window never waits for a person"))
        .help("ask before the window opens, or after it closes")
}

fn request<'v>(
    builtin: &str,
    name: &str,
    ask: Ask,
    doc: NoneOr<&str>,
    eval: &Evaluator<'v, '_, '_>,
) -> Result<PersonRequest, AuthorError> {
    let session = Session::of(eval)?;
    session.host(builtin)?;
    if session.scope().window().is_some() {
        return Err(in_window(builtin));
    }
    let site = call_site(eval);
    Ok(PersonRequest {
        path: session.name(builtin, name, &site)?,
        site,
        ask,
        ensures: None,
        settle: Duration::default(),
        doc: doc.into_option().map(str::to_owned),
    })
}

fn answer<'v>(
    builtin: &str,
    request: &PersonRequest,
    functions: Functions<'v>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<Value<'v>> {
    let session = Session::of(eval)?;
    let host = session.host(builtin)?;
    session.count_step()?;
    match host.person(&session.scope(), request, &mut Live { eval, functions }) {
        Ok(outcome) => Ok(alloc_outcome(Given::Sealed(outcome), session.registry, eval)?),
        Err(why) => Err(session.leave(why)),
    }
}

#[starlark_module]
pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    /// People decide. Its outcome's `.value` is who approved.
    fn approve<'v>(
        name: &str,
        #[starlark(require = named)] by: &str,
        #[starlark(require = named)] count: Option<Value<'v>>,
        #[starlark(require = named, default = false)] not_starter: bool,
        #[starlark(require = named, default = NoneOr::None)] show: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] expires: NoneOr<DurationArg<'v>>,
        #[starlark(require = named, default = NoneOr::None)] doc: NoneOr<&str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<OutcomeReturn<'v>> {
        let session = Session::of(eval)?;
        let count = match count {
            None => 1,
            Some(count) => whole::<u32>(count, "count", "a number of people")
                .ok()
                .filter(|count| *count >= 1)
                .ok_or_else(|| author(format!("count: at least 1 person, not {}", shown(count))))?,
        };
        let show = match show {
            NoneOr::None => Plain::None,
            NoneOr::Other(show) => encode(show, "show", session.registry, eval.heap())?,
        };
        let ask = Ask::Approve {
            by: by.to_owned(),
            count,
            not_starter,
            show,
            expires: expires.into_option().map(|value| duration(value.get(), "expires")).transpose()?,
        };
        let request = request("approve", name, ask, doc, eval)?;
        Ok(ValueOfUnchecked::new(answer("approve", &request, Functions::default(), eval)?))
    }

    /// A person types values, checked against the types. Gives them as a struct.
    fn ask<'v>(
        name: &str,
        fields: Value<'v>,
        #[starlark(require = named, default = NoneOr::None)] doc: NoneOr<&str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let mut types = Vec::new();
        for (field, ty) in entries(fields, "fields")? {
            let ty = crate::interface::field_type_of_value(ty, eval).ok_or_else(|| {
                author(format!("fields[{field:?}]: {} is no type a person can fill in", shown(ty)))
                    .help("str, int, float, bool, duration, secret, path, list[...], an enum or a record")
            })?;
            types.push((field, ty));
        }
        if types.is_empty() {
            return Err(author("ask() needs fields").help("ask(\"Which zone?\", {\"zone\": str})").raise());
        }
        let request = request("ask", name, Ask::Fields { fields: types }, doc, eval)?;
        let outcome = answer("ask", &request, Functions::default(), eval)?;
        outcome.get_attr_error("value", eval.heap())
    }

    /// A person acts, Piton verifies.
    fn manual<'v>(
        name: &str,
        instructions: &str,
        #[starlark(require = named, default = NoneOr::None)] ensures: NoneOr<CheckArg<'v>>,
        #[starlark(require = named, default = NoneOr::None)] settle: NoneOr<DurationArg<'v>>,
        #[starlark(require = named, default = NoneOr::None)] doc: NoneOr<&str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<OutcomeReturn<'v>> {
        let mut functions = Functions::default();
        let ask = Ask::Manual { instructions: instructions.to_owned() };
        let mut request = request("manual", name, ask, doc, eval)?;
        if let NoneOr::Other(value) = ensures {
            let (ensures, predicate) = check(value.get(), "ensures")?;
            (request.ensures, functions.ensures) = (Some(ensures), predicate);
        }
        request.settle = settle.into_option().map(|t| duration(t.get(), "settle")).transpose()?.unwrap_or_default();
        Ok(ValueOfUnchecked::new(answer("manual", &request, functions, eval)?))
    }
}
