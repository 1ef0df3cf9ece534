//! What people and machines do to a world while it is troubled: STOP, pause, cancel, crash, suspend, set clocks.

use winback::model::clock::Timestamp;
use winback::model::ids::MessageId;
use winback::model::message::Verdict;
use winback::model::phone::Phone;
use winback::model::receipt::Inbound;
use winback::model::run::RunState;
use winback::model::state::Dispatch;
use winback::model::suppression::Reason;
use winback::store::inbound::Reaction;

use super::calls::{Call, Callback};
use super::faults::Fault;
use super::launching::{Launching, address};
use super::tables::{EVERY, SENDERS, id};
use super::world::{Happening, World};

/// One thing that somebody or something does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A customer writes.
    Text(i64, Reaction),
    /// An operator imports a number that must not be texted.
    List(i64),
    Lift(i64),
    Pause,
    Resume,
    Cancel,
    Crash,
    PowerCut,
    Suspend,
    SetClock,
    Drain,
    LaunchTwice,
    /// Somebody decides about what is in doubt.
    Decide(Verdict),
}

impl World {
    /// Draws what will happen until the horizon.
    pub(crate) fn plan_trouble(&mut self) {
        let most = if self.character.wildness == 0 { 3 } else { 12 };
        for _ in 0..self.dice.below(most) {
            let contact = self.dice.between(1, self.character.contacts.cast_unsigned()).cast_signed();
            let trouble = match self.dice.below(38) {
                0..=5 => Trouble::Text(contact, Reaction::Stop),
                6 => Trouble::Text(contact, Reaction::Review),
                7 | 8 => Trouble::Text(contact, Reaction::Start),
                9 => Trouble::Text(contact, Reaction::Keep),
                10 | 11 => Trouble::List(contact),
                12 => Trouble::Lift(contact),
                13 | 14 => Trouble::Pause,
                15 => Trouble::Resume,
                16 => Trouble::Cancel,
                17 | 18 => Trouble::Crash,
                19 | 20 => Trouble::PowerCut,
                21..=26 => Trouble::Suspend,
                27..=29 => Trouble::SetClock,
                30 => Trouble::Drain,
                31 => Trouble::LaunchTwice,
                32 | 33 => Trouble::Decide(Verdict::Accepted),
                34 | 35 => Trouble::Decide(Verdict::NotSent),
                _ => Trouble::Decide(Verdict::Resend),
            };
            self.cuts += u32::from(trouble == Trouble::PowerCut);
            let at = self.dice.below(self.character.horizon);
            self.after(at, Happening::Trouble(trouble));
        }
        for _ in 0..self.character.clocks_set {
            let at = self.dice.below(self.character.horizon);
            self.after(at, Happening::Trouble(Trouble::SetClock));
        }
    }

    pub(crate) fn trouble(&mut self, trouble: Trouble) {
        let node = self.dice.place(self.nodes.len());
        match trouble {
            Trouble::Text(contact, reaction) => self.text(contact, reaction),
            Trouble::List(contact) => {
                self.fired.note(Fault::OperatorList);
                let scope = self.dice.pick(&[EVERY, 0, 1]);
                let reason = self.dice.pick(&[Reason::Operator, Reason::Complaint, Reason::Stop]);
                let call = Call::Suppress { phone: phone(contact), scope, reason };
                self.after(0, Happening::Later { who: None, call });
            }
            Trouble::Lift(contact) => {
                self.after(0, Happening::Later { who: None, call: Call::Lift(phone(contact)) });
            }
            Trouble::Pause => self.steer(Fault::Pause, &[RunState::Running], RunState::Paused),
            Trouble::Resume => self.steer(Fault::Resume, &[RunState::Paused], RunState::Running),
            Trouble::Cancel => {
                let from = [RunState::Preparing, RunState::Running, RunState::Paused];
                self.steer(Fault::Cancel, &from, RunState::Cancelling);
            }
            Trouble::Crash => self.crash(node),
            Trouble::PowerCut => self.cut_power(),
            Trouble::Suspend => {
                if self.nodes[node].alive {
                    self.fired.note(Fault::Stopped);
                    let span = self.dice.pick(&[2_000, 15_000, 45_000, 120_000, 240_000]);
                    self.nodes[node].stopped_until = self.now + span;
                    self.note(
                        self.nodes[node].owner,
                        "is suspended",
                        0,
                        ("until", (self.now + span).cast_signed()),
                    );
                }
            }
            Trouble::SetClock => self.set_clock(node),
            Trouble::Drain => self.drain(node),
            Trouble::Decide(verdict) => self.decide_about_doubt(verdict),
            Trouble::LaunchTwice => {
                self.fired.note(Fault::LaunchTwice);
                let campaign = self.dice.below(self.character.campaigns.cast_unsigned()).cast_signed();
                self.after(0, Happening::Launch(Launching::of(campaign)));
            }
        }
    }

    /// A process that runs looks at its clock each second. What is done to the clock of one that does not, nobody can
    /// know; keys that live for a minute or two would be outlived by that.
    fn set_clock(&mut self, node: usize) {
        self.fired.note(Fault::ClockJump);
        let by = self.dice.pick(&[-3_600_000, -60_000, 5_000, 60_000, 600_000, 3_600_000]);
        let runs = self.nodes[node].alive && self.nodes[node].stopped_until <= self.now;
        if by < 0 && !runs && self.character.has_keys() {
            return;
        }
        self.skew[node] += by;
        self.note(0, "a clock is set", 0, ("by", by));
        if runs {
            let who = (node, self.nodes[node].owner);
            self.watch_clock(who);
        }
    }

    /// A customer's text, which its provider may deliver twice.
    fn text(&mut self, contact: i64, reaction: Reaction) {
        self.fired.note(match reaction {
            Reaction::Start => Fault::StartText,
            _ => Fault::StopText,
        });
        let (route, number) = (self.dice.place(2), self.dice.below(1_000_000));
        let (from, sender) = (phone(contact), address(contact).1);
        let to = SENDERS[sender].to_owned();
        let inbound = Inbound { from, to, text: "text".to_owned(), provider_id: Some(format!("p{number}")) };
        let (received_at, inbound) = (Timestamp(0), vec![(inbound, reaction)]);
        let callback = Callback { id: 0, route, received_at, receipts: Vec::new(), inbound };
        if self.dice.chance(200) {
            self.fired.note(Fault::RepeatedStop);
            let delay = self.dice.below(60_000);
            self.call_later(delay, callback.clone());
        }
        self.call_later(0, callback);
    }

    /// An operator's wish about a run, as `winback run` writes it: read, then changed if it is still so.
    fn steer(&mut self, fault: Fault, from: &[RunState], to: RunState) {
        let runs = self.model.committed.runs.iter().enumerate();
        let fit: Vec<usize> =
            runs.filter(|(_, run)| from.contains(&run.state)).map(|(place, _)| place).collect();
        if fit.is_empty() {
            return;
        }
        self.fired.note(fault);
        let place = self.dice.pick(&fit);
        let from = self.model.committed.runs[place].state;
        let call = Call::SetRunState { run: id(place), from, to };
        let delay = self.dice.below(20);
        self.after(delay, Happening::Later { who: None, call });
    }

    /// An operator looks at a list of doubt and decides a while later, mistaken now and then.
    fn decide_about_doubt(&mut self, verdict: Verdict) {
        let doubtful =
            |m: &super::tables::Message| matches!(m.dispatch, Dispatch::Ambiguous | Dispatch::Unknown);
        let messages = self.model.committed.messages.iter().enumerate();
        let list: Vec<_> =
            messages.filter(|(_, m)| doubtful(m)).map(|(place, _)| MessageId(id(place))).collect();
        if !list.is_empty() {
            let delay = self.dice.pick(&[0, 2_000, 60_000]);
            let call = Call::Resolve { messages: list, verdict };
            self.after(delay, Happening::Later { who: None, call });
        }
    }

    /// The machine of the store loses its power; processes on it die, those elsewhere lose their answers.
    fn cut_power(&mut self) {
        self.fired.note(Fault::PowerCut);
        self.note(0, "the power fails", 0, ("", 0));
        self.model.power_cut();
        self.cuts -= 1;
        self.dirty = true;
        for node in 0..self.nodes.len() {
            self.crash(node);
        }
    }

    fn drain(&mut self, place: usize) {
        let node = &self.nodes[place];
        if node.alive && !node.draining {
            self.fired.note(Fault::Drain);
            let who = (place, node.owner);
            for lane in 0..node.lanes.len() {
                let event = winback::dispatch::core::Event::Drain;
                self.after(0, Happening::Lane { who, lane, event });
            }
        }
    }
}

fn phone(contact: i64) -> Phone {
    Phone::from_digits(address(contact).0).expect("a number")
}
