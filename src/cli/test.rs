//! `winback test`: a campaign's text on one's own phone, before anybody else gets it.

use std::process::ExitCode;

use clap::Args;

use crate::daemon::routes;
use crate::dispatch::prepare::{Code, Preparer};
use crate::model::clock::Timestamp;
use crate::model::contact::{Consent, Contact, ContactRecord};
use crate::model::ids::{ContactId, CouponId};
use crate::model::number::Number;
use crate::store::segments::AudienceRow;

use super::one_text::{OneText, recipient, send};
use super::{Context, WrongUse, terms};

/// Stands where a code would stand; from no pool.
const CODE: &str = "TESTCODE";

/// Send a campaign's text to one number, with the code TESTCODE; nothing is taken from stock.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Name of the campaign, or its file.
    campaign: String,
    /// Your own number; if a contact has it, the text is written for that contact.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    to: String,
    /// The route; the first one of the campaign that texts the number's country if not given.
    #[arg(long)]
    route: Option<String>,
    /// Print the request, with secrets and numbers masked, and send nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(context: &Context, args: TestArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.store(&config).await?;
    let mut settled = terms::terms(&config, &store, &args.campaign, None, context.now()).await?;
    if let Some(route) = &args.route {
        settled.routes.retain(|one| one.name == *route);
        if settled.routes.is_empty() {
            let told = format!("campaign `{}` does not use route `{route}`", settled.definition.name);
            return Err(WrongUse(told).into());
        }
    }
    let number = recipient(&config, &args.to)?;
    let known = store.contact_by_phone(number.phone).await?;
    let suppressed = store.is_suppressed(number.phone, crate::store::suppressions::EVERY_SENDER).await?;
    store.close().await;
    let row = AudienceRow { contact: known.map_or_else(|| sample(&number), willing), suppressed, recent: 0 };
    let rules = routes::rules(&config)?;
    let mut preparer = Preparer::new(&settled, &rules, context.now())?;
    let code = preparer.wants_codes().then_some(Code { id: CouponId(0), text: CODE });
    let prepared = preparer.prepare(&row, code).map_err(|skip| {
        anyhow::anyhow!("nothing was sent, because this number would not be texted: {}", skip.words())
    })?;
    let text = OneText {
        route: prepared.message.route,
        to: number.phone.e164(),
        text: prepared.message.body,
        sender: Some(prepared.message.sender),
        dry_run: args.dry_run,
        campaign: Some(settled.definition.name.clone()),
    };
    send(context, &config, text).await
}

/// Who asks for a test text agrees to it.
fn willing(mut contact: Contact) -> Contact {
    contact.record.consent = Consent::Given(Timestamp(0));
    contact.unreachable_at = None;
    contact
}

fn sample(number: &Number) -> Contact {
    let record = ContactRecord {
        country: number.region.map(|region| region.to_string()),
        first_name: Some("Sam".to_owned()),
        last_name: Some("Sample".to_owned()),
        customer_id: Some("sample".to_owned()),
        ..ContactRecord::new(number.phone, number.kind.as_str())
    };
    willing(Contact { id: ContactId(0), record, unreachable_at: None, updated_at: Timestamp(0) })
}
