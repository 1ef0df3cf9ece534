//! Texts from customers: STOP suppresses and withdraws in the transaction that records it, before it is answered.

use std::borrow::Borrow;
use std::collections::HashSet;

use crate::model::clock::Timestamp;
use crate::model::phone::Phone;
use crate::model::suppression::Reason;

use super::StoreError;
use super::batch::{Batch, json_rows};
use super::dialect::statements;
use super::receipts::Delivered;
use super::suppressions::{self, EVERY_SENDER, NewSuppression};

statements! {
    /// `$1` rows of (inbox, route, received, phone, recipient, text, provider id, keyword).
    KEEP_INBOUND = "INSERT INTO inbound (inbox_id, route, received_at, phone, recipient, text, provider_id, keyword) \
        SELECT CAST(j.value ->> 0 AS BIGINT), j.value ->> 1, CAST(j.value ->> 2 AS BIGINT), CAST(j.value ->> 3 AS BIGINT), \
          j.value ->> 4, j.value ->> 5, j.value ->> 6, j.value ->> 7 FROM jsonb_each(CAST($1 AS TEXT)) AS j WHERE true \
        ON CONFLICT (route, provider_id) WHERE provider_id IS NOT NULL DO NOTHING RETURNING inbox_id, phone";
}

/// What a customer's text asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reaction {
    /// Suppress at once, withdraw what waits.
    Stop,
    /// A refusal hides in a longer text: suppress until somebody has read it.
    Review,
    /// Lift what an earlier STOP from this number did.
    Start,
    /// Keep it.
    Keep,
}

impl Reaction {
    /// Every reaction.
    pub const ALL: [Reaction; 4] = [Self::Stop, Self::Review, Self::Start, Self::Keep];

    /// The word as stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Review => "review",
            Self::Start => "start",
            Self::Keep => "other",
        }
    }
}

impl Batch {
    /// Keeps customers' texts and does what they ask. After the commit they may be acknowledged.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing may be acknowledged.
    pub async fn listen(
        &mut self,
        callbacks: &[impl Borrow<Delivered>],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let callbacks: Vec<&Delivered> = callbacks.iter().map(Borrow::borrow).collect();
        self.keep_raw(&callbacks).await?;
        let mut rows = Vec::new();
        for callback in &callbacks {
            for (text, reaction) in &callback.inbound {
                let phone = text.from.digits();
                let at = callback.received_at.0;
                let told = (&text.to, &text.text, &text.provider_id, reaction.as_str());
                rows.push((callback.id, &callback.route, at, phone, told.0, told.1, told.2, told.3));
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        // Only what is new acts: a repeated STOP must not undo the START that came after it.
        let kept = self.tx.rows(KEEP_INBOUND, vec![json_rows(&rows)?]).await?;
        let kept = kept
            .iter()
            .map(|row| Ok((row.int(0)?, row.int(1)?)))
            .collect::<Result<HashSet<_>, StoreError>>()?;
        for callback in &callbacks {
            for (text, reaction) in &callback.inbound {
                let digits = i64::try_from(text.from.digits()).unwrap_or(i64::MAX);
                if !kept.contains(&(callback.id, digits)) {
                    continue;
                }
                self.react(text.from, *reaction, &callback.route, now).await?;
            }
        }
        Ok(())
    }

    async fn react(
        &mut self,
        phone: Phone,
        reaction: Reaction,
        route: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let source = format!("inbound:{route}");
        let reason = match reaction {
            Reaction::Stop => Reason::Stop,
            Reaction::Review => Reason::Review,
            Reaction::Start => {
                suppressions::lift_in(&mut self.tx, phone, &source, now).await?;
                return Ok(());
            }
            Reaction::Keep => return Ok(()),
        };
        self.suppress(&[phone], reason, &source, now).await
    }

    /// Suppresses numbers for every sender and withdraws what waits for them.
    pub(super) async fn suppress(
        &mut self,
        phones: &[Phone],
        reason: Reason,
        source: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let list = phones.iter().map(|phone| NewSuppression {
            phone: *phone,
            scope: EVERY_SENDER.to_owned(),
            reason,
            source: source.to_owned(),
        });
        suppressions::suppress_in(&mut self.tx, &list.collect::<Vec<_>>(), now).await?;
        self.suppressed.extend(phones.iter().map(|phone| (*phone, EVERY_SENDER)));
        Ok(())
    }
}
