//! From times to places: the horizontal scale of the timeline.
//!
//! Owns where long stretches without work are drawn short, and which times get a label. Whole numbers only, so that the
//! same journal gives the same picture on every machine. Never knows what happened at a time.

/// Width of what is drawn, tenths of a unit.
pub(super) const WIDTH: i64 = 7100;
/// Width of a stretch without work that is drawn short.
const SHORT: i64 = 460;
/// A stretch without work is drawn short where it would take more than this share of the rest, percent.
const LONG_PERCENT: i128 = 30;
/// At most so many are drawn short.
const MAX_SHORT: usize = 6;
/// About so many labels.
const LABELS: i128 = 8;
/// Labels stand at least so far apart.
const LABEL_GAP: i64 = 560;

/// A stretch of time, microseconds.
pub(super) type Stretch = (i64, i64);

struct Piece {
    from: i64,
    to: i64,
    x: i64,
    width: i64,
    short: bool,
}

pub(super) struct Scale {
    pieces: Vec<Piece>,
    from: i64,
    to: i64,
}

fn length(from: i64, to: i64) -> i128 {
    (i128::from(to) - i128::from(from)).max(0)
}

/// Overlapping stretches as one, in order.
pub(super) fn union(mut stretches: Vec<Stretch>) -> Vec<Stretch> {
    stretches.sort_unstable();
    let mut joined: Vec<Stretch> = Vec::new();
    for (from, to) in stretches {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

impl Scale {
    /// Of everything between `from` and `to`; `work`: when something was being done.
    pub(super) fn new(from: i64, to: i64, work: Vec<Stretch>) -> Self {
        let to = to.max(from);
        let mut idle: Vec<Stretch> = Vec::new();
        let mut at = from;
        for (begin, end) in union(work).into_iter().chain([(to, to)]) {
            if begin > at {
                idle.push((at, begin));
            }
            at = at.max(end);
        }
        let shorts = long(idle, length(from, to));
        let mut edges: Vec<(i64, i64, bool)> = Vec::new();
        let mut at = from;
        for (begin, end) in shorts {
            if begin > at {
                edges.push((at, begin, false));
            }
            edges.push((begin, end, true));
            at = end;
        }
        if to > at || edges.is_empty() {
            edges.push((at, to, false));
        }
        Self { pieces: placed(&edges), from, to }
    }

    /// Where a time stands, tenths from the left; times outside stand at the edge.
    pub(super) fn x(&self, at: i64) -> i64 {
        let at = at.clamp(self.from, self.to);
        let index = self.pieces.partition_point(|piece| piece.from <= at).saturating_sub(1);
        let Some(piece) = self.pieces.get(index) else { return 0 };
        let long = length(piece.from, piece.to);
        if long == 0 {
            return piece.x;
        }
        let into = length(piece.from, at.min(piece.to)) * i128::from(piece.width) / long;
        piece.x + i64::try_from(into).unwrap_or(0)
    }

    /// Stretches that are drawn short: place, width, and how long each is, microseconds.
    pub(super) fn shorts(&self) -> impl Iterator<Item = (i64, i64, u64)> {
        let shorts = self.pieces.iter().filter(|piece| piece.short);
        shorts.map(|piece| (piece.x, piece.width, u64::try_from(length(piece.from, piece.to)).unwrap_or(u64::MAX)))
    }

    /// Places with the time since the start, microseconds, that get a label.
    pub(super) fn labels(&self) -> Vec<(i64, u64)> {
        let busy: i128 = self.pieces.iter().filter(|piece| !piece.short).map(|one| length(one.from, one.to)).sum();
        let step = step(busy / LABELS);
        let mut labels: Vec<(i64, u64)> = vec![(0, 0)];
        for piece in self.pieces.iter().filter(|piece| !piece.short) {
            let first = (length(self.from, piece.from) + step - 1) / step;
            let last = length(self.from, piece.to) / step;
            for count in first..=last {
                let since = count * step;
                let Ok(at) = i64::try_from(i128::from(self.from) + since) else { break };
                let x = self.x(at);
                let apart = labels.last().is_none_or(|(before, _)| x - before >= LABEL_GAP);
                if apart && x + LABEL_GAP / 2 <= WIDTH {
                    labels.push((x, u64::try_from(since).unwrap_or(u64::MAX)));
                }
            }
        }
        labels
    }
}

/// Those that take too much of what is not drawn short, the longest first, since each changes the share of the others.
fn long(mut idle: Vec<Stretch>, whole: i128) -> Vec<Stretch> {
    idle.sort_by_key(|(from, to)| (std::cmp::Reverse(length(*from, *to)), *from));
    let mut left = whole;
    let mut shorts = Vec::new();
    for (from, to) in idle.into_iter().take(MAX_SHORT) {
        let own = length(from, to);
        if own * 100 <= left * LONG_PERCENT {
            break;
        }
        left -= own;
        shorts.push((from, to));
    }
    // Where nothing at all was done there is nothing to make room for.
    if left == 0 {
        shorts.clear();
    }
    shorts.sort_unstable();
    shorts
}

fn placed(edges: &[(i64, i64, bool)]) -> Vec<Piece> {
    let shorts = edges.iter().filter(|(.., short)| *short).count() as i64;
    let room = WIDTH - shorts * SHORT;
    let busy: i128 = edges.iter().filter(|(.., short)| !*short).map(|(from, to, _)| length(*from, *to)).sum();
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut short_before, mut busy_before) = (0i64, 0i128);
    // Places come from the sums before them, so that rounding never adds up.
    let place = |shorts: i64, sum: i128| {
        let part = if busy == 0 { 0 } else { sum * i128::from(room) / busy };
        shorts * SHORT + i64::try_from(part).unwrap_or(0)
    };
    for (from, to, short) in edges {
        let x = place(short_before, busy_before);
        if *short {
            short_before += 1
        } else {
            busy_before += length(*from, *to)
        }
        let width = place(short_before, busy_before) - x;
        pieces.push(Piece { from: *from, to: *to, x, width, short: *short });
    }
    pieces
}

/// The smallest round length of time, microseconds, that is not below this.
fn step(at_least: i128) -> i128 {
    const SECOND: i128 = 1_000_000;
    const ROUND: [i128; 22] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800,
        604_800, 2_592_000, 31_536_000,
    ];
    let small = (0..6u32).flat_map(|power| [1, 2, 5].map(|digit| digit * 10i128.pow(power)));
    let round = small.chain(ROUND.iter().map(|seconds| seconds * SECOND)).find(|step| *step >= at_least);
    round.unwrap_or(at_least)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn without_long_pauses_places_are_in_proportion() {
        let scale = Scale::new(0, 100 * SECOND, vec![(0, 60 * SECOND), (65 * SECOND, 100 * SECOND)]);
        assert_eq!([0, 25, 50, 100].map(|at| scale.x(at * SECOND)), [0, WIDTH / 4, WIDTH / 2, WIDTH]);
        assert_eq!(scale.shorts().count(), 0);
        assert_eq!(scale.x(-5), 0);
        assert_eq!(scale.x(i64::MAX), WIDTH);
    }

    #[test]
    fn a_night_of_waiting_does_not_squeeze_the_work() {
        let hour = 3600 * SECOND;
        let scale =
            Scale::new(0, 14 * hour + 120 * SECOND, vec![(0, 60 * SECOND), (14 * hour, 14 * hour + 120 * SECOND)]);
        let shorts: Vec<_> = scale.shorts().collect();
        assert_eq!(shorts, [(2213, SHORT, 14 * 3_600_000_000 - 60_000_000)]);
        assert_eq!(scale.x(60 * SECOND), 2213);
        assert_eq!(scale.x(14 * hour), 2213 + SHORT);
        assert_eq!(scale.x(14 * hour + 120 * SECOND), WIDTH);
    }

    #[test]
    fn a_minute_beside_a_night_is_drawn_short_too_where_the_work_took_a_second() {
        let (minute, night) = (60 * SECOND, 36_000 * SECOND);
        let scale = Scale::new(0, night + minute, vec![(0, SECOND), (SECOND + minute, 2 * SECOND + minute)]);
        assert_eq!(scale.shorts().count(), 2);
        assert_eq!(scale.x(SECOND), (WIDTH - 2 * SHORT) / 2);
    }

    #[test]
    fn places_never_go_backwards_and_stay_inside() {
        let spans = [(0, 1), (5, 7), (1000, 1001), (90_000, 90_500), (100_000, 900_000)];
        let scale = Scale::new(0, 1_000_000, spans.to_vec());
        let places: Vec<i64> = (-10..1_000_010).step_by(7).map(|at| scale.x(at)).collect();
        assert!(places.is_sorted() && places[0] == 0 && places[places.len() - 1] == WIDTH);
    }

    #[test]
    fn absurd_times_neither_overflow_nor_take_long() {
        for (from, to) in [(i64::MIN, i64::MAX), (5, 5), (9, 3), (i64::MAX, i64::MAX), (0, 1)] {
            let scale = Scale::new(from, to, vec![(from, from), (to, to)]);
            assert!((0..=WIDTH).contains(&scale.x(0)));
            assert!(scale.labels().len() <= 20, "{:?}", scale.labels());
        }
    }

    #[test]
    fn labels_are_round_and_stand_apart() {
        let scale = Scale::new(7, 7 + 95 * SECOND, vec![(7, 95 * SECOND)]);
        let labels = scale.labels();
        let times: Vec<u64> = labels.iter().map(|(_, since)| since / 1_000_000).collect();
        assert_eq!(times, [0, 15, 30, 45, 60, 75, 90]);
        assert!(labels.windows(2).all(|pair| pair[1].0 - pair[0].0 >= LABEL_GAP));
    }
}
