//! Journals that nobody's engine wrote: as bytes, and as events chained as if one had.
//!
//! Owns what must hold of each: it is read or refused, folded and told without a panic, and the receipt of a journal that
//! can be told says what the journal says, whatever rules the journal breaks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use piton_core::decide::{check_decision, decide};
use piton_core::event::Event;
use piton_core::hold::Choice;
use piton_core::receipt::envelope::{Envelope, PAYLOAD_TYPE};
use piton_core::receipt::{Finding, Part, Statement, markdown, verify};
use piton_core::record::{Chain, Moment, Sealed, open_all};
use piton_core::scope::Scope;
use piton_core::undo::undo_plan;
use piton_core::{Digest, Path, RunState};

/// Records of one journal; more only take longer.
const MAX_RECORDS: usize = 400;

/// Bytes as a list of stored records; and each line as the body of a record, chained to the one before.
pub fn journal(bytes: &[u8]) {
    if let Ok(records) = serde_json::from_slice::<Vec<Sealed>>(bytes) {
        let opened = open_all(&records).map(|records| records.len());
        assert!(opened.is_err() || opened.is_ok_and(|count| count == records.len()));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let bodies = text.lines().filter(|line| serde_json::from_str::<Event>(line).is_ok());
    let records = chained(bodies.take(MAX_RECORDS));
    let state = fold(&records);
    ask(&state);
    tell(&records);
}

/// Each fourth record begins another life of the engine, so that leases and clocks move.
fn chained<'a>(bodies: impl Iterator<Item = &'a str>) -> Vec<Sealed> {
    let mut head = Digest::ZERO;
    let mut records = Vec::new();
    for (seq, body) in (1u64..).zip(bodies) {
        let at = Moment { wall_us: 1_700_000_000_000_000 + seq.cast_signed() * 1000, boot_us: seq * 1000 };
        let sealed = Sealed::new(head, seq, at, 1 + seq / 4, body.to_owned());
        head = sealed.hash;
        records.push(sealed);
    }
    records
}

/// As an engine folds them that resumes the run.
fn fold(records: &[Sealed]) -> RunState {
    let mut chain = Chain::default();
    let mut state = RunState::default();
    for sealed in records {
        let record = chain.open(sealed).expect("it is chained, and its body is an event");
        state.apply(&record);
    }
    let known = |is: fn(&piton_core::state::Step) -> bool| state.steps.values().filter(|step| is(step)).count() as u64;
    assert_eq!(state.done_steps, known(piton_core::state::Step::is_done));
    assert_eq!(state.held_steps, known(piton_core::state::Step::is_held));
    assert_eq!(state.running_steps, known(piton_core::state::Step::is_running));
    assert_eq!(state.waiting_steps, known(piton_core::state::Step::is_waiting));
    state
}

/// Everything that an engine asks such a state.
fn ask(state: &RunState) {
    let root = Scope::run();
    let _ = (state.status(), undo_plan(state, &Path::root()), state.open_window(), state.steps_in_order());
    for (path, step) in &state.steps {
        let _ = decide(state, &root, path, step.fingerprint);
        let _ = decide(state, &root, path, Digest::ZERO);
        let _ = check_decision(state, path, &Choice::Retry);
    }
    for window in state.windows.values() {
        let _ = (window.until_going_back_us(state.at, &window.boot_id), window.elapsed_us(state.at, ""));
    }
}

/// Its receipt, as a verifier reads it.
fn tell(records: &[Sealed]) {
    let Ok(statement) = Statement::from_journal(records) else { return };
    let _ = markdown(&statement);
    let Ok(payload) = statement.to_json() else { return };
    let envelope =
        Envelope { payload: STANDARD.encode(payload), payload_type: PAYLOAD_TYPE.to_owned(), signatures: vec![] };
    let Ok(bytes) = envelope.to_bytes() else { return };
    let report = verify(&bytes, None);
    for check in &report.checks {
        let must = matches!(check.part, Part::Form | Part::Chain | Part::Statement);
        assert!(!must || matches!(check.finding, Finding::Holds(_)), "{report}");
    }
}
