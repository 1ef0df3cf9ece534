//! Which rung a message stands on, as a table: what can be asked, what was asked, and what time it is.

use std::collections::HashMap;
use std::time::Duration;

use super::{Ladder, Step, Waits, next, replay_over};
use crate::dispatch::sweep::{DoubtEnd, DoubtPolicy};
use crate::model::clock::Timestamp;
use crate::model::doubt::{Ask, Asked, Finding, Means, Repeat, Rung};
use crate::model::ids::{MessageId, RunId};
use crate::model::message::WhenInDoubt;
use crate::store::inquiries::Standing;
use crate::store::sweep::InDoubt;

const MINUTE: Duration = Duration::from_mins(1);
/// The intent; doubt begins twenty seconds later.
const SENT: Timestamp = Timestamp(1_000_000_000);

/// Seconds after the intent.
fn at(seconds: u64) -> Timestamp {
    SENT.plus(Duration::from_secs(seconds))
}

fn ask(rung: Rung) -> Ask {
    let authoritative = rung == Rung::Lookup;
    Ask { rung, after: MINUTE, within: Duration::from_secs(10_000), authoritative }
}

fn repeat(alike_since: Timestamp) -> Repeat {
    Repeat { lifetime: Duration::from_secs(1_000), alike_since }
}

fn standing(asked: Asked) -> Standing {
    Standing {
        route: "sim".to_owned(),
        number: 1,
        intent_at: SENT,
        since: at(20),
        open: true,
        alone: true,
        asked,
    }
}

fn looked(looks: u32, seconds: u64) -> Asked {
    let finding = Some(Finding::NoAnswer);
    Asked { looks, looked_at: Some(at(seconds)), finding, ..Asked::default() }
}

fn replayed(replays: u32, seconds: u64) -> Asked {
    let finding = Some(Finding::NoAnswer);
    Asked { replays, replayed_at: Some(at(seconds)), finding, ..Asked::default() }
}

#[test]
fn each_rung_is_asked_in_its_order_and_only_while_it_can_answer() {
    let never = Asked::default();
    let (lookup, list) = (Some(ask(Rung::Lookup)), Some(ask(Rung::List)));
    let check = |told: &str, means: (Option<Ask>, Option<Repeat>), about: Standing, now: u64, wanted| {
        let means = Means { ask: means.0, repeat: means.1 };
        let step = next(&means, &about, at(now)).map(|step| (step.rung(), step.due()));
        assert_eq!(step, wanted, "{told}");
    };
    let (same, changed) = (Some(repeat(Timestamp(0))), Some(repeat(at(1))));
    let on = |rung, seconds| Some((rung, at(seconds)));
    check("nobody to ask", (None, None), standing(never), 20, None);
    check("after the indexing delay", (lookup, None), standing(never), 20, on(Rung::Lookup, 80));
    check("again, later each time", (lookup, None), standing(looked(1, 90)), 95, on(Rung::Lookup, 150));
    check("and later", (lookup, None), standing(looked(3, 400)), 400, on(Rung::Lookup, 640));
    check("but not for ever", (lookup, None), standing(looked(5, 900)), 900, None);
    check("nor beyond the provider's memory", (lookup, None), standing(never), 8_000, on(Rung::Lookup, 80));
    check("of which a fifth is not relied on", (lookup, None), standing(never), 8_001, None);
    check("a look-up first", (lookup, same), standing(never), 20, on(Rung::Lookup, 80));
    check("then a replay", (lookup, same), standing(looked(5, 200)), 200, on(Rung::Replay, 22));
    check(
        "a look-up that would cost the replay waits",
        (lookup, same),
        standing(looked(4, 400)),
        400,
        on(Rung::Replay, 22),
    );
    check("a replay first", (list, same), standing(never), 20, on(Rung::Replay, 22));
    check("then a list", (list, same), standing(replayed(3, 50)), 50, on(Rung::List, 110));
    check(
        "what was replayed takes its time to show",
        (list, same),
        standing(replayed(3, 500)),
        500,
        on(Rung::List, 560),
    );
    check(
        "a replay again, later each time",
        (None, same),
        standing(replayed(2, 100)),
        100,
        on(Rung::Replay, 120),
    );
    check("inside four fifths of its lifetime", (None, same), standing(never), 799, on(Rung::Replay, 22));
    check("and not after them", (None, same), standing(never), 800, None);
    check("not the same request by now", (None, changed), standing(never), 30, None);
    check("another copy may be there", (None, same), Standing { alone: false, ..standing(never) }, 30, None);
    check("known by now", (lookup, same), Standing { open: false, ..standing(never) }, 30, None);
    let twice = Asked { finding: Some(Finding::Twice), ..looked(1, 90) };
    check("found twice", (list, same), standing(twice), 100, None);
}

fn unanswered(looks: u32, replays: u32, seconds: u64) -> Asked {
    let (looked, replayed) = ((looks > 0).then(|| at(seconds)), (replays > 0).then(|| at(seconds)));
    Asked {
        looks_unanswered: looks,
        looked_at: looked,
        replays_unanswered: replays,
        replayed_at: replayed,
        finding: Some(Finding::NoAnswer),
        ..Asked::default()
    }
}

#[test]
fn a_provider_that_does_not_answer_is_asked_again_as_long_as_it_can_know() {
    let (lookup, list) = (Some(ask(Rung::Lookup)), Some(ask(Rung::List)));
    let check = |told: &str, (ask, repeat): (Option<Ask>, Option<Repeat>), asked: Asked, now: u64, wanted| {
        let step = next(&Means { ask, repeat }, &standing(asked), at(now)).map(|s| (s.rung(), s.due()));
        assert_eq!(step, wanted, "{told}");
    };
    let same = Some(repeat(Timestamp(0)));
    let on = |rung, seconds| Some((rung, at(seconds)));
    check("after many looks", (lookup, None), unanswered(40, 0, 5_000), 5_000, on(Rung::Lookup, 5_900));
    check("within its memory", (lookup, None), unanswered(40, 0, 7_500), 7_500, None);
    let asked = Asked { looks: 4, ..unanswered(40, 0, 5_000) };
    check("answers are counted apart", (lookup, None), asked, 5_000, on(Rung::Lookup, 5_900));
    check("the replay waits for answers", (lookup, same), unanswered(4, 0, 100), 100, on(Rung::Lookup, 580));
    check("but not for ever", (lookup, same), unanswered(5, 0, 100), 100, on(Rung::Replay, 22));
    check("and takes turns", (lookup, same), unanswered(5, 6, 100), 100, on(Rung::Replay, 420));
    check("while its key lives", (None, same), unanswered(0, 6, 100), 100, on(Rung::Replay, 420));
    check("and no longer", (None, same), unanswered(0, 6, 500), 500, None);
    check("a list waits for answers", (list, same), unanswered(0, 2, 100), 100, on(Rung::Replay, 120));
    check("but not for ever, too", (list, same), unanswered(0, 6, 100), 100, on(Rung::List, 160));
}

#[test]
fn what_is_past_its_replays_stays_so_whatever_the_clock_says() {
    let check = |told: &str, asked: Asked, now: i64, over: bool, replays: bool| {
        let means = Means { ask: None, repeat: Some(repeat(Timestamp(0))) };
        let now = Timestamp(SENT.0 + now);
        let about = standing(asked);
        assert_eq!(replay_over(&means, &about, now), over, "{told}");
        assert_eq!(next(&means, &about, now).is_some(), replays, "{told}");
    };
    let never = Asked::default();
    check("young", never, 799_999, false, true);
    check("too old", never, 800_000, true, false);
    check("of a time to come", never, -1, true, false);
    check("said once", Asked { replay_over: true, ..never }, 30_000, false, false);
}

#[test]
fn policy_ends_only_doubt_that_nobody_can_be_asked_about_and_sends_no_third_copy() {
    let policy = DoubtPolicy { park_after: MINUTE * 60, resend_after: MINUTE * 10, attempts: 3 };
    let means = Means { ask: Some(ask(Rung::Lookup)), repeat: None };
    let ladder = Ladder { means: HashMap::from([("sim".to_owned(), means)]), policy };
    let check = |when, asked, route: &str, now, wanted| {
        let message = InDoubt {
            id: MessageId(1),
            run: RunId(1),
            since: at(20),
            policy: when,
            attempts: 1,
            expires_at: Timestamp::MAX,
        };
        let standing = Standing { route: route.to_owned(), ..standing(asked) };
        assert_eq!(ladder.waits(&message, &standing, at(now)), wanted, "{when:?} {asked:?}");
    };
    let (park, resend) = ((DoubtEnd::Park, at(3_620)), (DoubtEnd::Resend, at(620)));
    let receipt = |(end, until)| Waits::Receipt(end, until);
    let look = Waits::Asked(Step::Look(ask(Rung::Lookup), at(80)));
    check(WhenInDoubt::Park, Asked::default(), "sim", 30, look);
    check(WhenInDoubt::Resend, Asked::default(), "sim", 700, look);
    check(WhenInDoubt::Ask, Asked::default(), "sim", 30, look);
    let asked = looked(5, 900);
    check(WhenInDoubt::Park, asked, "sim", 900, receipt(park));
    check(WhenInDoubt::Resend, asked, "sim", 900, receipt(resend));
    check(WhenInDoubt::Ask, asked, "sim", 900, Waits::Person);
    check(WhenInDoubt::Park, Asked::default(), "other", 30, receipt(park));
    for finding in [Finding::Twice, Finding::Alike] {
        let more = Asked { finding: Some(finding), ..asked };
        check(WhenInDoubt::Resend, more, "sim", 900, receipt(park));
    }
    // Who does not answer is asked again, but evidence is awaited no longer for it.
    let silent = unanswered(20, 0, 3_500);
    check(WhenInDoubt::Park, silent, "sim", 3_619, Waits::Asked(Step::Look(ask(Rung::Lookup), at(4_400))));
    check(WhenInDoubt::Park, silent, "sim", 3_620, receipt(park));
    check(WhenInDoubt::Resend, silent, "sim", 3_620, receipt(resend));
}
