//! Everything that is known about one number, for `winback phone` and for whoever asks why a text waited.
//!
//! Reads whatever it is given and never fails: what is wrong with a number is part of the report.

use std::time::Duration;

use serde::Serialize;

use super::law::{LawRegion, Rules};
use super::schedule::{Interval, Schedule};
use super::window::Window;
use super::zones::{Candidates, ZoneSource, libphonenumber_zones};
use crate::model::clock::Timestamp;
use crate::model::country::{Country, Subregion};
use crate::model::number::{BadNumber, Number, NumberKind, NumberWarning, parse};

/// The report on one number; fields stay `null` when nothing can be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NumberReport {
    /// The number as `+` and digits.
    pub e164: Option<String>,
    /// Its country.
    pub region: Option<Country>,
    /// The US state of its area code.
    pub subregion: Option<Subregion>,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: NumberKind,
    /// Whether it fits its country's plan.
    pub valid: bool,
    /// Whether its digits tell a place.
    pub geographic: bool,
    /// The zones that libphonenumber gives for it.
    pub zones: Vec<&'static str>,
    /// The zones its owner may be in, which are the ones that count.
    pub candidate_zones: Vec<&'static str>,
    /// Where those come from.
    pub zone_source: ZoneSource,
    /// Whether marketing may go to it at all, by its kind.
    pub may_text: bool,
    /// Whether the lawful hours are open now; `null` when no zone is known.
    pub allowed_now: Option<bool>,
    /// The first lawful instant from now on, RFC 3339 in UTC.
    pub next_allowed: Option<String>,
    /// The lawful hours by weekday.
    pub lawful_hours: Option<String>,
    /// The ids of the rules behind them.
    pub rules: Vec<String>,
    /// What was mended while reading.
    pub warning: Option<NumberWarning>,
    /// Why it is no number, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<BadNumber>,
    /// The same in a sentence with the way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Reads a number and looks up all there is to say about it at `now`, under the shipped rules, without a campaign.
pub fn report(raw: &str, default_country: Option<Country>, now: Timestamp) -> NumberReport {
    match parse(raw, default_country) {
        Ok(number) => on_number(&number, now),
        Err(error) => NumberReport {
            e164: None,
            region: None,
            subregion: None,
            kind: NumberKind::Unknown,
            valid: false,
            geographic: false,
            zones: Vec::new(),
            candidate_zones: Vec::new(),
            zone_source: ZoneSource::Unknown,
            may_text: false,
            allowed_now: None,
            next_allowed: None,
            lawful_hours: None,
            rules: Vec::new(),
            warning: None,
            error: Some(error),
            message: Some(error.to_string()),
        },
    }
}

fn on_number(number: &Number, now: Timestamp) -> NumberReport {
    let candidates = Candidates::of(None, Some(number));
    let law = LawRegion::of(Some(number));
    let lawful = Rules::load().lawful(law, now);
    let schedule = Schedule::new(candidates.zones(), Window::ALWAYS, &lawful, Duration::ZERO).ok();
    let next: Option<Option<Interval>> = schedule.map(|schedule| schedule.next_allowed(now));
    NumberReport {
        e164: Some(number.phone.e164()),
        region: number.region,
        subregion: law.subregion(),
        kind: number.kind,
        valid: number.valid,
        geographic: number.geographic,
        zones: libphonenumber_zones(number).to_vec(),
        candidate_zones: candidates.zones().to_vec(),
        zone_source: candidates.source(),
        may_text: number.kind.may_text(),
        allowed_now: next.map(|next| next.is_some_and(|interval| interval.open == now)),
        next_allowed: next.flatten().map(|interval| interval.open.rfc3339()),
        lawful_hours: number.valid.then(|| lawful.window.to_string()),
        rules: if number.valid { lawful.rules } else { Vec::new() },
        warning: number.warning,
        error: None,
        message: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::report;
    use crate::model::clock::Timestamp;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_report_says_all_that_is_known() {
        let got = report("(305) 555-0123 x9", "US".parse().ok(), at("2026-01-16T01:00:00Z"));
        assert_eq!(
            serde_json::to_value(got).unwrap(),
            json!({
                "e164": "+13055550123", "region": "US", "subregion": "FL", "type": "fixed_line_or_mobile",
                "valid": true, "geographic": true, "zones": ["America/New_York"],
                "candidate_zones": ["America/New_York"], "zone_source": "prefix", "may_text": true,
                "allowed_now": false, "next_allowed": "2026-01-16T13:00:00Z", "lawful_hours": "08:00-20:00",
                "rules": ["us-hours", "us-fl"], "warning": "extension",
            })
        );
    }

    #[test]
    fn what_is_no_number_is_reported_with_the_way_out() {
        let got = serde_json::to_value(report("4805550126", None, at("2026-01-16T01:00:00Z"))).unwrap();
        assert_eq!(
            (&got["error"], &got["valid"], &got["allowed_now"]),
            (&json!("no_country"), &json!(false), &json!(null))
        );
        assert!(got["message"].as_str().unwrap().contains("country code"));
        assert!(!got.to_string().contains("4805550126"));
    }

    #[test]
    fn an_invalid_number_is_never_allowed() {
        let got = report("+1 555 555 5555", None, at("2026-01-16T15:00:00Z"));
        assert_eq!((got.e164.as_deref(), got.valid, got.may_text), (Some("+15555555555"), false, false));
        assert_eq!((got.allowed_now, got.next_allowed), (None, None));
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_report_fall_over(raw in ".{0,60}", country in "[A-Z]{2}", now in proptest::num::i64::ANY) {
            let got = report(&raw, country.parse().ok(), Timestamp(now));
            proptest::prop_assert_eq!(got.e164.is_none(), got.error.is_some());
        }

        #[test]
        fn no_number_makes_the_report_fall_over(raw in "\\+[1-9][0-9]{3,16}", now in proptest::num::i64::ANY) {
            let got = report(&raw, None, Timestamp(now));
            proptest::prop_assert_eq!(got.e164.is_none(), got.error.is_some());
        }
    }
}
