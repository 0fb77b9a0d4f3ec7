//! How fast what is counted goes, and how long it still takes.
//!
//! Owns the samples of running steps' progress, which a screen collects from frame to frame, and the words for a rate and
//! for what is left. Never keeps anything of a step that no longer runs.

use super::text::{bar, took};
use piton_core::Path;
use piton_core::progress::{Progress, Said};
use std::collections::{HashMap, VecDeque};

/// A rate is that of the last samples, this far apart: a slow start is forgotten, and a short stop shows.
const SAMPLE_EVERY_US: u64 = 1_000_000;
const SAMPLES: usize = 15;
/// Before this, a rate is a guess.
const FIRST_US: u64 = 500_000;
const BAR_COLUMNS: usize = 16;

/// What a running step says of itself, and how fast it goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) said: Said,
    /// Units a second.
    pub(crate) rate: Option<f64>,
}

#[derive(Debug, Default)]
pub(crate) struct Pace {
    steps: HashMap<Path, VecDeque<(u64, u64)>>,
}

impl Pace {
    /// What the running steps say now, by the boot clock.
    pub(crate) fn look(&mut self, said: HashMap<Path, Said>, now_us: u64) -> HashMap<Path, Told> {
        self.steps.retain(|path, _| said.contains_key(path));
        said.into_iter()
            .map(|(path, said)| {
                let rate = said.progress.as_ref().and_then(|progress| self.sample(&path, progress.done, now_us));
                (path, Told { said, rate })
            })
            .collect()
    }

    fn sample(&mut self, path: &Path, done: u64, now_us: u64) -> Option<f64> {
        let samples = self.steps.entry(path.clone()).or_default();
        if samples.back().is_some_and(|(_, last)| *last > done) {
            // Another attempt, or another count.
            samples.clear();
        }
        if samples.back().is_none_or(|(at, _)| now_us.saturating_sub(*at) >= SAMPLE_EVERY_US) {
            samples.push_back((now_us, done));
            if samples.len() > SAMPLES {
                samples.pop_front();
            }
        }
        let (since, first) = samples.front()?;
        let passed = now_us.saturating_sub(*since);
        (passed >= FIRST_US).then(|| (done - first) as f64 * 1e6 / passed as f64)
    }
}

/// `812 004 / 2 300 111 rows  38 900/s  ▕██████▌     ▏  38s left`, and its last line where it says one: from all there is
/// to say to the least.
pub(crate) fn told(told: &Told) -> Vec<String> {
    let Some(progress) = &told.said.progress else { return told.said.line.clone().into_iter().collect() };
    let amount = amount(progress);
    let rate = told
        .rate
        .filter(|_| progress.unit != "%")
        .map(|rate| format!("{}/s", number(rate.round() as u64, &progress.unit)));
    let whole = progress.total.map(|total| bar(progress.done, total, BAR_COLUMNS));
    let left = progress.total.and_then(|total| left(total.saturating_sub(progress.done), told.rate?));
    let part = progress.total.filter(|total| *total > 0).map(|total| format!("{} %", percent(progress.done, total)));
    let join = |parts: &[Option<&String>]| parts.iter().copied().flatten().cloned().collect::<Vec<_>>().join("  ");
    let (rate, whole, left, line) = (rate.as_ref(), whole.as_ref(), left.as_ref(), told.said.line.as_ref());
    vec![
        join(&[Some(&amount), rate, whole, left, line]),
        join(&[Some(&amount), rate, whole, left]),
        join(&[Some(&amount), whole, left]),
        join(&[Some(&amount), left]),
        join(&[part.as_ref().or(Some(&amount)), left]),
    ]
}

/// What is left of branches, where the ones that ended say how fast they go.
pub(crate) fn of_branches(done: u64, total: u64, took_us: u64) -> Vec<String> {
    if done == 0 || total <= done || took_us < FIRST_US {
        return Vec::new();
    }
    let rate = done as f64 * 1e6 / took_us as f64;
    let Some(left) = left(total - done, rate) else { return Vec::new() };
    vec![format!("{}  {left}", bar(done, total, BAR_COLUMNS)), left]
}

fn percent(done: u64, total: u64) -> u64 {
    u64::try_from(u128::from(done) * 100 / u128::from(total.max(1))).unwrap_or(u64::MAX)
}

fn left(rest: u64, rate: f64) -> Option<String> {
    let seconds = rest as f64 / rate;
    // A year is no forecast.
    (rate > 0.0 && seconds < 31_536_000.0).then(|| format!("{} left", forecast(seconds)))
}

/// A forecast is not that exact: whole seconds, a minute and more in fives.
fn forecast(seconds: f64) -> String {
    match seconds.ceil() as u64 {
        few @ 0..60 => format!("{few}s"),
        many => took(many.next_multiple_of(5) * 1_000_000),
    }
}

fn amount(progress: &Progress) -> String {
    let Progress { done, total, unit } = progress;
    if unit == "%" {
        return format!("{} %", percent(*done, (*total).unwrap_or(100)));
    }
    let done = number(*done, unit);
    let of = total.map_or(String::new(), |total| format!(" / {}", number(total, unit)));
    let unit = if unit == "bytes" || unit.is_empty() { String::new() } else { format!(" {unit}") };
    format!("{done}{of}{unit}")
}

/// Thousands apart; bytes in the unit that fits.
fn number(number: u64, unit: &str) -> String {
    if unit == "bytes" {
        return bytes(number);
    }
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10).clamp(1, UNITS.len() as u32);
    format!("{:.1} {}", bytes as f64 / 1024_f64.powi(power.cast_signed()), UNITS[power as usize - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(done: u64, total: Option<u64>, unit: &str) -> Said {
        Said { line: None, progress: Some(Progress { done, total, unit: unit.into() }) }
    }

    fn look(pace: &mut Pace, done: u64, seconds: f64) -> Option<f64> {
        let path = Path::root().child("copy");
        let now_us = (seconds * 1e6) as u64;
        pace.look(HashMap::from([(path.clone(), said(done, Some(1000), "rows"))]), now_us).remove(&path).unwrap().rate
    }

    #[test]
    fn a_rate_is_that_of_the_last_quarter_of_a_minute_and_of_one_attempt() {
        let mut pace = Pace::default();
        assert_eq!(look(&mut pace, 100, 0.0), None, "one look is no rate");
        assert_eq!(look(&mut pace, 150, 0.4), None);
        assert_eq!(look(&mut pace, 200, 1.0), Some(100.0), "what was there before does not count");
        for second in 2..40 {
            look(&mut pace, 200, f64::from(second));
        }
        assert_eq!(look(&mut pace, 200, 40.0), Some(0.0), "it stands");
        assert_eq!(look(&mut pace, 10, 41.0), None, "it began again");
        pace.look(HashMap::new(), 42_000_000);
        assert!(pace.steps.is_empty());
    }

    #[test]
    fn progress_is_told_with_its_rate_a_bar_and_what_is_left() {
        let longest = |said: Said, rate| told(&Told { said, rate }).swap_remove(0);
        let copying = said(812_004, Some(2_300_111), "rows");
        assert_eq!(
            told(&Told { said: copying, rate: Some(38_900.2) }),
            [
                "812 004 / 2 300 111 rows  38 900/s  ▕█████▋          ▏  39s left",
                "812 004 / 2 300 111 rows  38 900/s  ▕█████▋          ▏  39s left",
                "812 004 / 2 300 111 rows  ▕█████▋          ▏  39s left",
                "812 004 / 2 300 111 rows  39s left",
                "35 %  39s left",
            ]
        );
        assert_eq!(longest(said(35, Some(100), "%"), Some(0.5)), "35 %  ▕█████▌          ▏  2m10s left");
        assert_eq!(longest(said(5 << 30, None, "bytes"), Some(2e6)), "5.0 GiB  1.9 MiB/s");
        assert_eq!(longest(said(0, Some(0), ""), Some(0.0)), "0 / 0  0/s  ▕                ▏");
        let line = Said { line: Some("accounts".into()), progress: None };
        assert_eq!(told(&Told { said: line, rate: None }), ["accounts"]);
        assert_eq!(told(&Told::default()), [""; 0]);
    }

    #[test]
    fn branches_that_ended_say_when_the_others_will() {
        assert_eq!(of_branches(0, 10, 5_000_000), [""; 0]);
        assert_eq!(of_branches(10, 10, 5_000_000), [""; 0]);
        assert_eq!(of_branches(5, 10, 5_000_000), ["▕████████        ▏  5s left", "5s left"]);
    }
}
