//! Messages in doubt as their provider is asked about them, in the model store; mirrors `store::inquiries`.

use winback::model::clock::Timestamp;
use winback::model::doubt::{Asked, Finding};
use winback::model::ids::MessageId;
use winback::model::outcome::OutcomeClass;
use winback::model::reference;
use winback::model::run::RunState;
use winback::model::state::Dispatch;
use winback::store::inquiries::{Note, Open, REPLAY_ANSWER, Standing, Tried};

use super::super::calls::Answer;
use super::super::tables::{Attempt, Inquiry, ROUTES, Rendering, TAG, at, id};
use super::sending::{claimed, number_of};
use super::{Broken, Model};

fn may_have_been_taken(a: &Attempt) -> bool {
    matches!(a.outcome, None | Some(OutcomeClass::Accepted | OutcomeClass::Unknown | OutcomeClass::Garbled))
}

impl Model {
    /// `standing!`.
    pub(super) fn standing(&self, message: i64) -> Standing {
        let tables = &self.committed;
        let m = tables.message(message);
        let last = tables.attempt(message, m.last_number);
        let others = |a: &&Attempt| a.message == message && a.number != m.last_number;
        let mut asked = Asked::default();
        if let Some(i) = tables.inquiry(message, m.last_number) {
            let count = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
            asked = Asked {
                looks: count(i.looks),
                looks_unanswered: count(i.looks_unanswered),
                looked_at: i.looked_at.map(Timestamp),
                replays: count(i.replays),
                replays_unanswered: count(i.replays_unanswered),
                replayed_at: i.replayed_at.map(Timestamp),
                replay_over: i.replay_over,
                finding: i.finding,
            };
        }
        Standing {
            route: ROUTES[m.route].to_owned(),
            number: m.last_number,
            intent_at: Timestamp(last.map_or(0, |a| a.intent_at)),
            since: Timestamp(m.settled_at.unwrap_or(0)),
            open: last.is_some_and(|a| may_have_been_taken(a) && a.outcome != Some(OutcomeClass::Accepted)),
            alone: !tables.attempts.iter().filter(others).any(may_have_been_taken),
            asked,
        }
    }

    /// `OPEN`, the first page.
    pub(super) fn open_doubts(&self) -> Vec<Open> {
        let tables = &self.committed;
        let mut open: Vec<Open> = self
            .those(Dispatch::Ambiguous)
            .map(|message| {
                let (m, mut held) = (tables.message(message), claimed(tables, message));
                held.attempts -= 1;
                Open {
                    message: held,
                    reference: reference::compose(TAG, MessageId(message), m.last_number),
                    run_state: tables.run(m.run).state,
                    standing: self.standing(message),
                }
            })
            .collect();
        open.sort_by_key(|open| (open.message.run, open.message.id));
        open
    }

    /// `MAY_REPEAT`.
    pub(super) fn may_repeat(&self, open: &Open, now: Timestamp) -> bool {
        let tables = &self.committed;
        let m = tables.message(open.message.id.0);
        let window = tables.windows[at(m.window)];
        let other = |a: &Attempt| {
            a.message == open.message.id.0 && a.number != m.last_number && may_have_been_taken(a)
        };
        let over = tables.inquiry(open.message.id.0, m.last_number).is_some_and(|i| i.replay_over);
        m.epoch == open.message.epoch
            && m.last_number == open.standing.number
            && m.dispatch == Dispatch::Ambiguous
            && matches!(tables.run(m.run).state, RunState::Running | RunState::Finished)
            && window.opens_at <= now.0
            && window.closes_at > now.0
            && m.expires_at > now.0
            && (!tables.is_suppressed(m.phone, m.sender) || self.broken == Broken::ReplayIgnoresStop)
            && !over
            && !tables.attempts.iter().any(other)
    }

    /// `intend_replay`.
    pub(super) fn intend_replay(&mut self, open: &Open, now: Timestamp) -> Answer {
        if !self.may_repeat(open, now) {
            return Answer::Done(false);
        }
        let note = Note {
            message: open.message.id,
            number: open.standing.number,
            tried: Tried::Replay { at: now },
            finding: Some(Finding::NoAnswer),
            detail: None,
        };
        self.note(&[note]);
        Answer::Done(true)
    }

    /// `NOTE` and `MARK_TWICE`.
    pub(super) fn note(&mut self, notes: &[Note]) -> Answer {
        let (seq, stamp) = (self.committed.seq, self.committed.stamp);
        for note in notes {
            let i = self.inquiry_mut(note.message.0, note.number);
            match note.tried {
                Tried::Look { at, answered } => {
                    i.looks += i64::from(answered);
                    i.looks_unanswered += i64::from(!answered);
                    i.looked_at = Some(at.0);
                }
                Tried::Replay { at } => {
                    i.replays_unanswered += 1;
                    (i.replayed_at, i.answer_by) = (Some(at.0), Some(at.plus(REPLAY_ANSWER).0));
                    (i.replay_seq, i.replay_stamp) = (seq, stamp);
                }
                Tried::Replayed { answered } => {
                    i.replays += i64::from(answered);
                    i.replays_unanswered -= i64::from(answered);
                    i.answer_by = Some(0);
                }
                Tried::ReplayOver => i.replay_over = true,
            }
            i.finding = note.finding.or(i.finding);
            if note.finding == Some(Finding::Twice) {
                self.committed.message_mut(note.message.0).possible_duplicate = true;
            }
        }
        Answer::Written
    }

    fn inquiry_mut(&mut self, message: i64, number: i64) -> &mut Inquiry {
        let list = &mut self.committed.inquiries;
        let place = list.iter().position(|i| i.message == message && i.number == number);
        let place = place.unwrap_or_else(|| {
            list.push(Inquiry {
                message,
                number,
                looks: 0,
                looks_unanswered: 0,
                looked_at: None,
                replays: 0,
                replays_unanswered: 0,
                replayed_at: None,
                answer_by: None,
                replay_over: false,
                finding: None,
                replay_seq: 0,
                replay_stamp: 0,
            });
            list.len() - 1
        });
        &mut list[place]
    }

    /// `BOUND`.
    pub(super) fn bound(&self, route: usize, ids: &[String]) -> Vec<(String, (i64, i64))> {
        let whose = |pid: i64| {
            let own = self.committed.attempts.iter().filter(|a| a.route == route);
            own.filter(|a| a.provider_id == Some(pid)).map(|a| (a.message, a.number)).max()
        };
        ids.iter().filter_map(|id| Some((id.clone(), whose(number_of(id))?))).collect()
    }

    /// `ALIKE`.
    pub(super) fn alike(&self, messages: &[MessageId]) -> Vec<MessageId> {
        let tables = &self.committed;
        let mut alike = messages.to_vec();
        alike.retain(|message| {
            let q = tables.message(message.0);
            tables.messages.iter().enumerate().any(|(place, o)| {
                let unknown = |a: &Attempt| {
                    a.message == id(place)
                        && a.route == q.route
                        && a.provider_id.is_none()
                        && may_have_been_taken(a)
                };
                o.phone == q.phone
                    && id(place) != message.0
                    && o.coupon == q.coupon
                    && tables.attempts.iter().any(unknown)
            })
        });
        alike.sort_unstable();
        alike
    }

    /// `REOPEN`.
    pub(super) fn reopen(&mut self, runs: &[(i64, &'static str)]) -> Answer {
        for (run, state) in runs {
            let row = &mut self.committed.runs[at(*run)];
            if row.state == RunState::Finished {
                let state = RunState::from_word(state).expect("a state");
                (row.state, row.finished_at) = (state, None);
            }
        }
        Answer::Written
    }

    /// `RENDERED_SINCE`, and the time is kept.
    pub(super) fn distrust_until(&mut self, until: Timestamp, now: Timestamp) -> Answer {
        for row in self.committed.renderings.iter_mut().flatten() {
            row.since = row.since.max(until.0);
        }
        self.committed.clock_seen = Some(now.0);
        Answer::Written
    }

    /// `RENDER_ANEW`.
    pub(super) fn alike_since(&mut self, route: usize, print: i64, now: Timestamp) -> Answer {
        let row = self.committed.renderings[route].get_or_insert(Rendering { print, since: now.0 });
        if row.print != print {
            *row = Rendering { print, since: row.since.max(now.0) };
        }
        Answer::Time(Some(Timestamp(row.since)))
    }
}
