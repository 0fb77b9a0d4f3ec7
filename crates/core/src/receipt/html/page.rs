//! The page as a whole: its head, what comes first, how to verify it, and the receipt it carries.
//!
//! Owns the order of the page and its form's number. A change to what is rendered for an old statement makes pages that
//! people hold unverifiable: it takes a new `FORM`, and a recorded page in the tests tells when it happens unnoticed.

use super::super::envelope::Envelope;
use super::super::limits::MAX_ENVELOPE_BYTES;
use super::super::markdown::counts;
use super::super::statement::*;
use super::super::time::human;
use super::markup::{Markup, code, words};
use super::spans::Spans;
use super::timeline::{moment, timeline};
use super::tree::Tree;
use super::{beside, sections, steps};
use crate::digest::Digest;
use crate::event::{Attach, Finish, UndoReason};
use crate::value::Value;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Which rendering this is; it stands in the page.
pub const FORM: u64 = 1;
/// How every page begins.
pub(in super::super) const OPENS_WITH: &str = "<!doctype html>\n";
const FORM_OPENS: &str = "<meta name=\"generator\" content=\"Piton receipt page ";
const ENVELOPE_OPENS: &str = "<pre id=\"envelope\">\n";
const STYLE: &str = include_str!("style.css");

/// The page of a statement and the envelope that signs it.
pub fn html(statement: &Statement, envelope: &Envelope) -> Result<String, ReceiptError> {
    let told = &statement.predicate;
    let (tree, spans) = (Tree::of(told), Spans::of(told));
    let mut page = Markup::new();
    head(&mut page, told);
    page.raw("<body>\n<main>\n");
    summary(&mut page, told);
    attention(&mut page, told);
    sections::given(&mut page, told);
    if !told.steps.is_empty() {
        timeline(&mut page, told, &tree, &spans);
    }
    sections::windows(&mut page, told);
    beside::tables(&mut page, told);
    sections::people(&mut page, told);
    sections::holds(&mut page, told);
    sections::undos(&mut page, told);
    steps::steps(&mut page, told, &tree, &spans);
    sections::values(&mut page, told);
    engines(&mut page, told);
    verification(&mut page, told, envelope);
    carried(&mut page, told, envelope)?;
    page.raw("</main>\n</body>\n</html>\n");
    Ok(page.into_string())
}

/// The line of the page that is the signed receipt.
pub(in super::super) fn envelope_in(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once(ENVELOPE_OPENS)?;
    rest.split('\n').next()
}

/// Which form the page says that it has.
pub(in super::super) fn form_of(page: &str) -> Option<u64> {
    let (_, rest) = page.split_once(FORM_OPENS)?;
    rest.split('"').next()?.parse().ok()
}

fn head(page: &mut Markup, told: &Predicate) {
    let style = STANDARD.encode(Digest::of_bytes(STYLE.as_bytes()).as_bytes());
    page.raw(OPENS_WITH).raw("<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-");
    page.text(&style).raw("'; base-uri 'none'; form-action 'none'\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw("<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n");
    page.raw(FORM_OPENS).number(FORM).raw("\">\n<title>Receipt of run ").text(told.run.id.as_str()).raw(": ");
    page.clipped(&told.run.title, 200).raw("</title>\n<style>").raw(STYLE).raw("</style>\n</head>\n");
}

fn status(told: &Predicate) -> (&'static str, &'static str) {
    match told.run.finished {
        Some(Finish::Succeeded) => ("good", "succeeded"),
        Some(Finish::Aborted) => ("bad", "aborted: what was done stays"),
        Some(Finish::Undone) => ("warn", "undone: everything that could be taken back was"),
        None => ("bad", "not finished"),
    }
}

fn summary(page: &mut Markup, told: &Predicate) {
    let run = &told.run;
    let (mood, word) = status(told);
    page.raw("<header>\n<p class=\"kind\">Receipt of run <code>").text(run.id.as_str()).raw("</code></p>\n<h1>");
    page.clipped(&run.title, 300).raw("</h1>\n<p><span class=\"how ").raw(mood).raw("\">").raw(word);
    if run.finished.is_none() {
        page.raw(": ").raw(run.status);
    }
    page.raw("</span></p>\n</header>\n<dl>\n");
    let mut fact = |name: &'static str, write: &dyn Fn(&mut Markup)| {
        page.raw("<div><dt>").raw(name).raw("</dt><dd>");
        write(page);
        page.raw("</dd></div>\n");
    };
    if let Some(parent) = &run.parent {
        fact("Part of", &|page| {
            page.raw("run ").code(parent.run.as_str()).raw(", its step ").code(parent.path.as_str());
        });
    }
    fact("Started by", &|page| {
        page.code(&told.started_by.to_string());
    });
    let took = u64::try_from(i128::from(run.last_at.0) - i128::from(run.started_at.0)).unwrap_or(0);
    fact("When", &|page| {
        page.text(&moment(run.started_at)).raw(" UTC to ").text(&moment(run.last_at)).raw(" UTC, ");
        page.text(&human(took));
    });
    fact("Runbook", &|page| {
        page.code(&told.runbook.file).raw(", digest ").code(&told.runbook.digest.short());
    });
    if let Some(plan) = &told.plan {
        fact("Plan", &|page| {
            page.raw("bound to the approved plan ").code(&plan.to_string());
        });
    }
    fact("Steps", &|page| {
        page.words(&counts(&told.counts));
    });
    if let Some(value) = run.value.as_ref().filter(|value| **value != Value::None) {
        fact("Result", &|page| {
            page.code(&value.to_string());
        });
    }
    fact("Driven by", &|page| {
        page.raw("Piton ").code(&run.piton).raw(", ");
        match (told.engines.len(), told.counts.take_overs) {
            (1, 0) => {
                page.raw("one engine without interruption");
            }
            (lives, 0) => {
                page.number(lives as u64).raw(" lives of an engine");
            }
            (lives, taken) => {
                page.number(lives as u64).raw(" lives of an engine, ").number(taken);
                page.raw(" of them a watchdog that took over");
            }
        }
    });
    fact("Journal", &|page| {
        page.number(told.chain.records).raw(" records, chain head ").code(&told.chain.head.to_string());
    });
    page.raw("</dl>\n");
}

/// What an auditor looks for first: where the run did not simply go as written.
fn attention(page: &mut Markup, told: &Predicate) {
    let mut items: Vec<Markup> = Vec::new();
    if let Some(rehearsal) = &told.run.rehearsal {
        let mut item = Markup::new();
        item.raw("A rehearsal (").code(&rehearsal.to_string()).raw(") on stand-in systems, says who started it.");
        items.push(item);
    }
    if told.run.finished.is_none() {
        items.push(words("The run has not ended: this is how it stood at its last record."));
    }
    items.extend(told.people.iter().filter_map(decided));
    items.extend(beside::attention(told));
    items.extend(told.undos.iter().map(undone));
    for window in told.windows.iter().filter(|window| window.within_budget == Some(false)) {
        let mut item = Markup::new();
        item.raw("<strong>Over budget</strong>: the window ").code(window.path.as_str());
        items.push(item);
    }
    let mut count = |what: &'static str, number: u64| {
        if number > 0 {
            let mut item = Markup::new();
            item.raw(what).raw(": ").number(number);
            items.push(item);
        }
    };
    count("Failures that the runbook caught", told.caught.iter().map(|caught| caught.failures.len() as u64).sum());
    let others = told.engines.iter().filter(|engine| engine.reason == Attach::Resumed).count();
    count("Engines that ended before the run did, so that another went on", others as u64);
    count("Engines that died in an open window, whose watchdog took over", told.counts.take_overs);
    page.raw(if items.is_empty() { "<section class=\"attention none\">" } else { "<section class=\"attention\">" });
    page.raw("<h2 id=\"attention\">Out of the ordinary</h2>\n");
    if items.is_empty() {
        page.raw("<p>Nothing: no step was waived or taken back, no window went over its budget.</p></section>\n");
        return;
    }
    page.raw("<ul>\n");
    for item in &items {
        page.raw("<li>").push(item).raw("</li>\n");
    }
    page.raw("</ul></section>\n");
}

/// A decision that changed what the run did, beside what the runbook says.
fn decided(person: &PersonTold) -> Option<Markup> {
    let name = match person.did {
        Did::ChoseWaive => "Waived",
        Did::ChoseDepart => "Departed from the plan",
        Did::ChoseDone => "Taken as done on a person's word",
        Did::ChoseNotDone => "Taken as not done on a person's word",
        Did::ChoseKeep => "Kept although the runbook now asks for something else",
        Did::Rejected => "Rejected",
        Did::AskedAbort => "Aborted",
        _ => return None,
    };
    let mut item = Markup::new();
    item.raw("<strong>").raw(name).raw("</strong>: ");
    match &person.path {
        Some(path) => item.code(path.as_str()),
        None => item.raw("the run"),
    };
    item.raw(", by ").code(&person.who.to_string());
    if let Some(why) = &person.why {
        item.raw(": ").code(why);
    }
    Some(item)
}

fn undone(undo: &UndoTold) -> Markup {
    let mut item = Markup::new();
    item.raw("<strong>Taken back</strong>: ");
    match undo.scope.is_root() {
        true => item.raw("the whole run"),
        false => item.code(undo.scope.as_str()),
    };
    match &undo.reason {
        UndoReason::Asked { decision } => item.raw(", asked by ").code(&decision.by.to_string()),
        UndoReason::Window { why, .. } => item.raw(", by its window itself: ").code(why),
        UndoReason::Guard { guard, why } => item.raw(", by its guard ").code(guard.as_str()).raw(": ").code(why),
        UndoReason::Redo { decision, .. } => item.raw(", to be redone, asked by ").code(&decision.by.to_string()),
    };
    let left = undo.steps.iter().filter(|step| !step.undone).count();
    if left > 0 {
        item.raw("; <strong>").number(left as u64).raw(" not taken back</strong>");
    }
    if undo.finished_at.is_none() {
        item.raw("; <strong>not finished</strong>");
    }
    item
}

fn engines(page: &mut Markup, told: &Predicate) {
    page.heading("engines", "Engines");
    let row = |engine: &EngineTold| {
        let reason = match engine.reason {
            Attach::Started => "started it",
            Attach::Resumed => "went on with it",
            Attach::TookOver => "took over an open window",
        };
        let mut process = Markup::new();
        process.raw("process ").number(u64::from(engine.pid)).raw(" on ").code(&engine.host);
        let by = engine.by.as_ref().map(ToString::to_string).unwrap_or_default();
        let piton = engine.piton.as_deref().unwrap_or_default();
        let mut why = Markup::new();
        why.raw(reason);
        vec![words(&moment(engine.at)), why, process, code(&by), code(piton)]
    };
    let rows: Vec<_> = told.engines.iter().map(row).collect();
    page.table(&["When (UTC)", "Did", "Which", "Told by", "Piton"], &rows);
}

fn verification(page: &mut Markup, told: &Predicate, envelope: &Envelope) {
    page.heading("verification", "Verification");
    page.raw("<p>This page carries the signed receipt that it shows. <code>piton verify FILE --key PUBLIC_KEY</code> ");
    page.raw(
        "checks offline, without trusting anyone here: the signature, the hash chain from the first record to the ",
    );
    page.raw("last, that everything told follows from these records, that they keep the engine's rules, and that ");
    page.raw(
        "<strong>this page is, byte for byte, what the receipt says</strong>. A browser does not check any of it, ",
    );
    page.raw("and may change the file when it saves it: keep the original.</p>\n<dl class=\"proof\">\n");
    let mut fact = |name: &'static str, text: &str| {
        page.raw("<div><dt>").raw(name).raw("</dt><dd><code>").text(text).raw("</code></dd></div>\n");
    };
    fact("Chain head", &told.chain.head.to_string());
    fact("Records", &told.chain.records.to_string());
    for signature in &envelope.signatures {
        fact("Signed with the key", &signature.keyid);
    }
    fact("Runbook", &told.runbook.digest.to_string());
    fact("Record's hash", told.chain.rule);
    page.raw("</dl>\n");
    let rows: Vec<_> = (told.runbook.sources.iter())
        .map(|source| vec![code(&source.path), code(&source.digest.to_string())])
        .collect();
    page.table(&["Source", "Digest"], &rows);
}

/// The receipt itself, on a line of its own.
fn carried(page: &mut Markup, told: &Predicate, envelope: &Envelope) -> Result<(), ReceiptError> {
    let bytes = envelope.to_bytes()?;
    let limit = MAX_ENVELOPE_BYTES;
    if bytes.len() > limit {
        return Err(ReceiptError::TooLarge { bytes: bytes.len(), limit });
    }
    let line = String::from_utf8_lossy(&bytes);
    page.raw("<details class=\"carried\"><summary>The signed receipt: a DSSE envelope of ");
    page.number(bytes.len() as u64).raw(" bytes, as <code>piton receipt ").text(told.run.id.as_str());
    page.raw("</code> writes it</summary>\n").raw(ENVELOPE_OPENS).line(line.trim_end_matches('\n'));
    page.raw("\n</pre></details>\n");
    Ok(())
}
