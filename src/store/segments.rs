//! Asks the database which contacts are in a segment, and what a planner must know about each of them.
//!
//! A segment arrives compiled: a condition over `contacts AS c` made of constant pieces, its values as arguments.
//! Everything here only reads, on a connection that cannot write.

use super::connection::{Arg, Row};
use super::contacts::{contact, contact_columns};
use super::{Backend, Store, StoreError};
use crate::model::clock::Timestamp;
use crate::model::contact::Contact;
use crate::model::ids::{ContactId, RunId};
use crate::segment::condition::may_have_left;
use crate::segment::{Fragment, Value};

/// What a planner asks about each contact of an audience.
#[derive(Clone, Debug)]
pub struct AudienceQuery<'a> {
    /// The sender whose suppressions count, besides those of every sender.
    pub sender: &'a str,
    /// Since when texts count towards the limit per contact; none when there is no limit.
    pub cap_since: Option<Timestamp>,
    /// Counts texts of runs before this one alone, as its launch did.
    pub before: Option<RunId>,
}

/// One contact of an audience. Its tags are not read: a segment has asked about them already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudienceRow {
    /// The contact, without tags.
    pub contact: Contact,
    /// Whether the sender must not text it.
    pub suppressed: bool,
    /// Texts that count towards the limit: on their way, or left since then, as far as anybody knows. 0 without a limit.
    pub recent: i64,
}

impl Store {
    /// How many contacts are in the segment.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn segment_count(&self, fragment: &Fragment) -> Result<i64, StoreError> {
        let query = Query::new(fragment, "SELECT count(*)").over_contacts();
        query.run(self).await?.first().ok_or(StoreError::NoRow)?.int(0)
    }

    /// Ids of the contacts in the segment, in order, from the one after `after`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn segment_ids(
        &self,
        fragment: &Fragment,
        after: Option<ContactId>,
        limit: i64,
    ) -> Result<Vec<ContactId>, StoreError> {
        let rows = Query::new(fragment, "SELECT c.id").over_contacts().page(after, limit).run(self).await?;
        rows.iter().map(|row| Ok(ContactId(row.int(0)?))).collect()
    }

    /// The first contacts of the segment, without tags.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn segment_preview(&self, fragment: &Fragment, limit: i64) -> Result<Vec<Contact>, StoreError> {
        let query = Query::new(fragment, concat!("SELECT ", contact_columns!()));
        query.over_contacts().page(None, limit).run(self).await?.iter().map(contact).collect()
    }

    /// How the database would count the segment, line by line as it says it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn segment_explain(&self, fragment: &Fragment) -> Result<Vec<String>, StoreError> {
        let (ask, detail) = match self.backend() {
            Backend::Sqlite => ("EXPLAIN QUERY PLAN SELECT count(*)", 3),
            Backend::Postgres => ("EXPLAIN SELECT count(*)", 0),
        };
        Query::new(fragment, ask)
            .over_contacts()
            .run(self)
            .await?
            .iter()
            .map(|row| row.text(detail))
            .collect()
    }

    /// The next contacts of the segment, in the order of their ids, each with what decides whether it is texted.
    /// Cost per page does not grow with the pages before it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn audience_page(
        &self,
        fragment: &Fragment,
        after: Option<ContactId>,
        limit: i64,
        query: &AudienceQuery<'_>,
    ) -> Result<Vec<AudienceRow>, StoreError> {
        let rows = Query::audience(fragment, query).page(after, limit).run(self).await?;
        rows.iter().map(audience_row).collect()
    }

    /// One contact as a planner would see it; none if it is not in the segment.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn audience_row(
        &self,
        fragment: &Fragment,
        contact: ContactId,
        query: &AudienceQuery<'_>,
    ) -> Result<Option<AudienceRow>, StoreError> {
        let rows = Query::audience(fragment, query).only(contact).run(self).await?;
        rows.first().map(audience_row).transpose()
    }
}

/// A statement in the making. The fragment's values come first, so that its numbers stay right.
struct Query<'a> {
    fragment: &'a Fragment,
    text: String,
    args: Vec<Arg>,
}

impl<'a> Query<'a> {
    fn new(fragment: &'a Fragment, select: &'static str) -> Self {
        let args = fragment.values.iter().map(|value| match value {
            Value::Int(number) => Arg::from(*number),
            Value::Text(text) => Arg::from(text.as_str()),
        });
        Self { fragment, text: select.to_owned(), args: args.collect() }
    }

    fn audience(fragment: &'a Fragment, query: &AudienceQuery<'_>) -> Self {
        let mut audience = Self::new(fragment, concat!("SELECT ", contact_columns!(), ", "));
        audience.suppressed_for(query.sender);
        audience.text.push_str(", ");
        audience.recent_since(query.cap_since, query.before);
        audience.over_contacts()
    }

    fn only(mut self, contact: ContactId) -> Self {
        let id = self.arg(contact.0);
        self.text.push_str(" AND c.id = ");
        self.text.push_str(&id);
        self
    }

    /// Adds an argument; answers how it is written.
    fn arg(&mut self, value: impl Into<Arg>) -> String {
        self.args.push(value.into());
        format!("${}", self.args.len())
    }

    fn suppressed_for(&mut self, sender: &str) {
        let sender = self.arg(sender);
        self.text.push_str(
            "CAST(CASE WHEN EXISTS (SELECT 1 FROM suppressions AS s WHERE s.phone = c.phone \
             AND s.lifted_at IS NULL AND s.scope IN ('all', ",
        );
        self.text.push_str(&sender);
        self.text.push_str(")) THEN 1 ELSE 0 END AS BIGINT)");
    }

    fn recent_since(&mut self, since: Option<Timestamp>, before: Option<RunId>) {
        let Some(since) = since else {
            self.text.push_str("CAST(0 AS BIGINT)");
            return;
        };
        let since = self.arg(since.0);
        self.text.push_str("(SELECT count(*) FROM messages AS m WHERE m.contact_id = c.id");
        if let Some(run) = before {
            let run = self.arg(run.0);
            self.text.push_str(" AND m.run_id < ");
            self.text.push_str(&run);
        }
        self.text.push_str(" AND ((m.submitted_at >= ");
        self.text.push_str(&since);
        self.text.push_str(concat!(
            " AND ",
            may_have_left!(),
            ") OR m.dispatch IN ('planned', 'queued', 'claimed', 'submitting')))"
        ));
    }

    fn over_contacts(mut self) -> Self {
        self.text.push_str(" FROM contacts AS c WHERE (");
        self.text.push_str(&self.fragment.sql);
        self.text.push(')');
        self
    }

    fn page(mut self, after: Option<ContactId>, limit: i64) -> Self {
        let after = self.arg(after.map_or(0, |id| id.0));
        let limit = self.arg(limit);
        self.text.push_str(" AND c.id > ");
        self.text.push_str(&after);
        self.text.push_str(" ORDER BY c.id LIMIT ");
        self.text.push_str(&limit);
        self
    }

    async fn run(self, store: &Store) -> Result<Vec<Row>, StoreError> {
        store.pools.read_composed(self.text, self.args).await
    }
}

fn audience_row(row: &Row) -> Result<AudienceRow, StoreError> {
    Ok(AudienceRow { contact: contact(row)?, suppressed: row.int(16)? != 0, recent: row.int(17)? })
}
