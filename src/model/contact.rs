//! A person who may be texted: what an import tells about them, and how news joins what is known.

use super::attributes::Attributes;
use super::clock::Timestamp;
use super::ids::ContactId;
use super::phone::Phone;
use super::stage::Stage;

/// What is known, or newly told, about one person. A missing value means "not told".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactRecord {
    /// The shop's own key of the person.
    pub customer_id: Option<String>,
    /// The number that is texted.
    pub phone: Phone,
    /// Country of the number, as two letters.
    pub country: Option<String>,
    /// Kind of the number: mobile, fixed line, ….
    pub number_kind: String,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Language tag.
    pub locale: Option<String>,
    /// Name of the time zone.
    pub zone: Option<String>,
    /// Lifecycle stage.
    pub stage: Option<Stage>,
    /// Whether the person agreed to be texted.
    pub consent: Consent,
    /// Tags, in order, each once.
    pub tags: Vec<String>,
    /// When the person came to the shop. Never told, it is the time of the first import.
    pub created_at: Option<Timestamp>,
    /// Everything else the shop knows.
    pub attrs: Attributes,
}

/// What is told, or held, about a person's consent to be texted.
///
/// What is told later wins, with one exception: a yes on top of a yes changes nothing. So the time that is held is that
/// of the first yes since the last no. That time was always told and is never moved back to an older one, which could
/// have been withdrawn in between; and a file that is read twice ends in the same state. Consent has no other memory:
/// whoever imports an old yes after a newer no says yes. (A STOP is a suppression and not touched by any of this.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consent {
    /// Nothing is told; held: there is none.
    #[default]
    Unstated,
    /// Given at that time.
    Given(Timestamp),
    /// Not given, or withdrawn.
    Denied,
}

impl Consent {
    /// When consent was given, if it was.
    pub fn at(self) -> Option<Timestamp> {
        match self {
            Self::Given(at) => Some(at),
            Self::Unstated | Self::Denied => None,
        }
    }

    /// Joins what is told later; answers whether that changed what is held.
    fn take_over(&mut self, told: Self) -> bool {
        *self = match (self.at(), told) {
            (None, Self::Given(_)) => told,
            (Some(_), Self::Denied) => Self::Unstated,
            _ => return false,
        };
        true
    }
}

impl ContactRecord {
    /// A record that says nothing but the number and its kind.
    pub fn new(phone: Phone, number_kind: &str) -> Self {
        Self {
            customer_id: None,
            phone,
            country: None,
            number_kind: number_kind.to_owned(),
            first_name: None,
            last_name: None,
            email: None,
            locale: None,
            zone: None,
            stage: None,
            consent: Consent::Unstated,
            tags: Vec::new(),
            created_at: None,
            attrs: Attributes::default(),
        }
    }

    /// Joins newer knowledge: told values replace older ones, attributes one by one, tags are united, and [`Consent`]
    /// has its own rule. Answers whether anything changed; joining the same record again never does.
    pub fn take_over(&mut self, newer: &Self) -> bool {
        let changes = [
            replace(&mut self.customer_id, newer.customer_id.as_ref()),
            self.phone != newer.phone,
            replace(&mut self.country, newer.country.as_ref()),
            self.number_kind != newer.number_kind,
            replace(&mut self.first_name, newer.first_name.as_ref()),
            replace(&mut self.last_name, newer.last_name.as_ref()),
            replace(&mut self.email, newer.email.as_ref()),
            replace(&mut self.locale, newer.locale.as_ref()),
            replace(&mut self.zone, newer.zone.as_ref()),
            replace(&mut self.stage, newer.stage.as_ref()),
            self.consent.take_over(newer.consent),
            unite(&mut self.tags, &newer.tags),
            replace(&mut self.created_at, newer.created_at.as_ref()),
            self.attrs.take_over(&newer.attrs),
        ];
        self.phone = newer.phone;
        self.number_kind.clone_from(&newer.number_kind);
        changes.contains(&true)
    }
}

/// A person as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Its row.
    pub id: ContactId,
    /// What is known.
    pub record: ContactRecord,
    /// Since when a provider says that the number does not exist.
    pub unreachable_at: Option<Timestamp>,
    /// When something about it last changed.
    pub updated_at: Timestamp,
}

fn replace<T: Clone + PartialEq>(known: &mut Option<T>, told: Option<&T>) -> bool {
    if told.is_none() || known.as_ref() == told {
        return false;
    }
    *known = told.cloned();
    true
}

fn unite(known: &mut Vec<String>, told: &[String]) -> bool {
    let before = known.len();
    for tag in told {
        if !known.contains(tag) {
            known.push(tag.clone());
        }
    }
    known.sort_unstable();
    known.len() > before
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use proptest::prelude::*;

    use super::{Consent, ContactRecord};
    use crate::model::clock::Timestamp;
    use crate::model::phone::Phone;

    fn record(change: impl FnOnce(&mut ContactRecord)) -> ContactRecord {
        let mut record = ContactRecord::new(Phone::from_digits(14_805_550_126).expect("valid"), "mobile");
        change(&mut record);
        record
    }

    #[test]
    fn news_joins_what_is_known_and_the_same_news_changes_nothing() {
        let known = || {
            record(|r| {
                r.first_name = Some("Ann".into());
                r.consent = Consent::Given(Timestamp(50));
                r.tags = vec!["b".into()];
            })
        };
        let check = |news: ContactRecord, changes: bool, expected: &dyn Fn(&mut ContactRecord)| {
            let mut joined = known();
            assert_eq!(joined.take_over(&news), changes, "{news:?}");
            let mut wanted = known();
            expected(&mut wanted);
            assert_eq!(joined, wanted);
            assert!(!joined.take_over(&news), "twice: {news:?}");
        };
        check(record(|_| ()), false, &|_| ());
        check(record(|r| r.first_name = Some("Ann".into())), false, &|_| ());
        check(record(|r| r.first_name = Some("Anne".into())), true, &|r| r.first_name = Some("Anne".into()));
        check(record(|r| r.created_at = Some(Timestamp(7))), true, &|r| r.created_at = Some(Timestamp(7)));
        check(record(|r| r.consent = Consent::Denied), true, &|r| r.consent = Consent::Unstated);
        check(record(|r| r.tags = vec!["b".into(), "a".into()]), true, &|r| {
            r.tags = vec!["a".into(), "b".into()];
        });
        check(record(|r| r.attrs.set("city", &json!("Rome"))), true, &|r| {
            r.attrs.set("city", &json!("Rome"));
        });
        check(record(|r| r.number_kind = "fixed".into()), true, &|r| r.number_kind = "fixed".into());
    }

    fn held_after(told: &[Consent], mut held: Consent) -> Option<Timestamp> {
        for told in told {
            held.take_over(*told);
        }
        held.at()
    }

    #[test]
    fn consent_counts_from_the_first_yes_since_the_last_no() {
        let (yes, no, nothing) = (|at| Consent::Given(Timestamp(at)), Consent::Denied, Consent::Unstated);
        let check = |told: &[Consent], expected: Option<i64>| {
            assert_eq!(held_after(told, Consent::Unstated), expected.map(Timestamp), "{told:?}");
        };
        check(&[nothing], None);
        check(&[no], None);
        check(&[yes(50), nothing], Some(50));
        check(&[yes(50), yes(60)], Some(50));
        check(&[yes(50), yes(40)], Some(50));
        check(&[yes(50), no], None);
        check(&[no, yes(50)], Some(50));
        check(&[yes(50), no, yes(40)], Some(40));
    }

    fn consents() -> impl Strategy<Value = Vec<Consent>> {
        let any = prop_oneof![
            Just(Consent::Unstated),
            Just(Consent::Denied),
            (0..4_i64).prop_map(|at| Consent::Given(Timestamp(at)))
        ];
        proptest::collection::vec(any, 0..8)
    }

    proptest! {
        #[test]
        fn consents_read_twice_or_from_a_broken_start_end_alike_and_no_proof_is_made_up(
            held in consents(), told in consents(), broken in 0_usize..8,
        ) {
            let held = held_after(&held, Consent::Unstated).map_or(Consent::Unstated, Consent::Given);
            let once = held_after(&told, held);
            let twice: Vec<_> = told[..broken.min(told.len())].iter().chain(&told).chain(&told).copied().collect();
            prop_assert_eq!(held_after(&twice, held), once);
            prop_assert!(once == held.at() || told.iter().any(|consent| consent.at() == once));
            if told.last() == Some(&Consent::Denied) {
                prop_assert_eq!(once, None);
            }
        }
    }
}
