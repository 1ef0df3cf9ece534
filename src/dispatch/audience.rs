//! The contacts of a run page by page, and the codes of its pool: read ahead, so that reading, preparing and writing go on
//! at once. Writes nothing.

use std::panic::resume_unwind;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::model::clock::Timestamp;
use crate::model::ids::{ContactId, CouponId, PoolId, RunId};
use crate::segment::{self, AsOf, Dialect, Fragment};
use crate::store::segments::{AudienceQuery, AudienceRow};
use crate::store::{Backend, Store, StoreError};
use crate::telemetry::fault;

use super::plan::PlanError;
use super::prepare::Code;
use super::terms::Terms;

/// Contacts read and prepared at a time.
const PAGE: i64 = 1_000;

/// Pages read ahead of the one that is being prepared.
const AHEAD: usize = 1;

/// Walks the audience of a run page by page.
pub(super) struct Audience {
    store: Store,
    fragment: Fragment,
    sender: String,
    cap_since: Option<Timestamp>,
    after: Option<ContactId>,
}

impl Audience {
    /// The audience under `terms` from the contact after `after` on, 0 for all of it.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub(super) fn new(store: &Store, terms: &Terms, after: i64) -> Result<Self, PlanError> {
        let expression = segment::parse(&terms.segment)?;
        let as_of = AsOf { at: terms.as_of.unwrap_or(terms.launched_at), zone: terms.zone() };
        let dialect = match store.backend() {
            Backend::Sqlite => Dialect::Sqlite,
            Backend::Postgres => Dialect::Postgres,
        };
        let cap = terms.definition.limits.per_contact.as_ref();
        Ok(Self {
            store: store.clone(),
            fragment: segment::compile(&expression, &as_of, dialect, 1),
            sender: terms.routes.first().and_then(|r| r.senders.first()).cloned().unwrap_or_default(),
            cap_since: cap.map(|cap| cap.period.before(terms.launched_at, &terms.zone())),
            after: (after > 0).then_some(ContactId(after)),
        })
    }

    /// Asks for contacts without the texts they had, which the caller counts where nobody else can; answers since when.
    pub(super) fn without_texts(&mut self) -> Option<Timestamp> {
        self.cap_since.take()
    }

    /// How many contacts there are.
    pub(super) async fn count(&self) -> Result<i64, StoreError> {
        self.store.segment_count(&self.fragment).await
    }

    /// One contact, if it is in the audience. For a launch that was made, texts of later runs do not count.
    pub(super) async fn one(
        &self,
        contact: ContactId,
        launched: Option<RunId>,
    ) -> Result<Option<AudienceRow>, StoreError> {
        let query = AudienceQuery { sender: &self.sender, cap_since: self.cap_since, before: launched };
        self.store.audience_row(&self.fragment, contact, &query).await
    }

    /// The next contacts; none at the end.
    async fn next(&mut self) -> Result<Vec<AudienceRow>, StoreError> {
        let query = AudienceQuery { sender: &self.sender, cap_since: self.cap_since, before: None };
        let page = self.store.audience_page(&self.fragment, self.after, PAGE, &query).await?;
        fault::point("plan-page");
        if let Some(last) = page.last() {
            self.after = Some(last.contact.id);
        }
        Ok(page)
    }

    /// Reads on while the caller prepares what it has. Whoever drops the pages ends the reading.
    pub(super) fn read_ahead(mut self) -> Pages {
        let (send, pages) = mpsc::channel(AHEAD);
        let reader = tokio::spawn(async move {
            loop {
                let page = self.next().await;
                let last = page.as_ref().map_or(true, Vec::is_empty);
                if send.send(page).await.is_err() || last {
                    return;
                }
            }
        });
        Pages { pages, reader }
    }
}

/// Pages of an audience, read ahead.
pub(super) struct Pages {
    pages: mpsc::Receiver<Result<Vec<AudienceRow>, StoreError>>,
    reader: JoinHandle<()>,
}

impl Pages {
    /// The next contacts; none at the end.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<AudienceRow>>, StoreError> {
        let Some(page) = self.pages.recv().await else {
            // A reader that died has not come to the end.
            if let Err(died) = (&mut self.reader).await {
                resume_unwind(died.into_panic());
            }
            return Ok(None);
        };
        Ok(Some(page?).filter(|page| !page.is_empty()))
    }
}

/// Codes of the pool in the order in which a launch would take them; nothing is taken.
pub(super) struct Codes<'a> {
    store: &'a Store,
    pool: Option<PoolId>,
    page: std::vec::IntoIter<(CouponId, String)>,
    current: Option<(CouponId, String)>,
    after: Option<CouponId>,
    dry: bool,
}

impl<'a> Codes<'a> {
    pub(super) fn new(store: &'a Store, terms: &Terms) -> Self {
        let pool = terms.pool.as_ref().map(|pool| pool.id);
        Self { store, pool, page: Vec::new().into_iter(), current: None, after: None, dry: false }
    }

    /// The code that the next message would carry; none when the pool is empty, or there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn peek(&mut self) -> Result<Option<Code<'_>>, StoreError> {
        let Some(pool) = self.pool else { return Ok(None) };
        if self.current.is_none() && !self.dry {
            self.current = self.page.next();
            if self.current.is_none() {
                let page = self.store.codes(pool, Some("available"), self.after, PAGE).await?;
                self.after = page.last().map(|code| code.id);
                self.dry = page.is_empty();
                self.page = page.into_iter().map(|code| (code.id, code.code)).collect::<Vec<_>>().into_iter();
                self.current = self.page.next();
            }
        }
        Ok(self.current.as_ref().map(|(id, text)| Code { id: *id, text }))
    }

    /// Goes on to the next one.
    pub(super) fn spend(&mut self) {
        self.current = None;
    }
}
