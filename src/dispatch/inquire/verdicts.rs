//! What follows from what a provider said about messages in doubt. Pure, but for the clock it is given.

use std::collections::{BTreeMap, HashMap, HashSet};

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::model::doubt::{Ask, Finding, Rung};
use crate::model::ids::MessageId;
use crate::model::message::{RetryPolicy, Settlement};
use crate::model::outcome::{Outcome, OutcomeClass};
use crate::provider::Found;
use crate::store::inquiries::{Note, Open, Tried};

use super::super::settle::settle;
use super::{Inquirer, Told};

/// What follows from what providers said.
pub(super) struct Verdicts<'a> {
    inquirer: &'a Inquirer,
    retry: &'a RetryPolicy,
    /// Messages that are not the only one which a text in a list could be.
    alike: &'a HashSet<MessageId>,
    rng: StdRng,
    pub(super) notes: Vec<Note>,
    pub(super) settlements: Vec<Settlement>,
    /// Runs that have something to send again.
    pub(super) reopened: BTreeMap<i64, &'static str>,
}

impl<'a> Verdicts<'a> {
    pub(super) fn new(inquirer: &'a Inquirer, retry: &'a RetryPolicy, alike: &'a HashSet<MessageId>) -> Self {
        let rng = StdRng::seed_from_u64(inquirer.seed);
        let (notes, settlements, reopened) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { inquirer, retry, alike, rng, notes, settlements, reopened }
    }

    /// Judges one answer. `bound` says which attempts have which ids; a message that gets one is added.
    pub(super) fn judge(&mut self, open: &Open, told: &Told, bound: &mut HashMap<String, (i64, i64)>) {
        let own = (open.message.id.0, open.standing.number);
        match told {
            Told::Skipped => {}
            Told::Accepted(outcome) => self.settle(open, outcome.clone(), self.retry.attempts),
            Told::Silence(detail) => {
                self.note(open, self.look(false), Some(Finding::NoAnswer), detail.clone());
            }
            Told::Replayed { answered, detail } => {
                let tried = Tried::Replayed { answered: *answered };
                self.note(open, tried, Some(Finding::NoAnswer), detail.clone());
            }
            Told::Found(ask, found) => {
                let free = |one: &&Found| bound.get(&one.provider_id).is_none_or(|whose| *whose == own);
                let found: Vec<&Found> = found.iter().filter(free).collect();
                // What was on its way when it was asked is there when it is asked again.
                let again = open.standing.asked.finding == Some(Finding::Nothing);
                let proof = ask.authoritative && open.standing.alone && again;
                // Two that look alike are a duplicate only if nothing else of ours looks so.
                let alike = ask.rung == Rung::List && self.alike.contains(&open.message.id);
                let finding = match found.len() {
                    0 => Some(Finding::Nothing),
                    1 => None,
                    _ if alike => Some(Finding::Alike),
                    _ => Some(Finding::Twice),
                };
                self.note(open, self.look(true), finding, words(ask, proof, found.len(), alike));
                match found.first() {
                    None if proof => self.not_taken(open),
                    // Of two with our reference both are ours; of two that look alike nobody knows.
                    Some(first) if found.len() == 1 || ask.rung == Rung::Lookup => {
                        bound.insert(first.provider_id.clone(), own);
                        let why = format!("found at the provider by {}", by(ask));
                        let outcome = Outcome::of(OutcomeClass::Accepted).because(why);
                        let outcome = Outcome { provider_id: Some(first.provider_id.clone()), ..outcome };
                        self.settle(open, outcome, self.retry.attempts);
                    }
                    _ => {}
                }
                if finding == Some(Finding::Twice) {
                    tracing::error!(
                        message = open.message.id.0,
                        copies = found.len(),
                        "the provider has this text more than once: a duplicate has happened"
                    );
                }
            }
        }
    }

    /// It goes out again, unless its run or its time is over.
    fn not_taken(&mut self, open: &Open) {
        let why = "the provider was asked and has no such message";
        let outcome = Outcome::of(OutcomeClass::Unavailable).because(why);
        let late = open.message.expires_at <= self.inquirer.clock.now();
        match open.run_state.after_resend().filter(|_| !late) {
            Some(state) => {
                self.reopened.insert(open.message.run.0, state.as_str());
                self.settle(open, outcome, self.retry.attempts);
            }
            None => self.settle(open, outcome, 0),
        }
    }

    fn settle(&mut self, open: &Open, outcome: Outcome, attempts: u32) {
        let policy = RetryPolicy { attempts, ..*self.retry };
        let now = self.inquirer.clock.now();
        match settle(&open.message, open.standing.number, outcome, &policy, now, &mut self.rng) {
            Ok(settlement) => self.settlements.push(settlement),
            Err(error) => tracing::error!(message = open.message.id.0, %error, "an answer leads nowhere"),
        }
    }

    fn look(&self, answered: bool) -> Tried {
        Tried::Look { at: self.inquirer.clock.now(), answered }
    }

    fn note(&mut self, open: &Open, tried: Tried, finding: Option<Finding>, detail: String) {
        let (message, number) = (open.message.id, open.standing.number);
        self.notes.push(Note { message, number, tried, finding, detail: Some(detail) });
    }
}

fn by(ask: &Ask) -> &'static str {
    if ask.rung == Rung::Lookup { "our reference" } else { "recipient, text and time" }
}

fn words(ask: &Ask, proof: bool, found: usize, alike: bool) -> String {
    let by = by(ask);
    match found {
        0 if proof => format!("the provider still has nothing by {by}, which proves that it took nothing"),
        0 if ask.authoritative => {
            format!("the provider has nothing by {by}; it is asked again before that counts")
        }
        0 => format!("the provider has nothing by {by}, which proves nothing"),
        1 => format!("the provider has it by {by}"),
        _ if alike => format!(
            "the provider has {found} that look like it, and so does another text of ours: nobody can tell which is whose"
        ),
        _ => format!("the provider has it {found} times by {by}: a duplicate has happened"),
    }
}
