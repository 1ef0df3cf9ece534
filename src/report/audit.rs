//! Holds a provider's ledger against the store: what it accepted must be what we believe it accepted.
//!
//! The ledger is the truth about the wire; our own tables are what is being judged. It is read once from its beginning
//! to its end and never kept: what is remembered is a word for each message. Nothing is ever written. Both
//! may grow meanwhile: what the store has accepted and the ledger had not shown yet is looked for once more in what the
//! ledger has gained. What retention took away is judged by what it left.

mod marks;
mod pace;

use std::collections::{BTreeMap, HashMap};
use std::error::Error as StdError;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::campaign::law::Rules;
use crate::campaign::schedule::ScheduleKey;
use crate::dispatch::pace::Limit;
use crate::dispatch::terms::Terms;
use crate::model::clock::Timestamp;
use crate::model::hex::hex;
use crate::model::ids::{MessageId, RunId};
use crate::model::run::RunState;
use crate::model::state::Dispatch;
use crate::store::audit::{Standing, TakenFacts};
use crate::store::{Store, StoreError};

use marks::Marks;
use pace::Pace;

/// Lines and messages looked at together.
const PAGE: usize = 5_000;

/// Examples of each term that are told.
const EXAMPLES: usize = 3;

/// How far the provider's clock may be behind ours before an hour counts as unlawful.
const SKEW_MS: i64 = 5_000;

/// One message that a provider took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// When, by the provider's clock.
    pub at: Timestamp,
    /// The reference it was given.
    pub reference: String,
    /// The number, in E.164.
    pub to: String,
    /// SHA-256 of the text, in hex.
    pub body_sha256: String,
    /// Its parts, as the provider counts them.
    pub parts: u32,
}

/// What an audit is told beside ledger and store.
#[derive(Debug)]
pub struct Question<'a> {
    /// Only this run; other runs' texts are passed over.
    pub run: Option<RunId>,
    /// The rate that the account allows; without one it is not checked.
    pub limit: Option<Limit>,
    /// The law.
    pub rules: &'a Rules,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger cannot be read to its end.
    #[error(transparent)]
    Ledger(Box<dyn StdError + Send + Sync>),
}

/// The result, in fixed terms; what could not be checked is no agreement. Everything must be zero but `taken`,
/// `accepted`, `under_way`, `waiting`, `not_sent`, `unresolved` and `pruned`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Texts in the ledger, of whatever run. Without any, nothing was held against the store.
    pub taken: i64,
    /// Messages that both sides know as accepted.
    pub accepted: i64,
    /// Messages that were taken and whose answer is awaited.
    pub under_way: i64,
    /// Messages of runs that go on and that have not been handed over.
    pub waiting: i64,
    /// Messages that ended without being sent, and are not in the ledger.
    pub not_sent: i64,
    /// Accepted by us and unknown to the ledger, or of a run that ended without them.
    pub lost: i64,
    /// Taken more than once without a recorded decision to resend.
    pub duplicated: i64,
    /// Taken, and never planned, or without an intent.
    pub unexpected: i64,
    /// Taken, and we believe that it was not sent.
    pub unrecorded: i64,
    /// Taken after the number had said STOP.
    pub after_stop: i64,
    /// Taken outside the hours of its run and its law.
    pub outside_window: i64,
    /// Taken, and the terms of its run cannot be read: nobody knows whether that was within its hours.
    pub unjudged: i64,
    /// Parts above what rate and burst allow in any second; none if no rate is known.
    pub over_rate: Option<i64>,
    /// Taken beyond the budget of its run.
    pub over_budget: i64,
    /// Taken with another text than planned.
    pub wrong_body: i64,
    /// Taken for another number than planned.
    pub wrong_number: i64,
    /// Taken with a code that is not the reserved one, that somebody else was sent, or that is not in the books as theirs.
    pub wrong_code: i64,
    /// In doubt on our side, taken or not.
    pub unresolved: i64,
    /// Taken texts whose words and intents retention took away: judged by number, code, state, budget and hours alone.
    pub pruned: i64,
    /// A few messages of each term, by its name, with no more of a number than its end.
    pub examples: BTreeMap<&'static str, Vec<String>>,
}

impl Audit {
    /// Whether ledger and store agree. Doubt is not disagreement: it is said, counted and visible.
    pub fn agrees(&self) -> bool {
        self.faults().iter().all(|(_, count)| *count == 0)
    }

    /// Every term that must be zero, with its count.
    pub fn faults(&self) -> [(&'static str, i64); 12] {
        [
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("unexpected", self.unexpected),
            ("unrecorded", self.unrecorded),
            ("after_stop", self.after_stop),
            ("outside_window", self.outside_window),
            ("unjudged", self.unjudged),
            ("over_rate", self.over_rate.unwrap_or(0)),
            ("over_budget", self.over_budget),
            ("wrong_body", self.wrong_body),
            ("wrong_number", self.wrong_number),
            ("wrong_code", self.wrong_code),
        ]
    }

    fn example(&mut self, term: &'static str, text: impl FnOnce() -> String) {
        let told = self.examples.entry(term).or_default();
        if told.len() < EXAMPLES {
            told.push(text());
        }
    }
}

/// Compares a ledger, in the order in which it was written, with the store. Whoever goes on writing it may: after its
/// end it is asked again, for what was taken meanwhile.
///
/// # Errors
/// When the store or the ledger cannot be read to its end; half an audit proves nothing.
pub async fn audit<E: StdError + Send + Sync + 'static>(
    store: &Store,
    ledger: impl IntoIterator<Item = Result<Taken, E>>,
    question: &Question<'_>,
) -> Result<Audit, AuditError> {
    let mut ledger = ledger.into_iter();
    let mut auditor = Auditor::new(store, question);
    auditor.read_on(&mut ledger).await?;
    auditor.conclude(&mut ledger).await
}

/// An audit under way.
struct Auditor<'a> {
    store: &'a Store,
    question: &'a Question<'a>,
    audit: Audit,
    /// For each message, a bit for each attempt that was taken.
    taken: Marks,
    runs: HashMap<RunId, Judged>,
    /// The interval last looked up, by window.
    hours: HashMap<i64, (Timestamp, Timestamp)>,
    pace: Option<Pace>,
    /// Accepted by us and not in the ledger as far as it has been read: taken while we looked, or lost.
    suspects: Vec<Standing>,
}

/// A run whose texts are being judged.
struct Judged {
    /// None when they cannot be read; its hours cannot be checked then, which is told.
    terms: Option<Terms>,
    budget: Option<i64>,
    spent: i64,
}

/// Where a text stands to the hours of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hours {
    Within,
    Outside,
    Unknown,
}

impl<'a> Auditor<'a> {
    fn new(store: &'a Store, question: &'a Question<'a>) -> Self {
        Self {
            store,
            question,
            audit: Audit::default(),
            taken: Marks::default(),
            runs: HashMap::new(),
            hours: HashMap::new(),
            pace: question.limit.map(Pace::new),
            suspects: Vec::new(),
        }
    }

    /// Judges what of the ledger has not been read, up to where it ends now.
    async fn read_on<E: StdError + Send + Sync + 'static>(
        &mut self,
        ledger: &mut impl Iterator<Item = Result<Taken, E>>,
    ) -> Result<(), AuditError> {
        let mut page = Vec::with_capacity(PAGE);
        loop {
            page.clear();
            for entry in ledger.by_ref().take(PAGE) {
                page.push(entry.map_err(|error| AuditError::Ledger(Box::new(error)))?);
            }
            self.judge(&page).await?;
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }

    async fn judge(&mut self, page: &[Taken]) -> Result<(), AuditError> {
        let resolved: Vec<_> = page.iter().map(|entry| self.store.named_by(&entry.reference)).collect();
        let asked = resolved.iter().zip(page).map(|(found, entry)| {
            let (message, number) = found.unwrap_or((MessageId(0), 0));
            (message, number, entry.at)
        });
        let mut facts: Vec<Option<TakenFacts>> = page.iter().map(|_| None).collect();
        for fact in self.store.taken_facts(&asked.collect::<Vec<_>>()).await? {
            let place = fact.place;
            facts[place] = Some(fact);
        }
        self.audit.taken += i64::try_from(page.len()).unwrap_or(i64::MAX);
        for ((entry, found), fact) in page.iter().zip(resolved).zip(facts) {
            self.pace(entry);
            let known = found.zip(fact);
            let ours = |run| self.question.run.is_none_or(|wanted| wanted == run);
            match known {
                Some((_, fact)) if !ours(fact.run) => {}
                Some(((_, number), fact)) if fact.intended || fact.pruned => {
                    self.judge_known(entry, number, &fact).await?;
                }
                _ => {
                    self.audit.unexpected += 1;
                    self.audit.example("unexpected", || tail(&entry.to));
                }
            }
        }
        Ok(())
    }

    fn pace(&mut self, entry: &Taken) {
        if let Some(pace) = &mut self.pace {
            pace.add(entry.at, entry.parts);
        }
    }

    async fn judge_known(&mut self, entry: &Taken, number: i64, fact: &TakenFacts) -> Result<(), AuditError> {
        let repeated = self.taken.mark_attempt(fact.message.0, number);
        let wrong_number = entry.to.trim_start_matches('+') != fact.phone.digits().to_string();
        let wrong_body = !fact.pruned && entry.body_sha256 != hex(&Sha256::digest(fact.body.as_bytes()));
        let lacks = |code: &str| !fact.pruned && !fact.body.contains(code);
        let wrong_code = fact.code_elsewhere || fact.coupon.as_ref().is_some_and(|(_, code)| lacks(code));
        self.audit.pruned += i64::from(fact.pruned);
        let (hours, over_budget) = self.terms_broken(entry, fact).await?;
        let audit = &mut self.audit;
        let mut found = |broken: bool, term: &'static str, count: fn(&mut Audit) -> &mut i64| {
            if broken {
                *count(audit) += 1;
                audit.example(term, || format!("message {} to {:?}", fact.message, fact.phone));
            }
        };
        found(repeated, "duplicated", |a| &mut a.duplicated);
        found(wrong_number, "wrong_number", |a| &mut a.wrong_number);
        found(wrong_body, "wrong_body", |a| &mut a.wrong_body);
        found(wrong_code, "wrong_code", |a| &mut a.wrong_code);
        found(fact.stopped, "after_stop", |a| &mut a.after_stop);
        found(hours == Hours::Outside, "outside_window", |a| &mut a.outside_window);
        found(hours == Hours::Unknown, "unjudged", |a| &mut a.unjudged);
        found(over_budget, "over_budget", |a| &mut a.over_budget);
        Ok(())
    }

    /// Where a text stands to the hours of its run, and whether it broke its budget.
    async fn terms_broken(&mut self, entry: &Taken, fact: &TakenFacts) -> Result<(Hours, bool), AuditError> {
        if !self.runs.contains_key(&fact.run) {
            let run = self.store.run(fact.run).await?;
            let terms = run.as_ref().and_then(|run| Terms::read(&run.terms.definition).ok());
            // The guard keeps us inside the hours; what counts is the hours.
            let terms = terms.map(|terms| Terms { guard: std::time::Duration::ZERO, ..terms });
            let budget = run.and_then(|run| run.terms.budget).map(|budget| budget.0);
            self.runs.insert(fact.run, Judged { terms, budget, spent: 0 });
        }
        let Some(run) = self.runs.get_mut(&fact.run) else { return Ok((Hours::Unknown, false)) };
        run.spent = run.spent.saturating_add(fact.price.0);
        let over_budget = run.budget.is_some_and(|budget| run.spent > budget);
        let Some(terms) = &run.terms else { return Ok((Hours::Unknown, over_budget)) };
        let within = |(open, close): (Timestamp, Timestamp)| {
            open.0.saturating_sub(SKEW_MS) <= entry.at.0 && entry.at < close
        };
        if self.hours.get(&fact.window).copied().is_some_and(within) {
            return Ok((Hours::Within, over_budget));
        }
        let key = ScheduleKey::from_text(fact.window_key.as_str());
        let at = Timestamp(entry.at.0.saturating_add(SKEW_MS));
        let next = [entry.at, at].into_iter().find_map(|at| {
            terms.next_interval(&key, self.question.rules, at).filter(|interval| within(*interval))
        });
        self.hours.extend(next.map(|interval| (fact.window, interval)));
        Ok((if next.is_some() { Hours::Within } else { Hours::Outside }, over_budget))
    }

    /// Looks at every message once, now that all is known that was taken.
    async fn conclude<E: StdError + Send + Sync + 'static>(
        mut self,
        ledger: &mut impl Iterator<Item = Result<Taken, E>>,
    ) -> Result<Audit, AuditError> {
        let (mut after, page) = (MessageId(0), i64::try_from(PAGE).unwrap_or(i64::MAX));
        loop {
            let standing = self.store.standing(self.question.run, after, page).await?;
            let Some(last) = standing.last() else { break };
            after = last.message;
            for message in &standing {
                self.count(message);
            }
            if self.suspects.len() >= PAGE {
                self.settle_suspects(ledger).await?;
            }
        }
        self.settle_suspects(ledger).await?;
        after = MessageId(0);
        loop {
            let estranged = self.store.estranged_codes(self.question.run, after, page).await?;
            let Some((last, _)) = estranged.last() else { break };
            after = *last;
            for (message, phone) in &estranged {
                if self.taken.attempts(message.0) > 0 {
                    self.audit.wrong_code += 1;
                    self.audit.example("wrong_code", || format!("message {message} to {phone:?}"));
                }
            }
        }
        self.audit.over_rate = self.pace.map(Pace::finish);
        Ok(self.audit)
    }

    /// A provider writes its ledger before it answers, so whatever we had accepted is in there by now, or lost.
    async fn settle_suspects<E: StdError + Send + Sync + 'static>(
        &mut self,
        ledger: &mut impl Iterator<Item = Result<Taken, E>>,
    ) -> Result<(), AuditError> {
        if self.suspects.is_empty() {
            return Ok(());
        }
        self.read_on(ledger).await?;
        for message in std::mem::take(&mut self.suspects) {
            if self.taken.attempts(message.message.0) > 0 {
                self.audit.accepted += 1;
            } else {
                self.audit.lost += 1;
                self.audit.example("lost", || format!("message {} to {:?}", message.message, message.phone));
            }
        }
        Ok(())
    }

    fn count(&mut self, message: &Standing) {
        let attempts = self.taken.attempts(message.message.0);
        let accepted = message.dispatch == Dispatch::Accepted;
        // What was sent again by decision may have arrived the first time, whatever became of the second.
        let doubtful = matches!(message.dispatch, Dispatch::Ambiguous | Dispatch::Unknown)
            || (message.open_copies > 0 && !accepted);
        let ended = matches!(message.run, RunState::Finished | RunState::Cancelled);
        let open = matches!(
            message.dispatch,
            Dispatch::Planned | Dispatch::Queued | Dispatch::Claimed | Dispatch::Submitting
        );
        let audit = &mut self.audit;
        audit.unresolved += i64::from(doubtful);
        let term = match (attempts, accepted) {
            (0, true) => {
                self.suspects.push(message.clone());
                None
            }
            (0, false) if open && ended => Some("lost"),
            (0, false) if open => {
                audit.waiting += i64::from(!doubtful);
                None
            }
            (0, false) => {
                audit.not_sent += i64::from(!doubtful);
                None
            }
            (_, true) => {
                audit.accepted += 1;
                None
            }
            // What is on the wire while we look was taken before its answer was written.
            (_, false) if message.dispatch == Dispatch::Submitting && !ended => {
                audit.under_way += 1;
                None
            }
            (_, false) if doubtful => None,
            (_, false) => Some("unrecorded"),
        };
        match term {
            Some("lost") => audit.lost += 1,
            Some(_) => audit.unrecorded += 1,
            None => {}
        }
        let example = || format!("message {} to {:?}", message.message, message.phone);
        if let Some(term) = term {
            audit.example(term, example);
        }
        // One decision orders one copy more. Beyond two, what we hold for refused is no copy that was ordered.
        let ordered =
            if message.possible_duplicate { message.copies.map_or(i64::MAX, |n| n.max(2)) } else { 1 };
        if i64::from(attempts) > ordered {
            audit.duplicated += 1;
            audit.example("duplicated", example);
        }
    }
}

/// The end of a number that may be anybody's.
fn tail(number: &str) -> String {
    let end: Vec<char> = number.chars().rev().take(2).collect();
    format!("a text to …{}", end.into_iter().rev().collect::<String>())
}
