//! What a world is like: drawn once from its seed, so that each has a character of its own.

use winback::dispatch::core::LaneConfig;
use winback::dispatch::pace::{LaneLimits, Limit};
use winback::dispatch::sweep::DoubtPolicy;
use winback::model::message::{RetryPolicy, WhenInDoubt};

use super::answering::Rungs;
use super::dice::Dice;
use super::provider::Mood;
use super::tables::{ROUTES, SENDERS, TAG};

use std::collections::HashMap;
use std::time::Duration;

/// The parameters of a world.
pub(crate) struct Character {
    pub(crate) contacts: i64,
    pub(crate) campaigns: i64,
    /// Processes that share the store.
    pub(crate) nodes: usize,
    /// Whether a commit's answer may get lost while the commit stands.
    pub(crate) server: bool,
    pub(crate) with_coupons: bool,
    pub(crate) coupons: usize,
    pub(crate) budget: Option<i64>,
    pub(crate) doubt: WhenInDoubt,
    pub(crate) policy: DoubtPolicy,
    /// Whether campaigns are launched at the same moment.
    pub(crate) at_once: bool,
    /// At most one text for each contact, whatever the campaign.
    pub(crate) capped: bool,
    /// Length of a run, in milliseconds.
    pub(crate) run_ms: i64,
    pub(crate) moods: [Mood; ROUTES.len()],
    pub(crate) rungs: [Rungs; ROUTES.len()],
    pub(crate) lanes: [LaneConfig; ROUTES.len()],
    /// When trouble ends, in milliseconds.
    pub(crate) horizon: u64,
    /// How much trouble there is, in parts per thousand of each chance.
    pub(crate) wildness: u64,
    /// How often clocks are set beside all other trouble.
    pub(crate) clocks_set: u64,
}

impl Character {
    /// Providers take most and say little, so that they are asked, at length; clocks are set more often.
    pub(crate) fn doubt_much(&mut self, dice: &mut Dice) {
        (self.server, self.horizon, self.wildness, self.clocks_set) = (true, 240_000, 1_000, 3);
        for (rungs, mood) in self.rungs.iter_mut().zip(&mut self.moods) {
            *rungs = Rungs::one(dice);
            *mood = Mood::taciturn(dice);
        }
    }

    /// Whether a provider remembers keys.
    pub(crate) fn has_keys(&self) -> bool {
        self.rungs.iter().any(|rungs| rungs.remembers.is_some())
    }

    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let contacts = dice.between(3, 13).cast_signed();
        let nodes = if dice.chance(300) { 2 } else { 1 };
        let with_coupons = dice.chance(700);
        let coupons = dice.place(20) + 1;
        let horizon = dice.pick(&[20_000, 60_000, 240_000]);
        let doubt =
            dice.pick(&[WhenInDoubt::Park, WhenInDoubt::Resend, WhenInDoubt::Resend, WhenInDoubt::Ask]);
        Self {
            contacts,
            campaigns: if dice.chance(400) { 2 } else { 1 },
            nodes,
            server: nodes > 1 || dice.chance(200),
            with_coupons,
            coupons: if with_coupons { coupons } else { 0 },
            budget: dice.chance(300).then(|| dice.between(20, 150).cast_signed()),
            doubt,
            policy: DoubtPolicy {
                park_after: Duration::from_secs(dice.between(30, 900)),
                resend_after: Duration::from_secs(dice.between(1, 120)),
                attempts: 3,
            },
            at_once: dice.chance(300),
            capped: dice.chance(300),
            run_ms: dice.pick(&[40_000, 7_200_000, 7_200_000, 36_000_000]),
            moods: [Mood::some(dice), Mood::some(dice)],
            rungs: [Rungs::some(dice), Rungs::some(dice)],
            lanes: [lane(dice), lane(dice)],
            horizon,
            wildness: dice.pick(&[0, 300, 1_000, 3_000]),
            clocks_set: 0,
        }
    }
}

fn lane(dice: &mut Dice) -> LaneConfig {
    let limit = |dice: &mut Dice| Limit {
        parts_per_second: dice.pick(&[0.5, 2.0, 20.0]),
        burst: u32::try_from(dice.between(1, 6)).expect("small"),
    };
    let account = dice.chance(500).then(|| limit(dice));
    let mut countries = HashMap::new();
    if dice.chance(200) {
        countries.insert("US".to_owned(), limit(dice));
    }
    let mut senders = HashMap::new();
    if dice.chance(200) {
        senders.insert(SENDERS[0].to_owned(), limit(dice));
    }
    LaneConfig {
        tag: TAG.to_owned(),
        in_flight: dice.place(4) + 1,
        per_request: dice.pick(&[1, 1, 3]),
        limits: LaneLimits { account, senders, countries },
        retry: RetryPolicy {
            attempts: u32::try_from(dice.between(1, 4)).expect("small"),
            first_delay_ms: dice.between(100, 20_000),
            multiplier: 2.0,
            max_delay_ms: 60_000,
            jitter: 0.3,
        },
    }
}

/// The interval of a window that is open at `now`, or the next one. The first key is always open, the second every
/// other minute.
pub(crate) fn window(key: usize, now: i64) -> (i64, i64) {
    const CYCLE: i64 = 120_000;
    const LENGTH: i64 = 60_000;
    if key == 0 {
        return (0, i64::MAX);
    }
    let start = now - now.rem_euclid(CYCLE);
    let start = if now < start + LENGTH { start } else { start + CYCLE };
    (start, start + LENGTH)
}
