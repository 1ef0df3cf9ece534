//! Launches of campaigns: `dispatch::launch` as steps between which everything may happen, death included.

use winback::model::ids::RunId;
use winback::model::run::RunState;
use winback::model::state::Cause;

use super::calls::{Answer, Call, NewMessage, NewRun};
use super::character::window;
use super::faults::Fault;
use super::model::Broken;
use super::tables::{SENDERS, at, id};
use super::world::{Happening, World};

/// Contacts looked at in one go.
const PAGE: i64 = 4;

/// Launches of all campaigns in one world, repeated ones included.
const MOST_LAUNCHES: u32 = 12;

/// A command that launches a campaign, between two of its steps.
#[derive(Clone, Debug)]
pub(crate) struct Launching {
    campaign: i64,
    /// Where it stands; nothing before it has looked at its run.
    cursor: Option<i64>,
    /// Contacts of the page it has read, and whether each may be texted.
    page: Vec<(i64, bool)>,
    /// Whom the cap allowed when the page was read; only a broken launch keeps that.
    allowed: Option<Vec<i64>>,
}

impl Launching {
    pub(crate) fn of(campaign: i64) -> Self {
        Self { campaign, cursor: None, page: Vec::new(), allowed: None }
    }
}

impl World {
    /// The next step of a launch.
    pub(crate) fn launch(&mut self, mut launching: Launching) {
        if self.dies(&launching) {
            return;
        }
        let campaign = launching.campaign;
        let runs = &self.model.committed.runs;
        let own = runs.iter().position(|r| r.campaign == campaign && !r.key_given_up);
        let Some(place) = own else { return self.create_run(launching) };
        let run = runs[place];
        if run.state != RunState::Preparing {
            return;
        }
        let cursor = match launching.cursor {
            Some(cursor) => cursor,
            None => self.open_windows(id(place), run.cursor),
        };
        launching.cursor = Some(cursor);
        let last = (cursor + PAGE).min(self.character.contacts);
        if cursor >= last {
            return self.end_launch(id(place), launching.campaign);
        }
        launching.page = (cursor + 1..=last).map(|contact| (contact, self.may_be_texted(contact))).collect();
        if self.model.broken == Broken::CapsCountedEarly {
            let fit: Vec<i64> = launching.page.iter().filter(|(_, fit)| *fit).map(|(c, _)| *c).collect();
            launching.allowed = Some(self.below_the_cap(&fit));
        }
        let delay = self.dice.below(40);
        self.after(delay, Happening::WriteChunk(launching));
    }

    fn dies(&mut self, launching: &Launching) -> bool {
        if !self.troubled || !self.strikes(40) {
            return false;
        }
        self.fired.note(Fault::LaunchDied);
        self.note(0, "launch dies", 0, ("campaign", launching.campaign));
        let delay = self.dice.between(1_000, 30_000);
        self.after(delay, Happening::Launch(Launching::of(launching.campaign)));
        true
    }

    /// The plan: how many messages there would be now.
    fn create_run(&mut self, launching: Launching) {
        self.launches += 1;
        if self.launches > MOST_LAUNCHES {
            return;
        }
        let fit: Vec<i64> = (1..=self.character.contacts).filter(|c| self.may_be_texted(*c)).collect();
        let all = fit.len();
        let fit = self.below_the_cap(&fit).len();
        let codes = self.model.committed.coupons.iter().filter(|c| c.state == "available").count();
        let audience = if self.character.with_coupons { fit.min(codes) } else { fit };
        if audience < fit {
            self.fired.note(Fault::NoCodeLeft);
        }
        let now = self.wall(0);
        let new = NewRun {
            campaign: launching.campaign,
            budget: self.character.budget,
            doubt: self.character.doubt,
            audience: i64::try_from(audience).expect("few"),
            capped: i64::try_from(all - fit).expect("few"),
            starts_at: now.0,
            expires_at: now.0 + self.character.run_ms,
        };
        self.transact(vec![Call::CreateRun(new)], now, 0);
        self.after(1, Happening::Launch(launching));
    }

    fn open_windows(&mut self, run: i64, cursor: i64) -> i64 {
        let now = self.wall(0);
        for key in 0..2 {
            let (opens, closes) = window(key, now.0);
            self.transact(vec![Call::AddWindow { run, key, opens, closes }], now, 0);
        }
        cursor
    }

    /// As `Preparer::prepare` decides, from what the page said.
    fn may_be_texted(&self, contact: i64) -> bool {
        let tables = &self.model.committed;
        let (phone, sender) = address(contact);
        tables.unreachable[at(contact)].is_none() && !tables.is_suppressed(phone, sender)
    }

    /// Those of whom the cap still allows a text.
    fn below_the_cap(&mut self, contacts: &[i64]) -> Vec<i64> {
        if !self.character.capped {
            return contacts.to_vec();
        }
        let now = self.wall(0);
        let texts = match self.transact(vec![Call::Texts(contacts.to_vec())], now, 0).pop() {
            Some(Answer::Texts(texts)) => texts,
            other => panic!("the store answered {other:?}"),
        };
        let had = |contact: &&i64| texts.iter().any(|(other, _)| other == *contact);
        if !texts.is_empty() {
            self.fired.note(Fault::Capped);
        }
        contacts.iter().filter(|contact| !had(contact)).copied().collect()
    }

    /// A chunk: texts counted anew, codes that nobody has, messages and the cursor in one transaction.
    pub(crate) fn write_chunk(&mut self, launching: Launching) {
        if self.dies(&launching) {
            return;
        }
        let now = self.wall(0);
        let campaign = launching.campaign;
        let fit: Vec<i64> =
            launching.page.iter().filter(|(_, fit)| *fit).map(|(contact, _)| *contact).collect();
        let allowed = match &launching.allowed {
            Some(known) if self.model.broken == Broken::CapsCountedEarly => known.clone(),
            _ => self.below_the_cap(&fit),
        };
        let runs = &self.model.committed.runs;
        let Some(place) = runs.iter().position(|r| r.campaign == campaign && !r.key_given_up) else { return };
        let (run, expires_at) = (id(place), runs[place].expires_at);
        let coupons = self.model.committed.coupons.iter().enumerate();
        let mut free = coupons.filter(|(_, c)| c.state == "available").map(|(place, _)| id(place));
        let mut messages = Vec::new();
        for contact in &allowed {
            let coupon = if self.character.with_coupons { free.next() } else { None };
            if coupon.is_none() && self.character.with_coupons {
                continue;
            }
            messages.push(message(*contact, coupon, expires_at));
        }
        let from = launching.cursor.expect("a page was read from somewhere");
        let to = launching.page.last().expect("a page with somebody").0;
        let first = id(self.model.committed.messages.len());
        let pairs: Vec<(i64, i64)> =
            messages.iter().zip(first..).filter_map(|(m, id)| Some((m.coupon?, id))).collect();
        let withheld = i64::try_from(fit.len() - allowed.len()).expect("few");
        if withheld > 0 && self.model.committed.run(run).capped < withheld {
            self.fired.note(Fault::Withheld);
        }
        let call = Call::WritePlanned { run, from, to, messages, withheld };
        if self.transact(vec![call], now, 0) == [Answer::Done(false)] {
            return;
        }
        if self.model.broken == Broken::CouponApart && !self.dies(&launching) {
            self.after(5, Happening::Reserve(pairs));
        }
        self.after(1, Happening::Launch(Launching { cursor: Some(to), ..launching }));
    }

    pub(crate) fn reserve_apart(&mut self, pairs: &[(i64, i64)]) {
        let now = self.wall(0);
        for (coupon, message) in pairs {
            self.model.reserve(*coupon, *message, now);
        }
    }

    /// Everything is written: the run starts, or is withdrawn if it is not what was approved.
    fn end_launch(&mut self, run: i64, campaign: i64) {
        let row = *self.model.committed.run(run);
        let now = self.wall(0);
        // As `Run::is_as_approved`.
        if row.prepared > row.audience || row.prepared + row.withheld != row.audience + row.capped {
            self.fired.note(Fault::LaunchMoved);
            self.transact(vec![Call::AbandonLaunch(run)], now, 0);
            let call = Call::Withdraw { run: RunId(run), cause: Cause::Cancel };
            self.after(2, Happening::Later { who: None, call });
            if self.troubled {
                self.after(5_000, Happening::Launch(Launching::of(campaign)));
            }
            return;
        }
        let (from, to) = (RunState::Preparing, RunState::Running);
        self.after(2, Happening::Later { who: None, call: Call::SetRunState { run, from, to } });
    }
}

/// The number of a contact, and the sender it hears from.
pub(crate) fn address(contact: i64) -> (u64, usize) {
    let sender = usize::try_from(contact % 3).expect("small") % SENDERS.len();
    (12_125_550_000 + u64::try_from(contact).expect("positive"), sender)
}

fn message(contact: i64, coupon: Option<i64>, expires_at: i64) -> NewMessage {
    let (phone, sender) = address(contact);
    let parts = if contact % 4 == 0 { 2 } else { 1 };
    let parity = usize::try_from(contact % 2).expect("small");
    NewMessage {
        contact,
        phone,
        route: parity,
        sender,
        window: usize::from(contact % 3 == 0),
        coupon,
        parts,
        price: 10 * i64::from(parts),
        expires_at,
    }
}
