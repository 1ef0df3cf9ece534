//! The model against the real store: recorded histories are played again on SQLite, and after every transaction both
//! must hold the same rows and have given the same answers. A difference is a bug of one of the two.

use std::collections::HashMap;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Row as _, SqliteConnection};
use winback::dispatch::resolve::{Decider, Resolved, resolve};
use winback::model::clock::Timestamp;
use winback::model::contact::{Consent, ContactRecord};
use winback::model::encoding::Encoding;
use winback::model::ids::{ContactId, CouponId, MessageId, RunId};
use winback::model::money::Micros;
use winback::model::phone::Phone;
use winback::model::run::{RunState, RunTerms};
use winback::store::Store;
use winback::store::batch::Batch;
use winback::store::claims::ClaimRequest;
use winback::store::coupons::NewCode;
use winback::store::inquiries::Open;
use winback::store::receipts::{Delivered, RawCallback};
use winback::store::runs::{PlannedChunk, PlannedMessage};
use winback::store::suppressions::NewSuppression;
use winback::store::sweep::Sweeper;

use super::calls::{Answer, Call, Callback, NewMessage, NewRun};
use super::dump::{DUMP, launch_key, lines, owner, print};
use super::launching::address;
use super::model::sending::{COUNTRY, body};
use super::model::{Broken, Model};
use super::tables::{Coupon, ROUTES, SENDERS, TAG, Tables, scope_word};
use super::world::{BEGINNING, Transaction, World, play, play_in_doubt};
use super::worlds::{named, show};

/// Histories that are compared unless the command line says otherwise.
const HISTORIES: u64 = 40;

/// `CHUNK` of `dispatch::sweep`.
const CHUNK: i64 = 2_000;

/// Every table that a history fills, those that point to others first.
const CLEAR: &str = "DELETE FROM inquiries; DELETE FROM renderings; DELETE FROM store_meta WHERE key = 'clock_seen'; \
    DELETE FROM decisions; DELETE FROM attempts; DELETE FROM receipts; DELETE FROM inbox; DELETE FROM inbound; \
    DELETE FROM messages; DELETE FROM suppressions; DELETE FROM coupons; DELETE FROM pools; DELETE FROM run_windows; \
    DELETE FROM runs; DELETE FROM contacts";

/// A real store and a side door into it.
pub(crate) struct Rig {
    store: Store,
    door: SqliteConnection,
    _folder: tempfile::TempDir,
}

#[test]
fn the_model_of_the_store_and_the_store_agree_after_every_transaction() {
    let (from, count) = match named("seed") {
        Some(seed) => (seed, 1),
        None => (0, named("histories").unwrap_or(HISTORIES)),
    };
    std::thread::scope(|scope| {
        for parity in 0..2 {
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    let mut rig = Rig::new().await;
                    for seed in (from..from + count).filter(|seed| seed % 2 == parity) {
                        // Some of them have more to ask providers about.
                        let play = if seed % 4 < 2 { play } else { play_in_doubt };
                        match play(seed, Broken::Nothing, true) {
                            Ok(end) => rig.compare(seed, end.world).await,
                            Err(failure) => panic!("{}", show(&failure)),
                        }
                    }
                });
            });
        }
    });
}

impl Rig {
    /// Plays operations on an empty model and an empty store, which must agree after each; answers the last answer and the
    /// rows of both.
    pub(crate) async fn play(&mut self, calls: &[Call]) -> (Answer, Tables) {
        let now = Timestamp(BEGINNING);
        let mut model = Model::new(Broken::Nothing);
        model.committed.coupons = vec![Coupon::fresh(now.0)];
        model.committed.unreachable = vec![None];
        self.fill(1, 1).await;
        let mut last = Answer::Written;
        for call in calls {
            last = sorted(model.apply(call, now));
            assert_eq!(self.run(std::slice::from_ref(call), now).await, [last.clone()], "{call:?}");
            let (own, real) = (lines(&model.committed), self.rows().await);
            assert_eq!(own, real, "after {call:?}: {}", differences(&own, &real));
        }
        (last, model.committed)
    }

    async fn rows(&mut self) -> Vec<String> {
        let rows = sqlx::query(DUMP).fetch_all(&mut self.door).await.expect("the store is read");
        rows.iter().map(|row| row.get("line")).collect()
    }

    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store.db");
        let store = Store::create(&format!("sqlite:{}", path.display()), TAG).await.expect("a store");
        let options = SqliteConnectOptions::new().filename(&path);
        let door = SqliteConnection::connect_with(&options).await.expect("the file opens");
        Self { store, door, _folder: folder }
    }

    /// Plays a recorded world on a fresh model and on the store, transaction by transaction.
    async fn compare(&mut self, seed: u64, world: World) {
        let contacts = world.character.contacts;
        let mut model = Model::new(Broken::Nothing);
        model.committed.coupons = vec![Coupon::fresh(BEGINNING); world.character.coupons];
        model.committed.unreachable = vec![None; usize::try_from(contacts).expect("few")];
        self.fill(contacts, world.character.coupons).await;
        for (place, Transaction { now, calls, answers }) in
            world.recording.expect("a record").iter().enumerate()
        {
            let told =
                |what: &str| format!("seed {seed}, transaction {place} at {}: {what}\n{calls:#?}", now.0);
            let own: Vec<Answer> = calls.iter().map(|call| sorted(model.apply(call, *now))).collect();
            let recorded: Vec<Answer> = answers.iter().cloned().map(sorted).collect();
            assert_eq!(own, recorded, "{}", told("the model contradicts itself"));
            let real = self.run(calls, *now).await;
            assert_eq!(own, real, "{}", told("model and store answer differently"));
            let (own, real) = (lines(&model.committed), self.rows().await);
            if own != real {
                let differ = differences(&own, &real);
                panic!("{}", told(&format!("model and store hold different rows:\n{differ}")));
            }
        }
    }

    async fn fill(&mut self, contacts: i64, coupons: usize) {
        sqlx::raw_sql(CLEAR).execute(&mut self.door).await.expect("an empty store");
        let now = Timestamp(BEGINNING);
        let record = |contact| ContactRecord {
            customer_id: Some(format!("c{contact}")),
            consent: Consent::Given(now),
            ..ContactRecord::new(phone(address(contact).0), "mobile")
        };
        let records: Vec<_> = (1..=contacts).map(record).collect();
        self.store.upsert_contacts(&records, now).await.expect("contacts");
        let pool = self.store.create_pool("autumn", "$5", None, now).await.expect("a pool");
        let code = |n| NewCode { code: format!("CODE{n:04}"), expires_at: None };
        let codes: Vec<_> = (0..coupons).map(code).collect();
        self.store.add_codes(pool.id, &codes, now).await.expect("codes");
    }

    /// One transaction of the real store.
    async fn run(&mut self, calls: &[Call], now: Timestamp) -> Vec<Answer> {
        if let [call] = calls
            && let Some(answer) = self.alone(call, now).await
        {
            return vec![sorted(answer)];
        }
        let mut batch = self.store.batch().await.expect("a transaction");
        let mut windows = HashMap::new();
        if let [Call::WritePlanned { run, .. }] = calls {
            windows = batch.add_windows(RunId(*run), &[]).await.expect("windows");
        }
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            answers.push(sorted(in_batch(&mut batch, call, &windows, now).await));
        }
        batch.commit().await.expect("a commit");
        answers
    }

    /// Operations that are a transaction or a read of their own.
    async fn alone(&self, call: &Call, now: Timestamp) -> Option<Answer> {
        let store = &self.store;
        Some(match call {
            Call::CreateRun(new) => {
                let (_, fresh) = store.create_run(&terms(new), Timestamp(BEGINNING)).await.expect("a run");
                Answer::Done(fresh)
            }
            Call::AddWindow { run, key, opens, closes } => {
                let window = (format!("w{key}"), Timestamp(*opens), Timestamp(*closes));
                let mut batch = store.batch().await.expect("a transaction");
                batch.add_windows(RunId(*run), &[window]).await.expect("windows");
                batch.commit().await.expect("a commit");
                Answer::Written
            }
            Call::AbandonLaunch(run) => {
                store.abandon_launch(RunId(*run)).await.expect("abandoned");
                Answer::Written
            }
            Call::SetRunState { run, from, to } => self.set_run_state(*run, *from, *to, now).await,
            Call::RollWindow { window, opens, closes } => {
                let rolled = [(*window, Timestamp(*opens), Timestamp(*closes))];
                store.roll_windows(&rolled).await.expect("rolled");
                Answer::Written
            }
            Call::Suppress { phone, scope, reason } => {
                let (scope, source) = (scope_word(*scope).to_owned(), "file".to_owned());
                let new = NewSuppression { phone: *phone, scope, reason: *reason, source };
                store.suppress(&[new], now).await.expect("suppressed");
                Answer::Written
            }
            Call::Lift(phone) => {
                let lifted = store.lift(*phone, "operator", now).await.expect("lifted");
                Answer::Count(usize::try_from(lifted).expect("few"))
            }
            Call::FinishRun(run) => Answer::Done(store.finish_run(RunId(*run), now).await.expect("finished")),
            Call::Resolve { messages, verdict } => {
                let decider = Decider { by: "somebody", reason: None };
                let Resolved { changed, kept, .. } =
                    resolve(store, messages, *verdict, decider, now).await.expect("decided");
                Answer::Resolved(changed, kept)
            }
            Call::InDoubt => {
                let first = (RunId(0), MessageId(0));
                let found = store.in_doubt(first, CHUNK).await.expect("read");
                Answer::InDoubt(found)
            }
            Call::OpenMessages(run) => Answer::Open(store.open_messages(*run).await.expect("read")),
            other => return self.asking(other, now).await,
        })
    }

    /// Those about what providers are asked.
    async fn asking(&self, call: &Call, now: Timestamp) -> Option<Answer> {
        let store = &self.store;
        Some(match call {
            Call::OpenDoubts => {
                let first = (RunId(0), MessageId(0));
                Answer::Doubts(store.open_doubts(first, CHUNK).await.expect("read"))
            }
            Call::MayReplay(open) => {
                let open: Vec<&Open> = open.iter().collect();
                Answer::Messages(store.may_replay(&open, now).await.expect("read").into_iter().collect())
            }
            Call::ClockSeen => Answer::Time(store.clock_seen().await.expect("read")),
            Call::SeenClock => {
                store.seen_clock(now).await.expect("kept");
                Answer::Written
            }
            Call::DistrustUntil(until) => {
                store.distrust_until(*until, now).await.expect("kept");
                Answer::Written
            }
            Call::AlikeSince { route, print: how } => {
                let since = store.alike_since(ROUTES[*route], &print(*how), now).await;
                Answer::Time(Some(since.expect("kept")))
            }
            _ => return None,
        })
    }

    async fn set_run_state(&self, run: i64, from: RunState, to: RunState, now: Timestamp) -> Answer {
        let mut run = self.store.run(RunId(run)).await.expect("read").expect("a run");
        run.state = from;
        Answer::Done(self.store.set_run_state(&run, to, now).await.expect("an allowed move"))
    }
}

/// One operation inside a transaction.
async fn in_batch(batch: &mut Batch, call: &Call, windows: &HashMap<String, i64>, now: Timestamp) -> Answer {
    match call {
        Call::WritePlanned { run, from, to, messages, withheld } => {
            let messages: Vec<_> = messages.iter().map(planned).collect();
            let chunk = PlannedChunk {
                run: RunId(*run),
                from: *from,
                to: *to,
                messages: &messages,
                withheld: *withheld,
            };
            Answer::Done(batch.write_planned(&chunk, windows, now).await.expect("written"))
        }
        Call::Claim { route, owner: who, lease_until, limit, full } => {
            let (route, owner) = (ROUTES[*route].to_owned(), owner(*who));
            let request =
                ClaimRequest { route, owner, lease_until: *lease_until, limit: *limit, full: full.clone() };
            Answer::Claimed(batch.claim(&request, now).await.expect("claimed"))
        }
        Call::Intend { route, owner: who, intents } => {
            let answer = batch.intend(ROUTES[*route], &owner(*who), intents, now).await;
            Answer::Intended(answer.expect("intended"))
        }
        Call::Settle { route, settlements } => {
            batch.settle(ROUTES[*route], settlements, now).await.expect("settled");
            Answer::Written
        }
        Call::SettleAsked { route, settlements } => {
            batch.settle_asked(ROUTES[*route], settlements, now).await.expect("settled");
            Answer::Written
        }
        Call::Unsent { route, settlements } => {
            batch.unsent(ROUTES[*route], settlements, now).await.expect("settled");
            Answer::Written
        }
        Call::Texts(contacts) => {
            let ids: Vec<_> = contacts.iter().map(|contact| ContactId(*contact)).collect();
            let texts = batch.recent_texts(&ids, Timestamp(0)).await.expect("read");
            let mut texts: Vec<_> = texts.into_iter().map(|(contact, count)| (contact.0, count)).collect();
            texts.sort_unstable();
            Answer::Texts(texts)
        }
        Call::Release(held) => {
            batch.release(held).await.expect("released");
            Answer::Written
        }
        Call::Postpone(held) => {
            batch.postpone(held).await.expect("postponed");
            Answer::Written
        }
        Call::Receive(callbacks) => {
            let callbacks: Vec<_> = callbacks.iter().map(|c| delivered(c, "receipt")).collect();
            batch.receive(&callbacks, now).await.expect("received");
            Answer::Written
        }
        Call::Listen(callbacks) => {
            let callbacks: Vec<_> = callbacks.iter().map(|c| delivered(c, "inbound")).collect();
            batch.listen(&callbacks, now).await.expect("heard");
            Answer::Written
        }
        other => in_sweep(batch, other, now).await,
    }
}

async fn in_sweep(batch: &mut Batch, call: &Call, now: Timestamp) -> Answer {
    match call {
        Call::SweepDead { owner: who, sole } => {
            let sweeper = Sweeper { owner: &owner(*who), sole: *sole };
            let (freed, lost) = batch.sweep_dead(sweeper, now, CHUNK).await.expect("swept");
            Answer::Swept(freed, lost)
        }
        Call::Rejoin { since } => Answer::Count(batch.rejoin(*since, now, CHUNK).await.expect("joined")),
        Call::AcceptByReceipt => Answer::Count(batch.accept_by_receipt(now, CHUNK).await.expect("accepted")),
        Call::Doubt { resend, park } => {
            let resent = batch.resend(resend, now).await.expect("resent");
            batch.park(park, now).await.expect("parked");
            Answer::Count(usize::try_from(resent).expect("few"))
        }
        Call::Withdraw { run, cause } => {
            Answer::Withdrawn(batch.withdraw(*run, *cause, now, CHUNK).await.expect("withdrawn"))
        }
        other => in_inquiry(batch, other, now).await,
    }
}

async fn in_inquiry(batch: &mut Batch, call: &Call, now: Timestamp) -> Answer {
    match call {
        Call::IntendReplay(open) => Answer::Done(batch.intend_replay(open, now).await.expect("recorded")),
        Call::Note(notes) => {
            batch.note(notes).await.expect("noted");
            Answer::Written
        }
        Call::Bound { route, ids, messages } => {
            let ids = ids.iter().map(String::as_str).collect();
            let bound = batch.bound(ROUTES[*route], &ids, messages).await.expect("read");
            Answer::Bound(bound.into_iter().collect())
        }
        Call::Alike(messages) => {
            Answer::Messages(batch.alike(messages).await.expect("read").into_iter().collect())
        }
        Call::Reopen(runs) => {
            batch.reopen(runs).await.expect("reopened");
            Answer::Written
        }
        other => panic!("{} has a transaction of its own", other.word()),
    }
}

fn terms(new: &NewRun) -> RunTerms {
    RunTerms {
        campaign: launch_key(new.campaign),
        launch_key: launch_key(new.campaign),
        plan_hash: String::new(),
        definition: String::new(),
        as_of: Timestamp(BEGINNING),
        currency: "USD".to_owned(),
        budget: new.budget.map(Micros),
        when_in_doubt: new.doubt,
        audience: new.audience,
        capped: new.capped,
        audience_hash: String::new(),
        starts_at: Timestamp(new.starts_at),
        expires_at: Timestamp(new.expires_at),
    }
}

fn planned(new: &NewMessage) -> PlannedMessage {
    PlannedMessage {
        contact: ContactId(new.contact),
        phone: phone(new.phone),
        country: COUNTRY.to_owned(),
        route: ROUTES[new.route].to_owned(),
        sender: SENDERS[new.sender].to_owned(),
        window: format!("w{}", new.window),
        coupon: new.coupon.map(CouponId),
        body: body(new.coupon),
        encoding: Encoding::Gsm7,
        parts: new.parts,
        price: Micros(new.price),
        expires_at: Timestamp(new.expires_at),
    }
}

fn delivered(callback: &Callback, kind: &'static str) -> Delivered {
    Delivered {
        id: callback.id,
        route: ROUTES[callback.route].to_owned(),
        received_at: callback.received_at,
        raw: RawCallback {
            kind,
            method: "POST".to_owned(),
            url: String::new(),
            path_ref: None,
            content_type: None,
            body: String::new(),
            body_encoding: "utf8",
        },
        receipts: callback.receipts.clone(),
        inbound: callback.inbound.clone(),
    }
}

/// Answers that come in no particular order, in one.
fn sorted(answer: Answer) -> Answer {
    match answer {
        Answer::Intended(mut granted) => {
            granted.granted.sort_unstable();
            granted.refused.sort_unstable_by_key(|(message, _)| *message);
            Answer::Intended(granted)
        }
        Answer::Messages(mut messages) => {
            messages.sort_unstable();
            Answer::Messages(messages)
        }
        Answer::Bound(mut bound) => {
            bound.sort_unstable();
            Answer::Bound(bound)
        }
        other => other,
    }
}

fn phone(digits: u64) -> Phone {
    Phone::from_digits(digits).expect("a number")
}

fn differences(own: &[String], real: &[String]) -> String {
    let only = |these: &[String], those: &[String], who| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).map(|line| format!("{who} {line}")).collect()
    };
    [only(own, real, "model"), only(real, own, "store")].concat().join("\n")
}
