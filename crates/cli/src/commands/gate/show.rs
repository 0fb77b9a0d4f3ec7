//! How a gate's answers look to a person.
//!
//! Owns their text. What clients say (their statements' digests, their names) cannot control the terminal.

use crate::ui::text::{count, printable, took};
use piton_gate::{Blocker, HoldEnd, HoldReport, Outsider, Status};
use std::fmt::Write as _;

/// Milliseconds with a tenth below a hundred: holds are short.
pub(super) fn span(us: u64) -> String {
    if us < 100_000 { format!("{}.{}ms", us / 1000, us % 1000 / 100) } else { took(us) }
}

pub(super) fn end(how: HoldEnd) -> &'static str {
    match how {
        HoldEnd::Released => "released",
        HoldEnd::NotDrained => "given up, as open transactions did not end in time",
        HoldEnd::Expired => "its deadline passed",
        HoldEnd::Aborted => "the register says aborted",
        HoldEnd::Committed => "the register says committed",
        HoldEnd::Started => "started",
    }
}

pub(super) fn status(status: &Status) -> String {
    let Status { epoch, backend, held, starting, leaving, why, clients, waiting, .. } = status;
    let Status { open_units, pinned, last_hold, unchecked, .. } = status;
    let phase = match (starting, held) {
        (true, _) => "held until the registers say which backend is true".to_owned(),
        (false, true) => format!("held before {backend} (epoch {epoch})"),
        (false, false) => format!("open to {backend} (epoch {epoch})"),
    };
    let clients = count(*clients as u64, "client");
    let mut text = format!("{phase}\n  {clients}: {open_units} busy, {waiting} held, {pinned} that cannot move\n");
    if *leaving {
        text.push_str("  leaving: another gate has its listener, and it goes with its last client\n");
    }
    if let Some(why) = why {
        let _ = writeln!(text, "  register: {}", printable(why));
    }
    if !unchecked.is_empty() {
        let _ = writeln!(text, "  accounts that cannot come in: {}", printable(&unchecked.join(", ")));
    }
    if let Some(last) = last_hold {
        let _ = writeln!(text, "  last hold: {}, {}", span(last.held_us), end(last.how));
    }
    text
}

pub(super) fn report(head: &str, report: &HoldReport) -> String {
    let HoldReport { drained, drain_us, blocking, blockers, waited, waited_for, pinned, pinned_sessions } = report;
    let mut text = match drained {
        true => format!("{head}: drained in {}\n", span(*drain_us)),
        false => format!("{head}: {} did not end in {}\n", count(*blocking as u64, "session"), span(*drain_us)),
    };
    list(&mut text, blockers, *blocking);
    if *drained && *waited > 0 {
        let _ = writeln!(text, "waited for {}, the longest first", count(*waited as u64, "session"));
        list(&mut text, waited_for, *waited);
    }
    could_not_move(&mut text, *pinned, pinned_sessions);
    text
}

pub(super) fn look(report: &HoldReport) -> String {
    let mut text = format!("{} busy\n", count(report.blocking as u64, "session"));
    list(&mut text, &report.blockers, report.blocking);
    could_not_move(&mut text, report.pinned, &report.pinned_sessions);
    text
}

pub(super) fn outside(sessions: &[Outsider]) -> String {
    let mut text = match sessions.len() {
        0 => "nobody comes in but through the gates\n".to_owned(),
        some => format!("{} through no gate\n", count(some as u64, "session")),
    };
    for Outsider { id, user, host, age_s } in sessions {
        let _ = writeln!(text, "{}", printable(&format!("  {user}@{host} #{id}, {}", took(age_s * 1_000_000))));
    }
    text
}

fn could_not_move(text: &mut String, pinned: usize, sessions: &[Blocker]) {
    if pinned > 0 {
        let _ = writeln!(text, "{} that cannot move", count(pinned as u64, "session"));
        list(text, sessions, pinned);
    }
}

fn list(text: &mut String, sessions: &[Blocker], all: usize) {
    for session in sessions {
        let Blocker { id, user, host, age_ms, statement, pins, ended_us } = session;
        let ended = ended_us.map(|us| format!(", ended after {}", span(us))).unwrap_or_default();
        let pins = if pins.is_empty() { String::new() } else { format!(" [{}]", pins.join(", ")) };
        let line = format!("  {user}@{host} #{id}, {}{ended}{pins}: {statement}", took(age_ms * 1000));
        let _ = writeln!(text, "{}", printable(&line));
    }
    if all > sessions.len() {
        let _ = writeln!(text, "  and {} more", all - sessions.len());
    }
}
