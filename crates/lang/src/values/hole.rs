//! A hole as a Starlark value: what a plan cannot know yet.
//!
//! Owns what may be done with it (passing it on, its fields and items, writing it into a text) and the error of
//! everything else. Exists only while planning.

use super::{ActionValue, OutcomeValue, Partial};
use allocative::Allocative;
use piton_core::hole;
use starlark::collections::StarlarkHasher;
use starlark::starlark_simple_value;
use starlark::values::{Heap, NoSerialize, ProvidesStaticType, StarlarkValue, Value, ValueLike, starlark_value};
use std::cmp::Ordering;
use std::fmt;

/// `value.name of "Checksum source"`, in its two parts.
#[derive(Clone, Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub(crate) struct Hole {
    what: String,
    of: String,
}

starlark_simple_value!(Hole);

/// An evaluation comes to something that only a run can know.
#[derive(Debug)]
pub(crate) struct NeedsHole(pub(crate) String);

impl fmt::Display for NeedsHole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it depends on {}", self.0)
    }
}

impl std::error::Error for NeedsHole {}

/// The error of a decision on a hole.
pub(crate) fn needs(what: &str) -> starlark::Error {
    starlark::Error::new_native(NeedsHole(what.to_owned()))
}

const OUTCOME: &str = "outcome";

impl Hole {
    /// From what stands in a mark.
    pub(crate) fn parse(text: &str) -> Self {
        let parts = if text.starts_with('"') { None } else { text.split_once(" of ") };
        let (what, of) = parts.unwrap_or((OUTCOME, text));
        Self { what: what.to_owned(), of: of.to_owned() }
    }

    pub(crate) fn what(&self) -> String {
        format!("{} of {}", self.what, self.of)
    }

    pub(crate) fn mark(&self) -> String {
        hole::mark(&self.what())
    }

    /// What each of it will be, where it is a list.
    pub(crate) fn item(&self) -> Self {
        Self { what: "item".to_owned(), of: self.what() }
    }

    fn field(&self, name: &str) -> Self {
        let what = if self.what == OUTCOME { name.to_owned() } else { format!("{}.{name}", self.what) };
        Self { what, of: self.of.clone() }
    }

    fn refuse<T>(&self) -> starlark::Result<T> {
        Err(needs(&self.what()))
    }
}

impl fmt::Display for Hole {
    /// Into a text, as its mark.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mark())
    }
}

#[starlark_value(type = "hole")]
impl<'v> StarlarkValue<'v> for Hole {
    fn get_attr(&self, attribute: &str, heap: Heap<'v>) -> Option<Value<'v>> {
        Some(heap.alloc(self.field(attribute)))
    }

    fn at(&self, index: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        Ok(heap.alloc(Self { what: format!("{}[{}]", self.what, index.to_repr()), of: self.of.clone() }))
    }

    fn write_hash(&self, _hasher: &mut StarlarkHasher) -> starlark::Result<()> {
        self.refuse()
    }

    fn equals(&self, _other: Value<'v>) -> starlark::Result<bool> {
        self.refuse()
    }

    fn compare(&self, _other: Value<'v>) -> starlark::Result<Ordering> {
        self.refuse()
    }

    fn invoke(
        &self,
        _me: Value<'v>,
        _args: &starlark::eval::Arguments<'v, '_>,
        _eval: &mut starlark::eval::Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        // What is called is a method of what is not known.
        let what = self.what.rsplit_once('.').map_or(OUTCOME, |(object, _)| object);
        Err(needs(&Self { what: what.to_owned(), of: self.of.clone() }.what()))
    }

    fn slice(
        &self,
        _start: Option<Value<'v>>,
        _stop: Option<Value<'v>>,
        _stride: Option<Value<'v>>,
        _heap: Heap<'v>,
    ) -> starlark::Result<Value<'v>> {
        self.refuse()
    }

    fn iterate_collect(&self, _heap: Heap<'v>) -> starlark::Result<Vec<Value<'v>>> {
        self.refuse()
    }

    fn length(&self) -> starlark::Result<i32> {
        self.refuse()
    }

    fn is_in(&self, _other: Value<'v>) -> starlark::Result<bool> {
        self.refuse()
    }

    fn plus(&self, _heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.refuse()
    }

    fn minus(&self, _heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.refuse()
    }

    fn bit_not(&self, _heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.refuse()
    }

    fn radd(&self, lhs: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        Some(match lhs.unpack_str() {
            Some(text) => Ok(heap.alloc(format!("{text}{}", self.mark()))),
            None => self.refuse(),
        })
    }

    fn add(&self, rhs: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        Some(match rhs.unpack_str() {
            Some(text) => Ok(heap.alloc(format!("{}{text}", self.mark()))),
            None => self.refuse(),
        })
    }

    fn rmul(&self, _lhs: Value<'v>, _heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        Some(self.refuse())
    }

    fn mul(&self, _rhs: Value<'v>, _heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        Some(self.refuse())
    }

    fn sub(&self, _other: Value<'v>, _heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.refuse()
    }

    fn div(&self, _other: Value<'v>, _heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.refuse()
    }

    fn floor_div(&self, _other: Value<'v>, _heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.refuse()
    }

    fn percent(&self, _other: Value<'v>, _heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.refuse()
    }

    fn bit_and(&self, _other: Value<'v>, _heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.refuse()
    }

    fn bit_or(&self, _other: Value<'v>, _heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.refuse()
    }

    fn bit_xor(&self, _other: Value<'v>, _heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.refuse()
    }

    fn left_shift(&self, _other: Value<'v>, _heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.refuse()
    }

    fn right_shift(&self, _other: Value<'v>, _heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        self.refuse()
    }

    fn set_at(&self, _index: Value<'v>, _new_value: Value<'v>) -> starlark::Result<()> {
        self.refuse()
    }
}

/// A mark as the language writes it where it shows a text with its quotes: in lists, and for `%r`.
const OPEN_WRITTEN: &str = "\\U000f7b00";
const CLOSE_WRITTEN: &str = "\\U000f7b01";

/// The text with its marks, where they have been written out.
pub(crate) fn marked(text: &str) -> Option<String> {
    if !text.contains(OPEN_WRITTEN) {
        return None;
    }
    let mut parts = text.split(OPEN_WRITTEN);
    let mut marked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (what, after) = part.split_once(CLOSE_WRITTEN).unwrap_or((part, ""));
        marked.push_str(&hole::mark(&what.replace("\\\"", "\"")));
        marked.push_str(after);
    }
    Some(marked)
}

/// What a value that is a hole, or a text with one in it, stands for.
pub(crate) fn hole_in(value: Value<'_>) -> Option<String> {
    match value.downcast_ref::<Hole>() {
        Some(hole) => Some(hole.what()),
        None => {
            let text = value.unpack_str()?;
            let first = |text: &str| hole::first(text).map(str::to_owned);
            first(text).or_else(|| first(&marked(text)?))
        }
    }
}

/// The same for our own values, which hold plain ones.
fn hole_in_own(value: Value<'_>) -> Option<String> {
    let text = if let Some(action) = ActionValue::from_value(value) {
        serde_json::to_string(&action.0)
    } else if let Some(outcome) = OutcomeValue::from_value(value) {
        serde_json::to_string(&outcome.outcome.open().ok()?.value)
    } else {
        serde_json::to_string(&value.downcast_ref::<Partial>()?.0)
    };
    text.ok().as_deref().and_then(hole::first).map(|what| what.replace("\\\"", "\""))
}

/// The same, for anything inside it too.
pub(crate) fn hole_within(value: Value<'_>) -> Option<String> {
    let mut open = vec![value];
    let mut left = crate::limits::MAX_VALUES;
    while let Some(value) = open.pop() {
        if let Some(what) = hole_in(value) {
            return Some(what);
        }
        if let Some(what) = hole_in_own(value) {
            return Some(what);
        }
        left = left.checked_sub(1)?;
        crate::guard::inside(value, usize::MAX, &mut |inner| open.push(inner));
    }
    None
}
