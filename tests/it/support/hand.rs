//! A lane moved by hand: claims, intents, answers and receipts at the instant a test wants them.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use winback::dispatch::settle;
use winback::model::delivery::Delivery;
use winback::model::message::{Claimed, Intent, Refusal, RetryPolicy, Settlement};
use winback::model::outcome::{Outcome, OutcomeClass};
use winback::model::receipt::Receipt;
use winback::model::reference;
use winback::store::Store;
use winback::store::claims::ClaimRequest;
use winback::store::receipts::{Delivered, RawCallback, Received};

use super::world::World;

/// Takes due messages.
pub(crate) async fn claim(store: &Store, world: &World, owner: &str, limit: usize) -> Vec<Claimed> {
    let now = world.clock.now();
    let request = ClaimRequest {
        route: "sim".to_owned(),
        owner: owner.to_owned(),
        lease_until: now.plus(Duration::from_secs(30)),
        limit,
        full: winback::model::message::Full::default(),
    };
    let mut batch = store.batch().await.unwrap();
    let claimed = batch.claim(&request, now).await.unwrap();
    batch.commit().await.unwrap();
    claimed
}

/// Records intents; answers how many were granted, and the refusals.
pub(crate) async fn intend(
    store: &Store,
    world: &World,
    owner: &str,
    held: &[Claimed],
) -> (u64, Vec<Refusal>) {
    let intents: Vec<Intent> = held
        .iter()
        .map(|message| Intent {
            message: message.id,
            epoch: message.epoch,
            number: message.last_number + 1,
            reference: reference::compose(store.tag(), message.id, message.last_number + 1),
        })
        .collect();
    let mut batch = store.batch().await.unwrap();
    let answer = batch.intend("sim", owner, &intents, world.clock.now()).await.unwrap();
    batch.commit().await.unwrap();
    (answer.granted.len() as u64, answer.refused.into_iter().map(|(_, why)| why).collect())
}

/// What an answer of a class makes of the attempt after the last one that `message` had when it was claimed.
pub(crate) fn answered(world: &World, message: &Claimed, class: OutcomeClass) -> Settlement {
    let outcome = Outcome { provider_id: Some(format!("id-{}", message.id)), ..Outcome::of(class) };
    let (policy, mut rng) = (RetryPolicy::default(), StdRng::seed_from_u64(1));
    settle::settle(message, message.last_number + 1, outcome, &policy, world.clock.now(), &mut rng).unwrap()
}

/// Writes answers.
pub(crate) async fn settled(store: &Store, world: &World, settlements: &[Settlement]) {
    let mut batch = store.batch().await.unwrap();
    batch.settle("sim", settlements, world.clock.now()).await.unwrap();
    batch.commit().await.unwrap();
}

/// Takes one message and submits it; its answer is `class`.
pub(crate) async fn sent(store: &Store, world: &World, class: OutcomeClass) -> Claimed {
    let message = claim(store, world, "node", 1).await.remove(0);
    assert_eq!(intend(store, world, "node", std::slice::from_ref(&message)).await.0, 1);
    settled(store, world, &[answered(world, &message, class)]).await;
    message
}

/// A callback that reports one state of one attempt.
pub(crate) fn report(
    id: i64,
    reference: Option<&str>,
    provider_id: Option<&str>,
    state: Delivery,
) -> Delivered {
    Delivered {
        id,
        route: "sim".to_owned(),
        received_at: winback::model::clock::Timestamp(id),
        raw: RawCallback {
            kind: "receipt",
            method: "POST".to_owned(),
            url: "https://sms.example.com/callback/sim/receipt".to_owned(),
            path_ref: None,
            content_type: None,
            body: "{}".to_owned(),
            body_encoding: "utf8",
        },
        receipts: vec![Receipt {
            reference: reference.map(str::to_owned),
            provider_id: provider_id.map(str::to_owned),
            state,
            status: state.as_str().to_owned(),
            code: None,
            opted_out: false,
        }],
        inbound: Vec::new(),
    }
}

/// Keeps a callback and applies it.
pub(crate) async fn received(store: &Store, world: &World, callback: Delivered) -> Received {
    let mut batch = store.batch().await.unwrap();
    let received = batch.receive(&[callback], world.clock.now()).await.unwrap();
    batch.commit().await.unwrap();
    received
}

/// Our reference of an attempt.
pub(crate) fn reference_of(store: &Store, message: &Claimed, number: i64) -> String {
    reference::compose(store.tag(), message.id, number)
}
