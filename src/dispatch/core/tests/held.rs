//! What is held back: halves of a refused request, messages of a full sender, what the lane withholds itself.

use super::*;

/// A lane that sends many in one request.
fn batching(limit: Option<Limit>) -> Hand {
    Hand::new(LaneConfig { in_flight: 100, per_request: 100, ..config(limit) })
}

/// The requests among effects, as ids.
fn requests(effects: &[Effect]) -> Vec<Vec<i64>> {
    let requests = effects.iter().filter_map(|effect| match effect {
        Effect::Submit { messages, .. } => Some(messages.iter().map(|(message, _)| message.id.0).collect()),
        _ => None,
    });
    requests.collect()
}

/// The answer of a provider that refuses a whole request if it minds one message in it.
fn refuse(hand: &mut Hand, request: &[i64], bad: &dyn Fn(i64) -> bool) -> Vec<Effect> {
    let minded = Outcome::of(OutcomeClass::BadRecipient);
    let answer = match request {
        [one] if bad(*one) => Answer::Outcome(minded),
        many if many.iter().any(|id| bad(*id)) => Answer::Together(minded),
        _ => said(OutcomeClass::Accepted),
    };
    hand.step(Event::Answered(request.iter().map(|id| (MessageId(*id), answer.clone())).collect()))
}

#[test]
fn one_bad_number_spoils_nobody_elses_message_and_costs_few_requests() {
    let check = |bad: &dyn Fn(i64) -> bool, accepted: usize, rejected: usize, most: usize| {
        let mut hand = batching(None);
        let ids: Vec<i64> = (1..=100).collect();
        let mut open = requests(&hand.send(&ids));
        let (mut ends, mut asked) = (Vec::new(), 0);
        while let Some(request) = open.pop() {
            asked += 1;
            let effects = refuse(&mut hand, &request, bad);
            ends.extend(settled(&effects));
            open.extend(requests(&effects));
        }
        let count = |to| ends.iter().filter(|(_, end)| *end == to).count();
        assert_eq!((count(Dispatch::Accepted), count(Dispatch::Rejected)), (accepted, rejected));
        assert_eq!((ends.len(), hand.core.under_way()), (100, 0), "each has one end");
        assert!(asked <= most, "{asked} requests");
    };
    check(&|_| false, 100, 0, 1);
    check(&|id| id == 27, 99, 1, 15);
    check(&|id| id == 27 || id == 28, 98, 2, 29);
    check(&|_| true, 0, 100, 199);
}

#[test]
fn halves_of_a_refused_request_keep_to_the_limit() {
    let mut hand = batching(Some(Limit { parts_per_second: 10.0, burst: 20 }));
    let request = requests(&hand.send(&(1..=20).collect::<Vec<_>>())).remove(0);
    let effects = refuse(&mut hand, &request, &|id| id == 1);
    assert_eq!(submitted(&effects), 0, "the burst is used up");
    let mut parts = 0;
    for _ in 0..10 {
        parts += submitted(&hand.after(Duration::from_millis(100), Event::Tick));
    }
    assert!((9..=11).contains(&parts), "{parts} in a second at ten a second");
}

#[test]
fn halves_of_a_refused_request_leave_out_who_opted_out_and_end_with_their_deadline() {
    let mut hand = batching(None);
    let request = requests(&hand.send(&[1, 2, 3, 4])).remove(0);
    hand.step(Event::Suppressed(vec![(number(2), "s".to_owned())]));
    let effects = refuse(&mut hand, &request, &|id| id == 4);
    assert_eq!(requests(&effects), [vec![1], vec![3, 4]]);
    assert_eq!(settled(&effects), [(2, Dispatch::Queued)], "its next intent is refused by the store");

    let mut hand = batching(None);
    let request = requests(&hand.send(&[1, 2, 3, 4])).remove(0);
    hand.at += SEND_DEADLINE;
    let effects = refuse(&mut hand, &request, &|id| id == 4);
    assert_eq!((submitted(&effects), settled(&effects).len()), (0, 4), "nothing goes after its deadline");

    let mut hand = batching(None);
    let request = requests(&hand.send(&[1, 2, 3, 4])).remove(0);
    hand.step(Event::Claimed(vec![]));
    hand.step(Event::Drain);
    let effects = refuse(&mut hand, &request, &|id| id == 4);
    assert_eq!((submitted(&effects), settled(&effects).len()), (0, 4), "a lane that ends takes nothing new");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Drained)));
}

#[test]
fn a_lane_that_may_have_lost_its_store_puts_nothing_more_on_the_wire() {
    let mut hand = Hand::new(config(None));
    hand.send(&[1, 2, 3, 4]);
    hand.send(&[7]);
    let asked = intents(&hand.step(Event::Claimed((5..=6).map(|id| claimed(id, 1, "US")).collect())));
    let effects = hand.step(Event::HoldLost);
    assert_eq!(settled(&effects), [(7, Dispatch::Queued)], "it waited for its place");
    let effects = hand.step(Event::Intended { granted: asked, refused: vec![] });
    assert_eq!((settled(&effects).len(), submitted(&effects)), (2, 0), "granted too late");
    hand.step(Event::Claimed(vec![]));
    for id in 1..=4 {
        let effects = hand.answer(id, OutcomeClass::Accepted);
        assert_eq!(settled(&effects), [(id, Dispatch::Accepted)], "what the wire said is kept");
        assert_eq!(effects.iter().any(|effect| matches!(effect, Effect::Drained)), id == 4);
    }
}

#[test]
fn what_the_lane_withholds_itself_slows_nothing_down() {
    let mut hand = Hand::new(config(Some(Limit { parts_per_second: 100.0, burst: 10 })));
    hand.send(&[1]);
    let effects = hand.step(Event::Answered(vec![(MessageId(1), Answer::TooLate)]));
    assert_eq!(settled(&effects), [(1, Dispatch::Queued)]);
    assert!((hand.core.picture().rate_share - 1.0).abs() < 1e-9, "no provider throttled");
    let effects = hand.step(Event::Claimed(vec![claimed(2, 1, "US")]));
    assert_eq!(intents(&effects), [MessageId(2)], "and nothing waits");
}

#[test]
fn a_number_is_withheld_once_and_then_judged_by_the_store() {
    let mut hand = Hand::new(config(None));
    hand.send(&[1, 2, 3, 4]);
    hand.send(&[5]);
    hand.step(Event::Suppressed(hand.core.before_the_wire()));
    assert_eq!(settled(&hand.answer(1, OutcomeClass::Accepted))[1], (5, Dispatch::Queued));
    // Another sender's opt-out: the store grants the next intent, and there is always something under way.
    hand.send(&[6]);
    assert_eq!(submitted(&hand.send(&[5])), 0, "the wire is full");
    assert_eq!(submitted(&hand.answer(2, OutcomeClass::Accepted)), 1);
}

#[test]
fn what_is_suppressed_for_another_sender_goes_out() {
    let mut hand = Hand::new(config(None));
    hand.send(&[1, 2, 3, 4]);
    hand.send(&[5]);
    hand.step(Event::Suppressed(vec![(number(5), "another".to_owned())]));
    let effects = hand.answer(1, OutcomeClass::Accepted);
    assert_eq!((settled(&effects), submitted(&effects)), (vec![(1, Dispatch::Accepted)], 1));
}

/// A campaign whose messages all share one sender that may send two a second, played against a store that gives out what
/// is due and feeds what is fresh only if the lane lets it.
struct Campaign {
    hand: Hand,
    fresh: Vec<i64>,
    queued: BTreeMap<i64, Timestamp>,
    claims: usize,
    moved: usize,
    sent: Vec<Duration>,
    most_queued: usize,
}

impl Campaign {
    fn react(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let next = match effect {
                Effect::Claim(limit, full) => self.claim(limit, &full),
                Effect::Postpone(held) => {
                    self.moved += held.len();
                    self.queued.extend(held.iter().map(|(id, _, due)| (id.0, *due)));
                    continue;
                }
                Effect::Release(held) => {
                    let now = self.hand.now().wall;
                    self.queued.extend(held.iter().map(|(id, _)| (id.0, now)));
                    continue;
                }
                Effect::Intend(intents) => {
                    let granted = intents.iter().map(|intent| intent.message).collect();
                    self.hand.step(Event::Intended { granted, refused: vec![] })
                }
                Effect::Submit { messages, .. } => {
                    self.sent.extend(messages.iter().map(|_| self.hand.at));
                    let answers = messages.iter().map(|(m, _)| (m.id, said(OutcomeClass::Accepted)));
                    self.hand.step(Event::Answered(answers.collect()))
                }
                _ => continue,
            };
            self.react(next);
        }
    }

    fn claim(&mut self, limit: usize, full: &Full) -> Vec<Effect> {
        self.claims += 1;
        let now = self.hand.now().wall;
        let due: Vec<i64> = self.queued.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        let mut taken: Vec<i64> = due.into_iter().take(limit).collect();
        self.queued.retain(|id, _| !taken.contains(id));
        if full.senders.is_empty() {
            taken.extend(self.fresh.drain(..self.fresh.len().min(limit - taken.len())));
        }
        self.most_queued = self.most_queued.max(self.queued.len());
        self.hand.step(Event::Claimed(taken.into_iter().map(|id| claimed(id, 1, "US")).collect()))
    }
}

#[test]
fn a_slow_sender_is_sent_at_its_limit_and_its_campaign_stays_where_it_is() {
    let check = |rate: f64, in_flight: usize| {
        let mut config = LaneConfig { in_flight, ..config(None) };
        config.limits.senders.insert("s".to_owned(), Limit { parts_per_second: rate, burst: 1 });
        let mut campaign = Campaign {
            hand: Hand::new(config),
            fresh: (1..=5_000).collect(),
            queued: BTreeMap::new(),
            claims: 0,
            moved: 0,
            sent: Vec::new(),
            most_queued: 0,
        };
        // Looked at as often as the lane asks for, never on the dot.
        let mut wake = campaign.hand.at;
        let (start, end) = (campaign.hand.at, campaign.hand.at + Duration::from_mins(1));
        let mut late = 0;
        while campaign.hand.at < end {
            late = (late * 7 + 3) % 5;
            campaign.hand.at = wake.max(campaign.hand.at) + Duration::from_millis(late);
            let effects = campaign.hand.step(Event::Tick);
            let at = effects.iter().find_map(|e| if let Effect::WakeAt(at) = e { Some(*at) } else { None });
            wake = at.unwrap_or(campaign.hand.at + IDLE_LOOK);
            campaign.react(effects);
        }
        let sent = campaign.sent.iter().filter(|at| **at > start && **at <= end).count();
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let share = sent as f64 / (rate * 60.0);
        assert!((0.9..=1.1).contains(&share), "{rate}/s: {sent} sent in a minute");
        let (claims, moved) = (campaign.claims, campaign.moved);
        assert!(claims <= 2 * sent + 120, "{rate}/s: {claims} claims for {sent} messages");
        assert!(moved <= 2 * sent + 4 * in_flight, "{rate}/s: {moved} given back for {sent} messages");
        assert!(campaign.most_queued <= 4 * in_flight, "{rate}/s: {} wait", campaign.most_queued);
    };
    check(0.5, 16);
    check(2.0, 16);
    check(10.0, 32);
    check(50.0, 8);
}

#[test]
fn a_message_that_comes_back_while_its_half_waits_does_not_go_beside_it() {
    let mut hand = batching(Some(Limit { parts_per_second: 1.0, burst: 2 }));
    let request = requests(&hand.send(&[1, 2])).remove(0);
    assert_eq!(submitted(&refuse(&mut hand, &request, &|id| id == 1)), 0, "its half waits for a permit");
    let effects = hand.step(Event::Claimed(vec![claimed(1, 2, "US")]));
    let back = |effect: &Effect| matches!(effect, Effect::Postpone(back) if back[0].0 == MessageId(1));
    assert!(effects.iter().any(back), "{effects:?}");
}

#[test]
fn intents_run_ahead_of_a_limit_and_the_wire_keeps_it_all_the_same() {
    let limit = Limit { parts_per_second: 1_000.0, burst: 1 };
    let mut hand = Hand::new(LaneConfig { in_flight: 500, ..config(Some(limit)) });
    let effects = hand.step(Event::Claimed((0..400).map(|id| claimed(id, 1, "US")).collect()));
    let granted = intents(&effects);
    assert!((200..300).contains(&granted.len()), "what may go in the next 250 ms: {}", granted.len());
    let mut left = vec![submitted(&hand.step(Event::Intended { granted, refused: vec![] }))];
    for _ in 0..30 {
        left.push(submitted(&hand.after(Duration::from_millis(1), Event::Tick)));
    }
    assert!(left[0] <= 5, "the burst and what a late timer makes up for: {left:?}");
    assert!(left[1..].iter().all(|parts| *parts <= 1), "{left:?}");
    assert!((28..=36).contains(&left.iter().sum::<usize>()), "{left:?}");
}

#[test]
fn what_was_recorded_before_the_provider_asked_to_wait_waits_too_or_is_given_back() {
    let check = |wait: u64, stays: usize| {
        let mut hand = Hand::new(LaneConfig { in_flight: 1, ..config(None) });
        hand.send(&[1]);
        hand.send(&[2]);
        let outcome =
            Outcome { retry_after: Some(Duration::from_secs(wait)), ..Outcome::of(OutcomeClass::Throttled) };
        let effects = hand.step(Event::Answered(vec![(MessageId(1), Answer::Outcome(outcome))]));
        assert_eq!(submitted(&effects), 0, "asked to wait {wait} s");
        assert_eq!(settled(&effects).len(), 2 - stays, "asked to wait {wait} s");
        let effects = hand.after(Duration::from_secs(wait), Event::Tick);
        assert_eq!(submitted(&effects), stays, "after {wait} s");
    };
    check(2, 1);
    check(60, 0);
}

#[test]
fn what_was_recorded_before_the_provider_failed_does_not_run_into_it() {
    let mut hand = Hand::new(LaneConfig { in_flight: 8, ..config(None) });
    hand.send(&[1, 2, 3, 4, 5, 6, 7, 8]);
    hand.send(&[9, 10]);
    let failed = (1..=8).map(|id| (MessageId(id), said(OutcomeClass::Unavailable))).collect();
    let effects = hand.step(Event::Answered(failed));
    assert_eq!(submitted(&effects), 0, "the breaker is open");
    assert_eq!(settled(&effects).len(), 10);
}
