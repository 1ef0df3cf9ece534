//! Drafts of contacts gathered into a batch in which each customer id and each phone number appears once, so that the
//! store can write it in one statement.
//!
//! The result of an import must not depend on where batches end. So a row is laid over another only if that one stands
//! right before it and has the same customer id *and* the same number; any other row whose customer id or number is in
//! the batch closes it. The store, which alone knows who has which number, takes the contacts of a batch in order.
//!
//! Reading a file again changes nothing as long as each customer has one number in it. Where numbers change hands
//! within a file, the second reading starts from the last holder and may take a row that the first one refused.

use std::collections::HashSet;

use super::contact::ContactDraft;
use crate::model::phone::Phone;

/// Contacts to be written together.
#[derive(Debug)]
pub struct ContactBatch {
    capacity: usize,
    entries: Vec<Entry>,
    by_phone: HashSet<Phone>,
    by_customer: HashSet<String>,
}

/// One contact of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What its rows say together.
    pub draft: ContactDraft,
    /// Lines of the rows after the first, whose line is the draft's.
    pub repeats: Vec<u64>,
}

impl ContactBatch {
    /// An empty batch of at most `capacity` contacts, at least one.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { capacity, entries: Vec::new(), by_phone: HashSet::new(), by_customer: HashSet::new() }
    }

    /// Takes a draft, or gives it back when the batch must be written first.
    #[must_use = "a draft that comes back belongs into the next batch"]
    pub fn push(&mut self, draft: ContactDraft) -> Option<ContactDraft> {
        if let Some(entry) = self.entries.last_mut()
            && entry.draft.phone == draft.phone
            && entry.draft.customer_id == draft.customer_id
        {
            entry.repeats.push(draft.line);
            entry.draft.overlay(draft);
            return None;
        }
        let phone_is_here = self.by_phone.contains(&draft.phone);
        let customer_is_here = draft.customer_id.as_ref().is_some_and(|id| self.by_customer.contains(id));
        if phone_is_here || customer_is_here || self.entries.len() >= self.capacity {
            return Some(draft);
        }
        self.by_phone.insert(draft.phone);
        if let Some(id) = &draft.customer_id {
            self.by_customer.insert(id.clone());
        }
        self.entries.push(Entry { draft, repeats: Vec::new() });
        None
    }

    /// Empties the batch: its contacts in the order of their first rows.
    pub fn take(&mut self) -> Vec<Entry> {
        self.by_phone.clear();
        self.by_customer.clear();
        std::mem::take(&mut self.entries)
    }

    /// Contacts in the batch.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::intake::contact::{Consent, ContactDraft};
    use crate::model::clock::Timestamp;
    use crate::model::number::NumberKind;

    fn draft(line: u64, customer: Option<u8>, phone: u8, name: Option<u8>, consent: u8) -> ContactDraft {
        ContactDraft {
            line,
            customer_id: customer.map(|id| id.to_string()),
            phone: Phone::from_digits(14_805_550_100 + u64::from(phone)).expect("a phone"),
            country: None,
            number_kind: NumberKind::Mobile,
            number_warning: None,
            first_name: name.map(|name| name.to_string()),
            last_name: None,
            email: None,
            locale: None,
            zone: None,
            stage: None,
            tags: name.map(|name| vec![format!("t{name}")]).unwrap_or_default(),
            consent: match consent {
                0 => Consent::Unstated,
                1 => Consent::Denied,
                at => Consent::Given(Timestamp(i64::from(at))),
            },
            created_at: None,
            attrs: name.map_or("{}".to_owned(), |name| format!(r#"{{"a{name}":"{line}"}}"#)),
        }
    }

    /// The rule of the store in memory: by customer id, then by number; a number of another customer is refused.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    struct Contacts(BTreeMap<u64, ContactDraft>);

    impl Contacts {
        fn upsert(&mut self, mut draft: ContactDraft) -> bool {
            draft.line = 0;
            let phone = draft.phone.digits();
            let mine = draft.customer_id.as_ref().and_then(|id| {
                self.0
                    .iter()
                    .find(|(_, known)| known.customer_id.as_ref() == Some(id))
                    .map(|(phone, _)| *phone)
            });
            let holder = self.0.get(&phone);
            let known = match (mine, holder) {
                (Some(mine), _) if mine == phone => Some(mine),
                (Some(mine), None) => Some(mine),
                (None, Some(holder)) if holder.customer_id.is_none() || draft.customer_id.is_none() => {
                    Some(phone)
                }
                (None, None) => None,
                _ => return false,
            };
            match known.and_then(|key| self.0.remove(&key)) {
                Some(mut contact) => {
                    contact.overlay(draft);
                    self.0.insert(phone, contact);
                }
                None => drop(self.0.insert(phone, draft)),
            }
            true
        }

        /// Imports rows in batches; gives the rejected lines.
        fn import(&mut self, rows: &[ContactDraft], capacity: usize) -> Vec<u64> {
            let mut batch = ContactBatch::new(capacity);
            let mut rejected = Vec::new();
            let mut flush = |batch: &mut ContactBatch| {
                for entry in batch.take() {
                    let lines = [&[entry.draft.line], entry.repeats.as_slice()].concat();
                    if !self.upsert(entry.draft) {
                        rejected.extend(lines);
                    }
                }
            };
            for row in rows {
                if let Some(back) = batch.push(row.clone()) {
                    flush(&mut batch);
                    assert_eq!(batch.push(back), None, "an empty batch takes any row");
                }
            }
            flush(&mut batch);
            rejected.sort_unstable();
            rejected
        }
    }

    #[test]
    fn neighbouring_rows_about_the_same_customer_become_one() {
        let mut batch = ContactBatch::new(10);
        assert_eq!(batch.push(draft(2, Some(2), 2, None, 0)), None);
        assert_eq!(batch.push(draft(3, Some(1), 1, Some(1), 5)), None);
        assert_eq!(batch.push(draft(4, Some(1), 1, Some(2), 1)), None);
        let entries = batch.take();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[1].repeats, [4]);
        let both = &entries[1].draft;
        assert_eq!((both.first_name.as_deref(), both.consent), (Some("2"), Consent::Denied));
        assert_eq!(both.tags, ["t1", "t2"]);
        assert_eq!(both.attrs, r#"{"a1":"3","a2":"4"}"#);
    }

    #[test]
    fn a_number_that_changes_hands_closes_the_batch() {
        let mut batch = ContactBatch::new(10);
        assert_eq!(batch.push(draft(2, Some(1), 1, None, 0)), None);
        assert!(batch.push(draft(3, Some(1), 2, None, 0)).is_some(), "a new number of the same customer");
        assert!(batch.push(draft(4, Some(2), 1, None, 0)).is_some(), "the number of another customer");
        assert!(batch.push(draft(5, None, 1, None, 0)).is_some(), "the same number without a customer id");
        assert_eq!(batch.len(), 1);
    }

    proptest! {
        #[test]
        fn an_import_ends_alike_whatever_the_batch_size(
            rows in proptest::collection::vec((proptest::option::of(0_u8..4), 0_u8..4, proptest::option::of(0_u8..3), 0_u8..4), 0..40),
            capacity in 1_usize..12,
        ) {
            let rows: Vec<_> = (2..).zip(rows).map(|(line, (c, p, n, s))| draft(line, c, p, n, s)).collect();
            let (mut one_by_one, mut batched) = (Contacts::default(), Contacts::default());
            let rejected = one_by_one.import(&rows, 1);
            prop_assert_eq!(batched.import(&rows, capacity), rejected);
            prop_assert_eq!(&batched, &one_by_one);
        }

        #[test]
        fn the_same_file_twice_and_after_a_broken_start_changes_nothing(
            rows in proptest::collection::vec((any::<bool>(), 0_u8..4, proptest::option::of(0_u8..3), 0_u8..4), 0..40),
            capacity in 1_usize..12,
            broken_after in 0_usize..40,
        ) {
            let keep = |known: bool, phone: u8| known.then_some(phone);
            let rows: Vec<_> = (2..).zip(rows).map(|(line, (k, p, n, s))| draft(line, keep(k, p), p, n, s)).collect();
            let (mut once, mut again) = (Contacts::default(), Contacts::default());
            prop_assert_eq!(once.import(&rows, capacity), Vec::<u64>::new());
            again.import(&rows[..broken_after.min(rows.len())], capacity);
            again.import(&rows, capacity);
            again.import(&rows, capacity);
            prop_assert_eq!(&again, &once);
        }
    }
}
