//! The rules of reading numbers, as tables.

use serde::Deserialize;

use super::{BadNumber, Number, NumberKind, NumberWarning, parse};

/// Results of libphonenumber 9.0.43, except where an E.164 number cannot hold them (P058 has six digits, P063
/// eighteen) and where we mend more than it does (P034, the old Mexican mobile). `region` is null for +800.
const VECTORS: &str = include_str!("../../../tests/data/number/numbers.jsonl");

#[derive(Deserialize)]
struct Vector {
    id: String,
    raw: String,
    default_region: Option<String>,
    parse: String,
    error: Option<String>,
    valid: Option<bool>,
    e164: Option<String>,
    region: Option<String>,
    r#type: Option<String>,
    geographic: Option<bool>,
    warning: Option<String>,
}

fn read(raw: &str, country: &str) -> Result<Number, BadNumber> {
    parse(raw, country.parse().ok())
}

#[test]
fn numbers_are_read_as_libphonenumber_reads_them() {
    for line in VECTORS.lines() {
        let vector: Vector = serde_json::from_str(line).unwrap();
        let id = &vector.id;
        match read(&vector.raw, vector.default_region.as_deref().unwrap_or("")) {
            Err(error) => assert_eq!(Some(error.as_str()), vector.error.as_deref(), "{id}"),
            Ok(number) => {
                assert_eq!(vector.parse, "ok", "{id}");
                assert_eq!(Some(number.phone.e164()), vector.e164, "{id}");
                assert_eq!(Some(number.valid), vector.valid, "{id}");
                assert_eq!(number.region.map(String::from), vector.region, "{id}");
                assert_eq!(Some(number.kind.as_str()), vector.r#type.as_deref(), "{id}");
                assert_eq!(Some(number.geographic), vector.geographic, "{id}");
                assert_eq!(number.warning.map(NumberWarning::as_str), vector.warning.as_deref(), "{id}");
            }
        }
    }
}

#[test]
fn spellings_from_real_lists_reach_the_right_number() {
    let check = |raw: &str, country: &str, e164: &str, warning: Option<NumberWarning>| {
        let number = read(raw, country).unwrap_or_else(|e| panic!("{raw} in {country}: {e}"));
        assert_eq!((number.phone.e164().as_str(), number.warning), (e164, warning), "{raw} in {country}");
        assert!(number.valid, "{raw} in {country}");
    };
    let foreign = Some(NumberWarning::ForeignPrefix);
    check("001 206 5550100", "US", "+12065550100", foreign);
    check("001 206 5550100", "DE", "+12065550100", None);
    check("011 1 206 5550100", "US", "+12065550100", None);
    check("0044 7400 123456", "", "+447400123456", foreign);
    check("0055 11 96123-4567", "BR", "+5511961234567", foreign);
    check("14805550126", "US", "+14805550126", None);
    check("4805550126", "US", "+14805550126", None);
    check("1-480-555-0126", "CA", "+14805550126", None);
    check("447400123456", "GB", "+447400123456", None);
    check("+44 (0)7400 123456", "", "+447400123456", None);
    check("0049 151 23456789", "FR", "+4915123456789", None);
    check("0 6 12 34 56 78", "FR", "+33612345678", None);
    check("06 1234 5678", "IT", "+390612345678", None);
    check("3123456789", "IT", "+393123456789", None);
    check("8 912 345-67-89", "RU", "+79123456789", None);
    check("0 11 15-2345-6789", "AR", "+5491123456789", None);
    check("464 1234", "AG", "+12684641234", None);
    check("13800138000", "CN", "+8613800138000", None);
    check("8613800138000", "CN", "+8613800138000", None);
    check("11 96123-4567", "BR", "+5511961234567", None);
    check("010-2000-0000", "KR", "+821020000000", None);
    check("1 55 1234 5678", "MX", "+525512345678", Some(NumberWarning::OldMexicanMobile));
}

#[test]
fn a_national_number_without_a_country_is_never_guessed() {
    for raw in ["4805550126", "14805550126", "0612345678", "447400123456"] {
        assert_eq!(read(raw, ""), Err(BadNumber::NoCountry), "{raw}");
    }
}

#[test]
fn letters_count_only_in_company_numbers() {
    assert_eq!(read("480-555-O126", "US"), Err(BadNumber::Letters));
    assert_eq!(read("480-555-HOME", "US"), Err(BadNumber::Letters));
    assert_eq!(read("480 555 0126 home", "US"), Err(BadNumber::Letters));
    assert_eq!(read("1-800-FLOWERS", "US").unwrap().warning, Some(NumberWarning::Letters));
}

#[test]
fn only_numbers_that_can_be_mobiles_are_texted_by_default() {
    let texted: Vec<_> = NumberKind::ALL.into_iter().filter(|kind| kind.may_text()).collect();
    assert_eq!(texted, [NumberKind::Mobile, NumberKind::FixedLineOrMobile]);
    for kind in NumberKind::ALL {
        assert_eq!(NumberKind::from_word(kind.as_str()), Some(kind));
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
}

#[test]
fn no_error_repeats_the_number() {
    for raw in ["4805550126", "+999 4805550126", "4805550126,4805550127", "+48055501264805550126"] {
        let error = read(raw, "").unwrap_err();
        assert!(!error.to_string().contains("4805550"), "{error}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_fall_over(raw in ".{0,40}", country in "[A-Z]{2}") {
        let outcome = read(&raw, &country);
        proptest::prop_assert!(outcome.is_err() || outcome.is_ok_and(|n| n.phone.digits() > 999_999));
    }

    #[test]
    fn what_was_read_is_read_the_same_again(raw in "[+0-9 ()x.-]{5,22}", country in "US|DE|MX|BR|AR|IT|AG|RU") {
        if let Ok(first) = read(&raw, &country) && first.valid {
            let again = parse(&first.phone.e164(), None).unwrap();
            proptest::prop_assert_eq!(Number { warning: None, ..first }, again);
        }
    }
}

#[test]
fn every_territory_with_telephones_is_a_country() {
    use phonenumber::metadata::DATABASE;
    let metas = (1..1000).flat_map(|code| DATABASE.by_code(&code).unwrap_or_default());
    let ids: Vec<&str> = metas.map(phonenumber::Metadata::id).filter(|id| id.len() == 2).collect();
    assert!(ids.len() > 240, "{}", ids.len());
    for id in ids {
        assert!(id.parse::<crate::model::country::Country>().is_ok(), "{id}");
    }
}
