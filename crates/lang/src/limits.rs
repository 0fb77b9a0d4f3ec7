//! Bounds on what a runbook may use of the engine's process. Nothing an author writes may abort or stall it.
//!
//! Owns the numbers and why they are what they are; held by `run`, `load` and `builtins`.

/// The bounds of one evaluation that a caller may lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Loop turns and calls.
    pub ticks: u64,
    /// Steps asked for.
    pub steps: u64,
    /// Bytes of values.
    pub heap_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { ticks: MAX_TICKS, steps: MAX_STEPS, heap_bytes: MAX_HEAP_BYTES }
    }
}

/// Loop turns and calls in one evaluation: a second or two of work. A run of a million steps needs a quarter of it.
pub(crate) const MAX_TICKS: u64 = 20_000_000;

/// Bytes of values in one evaluation. Nothing is freed until it ends. Looked at before every statement, which can
/// double it at most.
pub(crate) const MAX_HEAP_BYTES: usize = 256 << 20;

/// Calls inside each other, built-ins included. A call of a Starlark function costs up to 6 KiB of native stack
/// unoptimised, a scope up to 40 KiB; callers give 16 MiB.
pub(crate) const MAX_CALL_DEPTH: usize = 200;

/// Steps that one function call of the engine's (`main` or a branch) may ask for.
pub(crate) const MAX_STEPS: u64 = 1_000_000;

/// Items of one `each` or `parallel`, elements of one `range`, of one multiplied list, values in one argument.
pub(crate) const MAX_ITEMS: usize = 10_000_000;

/// Bytes of one string that a single operation may make.
pub(crate) const MAX_STRING_BYTES: usize = 64 << 20;

/// Branches of one `each` at the same time. Each is a thread.
pub(crate) const MAX_CONCURRENCY: u32 = 1024;

/// Levels of lists in lists. Printing takes native stack for each, about 1 KiB unoptimised. What leaves a function
/// has `core`'s stricter bound.
pub(crate) const MAX_NESTING: usize = 1000;

/// Values written out by one `str`, counting what is repeated.
pub(crate) const MAX_SHOWN_VALUES: usize = 1_000_000;

/// Bits of an integer. What leaves a function has at most 128.
pub(crate) const MAX_INT_BITS: u64 = 4096;

/// Brackets, operators and other words inside each other in one expression. Parsing, checking and compiling take
/// native stack for each.
pub(crate) const MAX_EXPRESSION_DEPTH: usize = 250;

/// Columns a line may be indented.
pub(crate) const MAX_INDENT: usize = 200;

/// Native stack for loading, whose recursion the two bounds above keep far below it.
pub(crate) const LOAD_STACK_BYTES: usize = 16 << 20;

/// Values crossing to another function in one argument list.
pub(crate) const MAX_VALUES: usize = 1_000_000;

/// Files loading each other in a chain.
pub(crate) const MAX_LOAD_DEPTH: usize = 64;

/// Bytes of one source.
pub(crate) const MAX_SOURCE_BYTES: usize = 4 << 20;
