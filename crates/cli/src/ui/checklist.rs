//! The terminal's view: a run as a checklist, not a log.
//!
//! Owns one frame: finished scopes folded to a line with count and time, running steps with elapsed time and their
//! last output line, an open window with its budget as a bar; never more lines than the terminal has. Pure: the story,
//! the time and the size give the frame. Never prints and never moves the cursor.

use super::model::{Mark, Node, Tree};
use super::pace;
use super::story::Story;
use super::text::{bar, clip, count, pad, printable, took, width};
use piton_core::Path;
use piton_core::child::Child;
use piton_core::plan::past::Past;
use piton_core::record::Moment;
use piton_core::state::Phase;
use piton_core::window::{Window, WindowPhase};

/// Columns of a window's bar.
const BAR_COLUMNS: usize = 20;
/// Columns of the names, at most; in a narrow terminal two fifths, so that there is room for what is said of them.
const MAX_NAME_COLUMNS: usize = 44;
const MIN_NAME_COLUMNS: usize = 8;
/// Finished children of an unfinished scope shown one by one; tried from the first to the last until the frame fits.
const KEEP: [usize; 4] = [40, 8, 2, 0];

/// What a frame is drawn for.
pub(crate) struct Canvas<'a> {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    pub(crate) colors: bool,
    pub(crate) now: Moment,
    pub(crate) boot_id: &'a str,
    /// What past runs took, where that is known.
    pub(crate) past: Option<&'a Past>,
    /// What a running step says of itself, from all of it to the least.
    pub(crate) told: &'a dyn Fn(&Path) -> Vec<String>,
}

#[derive(Clone, Copy)]
enum Paint {
    Plain,
    Dim,
    Green,
    Cyan,
    Yellow,
    Red,
}

struct Row {
    depth: usize,
    symbol: char,
    paint: Paint,
    name: String,
    count: String,
    time: String,
    /// What is said of it; the first that there is room for.
    detail: Vec<String>,
    said_in: Paint,
}

/// The lines of a frame, each no wider than the terminal.
pub(crate) fn frame(story: &Story, canvas: &Canvas<'_>) -> Vec<String> {
    let tree = Tree::of(story, canvas.now);
    let room = canvas.rows.saturating_sub(3).max(1);
    let mut rows = Vec::new();
    for keep in KEEP {
        rows.clear();
        Draft { story, canvas, tree: &tree, keep, rows: &mut rows }.children(tree.run(), 0);
        if rows.len() <= room {
            break;
        }
    }
    let hidden = rows.len().saturating_sub(room);
    let names = rows.iter().map(|row| 2 * row.depth + width(&row.name)).max().unwrap_or(0);
    let deepest = rows.iter().map(|row| 2 * row.depth).max().unwrap_or(0);
    let names = names.min(MAX_NAME_COLUMNS).min(canvas.columns * 2 / 5).max(deepest + MIN_NAME_COLUMNS);
    let mut lines = vec![header(story, &tree, canvas)];
    if hidden > 0 {
        // What runs now stands at the end.
        rows.drain(..=hidden);
        let above = format!(" … {} above", count(hidden as u64 + 1, "line"));
        lines.push(clip(&above, canvas.columns.saturating_sub(1)));
    }
    lines.extend(rows.iter().map(|row| row.draw(names, canvas)));
    lines
}

fn header(story: &Story, tree: &Tree<'_>, canvas: &Canvas<'_>) -> String {
    let state = &story.state;
    let Some(started) = &state.started else { return String::new() };
    let done = count(tree.run().tally.done, "step");
    let what = started.rehearsal.map_or_else(|| "run".to_owned(), |how| format!("REHEARSAL {how}"));
    let left = canvas.past.and_then(|past| super::remaining::left(story, past, canvas.now));
    let left = left.map_or_else(String::new, |left| format!("   {left}"));
    let right = format!("{what} {}   {done}   {}{left}", started.run.short(), took(tree.run().took_us));
    let room = canvas.columns.saturating_sub(width(&right) + 5);
    let title = clip(&printable(&started.runbook.title), room);
    let gap = room.saturating_sub(width(&title)).min(MAX_NAME_COLUMNS.saturating_sub(width(&title)));
    clip(&format!(" {title}{}   {right}", " ".repeat(gap)), canvas.columns.saturating_sub(1))
}

struct Draft<'a> {
    story: &'a Story,
    canvas: &'a Canvas<'a>,
    tree: &'a Tree<'a>,
    keep: usize,
    rows: &'a mut Vec<Row>,
}

impl Draft<'_> {
    /// An unfinished scope's children: what is finished first folds first.
    fn children(&mut self, node: &Node<'_>, depth: usize) {
        let tree = self.tree;
        let done = tree.children(node).filter(|child| child.mark == Mark::Done).count();
        let mut fold = if depth == 0 { 0 } else { done.saturating_sub(self.keep) };
        if fold > 0 {
            let name = format!("{fold} done");
            self.rows.push(Row { depth, symbol: '✓', paint: Paint::Dim, name, ..Row::empty() });
        }
        for child in tree.children(node) {
            if child.mark == Mark::Done && fold > 0 {
                fold -= 1;
                continue;
            }
            self.node(child, depth);
        }
    }

    fn node(&mut self, node: &Node<'_>, depth: usize) {
        let row = if node.is_scope() { self.scope(node, depth) } else { self.step(node, depth) };
        self.rows.push(row);
        let folded = matches!(node.mark, Mark::Done | Mark::Undone | Mark::Dropped);
        if node.is_scope() && !folded {
            self.children(node, depth + 1);
        }
    }

    fn scope(&self, node: &Node<'_>, depth: usize) -> Row {
        let tally = node.tally;
        let counted = match node.branches {
            Some((left, total)) if node.mark != Mark::Done => format!("{left}/{total}"),
            _ if node.mark == Mark::Done => count(tally.done, "step"),
            _ => String::new(),
        };
        let mut detail = if node.is_window() { self.window(node) } else { Vec::new() };
        let time = if detail.is_empty() { took(node.took_us) } else { String::new() };
        if let (Some((left, total)), Mark::Running) = (node.branches, node.mark) {
            detail = pace::of_branches(left, total, node.took_us);
        }
        if tally.failed > 0 && detail.is_empty() {
            detail = vec![format!("{} failed and caught", tally.failed)];
        }
        Row {
            depth,
            symbol: node.mark.symbol(),
            paint: paint(node.mark),
            name: node.name.clone(),
            count: counted,
            time,
            detail,
            said_in: self.budget_paint(node),
        }
    }

    /// An open window is what everybody looks at, all the more when it is late.
    fn budget_paint(&self, node: &Node<'_>) -> Paint {
        let open = |window: &&Window| !matches!(window.phase, WindowPhase::Closed { .. });
        let Some(window) = self.story.state.windows.get(&node.path).filter(open) else { return Paint::Dim };
        let (elapsed_us, _) = window.elapsed_us(self.canvas.now, self.canvas.boot_id);
        match elapsed_us {
            late if late > window.budget_us() => Paint::Red,
            _ if window.committed => Paint::Plain,
            near if near > window.limit_us() => Paint::Yellow,
            _ => Paint::Plain,
        }
    }

    /// The budget as a bar, while the window is open.
    fn window(&self, node: &Node<'_>) -> Vec<String> {
        let Some(window) = self.story.state.windows.get(&node.path) else { return Vec::new() };
        match &window.phase {
            WindowPhase::Closed { measured_us, within_budget, went_back } => {
                let over = if *within_budget { "" } else { ", OVER ITS BUDGET" };
                let went = if *went_back { "went back after " } else { "" };
                vec![format!("{went}{} of {}{over}", took(*measured_us), window.budget)]
            }
            open => {
                let (elapsed_us, _) = window.elapsed_us(self.canvas.now, self.canvas.boot_id);
                let bar = bar(elapsed_us, window.budget_us(), BAR_COLUMNS);
                let why = match open {
                    WindowPhase::GoingBack { why } => format!("   goes back: {}", printable(why)),
                    _ if window.committed => "   past its commit point".to_owned(),
                    _ => String::new(),
                };
                let used = format!("{} of {}{why}", took(elapsed_us), window.budget);
                vec![format!("{bar} {used}"), used]
            }
        }
    }

    fn step(&self, node: &Node<'_>, depth: usize) -> Row {
        let told = self.story.step(&node.path);
        let failed = told.failed().map(|failed| failed.failure.message.clone()).unwrap_or_default();
        let detail = match (node.mark, node.step.map(|step| &step.phase)) {
            (Mark::Running | Mark::Undoing, _) => told.does.as_deref().unwrap_or_default().to_owned(),
            (Mark::Retrying, _) => format!("tries again; {failed}"),
            (Mark::Held, Some(Phase::Held(reason))) => reason.to_string(),
            (Mark::Failed | Mark::Held, _) => failed,
            (Mark::Waiting, Some(Phase::Asked { asked, .. })) => self.how_to_answer(node, &asked.ask),
            (Mark::Waiting, Some(Phase::Timer(timer))) => {
                let left = u64::try_from(timer.due_at_us.saturating_sub(self.canvas.now.wall_us)).unwrap_or(0);
                format!("{} left", took(left))
            }
            (Mark::Dropped, _) => "dropped: the edited runbook has it no more".to_owned(),
            (mark, _) => match self.story.state.children.get(&node.path) {
                Some(Child { run, waits: Some(wait) }) if mark == Mark::Waiting => super::children::waits(run, wait),
                Some(Child { run, .. }) => format!("run {}", run.short()),
                None => String::new(),
            },
        };
        let mut details = if matches!(node.mark, Mark::Running | Mark::Undoing) {
            (self.canvas.told)(&node.path)
        } else {
            Vec::new()
        };
        if details.is_empty() {
            details.push(detail);
        }
        Row {
            depth,
            symbol: node.mark.symbol(),
            paint: paint(node.mark),
            name: node.name.clone(),
            count: String::new(),
            time: took(node.took_us),
            detail: details.iter().map(|detail| printable(detail.lines().next().unwrap_or_default())).collect(),
            // What a person should read stands out.
            said_in: if matches!(node.mark, Mark::Waiting | Mark::Held) { Paint::Plain } else { Paint::Dim },
        }
    }

    fn how_to_answer(&self, node: &Node<'_>, ask: &piton_core::request::Ask) -> String {
        let run = self.story.state.started.as_ref().map(|started| started.run.short().to_owned()).unwrap_or_default();
        let offers = super::failure::answers_to(ask, &run, &node.path);
        offers.first().map(|offer| offer.command.clone()).unwrap_or_default()
    }
}

impl Row {
    fn empty() -> Self {
        Self {
            depth: 0,
            symbol: ' ',
            paint: Paint::Plain,
            name: String::new(),
            count: String::new(),
            time: String::new(),
            detail: Vec::new(),
            said_in: Paint::Dim,
        }
    }

    fn draw(&self, names: usize, canvas: &Canvas<'_>) -> String {
        let indent = "  ".repeat(self.depth);
        let name = pad(&self.name, names.saturating_sub(indent.len()));
        let text = format!(" {indent}{} {name}  {:>9}  {:>6}", self.symbol, self.count, self.time);
        let room = canvas.columns.saturating_sub(1);
        let text = clip(&text, room);
        let rest = room.saturating_sub(width(&text) + 2);
        let fits = self.detail.iter().find(|detail| width(detail) <= rest).or(self.detail.last());
        let detail = fits.filter(|_| rest >= 8).map_or(String::new(), |detail| clip(detail, rest));
        let gap = if detail.is_empty() { "" } else { "  " };
        if !canvas.colors {
            return format!("{text}{gap}{detail}").trim_end().to_owned();
        }
        let detail = match self.said_in.code() {
            Some(code) if !detail.is_empty() => format!("\x1b[{code}m{detail}\x1b[0m"),
            _ => detail,
        };
        match self.paint.code() {
            Some(code) => {
                let (before, after) = text.split_once(self.symbol).unwrap_or(("", &text));
                let after =
                    if matches!(self.paint, Paint::Dim) { format!("\x1b[2m{after}\x1b[0m") } else { after.to_owned() };
                format!("{before}\x1b[{code}m{}\x1b[0m{after}{gap}{detail}", self.symbol)
            }
            None => format!("{text}{gap}{detail}"),
        }
    }
}

impl Paint {
    /// Select graphic rendition, ECMA-48 section 8.3.117.
    fn code(self) -> Option<u8> {
        Some(match self {
            Self::Plain => return None,
            Self::Dim => 2,
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Cyan => 36,
        })
    }
}

fn paint(mark: Mark) -> Paint {
    match mark {
        Mark::Done => Paint::Green,
        Mark::Running => Paint::Cyan,
        Mark::Retrying | Mark::Waiting | Mark::Undoing => Paint::Yellow,
        Mark::Failed | Mark::Held => Paint::Red,
        Mark::Undone | Mark::Dropped => Paint::Dim,
    }
}

#[cfg(test)]
mod tests;
