//! Verification of a receipt's page: the receipt that it carries, and that it shows nothing else.
//!
//! Owns comparing the page with what this version renders from the verified statement, byte for byte. Never reads
//! HTML: what a browser would make of changed bytes does not matter, since one changed byte is enough.

use super::compare::clip;
use super::envelope::Envelope;
use super::html::{self, FORM, OPENS_WITH};
use super::key::PublicKey;
use super::verify::{Finding, Report, verify};

/// The bytes claim to be a page, not an envelope.
pub fn is_page(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    let begins = |tag: &[u8]| start.get(..tag.len()).is_some_and(|head| head.eq_ignore_ascii_case(tag));
    [b"<!doctype".as_slice(), b"<html", b"<!--", b"\xef\xbb\xbf<"].into_iter().any(begins)
}

/// Checks the receipt in a page offline, as `verify` does, and then the page itself.
pub fn verify_page(bytes: &[u8], trusted: Option<&PublicKey>) -> Report {
    let text = std::str::from_utf8(bytes).ok();
    let carried = text.and_then(html::envelope_in);
    let (Some(page), Some(line)) = (text, carried) else {
        return Report::of_no_receipt("it is an HTML page that carries no receipt");
    };
    let report = verify(line.as_bytes(), trusted);
    let finding = match &report.statement {
        Some(statement) if report.is_valid() => match Envelope::read(line.as_bytes()) {
            Ok(envelope) => compare(page, html::html(statement, &envelope).ok()),
            Err(_) => Finding::NotChecked,
        },
        // What a receipt says that is not valid does not matter.
        _ => Finding::NotChecked,
    };
    report.with_page(finding)
}

fn compare(page: &str, rendered: Option<String>) -> Finding {
    let fails = |why: String| Finding::Fails(vec![why]);
    let Some(rendered) = rendered else { return fails("no page can be made of its receipt".to_owned()) };
    if page == rendered {
        return Finding::Holds(format!("byte for byte what its receipt says, in form {FORM}"));
    }
    match html::form_of(page) {
        Some(form) if form != FORM && page.starts_with(OPENS_WITH) => {
            return fails(format!(
                "it is a page of form {form}, and this version of Piton renders form {FORM}: the receipt that it \
                 carries is sound, and whether the page shows what it says, only the version that wrote it can tell"
            ));
        }
        _ => {}
    }
    let number = (page.split('\n').zip(rendered.split('\n'))).position(|(shown, says)| shown != says);
    let Some(number) = number else {
        return fails("the page was cut, or something was added at its end".to_owned());
    };
    let line = |text: &str| differing(text, number, page, &rendered);
    fails(format!(
        "the page was changed: line {} shows \"{}\", where its receipt says \"{}\"",
        number + 1,
        line(page),
        line(&rendered)
    ))
}

/// The text's line from shortly before where the two pages begin to differ.
fn differing(text: &str, number: usize, page: &str, rendered: &str) -> String {
    /// Characters of what both have in common that are told.
    const BEFORE: usize = 24;
    let line = |text: &'_ str| text.split('\n').nth(number).unwrap_or_default().to_owned();
    let same = line(page).chars().zip(line(rendered).chars()).take_while(|(a, b)| a == b).count();
    clip(&line(text).chars().skip(same.saturating_sub(BEFORE)).take(80).collect::<String>())
}
