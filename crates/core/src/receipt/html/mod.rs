//! The receipt as one self-contained HTML file: readable, printable, without a script or anything from elsewhere.
//!
//! Owns the page and its picture of the run. Never adds to what the statement says: the page is a pure function of the
//! statement and its signed envelope, so that a verifier can render it again and compare.

mod beside;
mod page;

mod sections;
mod steps;

mod scale;
mod spans;
mod timeline;
mod tree;

mod markup;

pub use page::{FORM, html};
pub(super) use page::{OPENS_WITH, envelope_in, form_of};
