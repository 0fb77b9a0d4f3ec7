//! The timeline: a run as a picture, bars over time.
//!
//! Owns the drawing (inline SVG, whole numbers only). However long a run was, the picture has at most `MAX_LINES`
//! lines, and a line has no more bars than places. Never decides what happened when (see `spans`).

use super::super::statement::*;
use super::super::time::{Instant, human};
use super::markup::Markup;
use super::scale::{Scale, union};
use super::spans::{Look, Spans};
use super::tree::{Line, Node, Tree};
use crate::event::Attach;
use std::collections::BTreeSet;

/// Lines of steps and scopes.
const MAX_LINES: usize = 44;
/// So many marks of one kind are drawn over the whole height; more would hide what is below.
const MAX_MARKS: usize = 12;
/// All lengths in tenths of a unit.
const LABEL_WIDTH: i64 = 2700;
const LEFT: i64 = 2800;
const TOP: i64 = 360;
const LINE_HEIGHT: i64 = 180;
/// Nothing is drawn narrower: it could not be seen.
const MIN_BAR: i64 = 20;
/// Bars of one kind nearer than this are drawn as one.
const MERGE: i64 = 5;
/// Width of labels, in halves of a character.
const LABEL_HALVES: usize = 84;

pub(super) fn timeline(page: &mut Markup, told: &Predicate, tree: &Tree, spans: &Spans) {
    let work = spans.steps.iter().flatten().filter(|span| span.look.is_work()).map(|span| (span.from, span.to));
    // What a window waits for is a part of its budget: it is drawn at its length, too.
    let end = |window: &WindowTold| window.closed_at.unwrap_or(told.run.last_at).0;
    let windows = told.windows.iter().map(|window| (window.opened_at.0, end(window)));
    let scale = Scale::new(spans.from, spans.to, work.chain(windows).collect());
    let lines = tree.lines(MAX_LINES);
    let mut picture = Picture { told, tree, spans, scale: &scale, looks: BTreeSet::new(), svg: Markup::new() };
    let height = picture.draw(&lines);
    page.heading("timeline", "Timeline");
    page.raw("<p class=\"muted lead\">From ").text(&moment(Instant(spans.from))).raw(" UTC, ");
    page.text(&human(spans.to.abs_diff(spans.from)));
    page.raw(" in all.");
    if scale.shorts().next().is_some() {
        page.raw(" Long stretches in which nothing was performed are drawn short, between ≀ and ≀.");
    }
    if lines.iter().any(|line| !line.opened && tree.rows(&line.nodes).len() > 1) {
        page.raw(" A line with a count stands for all its steps.");
    }
    page.raw("</p>\n<div class=\"scroll\" tabindex=\"0\">\n<svg class=\"timeline\" role=\"img\" ");
    page.raw("aria-label=\"Timeline of the run\" viewBox=\"0 0 1000 ").tenths(height).raw("\">\n");
    page.push(&picture.svg).raw("</svg>\n</div>\n<p class=\"legend\">");
    for look in picture.looks {
        page.raw("<span><i class=\"").raw(look.class()).raw("\"></i>").raw(look.legend()).raw("</span> ");
    }
    if !told.windows.is_empty() {
        page.raw("<span><i class=\"window\"></i>window open</span> ");
        page.raw("<span><i class=\"reserve\"></i>its budget, with the reserve at the end</span> ");
    }
    if !told.commit_points.is_empty() {
        page.raw("<span><b class=\"commit\">◆</b> commit point</span> ");
    }
    page.raw("</p>\n");
}

/// `2023-11-14 22:13:20`.
pub(super) fn moment(at: Instant) -> String {
    let text = at.to_string();
    text.split('.').next().unwrap_or_default().replacen('T', " ", 1)
}

struct Picture<'a> {
    told: &'a Predicate,
    tree: &'a Tree,
    spans: &'a Spans,
    scale: &'a Scale,
    /// Those that were drawn.
    looks: BTreeSet<Look>,
    svg: Markup,
}

impl Picture<'_> {
    fn x(&self, at: i64) -> i64 {
        LEFT + self.scale.x(at)
    }

    /// Draws everything; its height.
    fn draw(&mut self, lines: &[Line]) -> i64 {
        let people = !self.spans.people.is_empty() || !self.told.people.is_empty();
        let lanes = 1 + i64::from(people);
        let bottom = TOP + (lanes + lines.len() as i64) * LINE_HEIGHT + 60;
        self.patterns();
        self.backgrounds(bottom);
        self.axis(bottom);
        self.engines(bottom);
        if people {
            self.people(TOP + LINE_HEIGHT);
        }
        for (index, line) in lines.iter().enumerate() {
            self.line(line, TOP + (lanes + index as i64) * LINE_HEIGHT);
        }
        self.commit_points(bottom);
        bottom
    }

    /// Hatchings, so that the picture can be read without colours.
    fn patterns(&mut self) {
        self.svg.raw(concat!(
            "<defs>",
            "<pattern id=\"hatch\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" ",
            "patternTransform=\"rotate(45)\"><path class=\"hatch\" d=\"M0 0V5\"/></pattern>",
            "<clipPath id=\"labels\"><rect x=\"0\" y=\"0\" width=\"270\" height=\"100000\"/></clipPath>",
            "</defs>\n",
        ));
    }

    fn rect(&mut self, class: &'static str, x: i64, y: i64, width: i64, height: i64) -> &mut Markup {
        self.svg.raw("<rect class=\"").raw(class).raw("\" x=\"").tenths(x).raw("\" y=\"").tenths(y);
        self.svg.raw("\" width=\"").tenths(width).raw("\" height=\"").tenths(height).raw("\"/>")
    }

    fn upright(&mut self, class: &'static str, x: i64, y: i64, bottom: i64) {
        self.svg.raw("<path class=\"").raw(class).raw("\" d=\"M").tenths(x).raw(" ").tenths(y).raw("V");
        self.svg.tenths(bottom).raw("\"/>");
    }

    fn words(&mut self, class: &'static str, x: i64, y: i64, words: &str) {
        self.svg.raw("<text class=\"").raw(class).raw("\" x=\"").tenths(x).raw("\" y=\"").tenths(y).raw("\">");
        self.svg.text(words).raw("</text>");
    }

    /// What lies behind all lines: windows, waits for people, stretches drawn short.
    fn backgrounds(&mut self, bottom: i64) {
        let waits = union(self.spans.people.iter().map(|span| (span.from, span.to)).collect());
        for (from, to) in merged(waits.into_iter().map(|(from, to)| (self.x(from), self.x(to))).collect()) {
            self.rect("behind person", from, TOP, (to - from).max(MIN_BAR), bottom - TOP);
        }
        for window in &self.told.windows {
            let from = self.x(window.opened_at.0);
            let to = self.x(window.closed_at.unwrap_or(self.told.run.last_at).0);
            self.svg.raw("<g>");
            self.rect("behind window", from, TOP, (to - from).max(MIN_BAR), bottom - TOP);
            let measured = window.measured_us.map_or("open".to_owned(), human);
            self.svg.raw("<title>window ").clipped(window.path.as_str(), 200).raw(": ");
            self.svg.text(&measured).raw(" of ").text(&window.budget.to_string()).raw("</title></g>\n");
        }
        for (x, width, us) in self.scale.shorts().collect::<Vec<_>>() {
            let (from, to) = (LEFT + x, LEFT + x + width);
            self.words("break", from, TOP - 40, "≀");
            self.words("break", to, TOP - 40, "≀");
            self.words("break", i64::midpoint(from, to), TOP - 40, &human(us));
            self.upright("break", from, TOP, bottom);
            self.upright("break", to, TOP, bottom);
        }
    }

    fn axis(&mut self, bottom: i64) {
        let mut before = String::new();
        for (x, since) in self.scale.labels() {
            self.upright("grid", LEFT + x, TOP - 140, bottom);
            let label = brief(since);
            if label != before {
                self.words("tick", LEFT + x + 20, TOP - 160, &label);
                before = label;
            }
        }
        self.svg.raw("\n");
    }

    fn engines(&mut self, bottom: i64) {
        let y = TOP;
        self.label("Engine", "lane", 0, y);
        let lives: Vec<(i64, i64)> =
            self.spans.lives.iter().map(|life| (self.x(life.from.0), self.x(life.to.0))).collect();
        for (from, to) in &lives {
            if lives.len() <= MAX_MARKS {
                self.rect("life", *from, y + 60, (to - from).max(MIN_BAR), 60);
            }
        }
        if lives.len() > MAX_MARKS {
            for (from, to) in merged(lives.clone()) {
                self.rect("life", from, y + 60, (to - from).max(MIN_BAR), 60);
            }
        }
        let later: Vec<_> = self.spans.lives.iter().zip(&self.told.engines).skip(1).collect();
        let many = later.len() > MAX_MARKS;
        for (life, engine) in later {
            let x = self.x(life.from.0);
            let (class, what) = match life.reason {
                Attach::TookOver => ("took-over", "a watchdog took over"),
                _ => ("resumed", "an engine went on"),
            };
            if !many {
                self.upright(class, x, y, bottom);
            }
            self.svg.raw("<g><title>").raw(what).raw(": ").text(&engine.at.to_string()).raw(", process ");
            self.svg.number(u64::from(engine.pid)).raw(" on ").clipped(&engine.host, 100).raw("</title>");
            self.rect(class, x - 25, y + 40, 50, 100);
            self.svg.raw("</g>\n");
        }
    }

    fn people(&mut self, y: i64) {
        self.label("People", "lane", 0, y);
        let waits = self.spans.people.iter().map(|span| (self.x(span.from), self.x(span.to))).collect();
        for (from, to) in merged(waits) {
            self.looks.insert(Look::Person);
            self.rect("person", from, y + 40, (to - from).max(MIN_BAR), 100);
        }
        let mut last = i64::MIN;
        for person in &self.told.people {
            let x = self.x(person.at.0);
            if x.saturating_sub(last) < 40 {
                continue;
            }
            last = x;
            self.svg.raw("<circle class=\"decision\" cx=\"").tenths(x).raw("\" cy=\"").tenths(y + 90);
            self.svg.raw("\" r=\"3\"><title>").clipped(&person.who.name, 100).raw(", ").text(&person.at.to_string());
            self.svg.raw("</title></circle>");
        }
        self.svg.raw("\n");
    }

    fn label(&mut self, label: &str, class: &'static str, depth: usize, y: i64) {
        let indent = 100 * i64::try_from(depth.min(12)).unwrap_or(0);
        self.words(class, 20 + indent, y + 125, label);
    }

    fn line(&mut self, line: &Line, y: i64) {
        let rows = self.tree.rows(&line.nodes);
        let (Some(first), Some(last)) = (line.nodes.first(), line.nodes.last()) else { return };
        let (first, last) = (&self.tree.nodes[*first], &self.tree.nodes[*last]);
        let spans: Vec<_> = rows.iter().flat_map(|row| self.spans.steps[*row].iter().copied()).collect();
        let (Some(from), Some(to)) = (spans.iter().map(|span| span.from).min(), spans.iter().map(|span| span.to).max())
        else {
            return;
        };
        let top = rows.first().map_or(0, |row| *row as u64 + 1);
        self.svg.raw("<a href=\"#step-").number(top);
        self.svg.raw("\"><title>").clipped(first.path.as_str(), 300);
        if line.nodes.len() > 1 {
            self.svg.raw(" to ").clipped(last.path.as_str(), 300);
        }
        let took = human(to.abs_diff(from));
        self.svg.raw(": ").text(&took).raw("</title>");
        let count: u64 = line.nodes.iter().map(|at| self.tree.nodes[*at].steps).sum();
        let tail = if count > 1 && !line.opened { format!("{took} · {count} steps") } else { took };
        let name = if line.nodes.len() > 1 { format!("{} … {}", first.name, last.name) } else { first.name.clone() };
        self.svg.raw("<g clip-path=\"url(#labels)\">");
        let room = LABEL_HALVES.saturating_sub(2 * tail.chars().count() + 2 * line.depth.min(12) + 2);
        let class = if line.opened { "scope" } else { "step" };
        self.label(&fitted(&name, room), class, line.depth, y);
        self.words("took", LABEL_WIDTH, y + 125, &tail);
        self.svg.raw("</g>");
        if first.window {
            self.budgets(first, y);
        }
        if line.opened {
            let (x, end) = (self.x(from), self.x(to));
            self.rect("extent", x, y + 80, (end - x).max(MIN_BAR), 20);
        } else {
            for look in Look::ALL {
                let of_look = spans.iter().filter(|span| span.look == look);
                let places = of_look.map(|span| (self.x(span.from), self.x(span.to))).collect();
                for (x, end) in merged(places) {
                    self.looks.insert(look);
                    self.rect(look.class(), x, y + 40, (end - x).max(MIN_BAR), 100);
                }
            }
        }
        self.svg.raw("</a>\n");
    }

    /// The budget of each opening of a window, in its line: how long it might have taken, and the reserve.
    fn budgets(&mut self, node: &Node, y: i64) {
        let of_node = self.told.windows.iter().filter(|window| window.path == node.path);
        for window in of_node.take(MAX_MARKS) {
            let after = |ms: u64| window.opened_at.0.saturating_add_unsigned(ms.saturating_mul(1000));
            let limit = window.budget.as_ms().saturating_sub(window.reserve.as_ms());
            let (from, back, end) =
                (self.x(window.opened_at.0), self.x(after(limit)), self.x(after(window.budget.as_ms())));
            self.rect("budget", from, y + 25, (end - from).max(MIN_BAR), 130);
            if end > back {
                self.rect("reserve", back, y + 25, end - back, 130);
            }
        }
    }

    fn commit_points(&mut self, bottom: i64) {
        for point in self.told.commit_points.iter().take(MAX_MARKS) {
            let x = self.x(point.at.0);
            self.svg.raw("<g><title>commit point ").clipped(point.path.as_str(), 200).raw("</title>");
            self.upright("commit", x, TOP - 20, bottom);
            self.words("commit", x, TOP - 30, "◆");
            self.svg.raw("</g>\n");
        }
    }
}

/// Places that touch as one, so that a line has no more bars than places.
fn merged(mut places: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    places.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for (from, to) in places {
        match joined.last_mut() {
            Some(last) if from <= last.1.max(last.0 + MIN_BAR) + MERGE => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// As much of a name as fits, wide characters counted twice.
fn fitted(name: &str, halves: usize) -> String {
    let width = |c: char| if c >= '\u{1100}' { 4 } else { 2 };
    let mut used = 0;
    let mut out = String::new();
    for c in name.chars() {
        used += width(c);
        if used > halves {
            out.push('…');
            break;
        }
        out.push(c);
    }
    out
}

/// A round length of time, for the axis.
fn brief(us: u64) -> String {
    match us {
        0 => "0".to_owned(),
        1..1_000_000 => human(us).replace(".0ms", "ms"),
        1_000_000..60_000_000 => {
            human(us).trim_end_matches('s').trim_end_matches('0').trim_end_matches('.').to_owned() + "s"
        }
        _ => human(us),
    }
}
