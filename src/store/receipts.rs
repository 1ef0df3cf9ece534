//! Receipts: kept as they came, matched to their message, joined by rank. Early, late, repeated and unknown ones are
//! all kept; an acknowledged one is never lost.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::model::clock::Timestamp;
use crate::model::delivery::Delivery;
use crate::model::message::Settlement;
use crate::model::outcome::OutcomeClass;
use crate::model::receipt::{Inbound, Receipt};
use crate::model::reference;
use crate::model::state::Dispatch;

use super::batch::{Batch, json_rows, word};
use super::connection::{Row, args};
use super::dialect::{STATE_OF, statements};
use super::evidence::{Proven, proves_acceptance};
use super::{Store, StoreError};

statements! {
    /// `$1` rows of (id, received, url, path ref, content type, body), `$2` route, `$3` kind, `$4` method, `$5` encoding:
    /// what calls have in common is given once, because reading JSON costs more than writing the row.
    KEEP_RAW = "INSERT INTO inbox (id, route, kind, received_at, method, url, path_ref, content_type, body, body_encoding) \
        SELECT CAST(j.value ->> 0 AS BIGINT), $2, $3, CAST(j.value ->> 1 AS BIGINT), $4, j.value ->> 2, j.value ->> 3, \
          j.value ->> 4, j.value ->> 5, $5 FROM jsonb_each(CAST($1 AS TEXT)) AS j WHERE true ON CONFLICT (id) DO NOTHING";
    /// `$1` rows of (place, route, message, number): attempts named by our reference.
    BY_REFERENCE = "SELECT CAST(j.value ->> 0 AS BIGINT), a.message_id, a.number, a.outcome FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        JOIN attempts AS a ON a.message_id = CAST(j.value ->> 2 AS BIGINT) AND a.number = CAST(j.value ->> 3 AS BIGINT) \
          AND a.route = j.value ->> 1";
    /// `$1` rows of (place, route, provider id).
    BY_PROVIDER_ID = "SELECT CAST(j.value ->> 0 AS BIGINT), a.message_id, a.number, a.outcome FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        JOIN attempts AS a ON a.route = j.value ->> 1 AND a.provider_id = j.value ->> 2";
    /// `$1` rows of (inbox, route, received, message, number, reference, provider id, state, status, code, opted out).
    /// A report that this message already has is a repeat and is not kept twice. Materialized: otherwise each comparison
    /// reads the JSON again.
    KEEP = "WITH g AS MATERIALIZED (\
          SELECT CAST(j.value ->> 0 AS BIGINT) AS inbox, j.value ->> 1 AS route, CAST(j.value ->> 2 AS BIGINT) AS received, \
            CAST(j.value ->> 3 AS BIGINT) AS message, CAST(j.value ->> 4 AS BIGINT) AS num, j.value ->> 5 AS ref, \
            j.value ->> 6 AS pid, j.value ->> 7 AS state, j.value ->> 8 AS status, j.value ->> 9 AS code, \
            CAST(j.value ->> 10 AS BIGINT) AS opted_out FROM jsonb_each(CAST($1 AS TEXT)) AS j) \
        INSERT INTO receipts (inbox_id, route, received_at, message_id, number, reference, provider_id, state, \
          status, code, opted_out) \
        SELECT g.inbox, g.route, g.received, g.message, g.num, g.ref, g.pid, g.state, g.status, g.code, g.opted_out FROM g \
        WHERE NOT EXISTS (SELECT 1 FROM receipts AS r WHERE g.message IS NOT NULL AND r.message_id = g.message \
            AND r.status = g.status AND COALESCE(r.code, '') = COALESCE(g.code, '') AND r.number = g.num AND r.state = g.state) \
          AND NOT EXISTS (SELECT 1 FROM receipts AS r WHERE g.message IS NULL AND r.message_id IS NULL \
            AND r.route = g.route AND r.provider_id = g.pid AND r.status = g.status \
            AND COALESCE(r.code, '') = COALESCE(g.code, '')) \
          AND NOT EXISTS (SELECT 1 FROM receipts AS r WHERE g.message IS NULL AND g.pid IS NULL AND r.message_id IS NULL \
            AND r.inbox_id = g.inbox AND COALESCE(r.provider_id, '') = '' AND r.status = g.status \
            AND COALESCE(r.reference, '') = COALESCE(g.ref, '') AND COALESCE(r.code, '') = COALESCE(g.code, ''))";
    /// `$1` rows of (message, delivery, conflict), `$2` now.
    RAISE = "UPDATE messages SET delivery_at = CASE WHEN messages.delivery = g.state THEN messages.delivery_at ELSE $2 END, \
          delivery = g.state, conflict = g.conflict FROM (\
        SELECT CAST(j.value ->> 0 AS BIGINT) AS message, j.value ->> 1 AS state, CAST(j.value ->> 2 AS BIGINT) AS conflict \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS g WHERE messages.id = g.message";
    /// `$1` rows of (route, provider id, message, number): receipts that came before the id.
    PARKED = "SELECT r.id, CAST(j.value ->> 2 AS BIGINT), CAST(j.value ->> 3 AS BIGINT), r.state, r.opted_out \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j JOIN receipts AS r \
          ON r.route = j.value ->> 0 AND r.provider_id = j.value ->> 1 AND r.message_id IS NULL ORDER BY r.id";
    /// The youngest receipts that wait. `$1` since when, `$2` most.
    YOUNG = "SELECT id, route, provider_id, state, opted_out FROM receipts \
        WHERE message_id IS NULL AND provider_id IS NOT NULL AND received_at >= $1 ORDER BY received_at DESC LIMIT CAST($2 AS BIGINT)";
    /// `$1` numbers of callbacks.
    FORGET = "DELETE FROM receipts WHERE inbox_id IN (\
        SELECT CAST(j.value ->> 0 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j)";
    /// Numbers of messages that are reported as opted out, by a report that is younger than whatever was lifted since. A
    /// repeat counts from when it first came. `$1` message ids.
    OPTED_OUT = "SELECT DISTINCT m.phone FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN messages AS m \
        WHERE m.id = CAST(j.value ->> 0 AS BIGINT) AND EXISTS (SELECT 1 FROM receipts AS e WHERE e.message_id = m.id \
          AND e.opted_out = 1 AND NOT EXISTS (SELECT 1 FROM suppressions AS s WHERE s.phone = m.phone \
            AND s.lifted_at IS NOT NULL AND s.lifted_at > e.received_at AND s.lifted_by <> 'a firmer reason'))";
    /// `$1` rows of (receipt, message, number).
    UNPARK = "UPDATE receipts SET message_id = g.message, number = g.num FROM (\
        SELECT CAST(j.value ->> 0 AS BIGINT) AS receipt, CAST(j.value ->> 1 AS BIGINT) AS message, \
          CAST(j.value ->> 2 AS BIGINT) AS num FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS g \
        WHERE receipts.id = g.receipt AND receipts.message_id IS NULL";
}

/// What came to a callback URL, verified and translated, with the raw request it came in.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// A number that orders callbacks and never repeats within a store.
    pub id: i64,
    /// The route it came in on.
    pub route: String,
    /// When.
    pub received_at: Timestamp,
    /// The raw request.
    pub raw: RawCallback,
    /// The reports in it.
    pub receipts: Vec<Receipt>,
    /// The customer texts in it, each with what its keyword asks for.
    pub inbound: Vec<(Inbound, super::inbound::Reaction)>,
}

/// A callback request as it came, bounded by the body limit.
#[derive(Clone, Debug)]
pub struct RawCallback {
    /// `receipt` or `inbound`.
    pub kind: &'static str,
    /// HTTP method.
    pub method: String,
    /// Path and query as the provider called them; a secret token in the path is masked.
    pub url: String,
    /// The last segment of the path, which holds our reference; a secret token in it is masked.
    pub path_ref: Option<String>,
    /// The content type header.
    pub content_type: Option<String>,
    /// The body, as text or base64.
    pub body: String,
    /// `utf8` or `base64`.
    pub body_encoding: &'static str,
}

/// What a batch of receipts did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Found their message.
    pub matched: usize,
    /// Kept until their message is known.
    pub parked: usize,
    /// Messages that are elsewhere than before.
    pub changed: usize,
}

struct Report<'a> {
    place: i64,
    inbox: i64,
    route: &'a str,
    at: Timestamp,
    receipt: &'a Receipt,
    /// Message and number of its attempt, and whether that is known as accepted.
    found: Option<(i64, i64, bool)>,
}

impl Batch {
    /// Keeps callbacks and applies the receipts in them. After the commit they may be acknowledged.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing may be acknowledged.
    pub async fn receive(
        &mut self,
        callbacks: &[impl Borrow<Delivered>],
        now: Timestamp,
    ) -> Result<Received, StoreError> {
        self.keep_raw(callbacks).await?;
        self.apply_receipts(callbacks, now).await
    }

    /// Applies callbacks that were kept before: what they were read as then is replaced by what they are read as now.
    /// Delivery states that rose stay where they are.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn replay(&mut self, callbacks: &[Delivered], now: Timestamp) -> Result<Received, StoreError> {
        let kept: Vec<_> = callbacks.iter().map(|callback| (callback.id,)).collect();
        self.tx.run(FORGET, vec![json_rows(&kept)?]).await?;
        self.apply_receipts(callbacks, now).await
    }

    async fn apply_receipts(
        &mut self,
        callbacks: &[impl Borrow<Delivered>],
        now: Timestamp,
    ) -> Result<Received, StoreError> {
        let mut reports = reports(callbacks);
        if reports.is_empty() {
            return Ok(Received::default());
        }
        self.find(&mut reports).await?;
        let rows: Vec<_> = reports.iter().map(receipt_row).collect();
        self.tx.run(KEEP, vec![json_rows(&rows)?]).await?;
        let found: Vec<Evidence> = reports.iter().filter_map(Evidence::from_report).collect();
        let (changed, proven) = self.join(&found, now).await?;
        let learnt: Vec<_> =
            reports.iter().filter_map(named_id).filter(|id| proven.contains(&(id.2, id.3))).collect();
        self.join_waiting(&learnt, now).await?;
        Ok(Received { matched: found.len(), parked: reports.len() - found.len(), changed })
    }

    /// Receipts that came before the answer to their submission, now that the provider's id is known.
    pub(super) async fn join_parked(
        &mut self,
        route: &str,
        settlements: &[Settlement],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let ids: Vec<_> = settlements
            .iter()
            .filter_map(|s| s.outcome.provider_id.as_deref().map(|pid| (route, pid, s.message.0, s.number)))
            .collect();
        self.join_waiting(&ids, now).await
    }

    /// Receipts that came before the id they name was known: (route, provider id, message, number).
    async fn join_waiting(
        &mut self,
        ids: &[(&str, &str, i64, i64)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let parked = self.tx.rows(PARKED, vec![json_rows(ids)?]).await?;
        if parked.is_empty() {
            return Ok(());
        }
        let (mut links, mut found) = (Vec::new(), Vec::new());
        for row in &parked {
            let attempt = (row.int(1)?, row.int(2)?);
            links.push((row.int(0)?, attempt.0, attempt.1));
            found.push(Evidence::parked(row, attempt)?);
        }
        self.unpark(&links, &found, now).await
    }

    /// Joins young receipts that wait although their attempt is known: on several nodes, a receipt and the answer it
    /// waits for can be written at once without seeing each other. Answers how many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn rejoin(&mut self, since: Timestamp, now: Timestamp, most: i64) -> Result<usize, StoreError> {
        let young = self.tx.rows(YOUNG, args![since.0, most]).await?;
        if young.is_empty() {
            return Ok(0);
        }
        let (mut links, mut found) = (Vec::new(), Vec::new());
        for row in self.tx.rows(BY_PROVIDER_ID, vec![json_rows(&asked(&young)?)?]).await? {
            let place = usize::try_from(row.int(0)?).map_err(|_| StoreError::NoRow)?;
            let attempt = (row.int(1)?, row.int(2)?);
            links.push((young[place].int(0)?, attempt.0, attempt.1));
            found.push(Evidence::parked(&young[place], attempt)?);
        }
        if !links.is_empty() {
            self.unpark(&links, &found, now).await?;
        }
        Ok(links.len())
    }

    async fn unpark(
        &mut self,
        links: &[(i64, i64, i64)],
        found: &[Evidence],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.tx.run(UNPARK, vec![json_rows(links)?]).await?;
        self.join(found, now).await?;
        Ok(())
    }

    pub(super) async fn keep_raw(&mut self, callbacks: &[impl Borrow<Delivered>]) -> Result<(), StoreError> {
        let mut alike: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for callback in callbacks {
            let Delivered { id, route, received_at, raw, .. } = callback.borrow();
            let shared = (route.as_str(), raw.kind, raw.method.as_str(), raw.body_encoding);
            let own = (id, received_at, &raw.url, &raw.path_ref, &raw.content_type, &raw.body);
            alike.entry(shared).or_default().push(own);
        }
        for ((route, kind, method, encoding), rows) in alike {
            self.tx.run(KEEP_RAW, args![json_rows(&rows)?, route, kind, method, encoding]).await?;
        }
        Ok(())
    }

    /// Finds the attempt each report speaks of: by our reference, else by the provider's id on that route.
    async fn find(&mut self, reports: &mut [Report<'_>]) -> Result<(), StoreError> {
        let (mut named, mut by_id, mut former) = (Vec::new(), Vec::new(), Vec::new());
        for report in reports.iter() {
            let own = report.receipt.reference.as_deref().and_then(|r| reference::resolve(&self.tag, r));
            match (own, report.receipt.provider_id.as_deref()) {
                (Some((message, number)), _) => named.push((report.place, report.route, message.0, number)),
                (None, _) if self.former_reference(report, &mut former) => {}
                (None, Some(pid)) => by_id.push((report.place, report.route, pid)),
                (None, None) => {}
            }
        }
        let mut answers = self.by_former_reference(&former).await?;
        if !named.is_empty() {
            answers.extend(self.tx.rows(BY_REFERENCE, vec![json_rows(&named)?]).await?);
        }
        if !by_id.is_empty() {
            answers.extend(self.tx.rows(BY_PROVIDER_ID, vec![json_rows(&by_id)?]).await?);
        }
        for row in answers {
            let place = usize::try_from(row.int(0)?).map_err(|_| StoreError::NoRow)?;
            let accepted = row.opt_text(3)?.as_deref() == Some(OutcomeClass::Accepted.as_str());
            reports[place].found = Some((row.int(1)?, row.int(2)?, accepted));
        }
        Ok(())
    }

    /// Whether a report names an attempt by a reference that it was given before the store came back from a backup.
    fn former_reference<'a>(
        &self,
        report: &Report<'a>,
        found: &mut Vec<(i64, &'a str, i64, i64, String)>,
    ) -> bool {
        let Some(text) = report.receipt.reference.as_deref() else { return false };
        let named = self.former.iter().find_map(|tag| Some((reference::resolve(tag, text)?, tag.clone())));
        let Some(((message, number), tag)) = named else { return false };
        found.push((report.place, report.route, message.0, number, tag));
        true
    }

    /// Joins matched reports into their messages, in the order in which they came; answers how many changed, and the
    /// attempts (message, number) that were proven.
    async fn join(
        &mut self,
        found: &[Evidence],
        now: Timestamp,
    ) -> Result<(usize, BTreeSet<(i64, i64)>), StoreError> {
        if found.is_empty() {
            return Ok((0, BTreeSet::new()));
        }
        let ids: Vec<(i64,)> =
            found.iter().map(|e| e.message).collect::<HashSet<_>>().into_iter().map(|id| (id,)).collect();
        let mut states = HashMap::with_capacity(ids.len());
        for row in self.tx.rows_of(STATE_OF, vec![json_rows(&ids)?]).await? {
            let dispatch = word(&row, 1, "dispatch state", Dispatch::from_word)?;
            let delivery = word(&row, 2, "delivery state", Delivery::from_word)?;
            states.insert(row.int(0)?, (dispatch, delivery, row.int(3)?));
        }
        let open = found.iter().filter(|e| !e.accepted).map(|e| (e.message, e.number)).collect();
        let outcomes = self.outcomes(&open).await?;
        let (mut raised, mut proven) = (BTreeMap::new(), Vec::new());
        for evidence in found {
            let Some((dispatch, delivery, conflict)) = states.get_mut(&evidence.message) else { continue };
            let joined = delivery.join(evidence.state);
            let flagged = i64::from(joined.conflict || *conflict == 1);
            if joined.changed || flagged != *conflict {
                raised.insert(evidence.message, (joined.state.as_str(), flagged));
            }
            (*delivery, *conflict) = (joined.state, flagged);
            let Some(outcome) = outcomes.get(&(evidence.message, evidence.number)) else { continue };
            // An attempt that is under way is judged with its answer.
            let awaited = outcome.is_none() && *dispatch == Dispatch::Submitting;
            if !awaited && proves_acceptance(*outcome, evidence.state) {
                proven.push(Proven::new(evidence.message, evidence.number, evidence.provider_id.clone()));
            }
        }
        let raised: Vec<_> = raised.into_iter().map(|(id, (state, flag))| (id, state, flag)).collect();
        if !raised.is_empty() {
            self.tx.run(RAISE, args![json_rows(&raised)?, now.0]).await?;
        }
        self.prove(&proven, now).await?;
        let refused: Vec<(i64,)> = found.iter().filter(|e| e.opted_out).map(|e| (e.message,)).collect();
        if !refused.is_empty() {
            let rows = self.tx.rows(OPTED_OUT, vec![json_rows(&refused)?]).await?;
            self.suppress_rows(&rows, now).await?;
        }
        Ok((raised.len(), proven.iter().map(Proven::attempt).collect()))
    }
}

/// The provider's id that a matched report names: (route, provider id, message, number).
fn named_id<'a>(report: &Report<'a>) -> Option<(&'a str, &'a str, i64, i64)> {
    let (message, number, _) = report.found?;
    Some((report.route, report.receipt.provider_id.as_deref()?, message, number))
}

impl Store {
    /// Whether [`Batch::rejoin`] would find something; takes no turn to write.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn can_rejoin(&self, since: Timestamp, most: i64) -> Result<bool, StoreError> {
        let young = self.pools.read(YOUNG, args![since.0, most]).await?;
        if young.is_empty() {
            return Ok(false);
        }
        Ok(!self.pools.read(BY_PROVIDER_ID, vec![json_rows(&asked(&young)?)?]).await?.is_empty())
    }
}

/// Rows of (place, route, provider id) that ask for the attempts of receipts that wait.
fn asked(young: &[Row]) -> Result<Vec<(usize, String, String)>, StoreError> {
    young.iter().enumerate().map(|(place, row)| Ok((place, row.text(1)?, row.text(2)?))).collect()
}

/// A report whose attempt is known.
struct Evidence {
    message: i64,
    number: i64,
    /// Known as accepted, so that nothing is left to prove.
    accepted: bool,
    provider_id: Option<String>,
    state: Delivery,
    opted_out: bool,
}

impl Evidence {
    /// A receipt that waited, with state and opt-out in its last columns, and the attempt it is about.
    fn parked(row: &Row, (message, number): (i64, i64)) -> Result<Self, StoreError> {
        let state = word(row, 3, "delivery state", Delivery::from_word)?;
        Ok(Self { message, number, accepted: false, provider_id: None, state, opted_out: row.int(4)? == 1 })
    }

    fn from_report(report: &Report<'_>) -> Option<Self> {
        let (message, number, accepted) = report.found?;
        Some(Self {
            message,
            number,
            accepted,
            provider_id: report.receipt.provider_id.clone(),
            state: report.receipt.state,
            opted_out: report.receipt.opted_out,
        })
    }
}

/// The reports of a batch without exact repeats.
fn reports(callbacks: &[impl Borrow<Delivered>]) -> Vec<Report<'_>> {
    let mut seen = HashSet::new();
    let mut reports = Vec::new();
    for callback in callbacks.iter().map(Borrow::borrow) {
        let callback: &Delivered = callback;
        for receipt in &callback.receipts {
            let key =
                (&callback.route, &receipt.reference, &receipt.provider_id, &receipt.status, &receipt.code);
            if seen.insert(key) {
                reports.push(Report {
                    place: i64::try_from(reports.len()).unwrap_or(i64::MAX),
                    inbox: callback.id,
                    route: &callback.route,
                    at: callback.received_at,
                    receipt,
                    found: None,
                });
            }
        }
    }
    reports
}

type ReceiptRow<'a> = (
    i64,
    &'a str,
    i64,
    Option<i64>,
    Option<i64>,
    &'a Option<String>,
    &'a Option<String>,
    &'static str,
    &'a str,
    &'a Option<String>,
    i64,
);

fn receipt_row<'a>(report: &Report<'a>) -> ReceiptRow<'a> {
    let receipt = report.receipt;
    (
        report.inbox,
        report.route,
        report.at.0,
        report.found.map(|f| f.0),
        report.found.map(|f| f.1),
        &receipt.reference,
        &receipt.provider_id,
        receipt.state.as_str(),
        &receipt.status,
        &receipt.code,
        i64::from(receipt.opted_out),
    )
}
