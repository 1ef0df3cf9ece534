//! `winback pause`, `resume` and `cancel`: what the operator wants done with the runs of a campaign.
//!
//! Without a run they mean every open one. It decides nothing about messages: those follow from the state of their run.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::dispatch::sweep;
use crate::model::clock::Timestamp;
use crate::model::ids::RunId;
use crate::model::run::{Run, RunState};
use crate::store::sweep::Withdrawn;
use crate::store::{Store, StoreError};

use super::{Context, print, terms};

/// The runs to be controlled.
#[derive(Debug, Args)]
pub(super) struct ControlArgs {
    /// Name of the campaign; every open run of it is meant.
    campaign: String,
    /// Only this run.
    #[arg(long, value_name = "ID")]
    run: Option<i64>,
}

/// What the operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Pause,
    Resume,
    Cancel,
}

/// What a wish means for a run in some state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It moves there.
    Move(RunState),
    /// It is being cancelled; what still waits is withdrawn.
    Withdraw,
    /// It is there already.
    Already,
    /// It cannot, and why.
    Cannot(&'static str),
}

#[derive(Serialize)]
struct Answer {
    campaign: String,
    changed: bool,
    withdrawn: usize,
    in_doubt: usize,
    runs: Vec<Done>,
}

/// What became of one run.
#[derive(Serialize)]
struct Done {
    run: i64,
    was: &'static str,
    state: &'static str,
    changed: bool,
    /// Messages that will not be sent, or not again.
    withdrawn: usize,
    /// Of these, those that had been sent before and may have arrived.
    in_doubt: usize,
    note: Option<&'static str>,
}

/// Does what the operator wants with the runs that are meant.
pub(super) async fn run(context: &Context, args: ControlArgs, wish: Wish) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.live_store(&config).await?;
    let latest = terms::latest_run(&store, &args.campaign).await?;
    let campaign = latest.terms.campaign.clone();
    let meant = match args.run {
        Some(id) => vec![terms::run_of(&store, &campaign, id).await?],
        None => terms::open_runs(&store, &campaign).await?,
    };
    let mut runs = Vec::with_capacity(meant.len());
    for run in meant {
        runs.push(wish.carry_out(&store, run, context.now()).await?);
    }
    store.close().await;
    let answer = Answer {
        campaign,
        changed: runs.iter().any(|done| done.changed),
        withdrawn: runs.iter().map(|done| done.withdrawn).sum(),
        in_doubt: runs.iter().map(|done| done.in_doubt).sum(),
        runs,
    };
    if context.json() {
        print::json(&answer)?;
    } else {
        told(&answer, &latest);
    }
    let refused = !answer.runs.is_empty() && answer.runs.iter().all(|done| done.note.is_some());
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Wish {
    fn step(self, state: RunState) -> Step {
        match (self, state) {
            (_, RunState::Finished) => Step::Cannot("it has ended"),
            (Self::Pause, RunState::Running) => Step::Move(RunState::Paused),
            (Self::Resume, RunState::Paused) => Step::Move(RunState::Running),
            (Self::Cancel, RunState::Preparing | RunState::Running | RunState::Paused) => {
                Step::Move(RunState::Cancelling)
            }
            (Self::Cancel, RunState::Cancelling) => Step::Withdraw,
            (Self::Pause, RunState::Paused)
            | (Self::Resume, RunState::Running)
            | (Self::Cancel, RunState::Cancelled) => Step::Already,
            (_, RunState::Preparing) => {
                Step::Cannot("its messages are still being written; launch it again or cancel it")
            }
            (_, RunState::Cancelling | RunState::Cancelled) => Step::Cannot("it was cancelled"),
        }
    }

    /// Moves one run and, where it is cancelled, withdraws what waits. A daemon may move it at the same time: then it is
    /// looked at again.
    async fn carry_out(self, store: &Store, mut run: Run, now: Timestamp) -> Result<Done, StoreError> {
        let (was, mut changed) = (run.state, false);
        let note = loop {
            match self.step(run.state) {
                Step::Move(to) => {
                    changed |= store.set_run_state(&run, to, now).await?;
                    run = store.run(run.id).await?.ok_or(StoreError::NoRow)?;
                    if to != RunState::Cancelling && changed {
                        break None;
                    }
                }
                Step::Withdraw | Step::Already => break None,
                Step::Cannot(why) => break Some(why).filter(|_| !changed),
            }
        };
        let mut withdrawn = Withdrawn::default();
        if run.state == RunState::Cancelling {
            withdrawn = sweep::cancel(store, &run, now).await?;
            run = store.run(run.id).await?.ok_or(StoreError::NoRow)?;
        }
        let Withdrawn { messages: withdrawn, in_doubt } = withdrawn;
        Ok(Done {
            run: run.id.0,
            was: was.as_str(),
            state: run.state.as_str(),
            changed,
            withdrawn,
            in_doubt,
            note,
        })
    }
}

fn told(answer: &Answer, latest: &Run) {
    if answer.runs.is_empty() {
        print::line(format!(
            "{} has no open run; its latest, run {}, is {}; nothing changed",
            answer.campaign,
            latest.id,
            latest.state.as_str()
        ));
    }
    for done in &answer.runs {
        let run = format!("run {} of {}", RunId(done.run), answer.campaign);
        let counted = |n: usize, one, more| print::counted(i64::try_from(n).unwrap_or(i64::MAX), one, more);
        let codes = format!(
            "{} withdrawn, codes are back",
            counted(done.withdrawn - done.in_doubt, "message is", "messages are")
        );
        print::line(match done.note {
            Some(why) => format!("{run} is {} and stays so: {why}", done.state),
            None if done.changed && done.withdrawn == done.in_doubt => {
                format!("{run} was {} and is {}", done.was, done.state)
            }
            None if done.changed => format!("{run} was {} and is {}; {codes}", done.was, done.state),
            None if done.withdrawn > done.in_doubt => format!("{run} is {}; {codes}", done.state),
            None => format!("{run} is {} already; nothing changed", done.state),
        });
        if done.in_doubt > 0 {
            print::line(format!(
                "  {} to be sent again and will not be; the copy sent before may have arrived: in doubt, codes stay locked away; see `winback message list {} --in-doubt`",
                counted(done.in_doubt, "message was", "messages were"),
                answer.campaign
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Step, Wish};
    use crate::model::run::RunState;

    #[test]
    fn a_wish_moves_only_what_it_may_and_a_second_time_nothing() {
        use RunState::{Cancelled, Cancelling, Finished, Paused, Preparing, Running};
        let check = |wish: Wish, from: RunState, wanted: Option<Step>| match wanted {
            Some(step) => assert_eq!(wish.step(from), step, "{wish:?} {from:?}"),
            None => assert!(matches!(wish.step(from), Step::Cannot(_)), "{wish:?} {from:?}"),
        };
        check(Wish::Pause, Running, Some(Step::Move(Paused)));
        check(Wish::Pause, Paused, Some(Step::Already));
        check(Wish::Resume, Paused, Some(Step::Move(Running)));
        check(Wish::Resume, Running, Some(Step::Already));
        // A run that is only half written must not start.
        check(Wish::Resume, Preparing, None);
        check(Wish::Pause, Preparing, None);
        check(Wish::Cancel, Preparing, Some(Step::Move(Cancelling)));
        check(Wish::Cancel, Paused, Some(Step::Move(Cancelling)));
        check(Wish::Cancel, Cancelling, Some(Step::Withdraw));
        check(Wish::Cancel, Cancelled, Some(Step::Already));
        for wish in [Wish::Pause, Wish::Resume, Wish::Cancel] {
            check(wish, Finished, None);
            for state in RunState::ALL {
                if let Step::Move(to) = wish.step(state) {
                    assert!(state.may_become(to), "{state:?} {to:?}");
                }
            }
        }
    }
}
