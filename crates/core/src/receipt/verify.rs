//! Verification: what can be checked of a receipt with nothing but its bytes and, where there is one, a trusted key.
//!
//! Owns the order of the checks and the report. Never panics and never trusts: sizes are bounded, everything claimed is
//! computed again from the journal that the receipt carries.
//! Never proves more than it says: a signature by the key that the receipt itself carries shows that nothing changed
//! since, not who signed.

use super::compare::{clip, differences};
use super::envelope::{Envelope, PAYLOAD_TYPE, Signature, pae};
use super::key::PublicKey;
use super::statement::{ReceiptError, Statement};
use crate::record::Sealed;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::fmt;

/// What is checked, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It is an envelope as Piton writes them.
    Form,
    Signature,
    /// Every record follows from the one before it, from the first to the head.
    Chain,
    /// What the receipt says is what its journal says.
    Statement,
    /// What the journal says can have happened.
    Rules,
    /// A page shows what the receipt that it carries says, and nothing else.
    Page,
}

impl Part {
    /// Of every receipt; a page has one more.
    pub const ALL: [Self; 5] = [Self::Form, Self::Signature, Self::Chain, Self::Statement, Self::Rules];

    pub fn word(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Signature => "signature",
            Self::Chain => "chain",
            Self::Statement => "statement",
            Self::Rules => "rules",
            Self::Page => "page",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// What was checked.
    Holds(String),
    /// One sentence for each failure.
    Fails(Vec<String>),
    /// An earlier failure left nothing to check.
    NotChecked,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub part: Part,
    pub finding: Finding,
}

/// A key whose signature holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedBy {
    pub key: PublicKey,
    /// It is the key that the verifier trusts, not merely the one that the receipt carries.
    pub trusted: bool,
}

#[derive(Debug)]
pub struct Report {
    pub checks: Vec<Check>,
    pub signed_by: Vec<SignedBy>,
    /// Computed from the journal that the receipt carries; present where its chain holds.
    pub statement: Option<Statement>,
}

impl Report {
    pub fn is_valid(&self) -> bool {
        self.checks.len() >= Part::ALL.len()
            && self.checks.iter().all(|check| matches!(check.finding, Finding::Holds(_)))
    }

    /// Signed by the key that the verifier trusts.
    pub fn is_trusted(&self) -> bool {
        self.signed_by.iter().any(|signed| signed.trusted)
    }

    pub fn failures(&self) -> impl Iterator<Item = &str> {
        self.checks.iter().flat_map(|check| match &check.finding {
            Finding::Fails(failures) => failures.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        })
    }

    fn add(&mut self, part: Part, finding: Finding) {
        self.checks.push(Check { part, finding });
    }

    /// Of a page without a receipt in it.
    pub(super) fn of_no_receipt(why: &str) -> Self {
        let mut report = Self { checks: Vec::new(), signed_by: Vec::new(), statement: None };
        report.add(Part::Form, Finding::Fails(vec![why.to_owned()]));
        report.skip_rest().with_page(Finding::NotChecked)
    }

    /// The receipt was found in a page, of which this was found.
    pub(super) fn with_page(mut self, finding: Finding) -> Self {
        self.add(Part::Page, finding);
        self
    }

    fn skip_rest(mut self) -> Self {
        for part in Part::ALL.into_iter().skip(self.checks.len()) {
            self.add(part, Finding::NotChecked);
        }
        self
    }
}

impl fmt::Display for Report {
    /// One line for each check and failure, and the verdict.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            match &check.finding {
                Finding::Holds(what) => writeln!(f, "✓ {:<10} {what}", check.part.word())?,
                Finding::Fails(failures) => {
                    for failure in failures {
                        writeln!(f, "✗ {:<10} {failure}", check.part.word())?;
                    }
                }
                Finding::NotChecked => writeln!(f, "· {:<10} not checked", check.part.word())?,
            }
        }
        match (self.is_valid(), self.is_trusted()) {
            (true, true) => write!(f, "valid, signed by the trusted key"),
            (true, false) => write!(f, "valid, signed by the key it carries: give a trusted key to know whose it is"),
            (false, _) => write!(f, "invalid"),
        }
    }
}

/// Checks a receipt offline. With a trusted key, one signature must be by it.
pub fn verify(bytes: &[u8], trusted: Option<&PublicKey>) -> Report {
    let mut report = Report { checks: Vec::new(), signed_by: Vec::new(), statement: None };
    let opened = Envelope::read(bytes).and_then(|envelope| envelope.open().map(|payload| (envelope, payload)));
    let (envelope, payload) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            report.add(Part::Form, Finding::Fails(vec![clip(&error.to_string())]));
            return report.skip_rest();
        }
    };
    if envelope.payload_type == PAYLOAD_TYPE {
        let text = format!("a DSSE envelope of {} bytes with an in-toto statement", bytes.len());
        report.add(Part::Form, Finding::Holds(text));
    } else {
        let why = format!("its payload is a \"{}\", not an in-toto statement", clip(&envelope.payload_type));
        report.add(Part::Form, Finding::Fails(vec![why]));
    }
    let finding = signatures(&envelope, &payload, trusted, &mut report.signed_by);
    report.add(Part::Signature, finding);
    journal(&payload, report)
}

fn signatures(
    envelope: &Envelope,
    payload: &[u8],
    trusted: Option<&PublicKey>,
    signed_by: &mut Vec<SignedBy>,
) -> Finding {
    let message = pae(&envelope.payload_type, payload);
    let mut failures = Vec::new();
    if envelope.signatures.is_empty() {
        failures.push("nobody signed it".to_owned());
    }
    for signature in &envelope.signatures {
        match signer(signature, &message, trusted) {
            Ok(signed) => signed_by.push(signed),
            Err(why) => failures.push(why),
        }
    }
    let by_trusted = signed_by.iter().any(|signed| signed.trusted);
    if let (Some(key), false) = (trusted, by_trusted) {
        failures.push(format!("it is not signed by the trusted key {key}"));
    }
    if !failures.is_empty() {
        return Finding::Fails(failures);
    }
    let keys: Vec<String> = (signed_by.iter())
        .map(|signed| format!("{} ({})", signed.key, if signed.trusted { "trusted" } else { "carried by the receipt" }))
        .collect();
    Finding::Holds(format!("ed25519, key {}", keys.join(", ")))
}

fn signer(signature: &Signature, message: &[u8], trusted: Option<&PublicKey>) -> Result<SignedBy, String> {
    let keyid = clip(&signature.keyid);
    let carried = signature.public_key.as_deref().map(PublicKey::parse).transpose();
    let carried = carried.map_err(|_| format!("the key that the receipt carries for {keyid} is not an ed25519 key"))?;
    let trusted = trusted.filter(|key| key.id() == signature.keyid);
    let Some(key) = trusted.copied().or(carried) else {
        return Err(format!("the receipt does not carry the key {keyid}, and it is not the trusted one"));
    };
    if key.id() != signature.keyid || carried.is_some_and(|carried| carried != key) {
        return Err(format!("the key that the receipt carries is not the key {keyid} that it names"));
    }
    let bytes: Option<[u8; 64]> = STANDARD.decode(&signature.sig).ok().and_then(|bytes| bytes.try_into().ok());
    match bytes {
        Some(bytes) if key.accepts(message, &bytes) => Ok(SignedBy { key, trusted: trusted.is_some() }),
        _ => Err(format!("the signature by the key {key} does not fit what is signed: one of them was changed")),
    }
}

/// Of a claimed statement only the journal is read; the rest is computed anew and compared.
#[derive(Deserialize)]
struct Claimed {
    predicate: ClaimedPredicate,
}

#[derive(Deserialize)]
struct ClaimedPredicate {
    journal: Vec<Sealed>,
}

fn journal(payload: &[u8], mut report: Report) -> Report {
    let fails = |why: String| Finding::Fails(vec![why]);
    let claimed: Claimed = match serde_json::from_slice(payload) {
        Ok(claimed) => claimed,
        Err(error) => {
            report.add(Part::Chain, fails(clip(&format!("the receipt carries no journal: {error}"))));
            return report.skip_rest();
        }
    };
    let sealed = claimed.predicate.journal;
    let records = match crate::record::open_all(&sealed) {
        Ok(records) => records,
        Err(error) => {
            report.add(Part::Chain, fails(clip(&error.to_string())));
            return report.skip_rest();
        }
    };
    let head = records.last().map(|record| record.hash).unwrap_or_default();
    let text = format!("{} records, from the first to the head {}", records.len(), head.short());
    report.add(Part::Chain, Finding::Holds(text));

    let told = super::limits::check(&records)
        .map_err(|why| ReceiptError::Unbounded { why })
        .and_then(|()| super::tell::tell(&records, &sealed))
        .and_then(|statement| statement.to_json().map(|json| (statement, json)));
    let (statement, json) = match told {
        Ok(told) => told,
        Err(error) => {
            report.add(Part::Statement, fails(clip(&error.to_string())));
            return report.skip_rest();
        }
    };
    report.add(
        Part::Statement,
        if json == payload {
            let counts = &statement.predicate.counts;
            Finding::Holds(format!("{} steps, {} done, told as the journal says", counts.steps, counts.done))
        } else {
            Finding::Fails(differences(payload, &json))
        },
    );
    report.statement = Some(statement);
    let broken = super::rules::broken(&records);
    report.add(
        Part::Rules,
        if broken.is_empty() {
            Finding::Holds(super::rules::HELD.to_owned())
        } else {
            Finding::Fails(broken.into_iter().map(|why| clip(&why)).collect())
        },
    );
    report
}
