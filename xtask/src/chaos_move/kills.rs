//! What is killed, and where: every c-step before and after its durable effect for every victim, and random instants.
//!
//! Owns the lists and the seeded generator. The same seed gives the same kills.

use std::fmt;

/// Steps of `piton_move::cutover::steps`, by the names of docs/design: of c2 and c8, which are several, the first and the
/// last that lasts.
const C_STEPS: [(&str, &str, &str); 9] = [
    ("c1", "before:Hold", "after:Hold"),
    ("c2", "before:LockAccounts", "after:SetReadOnly"),
    ("c3", "before:ReadEnd", "after:ReadEnd"),
    ("c4", "before:WaitApplied", "after:WaitApplied"),
    ("c5", "before:VerifyDirty", "after:VerifyDirty"),
    ("c6", "before:ArmReverse", "after:ArmReverse"),
    ("c6b", "before:ReadEndAgain", "after:ReadEndAgain"),
    ("c7", "before:Commit", "after:Commit"),
    ("c8", "before:OpenTarget", "after:CopyRegister"),
];
/// Between the halves of c2 and of c8, where a server is half fenced or half open.
const BETWEEN: [(&str, &str); 2] = [("c2", "after:LockAccounts"), ("c8", "after:OpenTarget")];
/// For the short campaign: each victim where it hurts most.
const FEW: [(&str, &str, Victim); 6] = [
    ("c2", "after:SetReadOnly", Victim::Mover),
    ("c6", "after:ArmReverse", Victim::Gate),
    ("c4", "before:WaitApplied", Victim::Engine),
    ("c7", "after:Commit", Victim::Mover),
    ("c7", "after:Commit", Victim::Target),
    ("c7", "before:Commit", Victim::Source),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Victim {
    Engine,
    Mover,
    Gate,
    Source,
    Target,
}

impl Victim {
    /// In the order of a named campaign: those after which a chain goes on come first.
    pub(super) const ALL: [Self; 5] = [Self::Engine, Self::Mover, Self::Gate, Self::Target, Self::Source];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Mover => "mover",
            Self::Gate => "gate",
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum When {
    At {
        step: &'static str,
        point: &'static str,
    },
    /// This part of a run's length after its start.
    Instant(f64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Kill {
    pub(super) victim: Victim,
    pub(super) when: When,
}

impl Kill {
    /// Whether the writers wait for a mover that dies here: from c2's beginning to c8's end.
    pub(super) fn is_measured(&self) -> bool {
        let When::At { step, point } = self.when else { return false };
        self.victim == Victim::Mover && step != "c1" && point != "after:CopyRegister"
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.when {
            When::At { step, point } => format!("{step} {point}"),
            When::Instant(part) => format!("at {:.0} % of the run", part * 100.0),
        };
        write!(formatter, "{:<7}{when}", self.victim.word())
    }
}

/// The named kills of the whole campaign.
pub(super) fn named() -> Vec<Kill> {
    let mut all = Vec::new();
    for victim in Victim::ALL {
        let points = C_STEPS.iter().flat_map(|(step, before, after)| [(*step, *before), (*step, *after)]);
        all.extend(points.chain(BETWEEN).map(|(step, point)| Kill { victim, when: When::At { step, point } }));
    }
    all
}

pub(super) fn few() -> Vec<Kill> {
    FEW.iter().map(|(step, point, victim)| Kill { victim: *victim, when: When::At { step, point } }).collect()
}

/// `count` kills shared out over the length of a run, each somewhere in its own part of it, of victims in turn from a
/// random one on.
pub(super) fn random(count: usize, seed: u64) -> Vec<Kill> {
    let mut random = Random(seed);
    let from = random.below(Victim::ALL.len() as u64) as usize;
    let mut kills: Vec<Kill> = (0..count)
        .map(|index| {
            let part = (index as f64 + random.part()) / count as f64;
            Kill { victim: Victim::ALL[(from + index) % Victim::ALL.len()], when: When::Instant(part) }
        })
        .collect();
    // In no order of time: a chain of kills early in the run would be another campaign than one spread out.
    for index in (1..kills.len()).rev() {
        kills.swap(index, random.below(index as u64 + 1) as usize);
    }
    kills
}

/// splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// From 0 to 1, which is left out.
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_victim_dies_before_and_after_every_c_step() {
        let named = named();
        assert!(named.len() >= 80, "{}", named.len());
        for victim in Victim::ALL {
            let of: Vec<_> = named.iter().filter(|kill| kill.victim == victim).collect();
            let seen = |step: &str, when: &str| {
                of.iter().any(
                    |kill| matches!(kill.when, When::At { step: s, point } if s == step && point.starts_with(when)),
                )
            };
            for (step, ..) in C_STEPS {
                assert!(seen(step, "before:") && seen(step, "after:"), "{victim:?} {step}");
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_kills_spread_over_the_whole_run() {
        assert_eq!(random(40, 7), random(40, 7));
        assert_ne!(random(40, 7), random(40, 8));
        let mut tenths = HashSet::new();
        for kill in random(40, 7) {
            let When::Instant(part) = kill.when else { panic!("{kill:?}") };
            assert!((0.0..1.0).contains(&part));
            tenths.insert((part * 10.0) as u32);
        }
        assert_eq!(tenths.len(), 10);
        for victim in Victim::ALL {
            assert_eq!(random(40, 7).iter().filter(|kill| kill.victim == victim).count(), 8);
        }
    }
}
