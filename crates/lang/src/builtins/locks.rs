//! `lock`: a scope during which nobody else holds its name.
//!
//! Owns where a lock cannot stand. Never takes one: the engine does, when something acts in it.

use super::scopes::{enter, plain_args};
use crate::error::author;
use crate::session::Session;
use piton_core::scope::ScopeKind;
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::Value;
use starlark::values::dict::DictRef;
use starlark::values::none::NoneOr;
use starlark::values::tuple::UnpackTuple;

#[starlark_module]
pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    /// Calls `fn` while nobody else holds the lock of this name, in this run or another of the store.
    fn lock<'v>(
        #[starlark(require = pos)] name: &str,
        #[starlark(require = pos)] r#fn: Value<'v>,
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] guards: NoneOr<Value<'v>>,
        #[starlark(kwargs)] kwargs: DictRef<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let scope = Session::of(eval)?.scope();
        if let Some(window) = scope.window() {
            return Err(author("a lock cannot be inside a window: a window waits for nobody")
                .label(format!("inside the window {:?}", window.path.name()))
                .help("take the lock around the window")
                .raise());
        }
        if let Some(outer) = scope.lock(name) {
            return Err(author("a lock cannot be inside itself")
                .label(format!("it is held since {:?}", outer.path.as_str()))
                .help("give what is inside another name, or use phase(...)")
                .raise());
        }
        let arguments = plain_args(&args.items, &kwargs, eval)?;
        enter("lock", name, (ScopeKind::Lock, guards), r#fn, &arguments, eval)
    }
}
