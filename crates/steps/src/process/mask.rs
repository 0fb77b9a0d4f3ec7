//! Replaces secrets in a stream of bytes by `«secret NAME»`, wherever the stream happens to be cut into reads.
//!
//! Owns the forms a secret shows itself in (raw, base64 at every alignment, URL-encoded, JSON-escaped) and the search.
//! Never opens a secret: whoever masks hands the values in. Never finds a secret that was transformed in another way
//! (hashed, hex, base64 broken into lines).

use aho_corasick::{AhoCorasick, Input, MatchKind};
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Forms shorter than this would mask ordinary text. Values under 6 bytes are refused before they get here.
const MIN_PATTERN_BYTES: usize = 4;

/// One byte string that must not be seen, and the name to say instead.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pattern {
    pub name: String,
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Pattern {
    /// Without the bytes: they are the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({}, {} bytes)", self.name, self.bytes.len())
    }
}

/// Every form in which the value of the secret `name` may show itself.
pub fn forms(name: &str, value: &[u8]) -> Vec<Pattern> {
    let mut all = vec![value.to_vec()];
    let text = String::from_utf8_lossy(value);
    if let Ok(json) = serde_json::to_string(&text) {
        all.push(json.as_bytes()[1..json.len() - 1].to_vec());
    }
    for (unreserved, plus) in [("-._~", false), ("-._~!*'()", false), ("*-._", true), ("-._~/", false)] {
        for upper in [true, false] {
            all.push(url_encoded(value, unreserved, plus, upper));
        }
    }
    all.extend(base64_forms(value));
    all.retain(|bytes| bytes.len() >= MIN_PATTERN_BYTES);
    all.sort();
    all.dedup();
    all.into_iter().map(|bytes| Pattern { name: name.to_owned(), bytes }).collect()
}

/// Percent-encodes what is neither alphanumeric nor in `unreserved` (RFC 3986; the sets of common libraries differ).
fn url_encoded(value: &[u8], unreserved: &str, plus: bool, upper: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * 3);
    for byte in value {
        if byte.is_ascii_alphanumeric() || unreserved.as_bytes().contains(byte) {
            out.push(*byte);
        } else if *byte == b' ' && plus {
            out.push(b'+');
        } else {
            let hex = if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
            out.extend_from_slice(hex.as_bytes());
        }
    }
    out
}

/// RFC 4648: the whole value on its own, and the characters that it alone determines when 0, 1 or 2 bytes (modulo 3)
/// stand before it. What is left out at the ends holds at most 4 bits of the value.
fn base64_forms(value: &[u8]) -> Vec<Vec<u8>> {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    let mut all = Vec::with_capacity(8);
    for engine in [&STANDARD, &URL_SAFE] {
        all.push(engine.encode(value).into_bytes());
        for before in 0..3usize {
            let mut bytes = vec![0u8; before];
            bytes.extend_from_slice(value);
            let first = (8 * before).div_ceil(6);
            let end = 8 * bytes.len() / 6;
            let encoded = engine.encode(&bytes);
            all.push(encoded.as_bytes().get(first..end).unwrap_or_default().to_vec());
        }
    }
    all
}

#[derive(Debug, thiserror::Error)]
#[error("the secrets of this run cannot be masked: {0}")]
pub struct MaskError(String);

/// Finds secrets. Of two that begin at the same place the longer counts.
pub struct Masker {
    search: Option<AhoCorasick>,
    patterns: Vec<Pattern>,
    replacements: Vec<String>,
    longest: usize,
    /// Whether some pattern begins with this byte.
    begins: [bool; 256],
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker").field("patterns", &self.patterns).finish_non_exhaustive()
    }
}

impl Masker {
    /// `patterns` as `forms` gives them. Where two secrets share a form, the first one's name is said.
    pub fn new(mut patterns: Vec<Pattern>) -> Result<Self, MaskError> {
        patterns.retain(|pattern| !pattern.bytes.is_empty());
        let mut seen = std::collections::HashSet::new();
        patterns.retain(|pattern| seen.insert(pattern.bytes.clone()));
        let search = if patterns.is_empty() {
            None
        } else {
            let built = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(patterns.iter().map(|pattern| &pattern.bytes));
            Some(built.map_err(|error| MaskError(error.to_string()))?)
        };
        let mut begins = [false; 256];
        for pattern in &patterns {
            begins[usize::from(pattern.bytes[0])] = true;
        }
        let longest = patterns.iter().map(|pattern| pattern.bytes.len()).max().unwrap_or(0);
        let replacements = patterns.iter().map(|pattern| format!("«secret {}»", pattern.name)).collect();
        Ok(Self { search, patterns, replacements, longest, begins })
    }

    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// The text without secrets; `None`: there is none in it.
    pub fn mask(&self, text: &str) -> Option<String> {
        self.search.as_ref()?.find(text)?;
        let mut out = Vec::with_capacity(text.len());
        let rest = self.mask_until(text.as_bytes(), text.len(), &mut out);
        out.extend_from_slice(&text.as_bytes()[rest..]);
        Some(String::from_utf8_lossy(&out).into_owned())
    }

    /// Masks what begins before `hold`, and gives where it stopped: at `hold`, or behind a secret that reaches over it.
    fn mask_until(&self, bytes: &[u8], hold: usize, out: &mut Vec<u8>) -> usize {
        let mut from = 0;
        while from < hold {
            let found = self.search.as_ref().and_then(|search| search.find(Input::new(bytes).range(from..)));
            match found.filter(|found| found.start() < hold) {
                Some(found) => {
                    out.extend_from_slice(&bytes[from..found.start()]);
                    out.extend_from_slice(self.replacements[found.pattern().as_usize()].as_bytes());
                    from = found.end();
                }
                None => {
                    out.extend_from_slice(&bytes[from..hold]);
                    from = hold;
                }
            }
        }
        from
    }

    /// Where the first suffix begins, not before `from`, that may grow into a secret.
    fn hold(&self, bytes: &[u8], from: usize) -> usize {
        let first = from.max(bytes.len().saturating_sub(self.longest.saturating_sub(1)));
        (first..bytes.len())
            .find(|at| {
                let suffix = &bytes[*at..];
                self.begins[usize::from(suffix[0])]
                    && self.patterns.iter().any(|p| p.bytes.len() > suffix.len() && p.bytes.starts_with(suffix))
            })
            .unwrap_or(bytes.len())
    }
}

/// Masks a stream: whatever the cuts between `push`es, all that comes out is what masking the whole would give.
///
/// Bytes are held back only while they may be the beginning of a secret.
#[derive(Debug)]
pub struct Stream {
    masker: Arc<Masker>,
    held: Vec<u8>,
}

impl Stream {
    pub fn new(masker: Arc<Masker>) -> Self {
        Self { masker, held: Vec::new() }
    }

    /// Appends to `out` what is certain after `chunk`.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.masker.search.is_none() {
            out.extend_from_slice(chunk);
            return;
        }
        self.held.extend_from_slice(chunk);
        let mut from = 0;
        loop {
            // A secret that begins before `hold` is certain: a longer one at its place would make `hold` earlier.
            let hold = self.masker.hold(&self.held, from);
            let stopped = from + self.masker.mask_until(&self.held[from..], hold - from, out);
            from = stopped;
            if stopped <= hold {
                break;
            }
        }
        self.held.drain(..from);
    }

    /// Appends to `out` what was held back; the stream is at its end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        let rest = self.masker.mask_until(&held, held.len(), out);
        out.extend_from_slice(&held[rest..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masker(secrets: &[(&str, &str)]) -> Arc<Masker> {
        let patterns = secrets.iter().flat_map(|(name, value)| forms(name, value.as_bytes())).collect();
        Arc::new(Masker::new(patterns).unwrap())
    }

    fn plain(patterns: &[Vec<u8>]) -> Arc<Masker> {
        let named = |(index, bytes): (usize, &Vec<u8>)| Pattern { name: index.to_string(), bytes: bytes.clone() };
        Arc::new(Masker::new(patterns.iter().enumerate().map(named).collect()).unwrap())
    }

    fn chunked(masker: &Arc<Masker>, bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut stream = Stream::new(masker.clone());
        let mut out = Vec::new();
        let mut rest = bytes;
        for cut in cuts {
            let (chunk, after) = rest.split_at((*cut).min(rest.len()));
            stream.push(chunk, &mut out);
            rest = after;
        }
        stream.push(rest, &mut out);
        stream.finish(&mut out);
        out
    }

    #[test]
    fn a_secret_is_masked_in_every_form() {
        let masker = masker(&[("db", "p@ss w/ord\"1")]);
        for (text, masked) in [
            ("x p@ss w/ord\"1 y", "x «secret db» y"),
            ("mysql://u:p%40ss%20w%2Ford%221@h", "mysql://u:«secret db»@h"),
            ("p%40ss%20w%2ford%221", "«secret db»"),
            ("p%40ss+w%2Ford%221", "«secret db»"),
            (r#"{"p":"p@ss w/ord\"1"}"#, r#"{"p":"«secret db»"}"#),
            ("cEBzcyB3L29yZCIx", "«secret db»"),
            ("nothing here", "nothing here"),
        ] {
            assert_eq!(masker.mask(text).as_deref().unwrap_or(text), masked);
        }
        assert_eq!(masker.mask("nothing"), None);
    }

    #[test]
    fn base64_is_found_at_every_alignment() {
        let secret = "correct horse battery";
        let masker = masker(&[("s", secret)]);
        for before in 0..6 {
            for after in 0..4 {
                let whole = format!("{}{secret}{}", "a".repeat(before), "z".repeat(after));
                let text = base64::engine::general_purpose::STANDARD.encode(whole);
                let masked = masker.mask(&text).unwrap();
                // What stays is what the neighbours' bytes determine too.
                assert!(masked.replace("«secret s»", "").len() <= (before + after) * 4 / 3 + 6, "{masked}");
            }
        }
    }

    #[test]
    fn ordinary_text_is_not_held_back() {
        let masker = masker(&[("db", "hunter2hunter2")]);
        let mut stream = Stream::new(masker);
        let mut out = Vec::new();
        stream.push(b"50 % done\n", &mut out);
        assert_eq!(out, b"50 % done\n");
        stream.push(b"the hunter2", &mut out);
        assert_eq!(out, b"50 % done\nthe ");
        stream.push(b"s", &mut out);
        assert_eq!(out, b"50 % done\nthe hunter2s");
    }

    #[test]
    fn a_secret_inside_another_is_masked_as_the_longer() {
        let masker = plain(&[b"secret".to_vec(), b"secretive".to_vec()]);
        for cuts in [vec![], vec![6], vec![8], vec![1, 1, 1, 1, 1, 1, 1]] {
            assert_eq!(chunked(&masker, b"secretive secretiv", &cuts), "«secret 1» «secret 0»iv".as_bytes());
        }
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(
            patterns in prop::collection::vec(prop::collection::vec(0u8..3, 1..7), 0..5),
            bytes in prop::collection::vec(0u8..3, 0..60),
            cuts in prop::collection::vec(0usize..9, 0..20),
        ) {
            let masker = plain(&patterns);
            let whole = chunked(&masker, &bytes, &[]);
            prop_assert_eq!(&chunked(&masker, &bytes, &cuts), &whole);
            let ones = vec![1; bytes.len()];
            prop_assert_eq!(&chunked(&masker, &bytes, &ones), &whole);
        }

        #[test]
        fn no_secret_stays(
            secret in "[a-zA-Z0-9 /+=%\"é]{6,20}",
            before in ".{0,12}",
            after in ".{0,12}",
            cuts in prop::collection::vec(0usize..7, 0..12),
        ) {
            let masker = masker(&[("s", &secret)]);
            let text = format!("{before}{secret}{after}{secret}");
            let masked = chunked(&masker, text.as_bytes(), &cuts);
            prop_assert_eq!(masked.windows(secret.len()).filter(|w| *w == secret.as_bytes()).count(), 0);
            let whole = masker.mask(&text).unwrap();
            prop_assert_eq!(String::from_utf8_lossy(&masked), whole);
        }
    }
}
