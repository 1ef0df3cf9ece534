//! An approved plan into a run: messages written in chunks that survive a crash, one code reserved with each.
//!
//! Launching twice makes one run; a launch that died in the middle goes on where it stopped.

mod book;

use std::panic::resume_unwind;

use tokio_util::task::AbortOnDropHandle;

use crate::campaign::law::Rules;
use crate::model::clock::Timestamp;
use crate::model::run::{Run, RunState, RunTerms};
use crate::store::batch::Batch;
use crate::store::segments::AudienceRow;
use crate::store::{Store, StoreError};
use crate::telemetry::fault;

use self::book::{Book, Chunk};
use super::audience::{Audience, Codes};
use super::plan::{NotReady, Plan, PlanError, Sums};
use super::prepare::{Code, Preparer};
use super::sweep::cancel;
use super::terms::Terms;

/// What a launch did.
#[derive(Clone, Debug)]
pub struct Launched {
    /// The run.
    pub run: Run,
    /// False when this launch had been made before.
    pub fresh: bool,
}

/// Why nothing was launched.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Planning failed.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The plan is not fit.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// The plan that was approved is not the plan of now.
    #[error(
        "plan {approved} no longer holds: the audience, prices or texts have changed. Look at `winback plan` and launch with --plan {current}"
    )]
    Changed {
        /// What was approved.
        approved: String,
        /// What would be launched now.
        current: String,
    },
    /// The world changed while the messages were being written.
    #[error(
        "the audience changed while the messages were being written; nothing was sent and every code is back. Launch again"
    )]
    Moved,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes the messages of a plan and starts the run. `progress` is told how many messages are written, of how many.
///
/// # Errors
/// When the plan does not hold or the store cannot be written. Nothing is sent before everything is written.
pub async fn launch(
    store: &Store,
    terms: &Terms,
    rules: &Rules,
    plan: &Plan,
    now: Timestamp,
    progress: impl FnMut(i64, i64),
) -> Result<Launched, LaunchError> {
    let key = terms.definition.launch_key();
    if let Some(run) = store.run_by_key(&key).await? {
        return resume(store, run, false, rules, now, progress).await;
    }
    plan.ready()?;
    let (run, fresh) = store.create_run(&run_terms(terms, plan)?, now).await?;
    fault::point("run-created");
    resume(store, run, fresh, rules, now, progress).await
}

/// Goes on with a run that was created: writes what is not written yet and starts it. A run past that is left alone.
/// Its codes are reserved already, so that the stock need not suffice a second time.
///
/// # Errors
/// As [`launch`].
pub async fn resume(
    store: &Store,
    run: Run,
    fresh: bool,
    rules: &Rules,
    now: Timestamp,
    mut progress: impl FnMut(i64, i64),
) -> Result<Launched, LaunchError> {
    if run.state != RunState::Preparing {
        return Ok(Launched { run, fresh: false });
    }
    let resumed = run.cursor > 0;
    let written = write(store, &run, rules, now, &mut progress).await?;
    let run = store.run(run.id).await?.ok_or(StoreError::NoRow)?;
    let Written::All { hash } = written else { return Ok(Launched { run, fresh: false }) };
    if run.state != RunState::Preparing {
        return Ok(Launched { run, fresh });
    }
    // A launch that goes on after a crash has not seen the first part again; its count still has to be right.
    let moved = !run.is_as_approved() || (!resumed && hash != run.terms.audience_hash);
    if moved {
        store.abandon_launch(run.id).await?;
        let run = store.run(run.id).await?.ok_or(StoreError::NoRow)?;
        cancel(store, &run, now).await?;
        return Err(LaunchError::Moved);
    }
    fault::point("before-run-starts");
    store.set_run_state(&run, RunState::Running, now).await?;
    let run = store.run(run.id).await?.ok_or(StoreError::NoRow)?;
    Ok(Launched { run, fresh })
}

fn run_terms(terms: &Terms, plan: &Plan) -> Result<RunTerms, PlanError> {
    let definition = &terms.definition;
    Ok(RunTerms {
        campaign: definition.name.clone(),
        launch_key: definition.launch_key(),
        plan_hash: plan.hash.clone(),
        definition: terms.to_json()?,
        as_of: plan.as_of,
        currency: terms.currency.clone(),
        budget: definition.limits.budget.as_ref().map(|budget| budget.amount),
        when_in_doubt: definition.when_in_doubt,
        audience: plan.messages,
        capped: plan.capped(),
        audience_hash: plan.audience_hash.clone(),
        starts_at: definition.timing.first_start(terms.launched_at),
        expires_at: definition.timing.last_end(terms.launched_at),
    })
}

/// How far a launch came with writing.
enum Written {
    /// To the end; the hash of what it wrote itself or withheld for the cap.
    All { hash: String },
    /// Somebody else is writing this run and will start it.
    Elsewhere,
}

/// Writes what is not written yet, under the terms stored with the run.
async fn write(
    store: &Store,
    run: &Run,
    rules: &Rules,
    now: Timestamp,
    progress: &mut impl FnMut(i64, i64),
) -> Result<Written, LaunchError> {
    let terms = Terms::read(&run.terms.definition).map_err(PlanError::Terms)?;
    let mut sums = Sums::new(terms.fingerprint().map_err(PlanError::Terms)?);
    let mut book = Book::of(store, run, now);
    if terms.definition.limits.per_contact.is_none() {
        match write_ahead(&mut book, &mut sums, &terms, rules, progress).await {
            // Somebody else takes codes of this pool.
            Err(LaunchError::Store(StoreError::CodesTaken)) => {}
            done => return done,
        }
    }
    write_held(&mut book, &mut sums, &terms, rules, progress).await
}

/// Prepares each chunk while the one before it is written. What it says depends on nothing that others change but the code
/// it carries, and a code that is gone by then takes its whole chunk back.
async fn write_ahead(
    book: &mut Book,
    sums: &mut Sums,
    terms: &Terms,
    rules: &Rules,
    progress: &mut impl FnMut(i64, i64),
) -> Result<Written, LaunchError> {
    let store = book.store.clone();
    let mut preparer = Preparer::new(terms, rules, book.now).map_err(PlanError::Texts)?;
    let mut pages = Audience::new(&store, terms, book.cursor)?.read_ahead();
    let mut codes = Codes::new(&store, terms);
    let mut writing: Option<AbortOnDropHandle<(Book, Result<bool, StoreError>)>> = None;
    let mut ahead = sums.clone();
    loop {
        let written = ahead.clone();
        let chunk = match pages.next().await? {
            Some(page) => {
                let mut chunk = Chunk::new(&page);
                for row in &page {
                    let code = codes.peek().await?;
                    if chunk.add(&mut preparer, &mut ahead, row, code) {
                        codes.spend();
                    }
                }
                Some(chunk.with_windows(&mut preparer))
            }
            None => None,
        };
        if let Some(task) = writing.take() {
            let (back, done) = task.await.unwrap_or_else(|died| resume_unwind(died.into_panic()));
            *book = back;
            if !done? {
                return Ok(Written::Elsewhere);
            }
            *sums = written;
            progress(book.written, book.audience);
        }
        let Some(chunk) = chunk else { return Ok(Written::All { hash: sums.audience_hash() }) };
        let mut book = book.clone();
        writing = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let done = book.write_alone(&chunk).await;
            (book, done)
        })));
    }
}

/// Prepares and writes each chunk in a transaction in which nobody else takes codes or counts texts.
async fn write_held(
    book: &mut Book,
    sums: &mut Sums,
    terms: &Terms,
    rules: &Rules,
    progress: &mut impl FnMut(i64, i64),
) -> Result<Written, LaunchError> {
    let mut preparer = Preparer::new(terms, rules, book.now).map_err(PlanError::Texts)?;
    let mut audience = Audience::new(&book.store, terms, book.cursor)?;
    let cap_since = audience.without_texts();
    let mut pages = audience.read_ahead();
    while let Some(mut page) = pages.next().await? {
        let mut batch = book.store.batch().await?;
        batch.hold_run(book.run).await?;
        if let Some(since) = cap_since {
            count_texts(&mut batch, &mut page, since).await?;
        }
        let codes = match &terms.pool {
            Some(pool) => batch.available_codes(pool.id, page.len()).await?,
            None => Vec::new(),
        };
        let mut chunk = Chunk::new(&page);
        let mut spent = 0;
        for row in &page {
            let code = codes.get(spent).map(|(id, text)| Code { id: *id, text });
            spent += usize::from(chunk.add(&mut preparer, sums, row, code));
        }
        if !book.write(batch, &chunk.with_windows(&mut preparer)).await? {
            return Ok(Written::Elsewhere);
        }
        progress(book.written, book.audience);
    }
    Ok(Written::All { hash: sums.audience_hash() })
}

/// Counts what each contact had, in the transaction that writes what it will get.
async fn count_texts(
    batch: &mut Batch,
    page: &mut [AudienceRow],
    since: Timestamp,
) -> Result<(), StoreError> {
    let contacts: Vec<_> = page.iter().map(|row| row.contact.id).collect();
    let texts = batch.recent_texts(&contacts, since).await?;
    for row in page {
        row.recent = texts.get(&row.contact.id).copied().unwrap_or(0);
    }
    Ok(())
}
