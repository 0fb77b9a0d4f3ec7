//! The fuzzers' targets on every toolchain: each over its seeds, and over thousands of mutations of them.
//!
//! Owns the mutations, from a seeded generator. `make fuzz` goes on where these end, led by coverage.

use piton_campaigns::{TARGETS, Target};
use std::path::{Path, PathBuf};

/// Changes of one mutation, at most.
const MOST_CHANGES: u64 = 6;
/// Bytes of a mutation, at most: what is longer only takes longer.
const MAX_BYTES: usize = 128 * 1024;

/// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let sides = (sides as u64).max(1);
        usize::try_from((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides).expect("it is below a usize")
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a directory entry").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a seed"))).collect()
}

/// Words of a dictionary as libFuzzer reads it: one in quotes on a line, with `\\`, `\"` and `\xNN`.
fn words(name: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(root().join("dictionaries").join(format!("{name}.dict"))).expect("a dictionary");
    let quoted = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.map(|word| unescaped(word.as_bytes())).collect()
}

fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = word;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("digits");
                bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
                rest = after;
            }
            (b'\\', [escaped, after @ ..]) => {
                bytes.push(*escaped);
                rest = after;
            }
            _ => bytes.push(*byte),
        }
    }
    bytes
}

/// A range of whole lines, or of bytes where the coin says so.
fn piece(dice: &mut Dice, bytes: &[u8]) -> std::ops::Range<usize> {
    let from = dice.roll(bytes.len() + 1);
    if dice.roll(2) == 0 {
        return from..(from + dice.roll(64)).min(bytes.len());
    }
    let start = bytes[..from].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let end = bytes[from..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| from + at + 1);
    start..end
}

fn change(dice: &mut Dice, bytes: &mut Vec<u8>, words: &[Vec<u8>], seeds: &[(PathBuf, Vec<u8>)]) {
    let at = dice.roll(bytes.len() + 1);
    match dice.roll(9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << dice.roll(8),
        1 => bytes.truncate(at),
        2 => drop(bytes.drain(piece(dice, bytes))),
        3 => {
            let again = bytes[piece(dice, bytes)].to_vec();
            bytes.splice(at..at, again);
        }
        4 => {
            let other = &dice.pick(seeds).1;
            let some = other[piece(dice, other)].to_vec();
            bytes.splice(at..at, some);
        }
        5 => {
            // The next number becomes another.
            let from = bytes[at..].iter().position(u8::is_ascii_digit).map_or(at, |digit| at + digit);
            let to = bytes[from..].iter().position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |end| from + end);
            let number =
                *dice.pick(&["0", "1", "2", "3", "7", "4294967295", "9223372036854775807", "18446744073709551615"]);
            bytes.splice(from..to, number.bytes());
        }
        6 => {
            // A word for a word.
            let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            let from = bytes[at..].iter().position(is_word).map_or(at, |start| at + start);
            let to = bytes[from..].iter().position(|byte| !is_word(byte)).map_or(bytes.len(), |end| from + end);
            bytes.splice(from..to, dice.pick(words).iter().copied().filter(is_word));
        }
        _ => {
            let word = dice.pick(words).clone();
            bytes.splice(at..at, word);
        }
    }
    bytes.truncate(MAX_BYTES);
}

/// `PITON_FUZZ_MUTATIONS` tries more.
fn asked_for(usual: u64) -> u64 {
    let asked = std::env::var("PITON_FUZZ_MUTATIONS").ok();
    asked.map_or(usual, |text| text.parse().expect("PITON_FUZZ_MUTATIONS is a number"))
}

/// The target over the seeds as they are, then over mutations, each from a number of its own.
fn fuzzed(name: &str, mutations: u64) {
    let target: Target = TARGETS.iter().find(|(known, _)| *known == name).expect("a target").1;
    let (seeds, words) = (files(&root().join("seeds").join(name)), words(name));
    assert!(seeds.len() > 3 && words.len() > 10);
    for (path, bytes) in &seeds {
        held(|| target(bytes), || path.display().to_string());
    }
    for number in 1..=asked_for(mutations) {
        let mut dice = Dice(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut bytes = dice.pick(&seeds).1.clone();
        for _ in 0..1 + dice.roll(MOST_CHANGES as usize) {
            change(&mut dice, &mut bytes, &words, &seeds);
        }
        held(|| target(&bytes), || format!("mutation {number}:\n{}", String::from_utf8_lossy(&bytes)));
    }
}

fn held(run: impl FnOnce(), which: impl FnOnce() -> String) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
        panic!("the target fails at {}", which());
    }
}

#[test]
fn journals_are_read_or_refused() {
    fuzzed("journal", 1000);
}

#[test]
fn side_logs_are_read_or_refused() {
    fuzzed("side_log", 10000);
}

#[test]
fn receipts_are_verified_or_refused() {
    fuzzed("receipt", 2000);
}

#[test]
fn runbooks_are_loaded_or_refused() {
    fuzzed("runbook", 4000);
}

/// Seeds that are refused at their first byte would lead nowhere.
#[test]
fn the_seeds_lead_into_the_formats() {
    let seed = |path: &str| std::fs::read(root().join("seeds").join(path)).expect("a seed");
    let (records, _) = piton_store::side_log::parse(&seed("side_log/two-frames.bin")).expect("it is one");
    assert_eq!(records.len(), 3);
    let receipt = piton_core::receipt::verify(&seed("receipt/whole-life.json"), None);
    assert!(receipt.is_valid(), "{receipt}");
    let lines = String::from_utf8(seed("journal/whole-life.jsonl")).expect("text");
    let events = lines.lines().filter(|line| serde_json::from_str::<piton_core::event::Event>(line).is_ok());
    assert_eq!(events.count(), lines.lines().count());
}
