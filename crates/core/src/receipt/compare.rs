//! Where a claimed statement differs from what its journal says.
//!
//! Owns the search for differences, for the report. Whether they are equal is decided on bytes, in `verify`.

use serde_json::Value as Json;

/// Differences told; more only repeat.
const MAX_TOLD: usize = 8;

/// One sentence for each difference, at most `MAX_TOLD`.
pub(super) fn differences(claimed: &[u8], computed: &[u8]) -> Vec<String> {
    let (Ok(claimed), Ok(computed)) = (serde_json::from_slice(claimed), serde_json::from_slice(computed)) else {
        return vec!["the statement is not JSON".to_owned()];
    };
    let mut told = Vec::new();
    compare("", &claimed, &computed, &mut told);
    if told.is_empty() {
        told.push(
            "the statement is written otherwise than Piton writes it: spacing, order or repeated keys".to_owned(),
        );
    }
    told
}

fn compare(place: &str, claimed: &Json, computed: &Json, told: &mut Vec<String>) {
    if told.len() >= MAX_TOLD || claimed == computed {
        return;
    }
    match (claimed, computed) {
        (Json::Object(claims), Json::Object(facts)) => {
            for (key, claim) in claims {
                compare(&format!("{place}/{key}"), claim, facts.get(key).unwrap_or(&Json::Null), told);
            }
            for (key, fact) in facts.iter().filter(|(key, _)| !claims.contains_key(*key)) {
                compare(&format!("{place}/{key}"), &Json::Null, fact, told);
            }
        }
        (Json::Array(claims), Json::Array(facts)) => {
            for index in 0..claims.len().max(facts.len()) {
                if told.len() >= MAX_TOLD {
                    return;
                }
                let at = |list: &[Json]| list.get(index).cloned().unwrap_or(Json::Null);
                compare(&format!("{place}/{index}"), &at(claims), &at(facts), told);
            }
        }
        (claim, fact) => told.push(format!(
            "the receipt says {} at {}, its journal says {}",
            clip(&claim.to_string()),
            clip(place),
            clip(&fact.to_string())
        )),
    }
}

/// A stranger's text in our sentence: short, on one line, without control characters.
pub(super) fn clip(text: &str) -> String {
    const MAX_CHARS: usize = 160;
    let mut line: String =
        text.chars().take(MAX_CHARS).map(|c| if super::markdown::is_unprintable(c) { '�' } else { c }).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        line.push('…');
    }
    line
}
