//! The simulated provider: takes texts or not, answers truthfully or not at all, and reports in any order. Its ledger of
//! what it took is the judge of duplicates; it never reads the store.

use std::time::Duration;

use winback::model::delivery::Delivery;
use winback::model::message::Claimed;
use winback::model::outcome::{Outcome, OutcomeClass};
use winback::model::receipt::Receipt;
use winback::model::reference;

use super::dice::Dice;
use super::faults::{Fault, Fired};
use super::tables::{SENDERS, TAG};

/// A text that the provider took: from here on somebody may read it, and it costs money.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) message: i64,
    pub(crate) number: i64,
    pub(crate) phone: u64,
    pub(crate) sender: usize,
    pub(crate) coupon: Option<i64>,
    pub(crate) price: i64,
    /// The true clock.
    pub(crate) stamp: u64,
    /// Operations of the store until then.
    pub(crate) seq: u64,
    pub(crate) route: usize,
    /// Its id.
    pub(crate) id: i64,
    /// How its request was rendered.
    pub(crate) print: i64,
    /// If it came as a replay: which operation of the store recorded that.
    pub(crate) replay: Option<u64>,
}

/// A request as it arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrives {
    /// The true clock.
    pub(crate) stamp: u64,
    /// Operations of the store until then.
    pub(crate) seq: u64,
    pub(crate) route: usize,
    pub(crate) print: i64,
    pub(crate) replay: Option<u64>,
    /// How long keys are remembered here, in milliseconds.
    pub(crate) remembers: u64,
}

/// How a provider behaves in one world.
#[derive(Clone, Debug)]
pub(crate) struct Mood {
    /// Per mille of receipts that carry our reference; the others carry the provider's id.
    pub(crate) echoes: u64,
    /// Weights of [`WAYS`].
    pub(crate) ways: [u64; WAYS.len()],
    /// Per mille of requests for several that are refused as a whole.
    pub(crate) whole: u64,
    /// Per mille of texts without any receipt.
    pub(crate) silent: u64,
    /// Per mille of receipts that are repeated, contradicted, or late.
    pub(crate) messy: u64,
    /// Longest time until an answer, in milliseconds.
    pub(crate) slowest: u64,
    /// Per mille of questions about a text that are not answered.
    pub(crate) mute: u64,
}

/// What may happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Accept,
    AcceptWithoutId,
    AcceptWithWrongId,
    /// Taken, then no answer that means anything.
    AcceptThenTimeOut,
    AcceptThenGarble,
    /// A connection that broke before the provider had it.
    Reset,
    BadRecipient,
    BadContent,
    OptedOut,
    Throttle,
    Unavailable,
    Account,
}

const WAYS: [Way; 12] = [
    Way::Accept,
    Way::AcceptWithoutId,
    Way::AcceptWithWrongId,
    Way::AcceptThenTimeOut,
    Way::AcceptThenGarble,
    Way::Reset,
    Way::BadRecipient,
    Way::BadContent,
    Way::OptedOut,
    Way::Throttle,
    Way::Unavailable,
    Way::Account,
];

impl Mood {
    /// A provider that takes everything and answers at once.
    pub(crate) fn well(echoes: u64) -> Self {
        let mut ways = [0; WAYS.len()];
        ways[0] = 1;
        Self { echoes, ways, whole: 0, silent: 0, messy: 0, slowest: 200, mute: 0 }
    }

    /// One that takes texts and seldom says so.
    pub(crate) fn taciturn(dice: &mut Dice) -> Self {
        let mut mood = Self::well(1_000);
        for way in [Way::AcceptThenTimeOut, Way::Throttle, Way::Unavailable, Way::Reset] {
            let place = WAYS.iter().position(|known| *known == way).expect("a way");
            mood.ways[place] = 1;
        }
        (mood.silent, mood.mute) = (700, dice.pick(&[0, 300]));
        mood.slowest = dice.pick(&[200, 60_000]);
        mood
    }

    /// Some provider.
    pub(crate) fn some(dice: &mut Dice) -> Self {
        let mut mood = Self::well(dice.pick(&[1_000, 1_000, 0, 500]));
        mood.ways[0] = 40;
        // A few kinds of trouble at a time, so that each world has a character of its own.
        for _ in 0..dice.below(4) {
            let way = dice.place(WAYS.len());
            mood.ways[way] += dice.between(3, 40);
        }
        mood.whole = dice.pick(&[0, 0, 300]);
        mood.silent = dice.pick(&[0, 100, 500]);
        mood.messy = dice.pick(&[0, 200, 600]);
        mood.slowest = dice.pick(&[200, 2_000, 60_000]);
        mood.mute = dice.pick(&[0, 100, 600]);
        mood
    }
}

/// One reaction to one text.
pub(crate) struct Reply {
    pub(crate) outcome: Outcome,
    /// Until the answer, in milliseconds.
    pub(crate) after: u64,
    /// Reports, each after so many milliseconds.
    pub(crate) receipts: Vec<(u64, Receipt)>,
}

/// A provider account with its ledger.
#[derive(Default)]
pub(crate) struct Provider {
    pub(crate) ledger: Vec<Taken>,
    last_id: i64,
}

impl Provider {
    /// Gets one text of a request that is on the wire.
    pub(crate) fn get(
        &mut self,
        message: &Claimed,
        number: i64,
        at: Arrives,
        mood: &Mood,
        dice: &mut Dice,
        fired: &mut Fired,
    ) -> Reply {
        let way = WAYS[dice.weighted(&mood.ways)];
        let after = dice.below(mood.slowest) + 1;
        let reference = reference::compose(TAG, message.id, number);
        let mut outcome = Outcome::of(class(way));
        if let Some(fault) = fault(way) {
            fired.note(fault);
        }
        if matches!(way, Way::Throttle | Way::Unavailable | Way::Account) && dice.chance(500) {
            outcome.retry_after = Some(Duration::from_millis(dice.between(1, 90_000)));
        }
        if outcome.class != OutcomeClass::Accepted && dice.chance(500) {
            outcome.code = Some("21".to_owned());
        }
        let mut receipts = Vec::new();
        let taken = matches!(
            way,
            Way::Accept
                | Way::AcceptWithoutId
                | Way::AcceptWithWrongId
                | Way::AcceptThenTimeOut
                | Way::AcceptThenGarble
        );
        if taken {
            self.last_id += 1;
            let id = format!("p{}", self.last_id);
            self.take(message, &reference, at);
            if matches!(way, Way::Accept | Way::AcceptThenGarble) {
                outcome.provider_id = Some(id.clone());
            }
            if way == Way::AcceptWithWrongId {
                outcome.provider_id = Some(format!("p{}", 9_000 + self.last_id));
            }
            receipts = reports(&reference, &id, mood, dice, fired);
        } else if outcome.class.proof() == winback::model::outcome::Proof::Refused && dice.chance(300) {
            receipts.push((dice.below(5_000), report(Some(reference), None, Delivery::Rejected)));
        }
        Reply { outcome, after, receipts }
    }

    fn take(&mut self, message: &Claimed, reference: &str, at: Arrives) {
        let (id, number) = reference::resolve(TAG, reference).expect("our own reference");
        self.ledger.push(Taken {
            message: id.0,
            number,
            phone: message.phone.digits(),
            sender: SENDERS.iter().position(|s| *s == message.sender).expect("a sender"),
            coupon: message.body.parse().ok(),
            price: message.price.0,
            stamp: at.stamp,
            seq: at.seq,
            route: at.route,
            id: self.last_id,
            print: at.print,
            replay: at.replay,
        });
    }
}

fn class(way: Way) -> OutcomeClass {
    match way {
        Way::Accept | Way::AcceptWithoutId | Way::AcceptWithWrongId => OutcomeClass::Accepted,
        Way::AcceptThenTimeOut | Way::Reset => OutcomeClass::Unknown,
        Way::AcceptThenGarble => OutcomeClass::Garbled,
        Way::BadRecipient => OutcomeClass::BadRecipient,
        Way::BadContent => OutcomeClass::BadContent,
        Way::OptedOut => OutcomeClass::OptedOut,
        Way::Throttle => OutcomeClass::Throttled,
        Way::Unavailable => OutcomeClass::Unavailable,
        Way::Account => OutcomeClass::Account,
    }
}

fn fault(way: Way) -> Option<Fault> {
    Some(match way {
        Way::Accept => return None,
        Way::AcceptWithoutId => Fault::NoId,
        Way::AcceptWithWrongId => Fault::WrongId,
        Way::AcceptThenTimeOut => Fault::TimeOutAfterAccepting,
        Way::AcceptThenGarble => Fault::GarbledAnswer,
        Way::Reset => Fault::Reset,
        Way::BadRecipient | Way::BadContent | Way::OptedOut => Fault::Refusal,
        Way::Throttle => Fault::Throttle,
        Way::Unavailable => Fault::Unavailable,
        Way::Account => Fault::BrokenAccount,
    })
}

/// What is reported of a text that was taken: in order or not, once or often, the same or the opposite, or nothing.
fn reports(
    reference: &str,
    id: &str,
    mood: &Mood,
    dice: &mut Dice,
    fired: &mut Fired,
) -> Vec<(u64, Receipt)> {
    if dice.chance(mood.silent) {
        fired.note(Fault::NoReceipt);
        return Vec::new();
    }
    let mut list = Vec::new();
    let one = |state, dice: &mut Dice| {
        let named = dice.chance(mood.echoes).then(|| reference.to_owned());
        let with_id = named.is_none() || dice.chance(500);
        report(named, with_id.then(|| id.to_owned()), state)
    };
    let last =
        dice.pick(&[Delivery::Delivered, Delivery::Delivered, Delivery::Undelivered, Delivery::Expired]);
    if dice.chance(400) {
        list.push((dice.below(4_000), one(Delivery::EnRoute, dice)));
    }
    let at = dice.below(8_000);
    list.push((at, one(last, dice)));
    if dice.chance(mood.messy) {
        fired.note(Fault::RepeatedReceipt);
        list.push((at + dice.below(3_000), list[list.len() - 1].1.clone()));
    }
    if dice.chance(mood.messy) {
        fired.note(Fault::ContradictoryReceipt);
        let other =
            dice.pick(&[Delivery::Undelivered, Delivery::Rejected, Delivery::Delivered, Delivery::Read]);
        list.push((dice.below(20_000), one(other, dice)));
    }
    if dice.chance(mood.messy) {
        fired.note(Fault::LateReceipt);
        for entry in &mut list {
            entry.0 += dice.between(60_000, 2_400_000);
        }
    }
    if dice.chance(mood.messy / 8) {
        fired.note(Fault::OptOutReceipt);
        let mut told = one(Delivery::Undelivered, dice);
        (told.code, told.opted_out) = (Some("21610".to_owned()), true);
        list.push((dice.below(10_000), told));
    }
    if dice.chance(mood.messy / 4) {
        fired.note(Fault::UnknownReceipt);
        let (foreign, unknown) = (dice.below(50), 5_000 + dice.below(50));
        let named = dice.chance(500).then(|| format!("other-{foreign}"));
        let with_id = dice.chance(500).then(|| format!("p{unknown}"));
        list.push((dice.below(10_000), report(named, with_id, Delivery::Delivered)));
    }
    list
}

fn report(reference: Option<String>, provider_id: Option<String>, state: Delivery) -> Receipt {
    let status = match state {
        Delivery::EnRoute => "buffered",
        other => other.as_str(),
    };
    Receipt { reference, provider_id, state, status: status.to_owned(), code: None, opted_out: false }
}
