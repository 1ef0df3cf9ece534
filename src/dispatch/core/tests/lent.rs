//! Permits for requests that are not the lane's own: one limit holds for both.

use super::*;

/// Plays a lane with endless work of one part each beside somebody who asks for so many `parts` whenever `asks` says so of
/// a millisecond; answers, for each millisecond, the parts of both.
fn play(limit: Limit, parts_lent: u32, asks: impl Fn(u32) -> bool, seconds: u32) -> (Vec<u32>, Vec<u32>) {
    let mut hand = Hand::new(LaneConfig { in_flight: 50, ..config(Some(limit)) });
    let (mut own, mut lent, mut next) = (Vec::new(), Vec::new(), 1);
    let mut event = Event::Wake;
    for at in 0..seconds * 1_000 {
        // Asked first: a lane with endless work takes what is there.
        let now = hand.now();
        lent.push(if asks(at) && hand.core.lend(parts_lent, "s", "US", now) { parts_lent } else { 0 });
        let (mut parts, mut events) = (0, vec![event]);
        while let Some(event) = events.pop() {
            for effect in hand.step(event) {
                match effect {
                    Effect::Claim(most, _) => {
                        let most = i64::try_from(most).unwrap();
                        events.push(Event::Claimed(
                            (next..next + most).map(|id| claimed(id, 1, "US")).collect(),
                        ));
                        next += most;
                    }
                    Effect::Intend(all) => {
                        let granted = all.iter().map(|intent| intent.message).collect();
                        events.push(Event::Intended { granted, refused: vec![] });
                    }
                    Effect::Submit { messages, .. } => {
                        parts += messages.iter().map(|(message, _)| u32::from(message.parts)).sum::<u32>();
                        let taken = |id| (id, said(OutcomeClass::Accepted));
                        events.push(Event::Answered(messages.iter().map(|(m, _)| taken(m.id)).collect()));
                    }
                    _ => {}
                }
            }
        }
        own.push(parts);
        hand.at += Duration::from_millis(1);
        event = Event::Tick;
    }
    (own, lent)
}

#[test]
fn what_is_lent_and_what_the_lane_sends_keep_one_limit_together() {
    for (rate, burst, every) in [(10.0, 5, 9), (100.0, 1, 7), (100.0, 20, 100)] {
        let (own, lent) = play(Limit { parts_per_second: rate, burst }, 1, |at| at % every == 0, 20);
        let both: Vec<u32> = own.iter().zip(&lent).map(|(own, lent)| own + lent).collect();
        let (total, bound) = (both.iter().sum::<u32>(), rate * 20.0 + f64::from(burst));
        assert!(f64::from(total) <= bound, "{rate}/s: {total} in 20 s");
        let second = both.windows(1_000).map(|second| second.iter().sum::<u32>()).max().unwrap();
        assert!(f64::from(second) <= rate + f64::from(burst), "{rate}/s: {second} in one second");
        assert!(f64::from(total) >= rate * 20.0 * 0.9, "{rate}/s: only {total}");
        assert!(lent.iter().sum::<u32>() > 0 && own.iter().sum::<u32>() > 0, "{rate}/s: each has its share");
    }
}

#[test]
fn a_request_of_several_parts_gets_its_permits_however_busy_the_lane_is_and_the_lane_keeps_its_share() {
    // As permits are asked for: every tenth of a second for two seconds, and again after a while.
    let asks = |at: u32| at.is_multiple_of(100) && at % 4_000 < 2_000;
    for (rate, burst, parts) in [(1.0, 1, 3), (0.5, 1, 2), (5.0, 2, 4)] {
        let (own, lent) = play(Limit { parts_per_second: rate, burst }, parts, asks, 60);
        let (own, lent): (u32, u32) = (own.iter().sum(), lent.iter().sum());
        assert!(lent >= 2 * parts, "{rate}/s: {lent} parts in a minute");
        assert!(f64::from(own) >= rate * 60.0 * 0.4, "{rate}/s: {own} parts of its own");
        assert!(f64::from(own + lent) <= rate * 60.0 + f64::from(burst), "{rate}/s: {own} and {lent}");
    }
}

#[test]
fn of_two_requests_that_wait_for_permits_the_longer_one_is_not_kept_waiting_by_the_shorter() {
    let limit = Limit { parts_per_second: 2.0, burst: 1 };
    let mut core = LaneCore::new(config(Some(limit)));
    let (mut short, mut long) = (0, 0);
    for tenth in 0..300 {
        let elapsed = Duration::from_millis(tenth * 100);
        let now = Moment { wall: Timestamp(0).plus(elapsed), elapsed };
        short += u32::from(core.lend(1, "s", "US", now));
        long += u32::from(core.lend(3, "s", "US", now));
    }
    assert!(long >= 5 && short > 0, "{long} of three parts, {short} of one");
}

#[test]
fn a_lane_that_must_not_send_lends_nothing() {
    let check = |told: &str, event: Option<Event>, lends: bool| {
        let mut hand = Hand::new(config(None));
        hand.step(Event::Wake);
        if let Some(event) = event {
            hand.step(event);
        }
        let now = hand.now();
        assert_eq!(hand.core.lend(1, "s", "US", now), lends, "{told}");
    };
    check("at rest", None, true);
    check("stopping", Some(Event::Drain), false);
    check("its hold is lost", Some(Event::HoldLost), false);
    check("the store cannot be written", Some(Event::StoreHealth(false)), false);
    let mut hand = Hand::new(config(None));
    hand.send(&[1]);
    hand.answer(1, OutcomeClass::Throttled);
    let now = hand.now();
    assert!(!hand.core.lend(1, "s", "US", now), "told to wait");
}
