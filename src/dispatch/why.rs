//! Why one contact has no message of a campaign: the planner asked about this contact alone.
//!
//! It knows no rule of its own; segment, preparation and their reasons are the plan's.

use crate::campaign::law::Rules;
use crate::model::clock::Timestamp;
use crate::model::contact::Contact;
use crate::model::ids::{CouponId, RunId};
use crate::store::Store;

use super::audience::Audience;
use super::plan::PlanError;
use super::prepare::{Code, Preparer, Skip};
use super::terms::Terms;

/// Stands for the code that a launched run would have had.
const SOME_CODE: &str = "0000000000";

/// What the planner says about one contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Planned {
    /// It is not in the campaign's segment.
    NotInSegment,
    /// It is in the segment and left out.
    LeftOut(Skip),
    /// It has had as many texts as the campaign's cap allows: so many.
    Capped(i64),
    /// It would be texted.
    Texted {
        /// The route it would go out on.
        route: String,
        /// When it would become useless.
        expires_at: Timestamp,
    },
}

/// Asks the planner about one contact, as of `at`: the launch of a run (`launched`), or now. Events, suppressions and texts
/// of other runs count as they were then; a contact's columns and consent have no history and count as they are.
///
/// # Errors
/// When the campaign cannot be planned at all.
pub async fn planned(
    store: &Store,
    terms: &Terms,
    rules: &Rules,
    contact: &Contact,
    at: Timestamp,
    launched: Option<RunId>,
) -> Result<Planned, PlanError> {
    let mut preparer = Preparer::new(terms, rules, at)?;
    let Some(mut row) = Audience::new(store, terms, 0)?.one(contact.id, launched).await? else {
        return Ok(Planned::NotInSegment);
    };
    if launched.is_some() {
        let sender = terms.routes.first().and_then(|route| route.senders.first());
        let of_sender = |scope: &str| {
            scope == crate::store::suppressions::EVERY_SENDER || sender.is_some_and(|own| own == scope)
        };
        let history = store.suppressions_of(contact.record.phone).await?;
        row.suppressed = history.iter().any(|one| of_sender(&one.scope) && one.holds_at(at));
    }
    let code = match &terms.pool {
        // A run has its codes reserved, whatever the pool holds now.
        Some(_) if launched.is_some() => Some(SOME_CODE.to_owned()),
        Some(pool) => store.codes(pool.id, Some("available"), None, 1).await?.pop().map(|code| code.code),
        None => None,
    };
    let code = code.as_ref().map(|text| Code { id: CouponId(0), text });
    Ok(match preparer.prepare(&row, code) {
        Ok(_) if preparer.is_capped(&row) => Planned::Capped(row.recent),
        Ok(prepared) => {
            Planned::Texted { route: prepared.message.route, expires_at: prepared.message.expires_at }
        }
        Err(skip) => Planned::LeftOut(skip),
    })
}
