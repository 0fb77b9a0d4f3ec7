//! The screen of a driven or followed run: takes durable records and shows them, without ever holding up the engine.
//!
//! Owns the thread that paints, the bounded queue in front of it, and what is said when an engine's life ends. A reader
//! that stops reading (a full pipe, a stopped terminal) costs lines and nothing else: a window's engine must not wait
//! for `less`.

use super::checklist::{self, Canvas};
use super::pace::{self, Pace};
use super::story::Story;
use super::{failure, json, plain};
use crate::print;
use crate::world::SystemClock;
use piton_core::event::Handle;
use piton_core::ids::RunId;
use piton_core::plan::past::Past;
use piton_core::ports::Clock as _;
use piton_core::progress::Said;
use piton_core::record::Record;
use piton_core::state::Phase;
use piton_core::{Path, RunState};
use piton_engine::{Control, End, Observer};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Lines waiting for a reader that does not read, at most; then they are counted instead.
const MAX_LINES: usize = 100_000;
/// The checklist is redrawn this often while something runs.
const REDRAW: Duration = Duration::from_millis(100);
/// Running steps that are listened to: more than a terminal has rows.
const MAX_LISTENED: usize = 100;
/// Of the time, at most one part in this many goes into drawing.
const DRAW_SHARE: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Silent,
    Plain,
    Json,
    Checklist,
}

/// Finds what a running step says; given its path and how its attempt is found.
type Listen = Box<dyn Fn(&Path, Option<&Handle>) -> Option<Said> + Send + Sync>;

pub(crate) struct Screen {
    mode: Mode,
    shared: Arc<Shared>,
    painter: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    listen: Mutex<Option<Listen>>,
    past: OnceLock<Past>,
}

#[derive(Default)]
struct Inner {
    story: Story,
    lines: VecDeque<String>,
    left_out: u64,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Screen {
    /// Nothing is shown.
    pub(crate) fn silent() -> Self {
        Self::new(Mode::Silent)
    }

    /// One line for each event.
    pub(crate) fn plain() -> Self {
        Self::new(Mode::Plain)
    }

    /// As fits where standard output goes.
    pub(crate) fn foreground(json: bool) -> Self {
        Self::new(match json {
            true => Mode::Json,
            false if print::is_terminal() => Mode::Checklist,
            false => Mode::Plain,
        })
    }

    fn new(mode: Mode) -> Self {
        let shared = Arc::new(Shared::default());
        let painter = (mode != Mode::Silent).then(|| {
            let shared = shared.clone();
            std::thread::spawn(move || match mode {
                Mode::Checklist => paint_checklist(&shared),
                _ => paint_lines(&shared),
            })
        });
        Self { mode, shared, painter: Mutex::new(painter) }
    }

    /// Of a run whose journal was read already.
    pub(crate) fn remember(&self, story: Story) {
        self.shared.lock().story = story;
    }

    /// The engine is attached and about to run.
    pub(crate) fn begin(&self, control: Control) {
        if self.mode == Mode::Silent {
            return;
        }
        self.listen(move |path, _| control.said(path));
    }

    /// Finds out beside everything else what past runs took; only a checklist shows it.
    pub(crate) fn look_back(&self, read: impl FnOnce() -> Option<Past> + Send + 'static) {
        if self.mode != Mode::Checklist {
            return;
        }
        let shared = Arc::downgrade(&self.shared);
        std::thread::spawn(move || {
            if let (Some(past), Some(shared)) = (read(), shared.upgrade()) {
                // Whoever was first knows as much.
                let _ = shared.past.set(past);
            }
        });
    }

    /// How to find what a running step says.
    pub(crate) fn listen(&self, listen: impl Fn(&Path, Option<&Handle>) -> Option<Said> + Send + Sync + 'static) {
        *self.shared.listen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(listen));
    }

    /// Ctrl-C, once.
    pub(crate) fn pausing(&self) {
        self.say("paused: the running steps are finished, then the run holds; Ctrl-C again leaves at once");
    }

    /// Ctrl-C, twice: this process ends right after.
    pub(crate) fn leaving(&self) {
        let run = self.shared.lock().story.state.started.as_ref().map(|started| started.run.short().to_owned());
        print::note(&format!("\n{}", failure::interrupted(&run.unwrap_or_else(|| "@last".to_owned())).trim_end()));
    }

    /// The engine's life ended: everything is shown, then what can be done next.
    pub(crate) fn end(&self, run: &RunId, end: &End) {
        self.close();
        if !matches!(end, End::Broken(_)) {
            self.show_ending(run.short());
        }
    }

    /// What happened, and what can be done next.
    pub(crate) fn show_ending(&self, run: &str) {
        if self.mode == Mode::Silent {
            return;
        }
        let text = failure::ending(&self.shared.lock().story, run);
        match self.mode {
            Mode::Checklist => print::out(&format!("\n{text}")),
            _ => print::note(text.trim_end()),
        }
    }

    /// Waits until everything is shown.
    pub(crate) fn close(&self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        let painter = self.painter.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(painter) = painter {
            // A painter that panicked has said so.
            let _ = painter.join();
        }
        // It knows the engine, which knows this screen: neither would ever end, nor the engine's lease.
        self.shared.listen.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) fn with_story<R>(&self, look: impl FnOnce(&Story) -> R) -> R {
        look(&self.shared.lock().story)
    }

    /// What the journal cannot know is shown as it is.
    pub(crate) fn correct(&self, look: impl FnOnce(&mut RunState)) {
        look(&mut self.shared.lock().story.state);
    }

    /// Shown beside the run's record.
    fn say(&self, text: &str) {
        if self.mode == Mode::Silent {
            return;
        }
        let line = match self.mode {
            Mode::Json => json::note("note", text),
            _ => format!("piton: {}", super::text::printable(text)),
        };
        push(&mut self.shared.lock(), Some(line));
        self.shared.changed.notify_all();
    }
}

impl Observer for Screen {
    fn durable(&self, records: &[Record]) {
        if self.mode == Mode::Silent {
            return;
        }
        let mut inner = self.shared.lock();
        for record in records {
            if record.seq <= inner.story.state.seq {
                continue;
            }
            let line = match self.mode {
                Mode::Plain => plain::line(&inner.story, record),
                Mode::Json => Some(json::line(record)),
                Mode::Checklist | Mode::Silent => None,
            };
            push(&mut inner, line);
            inner.story.apply(record);
        }
        drop(inner);
        self.shared.changed.notify_all();
    }

    /// Shown as state, not as lines.
    fn recall(&self, record: &Record) {
        if self.mode != Mode::Silent {
            self.shared.lock().story.apply(record);
        }
    }

    fn side_log(&self, why: &str) {
        self.say(&format!("the store failed ({why}); going back is recorded beside it"));
    }

    fn warn(&self, text: &str) {
        self.say(text);
    }
}

fn push(inner: &mut Inner, line: Option<String>) {
    let Some(line) = line else { return };
    if inner.lines.len() < MAX_LINES {
        inner.lines.push_back(line);
    } else {
        inner.left_out += 1;
    }
}

/// Everything that waits, as one text; `None` at the end.
fn next_lines(shared: &Shared) -> Option<String> {
    let mut inner = shared.lock();
    while inner.lines.is_empty() && !inner.ended {
        inner = shared.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
    }
    let lines = take_lines(&mut inner);
    (!lines.is_empty()).then_some(lines)
}

fn take_lines(inner: &mut Inner) -> String {
    let mut text = String::new();
    for line in inner.lines.drain(..) {
        text.push_str(&line);
        text.push('\n');
    }
    let left_out = std::mem::take(&mut inner.left_out);
    if left_out > 0 {
        text.push_str(&format!("piton: {left_out} lines were left out, since nobody read; piton logs has them\n"));
    }
    text
}

fn paint_lines(shared: &Shared) {
    while let Some(text) = next_lines(shared) {
        print::out(&text);
    }
}

fn paint_checklist(shared: &Shared) {
    let clock = SystemClock::new();
    let (mut drawn, mut pace) = (0, Pace::default());
    loop {
        let started = Instant::now();
        let inner = shared.lock();
        let ended = inner.ended;
        drop(inner);
        paint_frame(shared, &clock, &mut pace, &mut drawn);
        if ended {
            return;
        }
        let pause = REDRAW.max(started.elapsed() * DRAW_SHARE);
        let inner = shared.lock();
        if !inner.ended {
            // Woken early only by the end: frames come at their own pace.
            drop(shared.changed.wait_timeout_while(inner, pause, |inner| !inner.ended));
        }
    }
}

/// Draws over the frame before. Lines are not wrapped while drawing, so a frame has as many rows as lines.
fn paint_frame(shared: &Shared, clock: &SystemClock, pace: &mut Pace, drawn: &mut usize) {
    let now = clock.now();
    let told = pace.look(heard(shared), now.boot_us);
    let mut inner = shared.lock();
    let notes = take_lines(&mut inner);
    let canvas = Canvas {
        columns: print::columns().unwrap_or(80),
        rows: print::rows().unwrap_or(24),
        colors: print::colors(),
        now,
        boot_id: clock.boot_id(),
        past: shared.past.get(),
        told: &|path| told.get(path).map(pace::told).unwrap_or_default(),
    };
    let lines = checklist::frame(&inner.story, &canvas);
    drop(inner);
    let mut text = String::from("\x1b[?7l");
    if *drawn > 0 {
        text.push_str(&format!("\r\x1b[{drawn}A"));
    }
    text.push_str("\x1b[J");
    text.push_str(&notes);
    for line in &lines {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str("\x1b[?7h");
    print::out(&text);
    *drawn = lines.len();
}

/// Asked for without the lock that the engine's observer needs: finding it may need the engine's own.
fn heard(shared: &Shared) -> HashMap<Path, Said> {
    let listen = shared.listen.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(listen) = listen.as_ref() else { return HashMap::new() };
    let running: Vec<(Path, Option<Handle>)> = {
        let inner = shared.lock();
        let steps = inner.story.state.steps.iter().filter(|(_, step)| matches!(step.phase, Phase::Running(_)));
        steps.take(MAX_LISTENED).map(|(path, _)| (path.clone(), inner.story.step(path).handle().cloned())).collect()
    };
    running.into_iter().filter_map(|(path, handle)| Some((path.clone(), listen(&path, handle.as_ref())?))).collect()
}
