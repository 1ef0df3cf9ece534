//! How far intents are recorded ahead of the wire.

use std::collections::VecDeque;
use std::time::Duration;

use crate::dispatch::pace::Limit;
use crate::model::message::Claimed;
use crate::model::outcome::OutcomeClass;

use super::{Effect, Event, Hand, LaneConfig, claimed, config, said};

const MS: Duration = Duration::from_millis(1);

/// How long a transaction of the store takes; what is asked for meanwhile waits for the next.
const TRANSACTION_MS: u32 = 40;

/// How long the provider takes for an answer.
const ANSWER: Duration = Duration::from_millis(16);

/// A provider that hangs.
const NEVER: Duration = Duration::from_hours(1);

/// A lane with endless work, on a store that works in transactions one after the other, and a wire that has places.
struct Line {
    hand: Hand,
    answer: Duration,
    parts: u16,
    next: i64,
    /// Asked for during this transaction, and in the one before.
    asked: Vec<Effect>,
    in_hand: Vec<Effect>,
    wire: VecDeque<(Duration, Event)>,
    sent: usize,
    most_open: usize,
    claimed: usize,
    given_back: usize,
}

impl Line {
    fn new(config: LaneConfig) -> Self {
        let (asked, in_hand, wire) = (Vec::new(), Vec::new(), VecDeque::new());
        let hand = Hand::new(config);
        let (sent, most_open, claimed, given_back) = (0, 0, 0, 0);
        Self {
            hand,
            answer: ANSWER,
            parts: 1,
            next: 1,
            asked,
            in_hand,
            wire,
            sent,
            most_open,
            claimed,
            given_back,
        }
    }

    fn text(&self, id: i64) -> Claimed {
        Claimed { parts: self.parts, ..claimed(id, 1, "US") }
    }

    fn play(&mut self, ms: u32) {
        for at in 0..ms {
            self.hand.at += MS;
            while self.wire.front().is_some_and(|(due, _)| *due <= self.hand.at) {
                let Some((_, answer)) = self.wire.pop_front() else { break };
                self.take(answer);
            }
            if at % TRANSACTION_MS == 0 {
                for done in std::mem::take(&mut self.in_hand) {
                    let told = self.written(done);
                    self.take(told);
                }
                self.in_hand = std::mem::take(&mut self.asked);
            }
            self.take(Event::Tick);
            self.most_open = self.most_open.max(self.hand.core.under_way());
        }
    }

    fn written(&mut self, work: Effect) -> Event {
        match work {
            Effect::Claim(limit, _) => {
                let last = self.next + i64::try_from(limit).expect("few");
                let messages: Vec<Claimed> = (self.next..last).map(|id| self.text(id)).collect();
                self.next = last;
                self.claimed += limit;
                Event::Claimed(messages)
            }
            Effect::Intend(intents) => Event::Intended {
                granted: intents.iter().map(|intent| intent.message).collect(),
                refused: vec![],
            },
            _ => Event::Tick,
        }
    }

    fn take(&mut self, event: Event) {
        for effect in self.hand.step(event) {
            match effect {
                Effect::Claim(..) | Effect::Intend(_) => self.asked.push(effect),
                Effect::Submit { messages, .. } => {
                    self.sent += messages.len();
                    let answers =
                        messages.iter().map(|(message, _)| (message.id, said(OutcomeClass::Accepted)));
                    self.wire.push_back((self.hand.at + self.answer, Event::Answered(answers.collect())));
                }
                Effect::Release(held) => self.given_back += held.len(),
                _ => {}
            }
        }
    }
}

#[test]
fn a_wire_never_waits_for_the_disk_and_a_limited_one_has_no_more_ahead_than_its_limit_lets_go() {
    // Places, limit, parts of a text; how many a second at least, and how many may be open at most.
    let check = |in_flight: usize, limit: Option<f64>, parts: u16, at_least: usize, most_open: usize| {
        let mut config = LaneConfig { in_flight, ..config(None) };
        config.limits.account = limit.map(|rate| Limit { parts_per_second: rate, burst: 3 });
        let mut line = Line { parts, ..Line::new(config) };
        line.play(2_000);
        line.sent = 0;
        line.play(2_000);
        let (sent, open) = (line.sent / 2, line.most_open);
        assert!(sent >= at_least, "{in_flight} places, {limit:?}: {sent}/s");
        assert!(open <= most_open, "{in_flight} places, {limit:?}, {parts} parts: {open} open");
    };
    check(64, None, 1, 3_800, 64 + 650);
    check(16, None, 1, 950, 16 + 160);
    check(16, Some(5_000.0), 1, 950, 16 + 160);
    check(16, Some(300.0), 1, 280, 16 + 32);
    check(16, Some(300.0), 3, 93, 16 + 32);
    check(16, Some(30.0), 1, 28, 16);
}

#[test]
fn a_lane_whose_provider_hangs_claims_no_more_and_gives_back_what_it_has() {
    let mut line = Line { answer: NEVER, ..Line::new(LaneConfig { in_flight: 16, ..config(None) }) };
    line.play(9_000);
    let first = line.claimed;
    assert_eq!((line.given_back, line.sent), (0, 16), "of {first}");
    line.play(60_000);
    // What had its intent is under way; the rest went back once.
    assert_eq!((line.claimed, line.given_back), (first, first - line.most_open));
}
