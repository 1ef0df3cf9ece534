//! The lane against a scripted store and wire: what must never happen, and what must happen in the end.

mod ahead;
mod held;
mod lent;

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::pace::{LaneLimits, Limit};
use super::*;
use crate::model::encoding::Encoding;
use crate::model::ids::ContactId;
use crate::model::message::{Full, RetryPolicy};
use crate::model::money::Micros;
use crate::model::state::Dispatch;

fn number(id: i64) -> Phone {
    Phone::from_digits(12_125_550_000 + id.unsigned_abs()).unwrap()
}

fn claimed(id: i64, epoch: i64, country: &str) -> Claimed {
    Claimed {
        id: MessageId(id),
        run: RunId(1),
        contact: ContactId(id),
        phone: number(id),
        epoch,
        attempts: 0,
        last_number: 0,
        parts: 1,
        encoding: Encoding::Gsm7,
        sender: "s".to_owned(),
        country: country.to_owned(),
        body: "hi".to_owned(),
        price: Micros(1),
        expires_at: Timestamp::MAX,
    }
}

fn config(limit: Option<Limit>) -> LaneConfig {
    LaneConfig {
        tag: "t".to_owned(),
        in_flight: 4,
        per_request: 1,
        limits: LaneLimits { account: limit, ..LaneLimits::default() },
        retry: RetryPolicy::default(),
    }
}

/// A lane and a hand that feeds it.
struct Hand {
    core: LaneCore,
    rng: StdRng,
    at: Duration,
}

impl Hand {
    fn new(config: LaneConfig) -> Self {
        Self { core: LaneCore::new(config), rng: StdRng::seed_from_u64(1), at: Duration::from_secs(100) }
    }

    fn now(&self) -> Moment {
        Moment { wall: Timestamp(0).plus(self.at), elapsed: self.at }
    }

    fn step(&mut self, event: Event) -> Vec<Effect> {
        let now = self.now();
        self.core.step(event, now, &mut self.rng)
    }

    fn after(&mut self, span: Duration, event: Event) -> Vec<Effect> {
        self.at += span;
        self.step(event)
    }

    /// Brings messages onto the wire, or as far as the lane lets them.
    fn send(&mut self, ids: &[i64]) -> Vec<Effect> {
        let intents =
            intents(&self.step(Event::Claimed(ids.iter().map(|id| claimed(*id, 1, "US")).collect())));
        self.step(Event::Intended { granted: intents, refused: vec![] })
    }

    fn answer(&mut self, id: i64, class: OutcomeClass) -> Vec<Effect> {
        self.step(Event::Answered(vec![(MessageId(id), said(class))]))
    }
}

fn said(class: OutcomeClass) -> Answer {
    Answer::Outcome(Outcome::of(class))
}

fn intents(effects: &[Effect]) -> Vec<MessageId> {
    let intents = effects.iter().filter_map(|effect| match effect {
        Effect::Intend(intents) => Some(intents),
        _ => None,
    });
    intents.flatten().map(|intent| intent.message).collect()
}

fn submitted(effects: &[Effect]) -> usize {
    effects
        .iter()
        .map(|effect| if let Effect::Submit { messages, .. } = effect { messages.len() } else { 0 })
        .sum()
}

fn claims(effects: &[Effect]) -> Option<usize> {
    effects.iter().find_map(|effect| if let Effect::Claim(limit, _) = effect { Some(*limit) } else { None })
}

fn settled(effects: &[Effect]) -> Vec<(i64, Dispatch)> {
    let settled = effects.iter().filter_map(|effect| match effect {
        Effect::Settle(settlements) => Some(settlements),
        _ => None,
    });
    settled.flatten().map(|s| (s.message.0, s.to)).collect()
}

#[test]
fn a_lane_whose_probe_was_refused_by_the_store_sends_another_one() {
    let mut hand = Hand::new(config(None));
    hand.step(Event::Wake);
    for id in 0..8 {
        hand.send(&[id]);
        hand.answer(id, OutcomeClass::Unavailable);
    }
    hand.step(Event::Claimed(vec![]));
    let effects = hand.after(Duration::from_secs(3), Event::Wake);
    assert_eq!(claims(&effects), Some(1), "one probe: {effects:?}");
    let probe = intents(&hand.step(Event::Claimed(vec![claimed(50, 1, "US")])));
    let refused = vec![(probe[0], Refusal::RunStopped)];
    let effects = hand.step(Event::Intended { granted: vec![], refused });
    assert_eq!(claims(&effects), Some(1), "the lane waits for an answer that nobody will give: {effects:?}");
}

#[test]
fn one_throttle_halves_the_rate_however_many_messages_it_hits() {
    let mut hand = Hand::new(config(Some(Limit { parts_per_second: 100.0, burst: 10 })));
    hand.send(&[1, 2, 3, 4]);
    for id in 1..=4 {
        hand.answer(id, OutcomeClass::Throttled);
    }
    assert!((hand.core.picture().rate_share - 0.5).abs() < 1e-9, "{}", hand.core.picture().rate_share);
    let effects = hand.after(Duration::from_millis(1_100), Event::Claimed(vec![claimed(5, 1, "US")]));
    hand.step(Event::Intended { granted: intents(&effects), refused: vec![] });
    hand.answer(5, OutcomeClass::Throttled);
    assert!(hand.core.picture().rate_share < 0.31, "the next round halves it again");
}

#[test]
fn a_country_with_a_slow_limit_does_not_stand_in_the_way_of_others() {
    let mut config = config(None);
    config.limits.countries.insert("FR".to_owned(), Limit { parts_per_second: 0.5, burst: 1 });
    let mut hand = Hand::new(config);
    hand.step(Event::Wake);
    let effects = hand.step(Event::Claimed((1..=4).map(|id| claimed(id, 1, "FR")).collect()));
    assert_eq!(intents(&effects), [MessageId(1)]);
    let due: Vec<_> = effects
        .iter()
        .filter_map(|effect| if let Effect::Postpone(held) = effect { Some(held.clone()) } else { None })
        .flatten()
        .map(|(id, _, due)| (id.0, (due.since(hand.now().wall) + Duration::from_millis(500)).as_secs()))
        .collect();
    assert_eq!(due, [(2, 2), (3, 4), (4, 6)], "each comes back when there is room for it");
    assert!(claims(&effects).is_some(), "others are looked for at once");
}

#[test]
fn waiting_for_work_saves_up_no_burst() {
    let mut hand =
        Hand::new(LaneConfig { in_flight: 50, ..config(Some(Limit { parts_per_second: 2.0, burst: 1 })) });
    let mut effects = hand.step(Event::Wake);
    for _ in 0..120 {
        assert!(claims(&effects).is_some());
        hand.step(Event::Claimed(vec![]));
        effects = hand.after(Duration::from_millis(1_001), Event::Wake);
    }
    let effects = hand.step(Event::Claimed((1..=60).map(|id| claimed(id, 1, "US")).collect()));
    assert_eq!(intents(&effects).len(), 1, "two a second, one at once");
}

#[test]
fn a_run_whose_text_is_refused_is_paused_each_time_it_is_resumed() {
    let mut hand = Hand::new(config(None));
    let mut pauses = 0;
    for id in 0..10 {
        hand.send(&[id]);
        let effects = hand.answer(id, OutcomeClass::BadContent);
        pauses += effects.iter().filter(|effect| matches!(effect, Effect::PauseRun(RunId(1)))).count();
    }
    assert_eq!(pauses, 2, "after the fifth and the tenth in a row");
}

#[test]
fn what_is_too_late_or_was_suppressed_after_its_intent_never_reaches_the_wire() {
    let mut hand = Hand::new(config(None));
    hand.step(Event::Wake);
    // Four fill the wire, two have their intent and wait behind them.
    hand.send(&[1, 2, 3, 4]);
    hand.send(&[5, 6]);
    assert_eq!((hand.core.picture().on_wire, hand.core.under_way()), (4, 6));
    hand.step(Event::Suppressed(vec![(number(5), EVERY_SENDER.to_owned())]));
    let effects = hand.answer(1, OutcomeClass::Accepted);
    assert_eq!(
        settled(&effects),
        [(1, Dispatch::Accepted), (5, Dispatch::Queued)],
        "5 is withheld, not sent"
    );
    assert_eq!(submitted(&effects), 1, "6 takes the free place");
    hand.send(&[7]);
    let effects =
        hand.after(SEND_DEADLINE, Event::Answered(vec![(MessageId(2), said(OutcomeClass::Accepted))]));
    assert!(settled(&effects).contains(&(7, Dispatch::Queued)) && submitted(&effects) == 0, "{effects:?}");
}

/// Where the scripted store has a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Queued,
    Claimed,
    Submitting,
    Done,
}

enum Asked {
    Claim(usize),
    Intend(Vec<Intent>),
    Wire(Vec<MessageId>),
}

/// A store and a wire that answer in any order, fail, refuse and forget, as the dice fall.
struct Storm {
    hand: Hand,
    dice: StdRng,
    store: BTreeMap<i64, (Held, i64)>,
    asked: Vec<Asked>,
    wire: BTreeSet<i64>,
    forbidden: BTreeSet<i64>,
    claiming: bool,
    drained: bool,
    log: Vec<String>,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let limit = Limit { parts_per_second: 40.0, burst: dice.random_range(1..20) };
        let mut config = config(dice.random_bool(0.7).then_some(limit));
        config.in_flight = dice.random_range(1..6);
        config.per_request = dice.random_range(1..5);
        config.limits.countries.insert("FR".to_owned(), Limit { parts_per_second: 3.0, burst: 2 });
        let store = (1..60).map(|id| (id, (Held::Queued, 0))).collect();
        let (asked, log) = (Vec::new(), Vec::new());
        let (wire, forbidden) = (BTreeSet::new(), BTreeSet::new());
        let hand = Hand::new(config);
        Self { hand, dice, store, asked, wire, forbidden, claiming: false, drained: false, log }
    }

    fn feed(&mut self, event: Event) {
        let most = self.hand.core.config.in_flight + self.hand.core.config.per_request - 1;
        for effect in self.hand.step(event) {
            self.log.push(format!("{effect:?}"));
            match effect {
                Effect::Claim(limit, _) => {
                    assert!(!self.claiming && limit > 0, "one claim at a time");
                    self.claiming = true;
                    self.asked.push(Asked::Claim(limit));
                }
                Effect::Intend(intents) => self.asked.push(Asked::Intend(intents)),
                Effect::Submit { messages, deadline } => {
                    assert!(self.hand.at < deadline);
                    for (message, _) in &messages {
                        let id = message.id.0;
                        assert_eq!(
                            self.store[&id].0,
                            Held::Submitting,
                            "{id}: nothing leaves without its intent"
                        );
                        assert!(!self.forbidden.contains(&id), "{id} was suppressed before it left");
                        assert!(self.wire.insert(id), "{id} is on the wire already");
                    }
                    assert!(self.wire.len() <= most, "more on the wire than agreed");
                    self.asked.push(Asked::Wire(messages.iter().map(|(message, _)| message.id).collect()));
                }
                Effect::Settle(settlements) => {
                    for s in settlements {
                        let to = if s.to == Dispatch::Queued { Held::Queued } else { Held::Done };
                        self.put(s.message.0, s.epoch, Held::Submitting, to);
                        self.forbidden.remove(&s.message.0);
                    }
                }
                Effect::Release(held) => held.iter().for_each(|(id, epoch)| self.give_back(id.0, *epoch)),
                Effect::Postpone(held) => held.iter().for_each(|(id, epoch, _)| self.give_back(id.0, *epoch)),
                Effect::PauseRun(_) => {}
                Effect::WakeAt(at) => assert!(at > self.hand.at, "a lane that wakes at once never sleeps"),
                Effect::Drained => self.drained = true,
            }
        }
    }

    fn give_back(&mut self, id: i64, epoch: i64) {
        self.put(id, epoch, Held::Claimed, Held::Queued);
    }

    fn put(&mut self, id: i64, epoch: i64, from: Held, to: Held) {
        assert_eq!(self.store.insert(id, (to, epoch)), Some((from, epoch)), "message {id}");
    }

    /// Answers one request, chosen by the dice; `kind` means that nothing goes wrong.
    fn answer(&mut self, kind: bool) {
        if self.asked.is_empty() {
            return;
        }
        let at = self.dice.random_range(0..self.asked.len());
        let fails = !kind && self.dice.random_bool(0.1);
        match self.asked.swap_remove(at) {
            Asked::Claim(limit) => {
                self.claiming = false;
                let due = self.store.iter().filter(|(_, (held, _))| *held == Held::Queued).map(|(id, _)| *id);
                let due: Vec<i64> = due.take(if fails { 0 } else { limit }).collect();
                let claimed = due.iter().map(|id| {
                    let epoch = self.store[id].1 + 1;
                    self.store.insert(*id, (Held::Claimed, epoch));
                    claimed(*id, epoch, if id % 3 == 0 { "FR" } else { "US" })
                });
                let claimed = claimed.collect();
                self.feed(if fails { Event::ClaimFailed } else { Event::Claimed(claimed) });
            }
            Asked::Intend(intents) if fails => {
                self.feed(Event::IntendFailed(intents.iter().map(|intent| intent.message).collect()));
            }
            Asked::Intend(intents) => {
                let (mut granted, mut refused) = (Vec::new(), Vec::new());
                for intent in intents {
                    let id = intent.message.0;
                    let (to, why) = match self.dice.random_range(0..if kind { 1 } else { 8 }) {
                        6 => (Held::Done, Some(Refusal::Suppressed)),
                        7 => (Held::Queued, Some(Refusal::WindowClosed)),
                        _ => (Held::Submitting, None),
                    };
                    self.put(id, intent.epoch, Held::Claimed, to);
                    match why {
                        Some(why) => refused.push((intent.message, why)),
                        None => granted.push(intent.message),
                    }
                }
                self.feed(Event::Intended { granted, refused });
            }
            Asked::Wire(ids) => {
                let classes = if kind { &[OutcomeClass::Accepted][..] } else { &OutcomeClass::ALL[..] };
                let class = classes[self.dice.random_range(0..classes.len())];
                assert!(ids.iter().all(|id| self.wire.remove(&id.0)));
                let together = !kind && ids.len() > 1 && self.dice.random_bool(0.3);
                let answer = if together { Answer::Together(Outcome::of(class)) } else { said(class) };
                self.feed(Event::Answered(ids.into_iter().map(|id| (id, answer.clone())).collect()));
            }
        }
    }

    fn happen(&mut self) {
        match self.dice.random_range(0..12) {
            0 => {
                let id = self.dice.random_range(1..60);
                if self.store[&id].0 == Held::Submitting && !self.wire.contains(&id) {
                    self.forbidden.insert(id);
                }
                self.feed(Event::Suppressed(vec![(number(id), EVERY_SENDER.to_owned())]));
            }
            1 => {
                let well = self.dice.random_bool(0.7);
                self.feed(Event::StoreHealth(well));
            }
            2..5 => {
                self.hand.at += Duration::from_millis(self.dice.random_range(1..4_000));
                self.feed(Event::Tick);
            }
            _ => self.answer(false),
        }
    }

    /// Nothing goes wrong any more: everything must get through.
    fn calm(&mut self) {
        self.feed(Event::StoreHealth(true));
        for _ in 0..4_000 {
            self.hand.at += Duration::from_millis(200);
            self.feed(Event::Wake);
            self.answer(true);
        }
        let left = self.store.values().filter(|(held, _)| *held != Held::Done).count();
        assert_eq!((left, self.wire.len()), (0, 0), "messages that never got their turn");
    }

    fn drain(&mut self) {
        self.feed(Event::Drain);
        while !self.asked.is_empty() {
            self.answer(false);
        }
        let left =
            self.store.values().filter(|(held, _)| matches!(held, Held::Claimed | Held::Submitting)).count();
        assert!(self.drained && left == 0, "drained: {}, still held: {left}", self.drained);
    }
}

#[test]
fn in_any_storm_nothing_leaves_unrecorded_and_a_drained_lane_holds_nothing() {
    for seed in 0..100 {
        let mut storm = Storm::new(seed);
        (0..400).for_each(|_| storm.happen());
        storm.drain();
    }
}

#[test]
fn after_any_storm_every_message_gets_its_turn() {
    for seed in 0..30 {
        let mut storm = Storm::new(seed);
        (0..150).for_each(|_| storm.happen());
        storm.calm();
    }
}

#[test]
fn the_same_events_and_seed_give_the_same_effects() {
    let log = |seed| {
        let mut storm = Storm::new(seed);
        (0..300).for_each(|_| storm.happen());
        storm.log
    };
    assert_eq!(log(7), log(7));
    assert_ne!(log(7), log(8));
}

#[test]
fn a_message_that_comes_back_waits_for_the_answer_to_its_earlier_attempt() {
    let mut hand = Hand::new(config(None));
    assert_eq!(submitted(&hand.send(&[1])), 1);
    // Its lease ran out, the campaign resends: the same lane gets it again, under another epoch.
    let effects = hand.step(Event::Claimed(vec![claimed(1, 2, "US"), claimed(2, 1, "US")]));
    assert_eq!(intents(&effects), [MessageId(2)], "only the other one goes on");
    let back = effects.iter().find_map(|e| if let Effect::Postpone(back) = e { Some(back) } else { None });
    assert_eq!(back.map(|back| (back[0].0, back[0].1)), Some((MessageId(1), 2)));
    let effects = hand.answer(1, OutcomeClass::Throttled);
    let epochs: Vec<i64> = effects
        .iter()
        .filter_map(|e| if let Effect::Settle(s) = e { Some(s[0].epoch) } else { None })
        .collect();
    assert_eq!(epochs, [1], "the answer belongs to the attempt that was on the wire");
}
