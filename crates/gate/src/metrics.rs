//! The gate's numbers as Prometheus reads them.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use crate::shared::Shared;
use crate::slot::Standing;

pub(crate) fn text(shared: &Shared) -> String {
    let slots = shared.all_slots();
    let counters = &shared.counters;
    let standing = |wanted: fn(Standing) -> bool| slots.iter().filter(|slot| wanted(slot.standing())).count() as u64;
    let running: u64 = slots.iter().map(|slot| slot.statements.load(Ordering::Relaxed)).sum();
    let rows = [
        ("clients", "gauge", "connected clients", slots.len() as u64),
        ("open_units", "gauge", "clients with a statement or transaction open", standing(Standing::blocks)),
        ("waiting", "gauge", "clients whose statement is held", standing(|standing| standing == Standing::Held)),
        ("pinned", "gauge", "clients that cannot move", slots.iter().filter(|s| !s.pins().is_empty()).count() as u64),
        ("held", "gauge", "1 while statements are held", u64::from(!shared.is_open())),
        ("epoch", "gauge", "how often the gate has switched", shared.epoch()),
        ("accepted_total", "counter", "clients taken in", counters.accepted.load(Ordering::Relaxed)),
        ("refused_total", "counter", "clients refused", counters.refused.load(Ordering::Relaxed)),
        ("commands_total", "counter", "commands", running + counters.statements.load(Ordering::Relaxed)),
        ("held_total", "counter", "statements and logins held", counters.held.load(Ordering::Relaxed)),
        ("dropped_total", "counter", "held ones whose client left", counters.dropped.load(Ordering::Relaxed)),
        ("moved_total", "counter", "sessions moved", counters.moved.load(Ordering::Relaxed)),
        ("unmoved_total", "counter", "sessions that could not move", counters.unmoved.load(Ordering::Relaxed)),
        (
            "indeterminate_total",
            "counter",
            "connections lost with a statement unanswered",
            counters.indeterminate.load(Ordering::Relaxed),
        ),
        ("holds_total", "counter", "holds", counters.holds.load(Ordering::Relaxed)),
        ("longest_hold_us", "gauge", "microseconds", counters.longest_hold_us.load(Ordering::Relaxed)),
    ];
    let mut out = String::new();
    for (name, kind, help, value) in rows {
        let _ = write!(
            out,
            "# HELP piton_gate_{name} {help}\n# TYPE piton_gate_{name} {kind}\npiton_gate_{name} {value}\n"
        );
    }
    out
}
