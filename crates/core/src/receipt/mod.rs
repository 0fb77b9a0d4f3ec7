//! Receipts: the signed statement of a run, and its verification by someone who trusts nobody here.
//!
//! Owns the statement (an in-toto Statement v1 whose predicate is a pure function of the journal and carries the whole
//! journal), its envelope (DSSE v1, ed25519), what a verifier checks, and the pages for people (Markdown,
//! and HTML that carries the receipt it shows).
//! Never reads a clock, a file or a key store: the journal and the seed of the key are handed in.

mod beside_told;
pub mod envelope;
mod html;
pub mod key;
pub mod markdown;
pub mod statement;
mod tell;
pub mod time;
mod undo_told;

mod compare;
mod limits;
mod rules;
mod rules_beside;
mod rules_undo;
pub mod verify;
mod verify_page;

pub use html::{FORM as PAGE_FORM, html};
pub use key::{PublicKey, SigningKey};
pub use markdown::markdown;
pub use statement::{PREDICATE_TYPE, ReceiptError, Statement};
pub use verify::{Check, Finding, Part, Report, SignedBy, verify};
pub use verify_page::{is_page, verify_page};

#[cfg(test)]
mod tests;
