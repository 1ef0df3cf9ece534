//! Named values that a shop attaches to a contact or an event, kept exactly as they came.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// Names and JSON values, ordered by name. A value is held as its JSON text, so that reading and writing it again
/// never changes a digit, and two sets are equal exactly when their texts are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// Sets one value; null means "not told" and changes nothing.
    pub fn set(&mut self, name: &str, value: &Value) {
        if !value.is_null() {
            self.0.insert(name.to_owned(), value.to_string());
        }
    }

    /// Reads a JSON object; nulls in it are left out.
    ///
    /// # Errors
    /// When the text is not a JSON object.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let values: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text)?;
        let told = values.into_iter().filter(|(_, value)| value.get() != "null");
        Ok(Self(told.map(|(name, value)| (name, value.get().to_owned())).collect()))
    }

    /// The JSON object, names in order; equal sets give equal texts.
    pub fn to_json(&self) -> String {
        let mut text = String::from("{");
        for (name, value) in &self.0 {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&Value::from(name.as_str()).to_string());
            text.push(':');
            text.push_str(value);
        }
        text.push('}');
        text
    }

    /// One value.
    pub fn get(&self, name: &str) -> Option<Value> {
        self.0.get(name).and_then(|text| serde_json::from_str(text).ok())
    }

    /// Every name, sorted.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0.keys().cloned()
    }

    /// True when nothing was told.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over every value that `newer` has and keeps the others; answers whether anything changed.
    pub fn take_over(&mut self, newer: &Self) -> bool {
        let mut changed = false;
        for (name, value) in &newer.0 {
            if self.0.get(name) != Some(value) {
                self.0.insert(name.clone(), value.clone());
                changed = true;
            }
        }
        changed
    }
}

impl<'a> FromIterator<(&'a str, Value)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (&'a str, Value)>>(values: I) -> Self {
        let mut attributes = Self::default();
        for (name, value) in values {
            attributes.set(name, &value);
        }
        attributes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::Attributes;

    #[test]
    fn only_told_values_replace_older_ones() {
        let check = |old: &str, new: &str, expected: &str, changes: bool| {
            let mut merged = Attributes::from_json(old).expect("an object");
            let newer = Attributes::from_json(new).expect("an object");
            assert_eq!(merged.take_over(&newer), changes, "{old} + {new}");
            assert_eq!(merged.to_json(), expected, "{old} + {new}");
        };
        check("{}", "{}", "{}", false);
        check(r#"{"b":1}"#, r#"{"a":"x"}"#, r#"{"a":"x","b":1}"#, true);
        check(r#"{"a":"x"}"#, r#"{"a":null}"#, r#"{"a":"x"}"#, false);
        check(r#"{"a":"x"}"#, r#"{"a":"x"}"#, r#"{"a":"x"}"#, false);
        check(r#"{"a":1}"#, r#"{"a":"1"}"#, r#"{"a":"1"}"#, true);
        check(r#"{"a":{"k":1}}"#, r#"{"a":{"l":2}}"#, r#"{"a":{"l":2}}"#, true);
    }

    proptest! {
        #[test]
        fn writing_and_reading_again_changes_no_digit(number in any::<f64>(), name in ".*", text in ".*") {
            let told: Attributes = [("n", json!(number)), (name.as_str(), json!(text))].into_iter().collect();
            let stored = told.to_json();
            let read = Attributes::from_json(&stored).expect("an object");
            prop_assert_eq!(read.to_json(), stored);
            prop_assert_eq!(read, told);
        }
    }
}
