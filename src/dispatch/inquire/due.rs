//! Which questions are asked next: what is due, what may leave, and that nobody is passed over for long. It asks nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use crate::model::clock::{Moment, Timestamp};
use crate::model::doubt::{Ask, Means};
use crate::model::ids::{MessageId, RunId};
use crate::store::StoreError;
use crate::store::inquiries::{Note, Open, Tried};

use super::super::ladder::{Step, next, replay_over};
use super::watch::{Seen, Watch};
use super::{Inquirer, Respondent};

/// Messages read at once, and how often in a round.
const PAGE: i64 = 500;
const PAGES: usize = 4;

/// Messages of one route that wait for a look at all others; with more of them they are no longer told apart.
const MOST_PASSED: usize = 10_000;

/// A replay whose permits are older than this does not leave: it would go beside those of the next seconds.
const REPLAY_DEADLINE: Duration = Duration::from_secs(2);

/// A question that is due, and when that was found.
pub(super) struct Question {
    pub(super) open: Open,
    pub(super) step: Step,
    pub(super) found: Moment,
}

/// What one round leaves to the next.
#[derive(Default)]
pub(super) struct Rounds {
    /// Where the last one ended.
    cursor: Option<(RunId, MessageId)>,
    /// By route, those whose replay could not leave. They come again once there was room for everybody else.
    passed: HashMap<String, HashSet<MessageId>>,
    /// Routes that were busy or had more that was due than room, since the first message was looked at.
    crowded: HashSet<String>,
    watch: Watch,
    /// What was recorded before is of no known age.
    trusted_since: Option<Timestamp>,
}

impl Rounds {
    /// Notes those of a route whose replay could not leave.
    pub(super) fn pass(&mut self, route: String, messages: Vec<MessageId>) {
        if messages.is_empty() {
            return;
        }
        let passed = self.passed.entry(route).or_default();
        if passed.len() >= MOST_PASSED {
            passed.clear();
        }
        passed.extend(messages);
    }

    /// Every message was looked at.
    fn wrap(&mut self) {
        self.cursor = None;
        let crowded = std::mem::take(&mut self.crowded);
        self.passed.retain(|route, _| crowded.contains(route));
    }

    fn is_passed(&self, route: &str, message: MessageId) -> bool {
        self.passed.get(route).is_some_and(|passed| passed.contains(&message))
    }

    fn crowd(&mut self, route: &str) {
        if !self.crowded.contains(route) {
            self.crowded.insert(route.to_owned());
        }
    }
}

impl Inquirer {
    /// Questions that are due, by route; a route that is busy gets none.
    pub(super) async fn due(
        &self,
        rounds: &mut Rounds,
        busy: &HashSet<String>,
    ) -> Result<BTreeMap<String, Vec<Question>>, StoreError> {
        self.watch(rounds).await?;
        let mut due: BTreeMap<String, Vec<Question>> = BTreeMap::new();
        for _ in 0..PAGES {
            let after = rounds.cursor.unwrap_or((RunId(0), MessageId(0)));
            let page = self.store.open_doubts(after, PAGE).await?;
            let full = i64::try_from(page.len()).is_ok_and(|read| read == PAGE);
            rounds.cursor = page.last().map(|open| (open.message.run, open.message.id));
            for question in self.questions(page, rounds, busy).await? {
                let route = &question.open.standing.route;
                let questions = due.entry(route.clone()).or_default();
                if questions.len() < self.routes.get(route).map_or(0, Respondent::round) {
                    questions.push(question);
                } else {
                    rounds.crowd(route);
                }
            }
            if !full {
                rounds.wrap();
                break;
            }
        }
        due.retain(|_, questions| !questions.is_empty());
        Ok(due)
    }

    /// What may be asked now about those of a page whose route is free. A replay that must not leave takes nobody's
    /// place, and what is past every replay is noted as such.
    async fn questions(
        &self,
        page: Vec<Open>,
        rounds: &mut Rounds,
        busy: &HashSet<String>,
    ) -> Result<Vec<Question>, StoreError> {
        let (found, mut over, mut due) = (self.clock.moment(), Vec::new(), Vec::new());
        let trust = Trust { since: rounds.trusted_since, steady: rounds.watch.steady(found) };
        for mut open in page {
            let route = open.standing.route.as_str();
            let Some(means) = self.routes.get(route).and_then(|_| self.ladder.means.get(route)) else {
                continue;
            };
            if busy.contains(route) {
                rounds.crowd(route);
                continue;
            }
            let (past, step) = question(means, &mut open, trust, found.wall);
            over.extend(past);
            if let Some(step) = step {
                due.push(Question { open, step, found });
            }
        }
        if !over.is_empty() {
            let mut batch = self.store.batch().await?;
            batch.note(&over).await?;
            batch.commit().await?;
        }
        let replays: Vec<&Open> =
            due.iter().filter(|q| matches!(q.step, Step::Replay(..))).map(|q| &q.open).collect();
        let may = self.store.may_replay(&replays, found.wall).await?;
        let allowed = |question: Question| match question.step {
            Step::Look(..) => Some(question),
            Step::Replay(..) if may.contains(&question.open.message.id) => (!rounds
                .is_passed(&question.open.standing.route, question.open.message.id))
            .then_some(question),
            Step::Replay(..) => {
                let means = self.ladder.means.get(&question.open.standing.route)?;
                let mut open = question.open;
                let step = instead(means, &mut open, trust, found.wall)?;
                Some(Question { open, step, ..question })
            }
        };
        Ok(due.into_iter().filter_map(allowed).collect())
    }

    /// Looks at the clock; what is kept of it is for those whose keys have an age.
    async fn watch(&self, rounds: &mut Rounds) -> Result<(), StoreError> {
        let keys = self.ladder.means.values().any(|means| means.repeat.is_some());
        let now = self.clock.moment();
        if !rounds.watch.began() {
            let kept = if keys { self.store.clock_seen().await? } else { None };
            rounds.watch.begin(kept, now);
        }
        match rounds.watch.look(now) {
            Seen::Keep if keys => self.store.seen_clock(now.wall).await?,
            Seen::Back(until) if keys => {
                // Before anything that can fail: from here on nothing older is replayed by this process.
                rounds.trusted_since = rounds.trusted_since.max(Some(until));
                self.store.distrust_until(until, now.wall).await?;
                tracing::warn!(
                    until = until.rfc3339(),
                    "the clock was set back; no request that was recorded before this time is repeated any more"
                );
            }
            Seen::Well | Seen::Keep | Seen::Back(_) => {}
        }
        Ok(())
    }
}

/// How far the wall clock can be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// What was recorded before that is of no known age.
    pub since: Option<Timestamp>,
    /// For how long it is known not to have been set.
    pub steady: Duration,
}

/// What is asked about a message now; and a note, if it is past every replay from now on, which it then knows too. Where a
/// clock that was set may have kept a provider from having the time that it needs, nothing that it does not have is proof.
pub fn question(means: &Means, open: &mut Open, trust: Trust, at: Timestamp) -> (Option<Note>, Option<Step>) {
    let distrusted = means.repeat.is_some()
        && !open.standing.asked.replay_over
        && trust.since.is_some_and(|since| open.standing.intent_at < since);
    let over = distrusted || replay_over(means, &open.standing, at);
    let note = over.then(|| past_replays(open));
    open.standing.asked.replay_over |= over;
    let proves = |ask: Ask| ask.authoritative && trust.steady >= ask.after;
    let step = now(means, open, at).map(|step| match step {
        Step::Look(ask, due) => Step::Look(Ask { authoritative: proves(ask), ..ask }, due),
        replay @ Step::Replay(..) => replay,
    });
    (note, step)
}

/// What is asked now instead of a replay that must not leave.
pub fn instead(means: &Means, open: &mut Open, trust: Trust, at: Timestamp) -> Option<Step> {
    question(&Means { repeat: None, ..*means }, open, trust, at).1
}

/// Whether a replay that was `found` to be due, and `asked` for by the clock that does not stop, may still leave: its key
/// lives, whatever was done to the wall clock since, and its permits are fresh.
pub fn may_leave(step: Step, found: Moment, asked: Duration, now: Moment) -> bool {
    let latest = now.wall.max(found.wall.plus(now.elapsed.saturating_sub(found.elapsed)));
    let dead = matches!(step, Step::Replay(_, until) if latest >= until);
    !dead && now.elapsed.saturating_sub(asked) <= REPLAY_DEADLINE
}

/// The next question, if it is due.
fn now(means: &Means, open: &Open, now: Timestamp) -> Option<Step> {
    next(means, &open.standing, now).filter(|step| step.due() <= now)
}

fn past_replays(open: &Open) -> Note {
    Note {
        message: open.message.id,
        number: open.standing.number,
        tried: Tried::ReplayOver,
        finding: None,
        detail: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_replay_could_not_leave_comes_again_after_everybody_else_had_room() {
        let mut rounds = Rounds::default();
        let route = || "sim".to_owned();
        rounds.pass(route(), vec![MessageId(1), MessageId(2)]);
        assert!(rounds.is_passed("sim", MessageId(1)) && !rounds.is_passed("sim", MessageId(3)));
        assert!(!rounds.is_passed("other", MessageId(1)));
        rounds.crowd("sim");
        rounds.wrap();
        assert!(rounds.is_passed("sim", MessageId(2)), "others were left out");
        rounds.wrap();
        assert!(!rounds.is_passed("sim", MessageId(2)), "nobody was");
        rounds.pass(route(), (0..10_000).map(MessageId).collect());
        rounds.pass(route(), vec![MessageId(20_000)]);
        assert_eq!(rounds.passed["sim"].len(), 1, "bounded");
    }
}
