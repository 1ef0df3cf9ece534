//! Why a row is rejected: a closed list, each reason with a word for machines and a sentence with the way out.
//!
//! Never holds a phone number, a code or any other value of the row; the reject file has the row itself.

use std::borrow::Cow;

use super::table::RowFault;
use crate::model::coupon::BadCode;
use crate::model::number::BadNumber;

/// Why one row cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Its form is wrong.
    #[error(transparent)]
    Row(#[from] RowFault),
    /// The phone number cannot be read.
    #[error(transparent)]
    Phone(#[from] BadNumber),
    /// The phone number has the right length and is nobody's.
    #[error("the digits fit no country's numbering plan; look for a wrong or missing digit")]
    PhoneInvalid,
    /// The number and the customer id are those of two contacts. Found by the store.
    #[error("the phone number belongs to another customer; give each customer one number, or merge them")]
    PhoneTaken,
    /// A text is longer than the store carries.
    #[error("`{column}` is too long")]
    TooLong {
        /// The field, attribute or property.
        column: String,
    },
    /// A field that has no lines goes over several.
    #[error(
        "`{column}` goes on over a line break: a double quote in this row may be stray or unclosed, and took the lines after it \
         along; remove it, or write it twice within a quoted field"
    )]
    LineBreak {
        /// The field.
        column: &'static str,
    },
    /// An event has happened, or it is none.
    #[error("the event is dated in the future; look at the order of day and month, and at the year")]
    EventAhead,
    /// The country is no code.
    #[error(
        "the country is not two letters like DE; to keep it as it is, use --map attr.country=… for this column"
    )]
    Country,
    /// The language is no code.
    #[error(
        "the locale is not a language code like en or pt-BR; --map attr.locale=… keeps the column as it is"
    )]
    Locale,
    /// The time zone is not known.
    #[error("the time zone is not a name like Europe/Berlin; --map attr.zone=… keeps the column as it is")]
    Zone,
    /// The stage is none of ours.
    #[error(
        "the stage is none of prospect, new, growing, active, loyal, sleeping, lost; --map attr.stage=… keeps it"
    )]
    Stage,
    /// The consent is neither yes nor no.
    #[error("the consent is neither yes nor no; what cannot be read is never taken for consent")]
    Consent,
    /// Consent without a time proves nothing.
    #[error(
        "consent without a time; add a column consent_at, or give the time that holds for the whole file"
    )]
    ConsentUndated,
    /// Nobody consents tomorrow.
    #[error("the consent is dated in the future; look at the order of day and month, and at the year")]
    ConsentAhead,
    /// A time cannot be read.
    #[error("`{column}` is not a time; write it year first, like 2026-10-01 or 2026-10-01T10:00:00Z")]
    Time {
        /// The field.
        column: &'static str,
    },
    /// An amount cannot be read.
    #[error("`value` is not an amount; write digits with a point, like 1234.50")]
    Amount,
    /// A field without which the row means nothing is empty.
    #[error("`{column}` is empty")]
    Missing {
        /// The field.
        column: &'static str,
    },
    /// Neither a customer id nor a phone number.
    #[error("neither a customer id nor a phone number says whose event this is")]
    CustomerMissing,
    /// No contact is known by that customer id or phone number. Found by the store.
    #[error("no contact has this customer id or phone number; import the contacts first")]
    CustomerUnknown,
    /// The code is no code.
    #[error(transparent)]
    Code(#[from] BadCode),
    /// The code is so short that it is guessed at once.
    #[error("the code is too short; one guess in few would hit it")]
    CodeTooShort,
    /// The code was in the file before.
    #[error("the code is in the file twice")]
    CodeRepeated,
    /// Another pool has it. Found by the store.
    #[error("the code is in another pool; one code must not mean two things")]
    CodeInPool,
    /// The code is worth something else than the others of its pool.
    #[error(
        "the code is worth something else than its pool; give codes of another worth a pool of their own"
    )]
    CodeWorth,
    /// The code's end has passed.
    #[error("the code has expired")]
    CodeExpired,
    /// The code's beginning lies ahead.
    #[error("the code is not valid yet; import it when it is")]
    CodeNotStarted,
    /// The code can be used more than once.
    #[error("the code may be used other than once; one code for everyone is a pool with one shared code")]
    CodeReusable,
    /// The code belongs to somebody already.
    #[error("the code is bound to a recipient; only free codes can be given away")]
    CodeBound,
}

impl Reason {
    /// The reason as a word for machines.
    pub fn word(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Row(fault) => fault.word(),
            Self::Phone(bad) => return Cow::Owned(format!("phone_{}", bad.as_str())),
            Self::PhoneInvalid => "phone_invalid",
            Self::PhoneTaken => "phone_taken",
            Self::TooLong { .. } => "too_long",
            Self::LineBreak { .. } => "line_break",
            Self::EventAhead => "event_ahead",
            Self::Country => "country",
            Self::Locale => "locale",
            Self::Zone => "zone",
            Self::Stage => "stage",
            Self::Consent => "consent",
            Self::ConsentUndated => "consent_undated",
            Self::ConsentAhead => "consent_ahead",
            Self::Time { .. } => "time",
            Self::Amount => "amount",
            Self::Missing { .. } => "missing",
            Self::CustomerMissing => "customer_missing",
            Self::CustomerUnknown => "customer_unknown",
            Self::Code(BadCode::Empty) => "code_empty",
            Self::Code(BadCode::Characters) => "code_characters",
            Self::Code(BadCode::TooLong) => "code_too_long",
            Self::CodeTooShort => "code_too_short",
            Self::CodeRepeated => "code_repeated",
            Self::CodeInPool => "code_in_pool",
            Self::CodeWorth => "code_worth",
            Self::CodeExpired => "code_expired",
            Self::CodeNotStarted => "code_not_started",
            Self::CodeReusable => "code_reusable",
            Self::CodeBound => "code_bound",
        })
    }
}
