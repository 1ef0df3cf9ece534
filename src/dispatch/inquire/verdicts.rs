//! What a provider said about messages in doubt, and what follows from it. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::model::clock::Timestamp;
use crate::model::doubt::{Ask, Finding, Rung};
use crate::model::ids::MessageId;
use crate::model::message::{RetryPolicy, Settlement};
use crate::model::outcome::{Outcome, OutcomeClass, Proof};
use crate::provider::Found;
use crate::store::inquiries::{Note, Open, Tried};

use super::super::settle::settle;

/// A provider that needs longer to say that it has nothing may have the message in front of itself, unread.
const PROMPT: Duration = Duration::from_secs(5);

/// What came of one question.
#[derive(Clone, Debug)]
pub enum Told {
    /// The provider has these, which could be the message.
    Found(Ask, Vec<Found>),
    /// It did not answer, or said nothing that says anything.
    Silence(String),
    /// A replay was answered as accepted.
    Accepted(Outcome),
    /// A replay ended otherwise.
    Replayed {
        /// Whether the provider answered it.
        answered: bool,
        /// The same in words.
        detail: String,
    },
    /// Nothing was asked.
    Skipped,
}

impl Told {
    /// What the answer to a look-up says that took so long.
    pub fn of_look(ask: Ask, answer: Result<Vec<Found>, String>, took: Duration) -> Self {
        match answer {
            Ok(found) if found.is_empty() && took > PROMPT => Self::Silence(
                "the provider has nothing, after so long a time that it proves nothing".to_owned(),
            ),
            Ok(found) => Self::Found(ask, found),
            Err(error) => Self::Silence(error),
        }
    }

    /// What the answer to a replay says.
    pub fn of_replay(outcome: Option<Outcome>) -> Self {
        match outcome {
            Some(outcome) if outcome.class == OutcomeClass::Accepted => Self::Accepted(outcome),
            outcome => {
                let class = outcome.as_ref().map_or("nothing", |outcome| outcome.class.as_str());
                // Everything but a refusal says that the provider was not asked, or does not say.
                let answered = outcome.as_ref().is_some_and(|one| one.class.proof() == Proof::Refused);
                Self::Replayed { answered, detail: format!("a replay was answered as {class}") }
            }
        }
    }

    /// A replay that was recorded and did not leave.
    pub fn withheld() -> Self {
        let detail = "a replay was withheld before its first byte".to_owned();
        Self::Replayed { answered: false, detail }
    }

    /// What a list named.
    fn listed(&self) -> &[Found] {
        match self {
            Self::Found(ask, found) if ask.rung == Rung::List => found,
            _ => &[],
        }
    }
}

/// The provider's ids that lists named: whose they are must be known before anything is judged.
pub fn listed_ids(told: &[(Open, Told)]) -> HashSet<&str> {
    told.iter().flat_map(|(_, told)| told.listed()).map(|one| one.provider_id.as_str()).collect()
}

/// Messages of which lists named more than one: whether others of ours look so must be known before they are judged.
pub fn listed_often(told: &[(Open, Told)]) -> Vec<MessageId> {
    told.iter().filter(|(_, told)| told.listed().len() > 1).map(|(open, _)| open.message.id).collect()
}

/// What follows from what providers said.
pub struct Verdicts<'a> {
    retry: &'a RetryPolicy,
    /// Messages that are not the only one which a text in a list could be.
    alike: &'a HashSet<MessageId>,
    rng: StdRng,
    now: Timestamp,
    /// What was asked and found.
    pub notes: Vec<Note>,
    /// Messages that are in doubt no more.
    pub settlements: Vec<Settlement>,
    /// Runs that have something to send again, each with the state it goes on in.
    pub reopened: BTreeMap<i64, &'static str>,
}

impl<'a> Verdicts<'a> {
    /// None yet. `seed` feeds the jitter of what goes out again, `now` dates the answers.
    pub fn new(retry: &'a RetryPolicy, alike: &'a HashSet<MessageId>, seed: u64, now: Timestamp) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let (notes, settlements, reopened) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { retry, alike, rng, now, notes, settlements, reopened }
    }

    /// Judges one answer. `bound` says which attempts have which ids; a message that gets one is added.
    pub fn judge(&mut self, open: &Open, told: &Told, bound: &mut HashMap<String, (i64, i64)>) {
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
        let late = open.message.expires_at <= self.now;
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
        match settle(&open.message, open.standing.number, outcome, &policy, self.now, &mut self.rng) {
            Ok(settlement) => self.settlements.push(settlement),
            Err(error) => tracing::error!(message = open.message.id.0, %error, "an answer leads nowhere"),
        }
    }

    fn look(&self, answered: bool) -> Tried {
        Tried::Look { at: self.now, answered }
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
