//! Receipts made to deceive or to harm: each is found out, none makes verification panic or run away.

use super::envelope::{Envelope, PAYLOAD_TYPE, Signature};
use super::limits::{MAX_ENVELOPE_BYTES, MAX_SIGNATURES};
use super::*;
use crate::event::{Event, Finish};
use crate::fixture::*;
use crate::record::{Moment, Sealed};
use crate::scope::ScopeKind;
use proptest::prelude::*;
use serde_json::Value as Json;

fn small() -> Log {
    let mut log = Log::new();
    log.done("a").finish(Finish::Succeeded);
    log
}

fn payload(log: &Log) -> Vec<u8> {
    Statement::from_journal(&log.sealed).unwrap().to_json().unwrap()
}

#[test]
fn one_changed_byte_anywhere_makes_a_receipt_invalid() {
    let bytes = receipt(&small());
    assert!(verify(&bytes, None).is_valid());
    let frame = bytes.windows(15).position(|part| part == b"\",\"payloadType\"").unwrap();
    let payload = 12..frame;
    // All of the frame and a part of the payload, each byte in a way of its own: bits, case, spacing, what JSON or
    // base64 might overlook.
    for (index, original) in bytes.iter().enumerate().filter(|(index, _)| !payload.contains(index) || index % 31 == 0) {
        let change = [original ^ 1, original ^ 0x20, b' ', original.wrapping_add(1), b'\n'][index % 5];
        let change = if change == *original { original ^ 0x80 } else { change };
        let mut changed = bytes.clone();
        changed[index] = change;
        assert!(!verify(&changed, None).is_valid(), "byte {index}: {original:#x} to {change:#x}");
    }
}

#[test]
fn one_removed_or_added_byte_makes_a_receipt_invalid() {
    let bytes = receipt(&small());
    for index in (0..bytes.len() - 1).step_by(101) {
        let mut shorter = bytes.clone();
        shorter.remove(index);
        assert!(!verify(&shorter, None).is_valid(), "without byte {index}");
        let mut longer = bytes.clone();
        longer.insert(index, b' ');
        assert!(!verify(&longer, None).is_valid(), "a space before byte {index}");
    }
}

#[test]
fn only_the_newline_at_the_end_may_be_lost_in_copying() {
    let bytes = receipt(&small());
    assert!(verify(&bytes[..bytes.len() - 1], None).is_valid());
    for end in (0..bytes.len() - 1).step_by(97).chain([bytes.len() - 2]) {
        assert_eq!(fails_at(&bytes[..end]), Some(Part::Form), "cut after {end}");
    }
    assert_eq!(fails_at(&[bytes.as_slice(), b"\n"].concat()), Some(Part::Form));
}

/// Every place in a JSON text that holds a value, as a path of keys and indexes.
fn leaves(json: &Json, at: &str, all: &mut Vec<String>) {
    match json {
        Json::Object(map) => map.iter().for_each(|(key, value)| leaves(value, &format!("{at}/{key}"), all)),
        Json::Array(items) => items.iter().enumerate().for_each(|(i, item)| leaves(item, &format!("{at}/{i}"), all)),
        _ => all.push(at.to_owned()),
    }
}

fn other(json: &Json) -> Json {
    match json {
        Json::Null => Json::Bool(true),
        Json::Bool(value) => Json::Bool(!value),
        Json::Number(value) => Json::from(value.as_u64().unwrap_or(0).wrapping_add(1)),
        Json::String(text) => Json::String(format!("{text}x")),
        other => other.clone(),
    }
}

#[test]
fn no_claim_can_be_changed_even_by_whoever_signs_it_again() {
    for (log, every) in [(small(), 1), (a_full_life(), 61)] {
        let json: Json = serde_json::from_slice(&payload(&log)).unwrap();
        let mut places = Vec::new();
        leaves(&json, "", &mut places);
        assert!(places.len() > 20 * every, "{}", places.len());
        places.iter().step_by(every).for_each(|place| claim_is_guarded(&json, place));
    }
}

fn claim_is_guarded(json: &Json, place: &str) {
    let mut changed = json.clone();
    let claim = changed.pointer_mut(place).unwrap();
    *claim = other(claim);
    let report = verify(&forged(&serde_json::to_vec(&changed).unwrap()), None);
    assert!(!report.is_valid(), "{place}");
    if !place.starts_with("/predicate/journal") {
        assert!(failures(&report).iter().any(|why| why.contains(place)), "{place}: {:?}", failures(&report));
    }
}

#[test]
fn a_claim_cannot_be_added_removed_repeated_or_reordered() {
    let text = String::from_utf8(payload(&small())).unwrap();
    for changed in [
        text.replacen("{\"_type\"", "{\"more\":1,\"_type\"", 1),
        text.replacen("\"counts\":{", "\"counts\":{\"bonus\":9,", 1),
        text.replacen("\"counts\":{", "\"counts\":{\"steps\":1,", 1),
        text.replacen("\"plan\"", "\"plam\"", 1).replacen("\"undos\":[],", "", 1),
        text.replacen("\"undos\":[],\"emitted\":[]", "\"emitted\":[],\"undos\":[]", 1),
        text.replacen("\"_type\":", "\"_type\": ", 1),
        text.replacen("payments", "paym\\u0065nts", 1),
    ] {
        assert_ne!(changed, text);
        assert_eq!(fails_at(&forged(changed.as_bytes())), Some(Part::Statement), "{changed:.120}");
    }
}

#[test]
fn records_cannot_be_changed_dropped_repeated_or_swapped() {
    let json: Json = serde_json::from_slice(&payload(&a_full_life())).unwrap();
    let forge = |change: &dyn Fn(&mut Vec<Json>)| {
        let mut changed = json.clone();
        change(changed.pointer_mut("/predicate/journal").unwrap().as_array_mut().unwrap());
        fails_at(&forged(&serde_json::to_vec(&changed).unwrap()))
    };
    assert_eq!(forge(&|journal| drop(journal.remove(5))), Some(Part::Chain));
    assert_eq!(forge(&|journal| drop(journal.remove(0))), Some(Part::Chain));
    assert_eq!(forge(&|journal| journal.insert(5, journal[5].clone())), Some(Part::Chain));
    assert_eq!(forge(&|journal| journal.swap(5, 6)), Some(Part::Chain));
    assert_eq!(forge(&|journal| journal[5]["body"] = Json::from("{}")), Some(Part::Chain));
    // The chain of a journal cut at its end holds: what was claimed for the whole does not.
    assert_eq!(forge(&|journal| drop(journal.pop())), Some(Part::Statement));
    assert_eq!(forge(&|journal| journal.clear()), Some(Part::Statement));
}

#[test]
fn a_journal_chained_anew_by_a_forger_needs_a_key_they_do_not_have() {
    let mut log = small();
    log.sealed.truncate(2);
    (log.state, log.now) = (Log::new().state, Log::new().now);
    log.done("something else").finish(Finish::Succeeded);
    let bytes = Statement::from_journal(&log.sealed).unwrap().sign(&SigningKey::from_seed(&[66; 32])).unwrap();
    let report = verify(&bytes, None);
    assert!(report.is_valid() && !report.is_trusted(), "by itself it is consistent, and says by which key");
    assert!(!verify(&bytes, Some(&key().public())).is_valid());
}

#[test]
fn signatures_are_all_checked_and_at_least_one_is_needed() {
    let payload = payload(&small());
    let signed = Envelope::seal(&payload, &key());
    let with = |change: &dyn Fn(&mut Vec<Signature>)| {
        let mut envelope = signed.clone();
        change(&mut envelope.signatures);
        envelope.to_bytes().unwrap()
    };
    assert_eq!(fails_at(&with(&|signatures| signatures.clear())), Some(Part::Signature));
    assert_eq!(fails_at(&with(&|signatures| signatures[0].sig = String::new())), Some(Part::Signature));
    assert_eq!(fails_at(&with(&|signatures| signatures[0].sig.push_str("AAAA"))), Some(Part::Signature));
    assert_eq!(fails_at(&with(&|signatures| signatures[0].keyid = "0".repeat(64))), Some(Part::Signature));
    assert_eq!(fails_at(&with(&|signatures| signatures[0].public_key = Some("A".into()))), Some(Part::Signature));
    let repeat = |n: usize| with(&|signatures| *signatures = vec![signatures[0].clone(); n]);
    assert_eq!(fails_at(&repeat(MAX_SIGNATURES)), None);
    assert_eq!(fails_at(&repeat(MAX_SIGNATURES + 1)), Some(Part::Form));
    // Without the key in the envelope only whoever has it can check.
    let bare = with(&|signatures| signatures[0].public_key = None);
    assert_eq!(fails_at(&bare), Some(Part::Signature));
    assert!(verify(&bare, Some(&key().public())).is_trusted());
}

#[test]
fn a_countersignature_is_told_beside_the_first() {
    let payload = payload(&small());
    let mut envelope = Envelope::seal(&payload, &key());
    let auditor = SigningKey::from_seed(&[9; 32]);
    envelope.signatures.extend(Envelope::seal(&payload, &auditor).signatures);
    let bytes = envelope.to_bytes().unwrap();
    let report = verify(&bytes, Some(&auditor.public()));
    assert!(report.is_valid() && report.is_trusted());
    let signed: Vec<_> = report.signed_by.iter().map(|signed| (signed.key, signed.trusted)).collect();
    assert_eq!(signed, [(key().public(), false), (auditor.public(), true)]);
}

#[test]
fn a_key_of_small_order_signs_nothing() {
    // The neutral point: under lax rules it "signs" every message with an all-zero scalar.
    let mut point = [0u8; 32];
    point[0] = 1;
    let weak = PublicKey::from_bytes(&point).unwrap();
    let mut signature = [0u8; 64];
    signature[0] = 1;
    assert!(!weak.accepts(b"anything", &signature));
}

#[test]
fn another_payload_type_is_no_receipt_even_where_its_signature_holds() {
    let payload = payload(&small());
    let mut envelope = Envelope::seal(&payload, &key());
    envelope.payload_type = "application/json".into();
    assert_eq!(fails_at(&envelope.to_bytes().unwrap()), Some(Part::Form));
    assert!(envelope.payload_type != PAYLOAD_TYPE);
}

#[test]
fn rubbish_of_every_kind_is_refused() {
    let deep = |open: &str| open.repeat(200_000);
    for rubbish in [
        b"".to_vec(),
        b"\0".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        vec![0xff; 1000],
        deep("[").into_bytes(),
        deep("{\"payload\":").into_bytes(),
        br#"{"payload":1,"payloadType":"x","signatures":[]}"#.to_vec(),
        br#"{"payload":"","payloadType":"x","signatures":{}}"#.to_vec(),
        br#"{"payload":"!","payloadType":"x","signatures":[]}"#.to_vec(),
    ] {
        assert_eq!(fails_at(&rubbish), Some(Part::Form));
    }
    for rubbish in [
        b"".to_vec(),
        b"null".to_vec(),
        b"{}".to_vec(),
        vec![0xff; 1000],
        deep("[").into_bytes(),
        deep("{\"predicate\":").into_bytes(),
        br#"{"predicate":{"journal":[1]}}"#.to_vec(),
        br#"{"predicate":{"journal":{}}}"#.to_vec(),
        br#"{"predicate":{"journal":[]},"predicate":{"journal":[]}}"#.to_vec(),
        br#"{"predicate":{"journal":[{"seq":1,"at":{"wall_us":0,"boot_us":0},"fence":0,"body":"x"}]}}"#.to_vec(),
    ] {
        assert_eq!(fails_at(&forged(&rubbish)), Some(Part::Chain), "{:.60}", String::from_utf8_lossy(&rubbish));
    }
}

#[test]
fn what_is_too_large_is_refused_unread() {
    let report = verify(&vec![0; MAX_ENVELOPE_BYTES + 1], None);
    assert_eq!(failures(&report), ["it has 536870913 bytes; a receipt has at most 536870912"]);
}

/// A well-chained journal of these bodies, in a payload that claims nothing else.
fn chained(bodies: &[&str]) -> Vec<u8> {
    let mut previous = crate::Digest::ZERO;
    let mut sealed = Vec::new();
    for (index, body) in bodies.iter().enumerate() {
        let line = Sealed::new(previous, index as u64 + 1, Moment::default(), 0, (*body).to_owned());
        previous = line.hash;
        sealed.push(line);
    }
    forged(format!("{{\"predicate\":{{\"journal\":{}}}}}", serde_json::to_string(&sealed).unwrap()).as_bytes())
}

#[test]
fn well_chained_rubbish_is_refused_where_it_is_read() {
    let deep = format!("{{\"noted\":{}", "[".repeat(100_000));
    for body in ["", "{}", "[]", "\"run_started\"", r#"{"from_the_future":{}}"#, r#"{"noted":{"path":1}}"#, &deep] {
        assert_eq!(fails_at(&chained(&[body])), Some(Part::Chain), "{body:.40}");
    }
    assert_eq!(fails_at(&chained(&[r#"{"noted":{"path":"","markdown":""}}"#])), Some(Part::Statement));
    let start = serde_json::to_string(&Event::RunStarted(Box::new(run_started()))).unwrap();
    let repeated = start.replacen("\"format\":1", "\"format\":1,\"format\":1", 1);
    assert_eq!(fails_at(&chained(&[&repeated])), Some(Part::Chain));
    let newer = start.replacen("\"format\":1", "\"format\":2", 1);
    assert_eq!(fails_at(&chained(&[&newer])), Some(Part::Statement));
}

#[test]
fn an_outcome_nested_too_deep_or_of_another_shape_is_refused_when_it_is_looked_at() {
    for outcome in [format!("{}{}", "[".repeat(5000), "]".repeat(5000)), "null".to_owned(), r#"{"ok":7}"#.to_owned()] {
        let mut log = Log::new();
        let succeeded = log.succeeding("a");
        let body = serde_json::to_string(&Event::StepSucceeded(Box::new(succeeded.clone()))).unwrap();
        let body = body.replacen(succeeded.outcome.json(), &outcome, 1);
        log.sealed.push(Sealed::new(log.state.head, 3, log.now, 1, body));
        assert!(matches!(Statement::from_journal(&log.sealed), Err(ReceiptError::Outcome { seq: 3, .. })));
    }
}

#[test]
fn journals_made_to_take_forever_are_refused_at_once() {
    let unbounded = |log: &Log| matches!(Statement::from_journal(&log.sealed), Err(ReceiptError::Unbounded { .. }));
    let mut deep = Log::new();
    deep.enter(&"a/".repeat(5000), ScopeKind::Phase);
    assert!(unbounded(&deep));
    let mut long = Log::new();
    long.enter(&"a".repeat(100_000), ScopeKind::Phase);
    assert!(unbounded(&long));
    let mut usual = Log::new();
    usual.enter(&"a/".repeat(64), ScopeKind::Phase).enter(&"ä".repeat(10_000), ScopeKind::Phase);
    assert!(!unbounded(&usual));
}

#[test]
fn work_is_bounded_by_what_real_journals_need() {
    let windows = |opened: u64, others: u64| {
        let event = |kind: u64| match kind {
            0 => Event::UndoFinished { scope: path("a") },
            _ => Event::CommitPointPassed { path: path("b") },
        };
        let record = |seq, kind| crate::record::Record {
            seq,
            at: Moment::default(),
            fence: 1,
            event: event(kind),
            hash: crate::Digest::ZERO,
        };
        let mut records: Vec<_> = (0..opened).map(|seq| record(seq, 0)).collect();
        records.extend((0..others).map(|seq| record(seq, 1)));
        limits::check(&records)
    };
    assert_eq!(windows(1000, 10_000), Ok(()));
    // Many events about one path: its attempts would be passed again and again.
    assert!(windows(1000, 100_000).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_journal_says_its_receipt_is_told_verified_and_printed_without_panic(
        drawn in crate::state::tests::any::drawn()
    ) {
        let mut log = Log::new();
        for drawn in drawn {
            log.add(crate::state::tests::any::event(drawn));
        }
        let report = verify(&receipt(&log), None);
        // Only the rules may find fault: the rest is told by the same functions.
        for check in &report.checks {
            prop_assert!(check.part == Part::Rules || matches!(check.finding, Finding::Holds(_)), "{:?}", check);
        }
        let statement = report.statement.unwrap();
        prop_assert!(!markdown(&statement).is_empty());
        let page = html(&statement, &statement.seal(&key()).unwrap()).unwrap();
        prop_assert!(page.ends_with("</html>\n"));
    }

    #[test]
    fn random_bytes_in_an_envelope_never_verify(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!verify(&payload, None).is_valid());
        prop_assert!(!verify(&forged(&payload), None).is_valid());
    }
}
