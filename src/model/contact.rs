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
    /// When the person agreed to be texted.
    pub consent_at: Option<Timestamp>,
    /// Tags, in order, each once.
    pub tags: Vec<String>,
    /// Everything else the shop knows.
    pub attrs: Attributes,
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
            consent_at: None,
            tags: Vec::new(),
            attrs: Attributes::default(),
        }
    }

    /// Joins newer knowledge: told values replace older ones, attributes one by one, tags are united, and consent
    /// counts from its earliest proof. Answers whether anything changed; joining the same record again never does.
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
            earliest(&mut self.consent_at, newer.consent_at),
            unite(&mut self.tags, &newer.tags),
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
    /// When it was first imported.
    pub created_at: Timestamp,
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

fn earliest(known: &mut Option<Timestamp>, told: Option<Timestamp>) -> bool {
    match (*known, told) {
        (Some(old), Some(new)) if new >= old => false,
        (_, None) => false,
        _ => {
            *known = told;
            true
        }
    }
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

    use super::ContactRecord;
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
                r.consent_at = Some(Timestamp(50));
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
        check(record(|r| r.consent_at = Some(Timestamp(60))), false, &|_| ());
        check(record(|r| r.consent_at = Some(Timestamp(40))), true, &|r| r.consent_at = Some(Timestamp(40)));
        check(record(|r| r.tags = vec!["b".into(), "a".into()]), true, &|r| {
            r.tags = vec!["a".into(), "b".into()];
        });
        check(record(|r| r.attrs.set("city", &json!("Rome"))), true, &|r| {
            r.attrs.set("city", &json!("Rome"));
        });
        check(record(|r| r.number_kind = "fixed".into()), true, &|r| r.number_kind = "fixed".into());
    }
}
