//! What is looked at beyond each file alone: accounts, prices, dates, and what a store knows.

use super::{CAMPAIGN, EXAMPLE, sample_answers};
use crate::campaign::definition::Definition;
use crate::config::starter::{Answers, starter};
use crate::config::{Config, facts};
use crate::document::FileErrors;
use crate::model::clock::Timestamp;

#[test]
fn the_first_campaign_of_a_shop_is_right_and_still_to_come() {
    let now = Timestamp::parse("2026-12-30T23:30:00Z").expect("time");
    for (zone, first) in [("UTC", "2026-12-31 10:00"), ("Asia/Tokyo", "2027-01-01 10:00")] {
        let answers = Answers { zone: zone.to_owned(), ..sample_answers() };
        let config = Config::check("winback.toml", &starter(&answers)).expect("configuration");
        let text = crate::config::starter::campaign(&answers, now);
        assert!(text.contains(&format!("at = \"{first}\"")), "{text}");
        let definition = config.check_campaign("national-day.toml", &text).expect("campaign");
        config.check_sendable(&definition, "national-day.toml", &text, now).expect("sendable");
        assert!(facts::asked(&definition).is_empty(), "it asks for nothing that a list may leave out");
    }
}

#[test]
fn a_campaign_that_is_over_or_has_no_price_is_refused_at_its_place() {
    let check = |config: &str, campaign: &str, now: &str, expected: &[(usize, usize, &str)]| {
        let config = Config::parse("winback.toml", config).expect("configuration");
        let now = Timestamp::parse(now).expect("time");
        let definition = config.check_campaign("national-day.toml", campaign).expect("campaign");
        let read = config.check_sendable(&definition, "national-day.toml", campaign, now);
        let places = read.err().map(|errors| errors.places()).unwrap_or_default();
        let found: Vec<_> = places.iter().map(|p| (p.line, p.column, p.problem.as_str())).collect();
        assert_eq!(found, expected);
    };
    let before = "2026-09-01T00:00:00Z";
    check(EXAMPLE, CAMPAIGN, before, &[]);
    let over = "the run is over: it ended at 2026-10-08T08:00:00Z";
    check(EXAMPLE, CAMPAIGN, "2026-10-09T00:00:00Z", &[(12, 65, over)]);
    check(EXAMPLE, CAMPAIGN, "2026-10-08T07:00:00Z", &[]);
    let unpriced = EXAMPLE.replace("price = ", "#price = ");
    check(&unpriced, CAMPAIGN, before, &[(8, 11, "route `us` has no price for US")]);
    let two = EXAMPLE.replace("countries = [\"US\"]", "countries = [\"US\", \"CA\"]");
    check(&two, CAMPAIGN, before, &[(8, 11, "route `us` has no price for CA")]);
    let north = "[routes.north]\nprovider = 'twilio'\ncountries = ['CA']\nprice = { CA = 0.01 }\n";
    let both = CAMPAIGN.replace("routes = [\"us\"]", "routes = [\"us\", \"north\"]");
    check(&format!("{two}\n{north}"), &both, before, &[]);
}

#[test]
fn an_account_that_its_provider_would_not_work_with_is_shown_at_its_place() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("token"), "hunter2").expect("written");
    let file = folder.path().join("winback.toml").to_string_lossy().into_owned();
    let check = |lines: &str, expected: &[(usize, usize, &str)]| {
        let text = format!("[routes.us]\ncountries = ['US']\n{lines}\n");
        let read = Config::check_with(&file, &text, |_| Some(crate::provider::Catalog::builtin()));
        let places = read.err().map(|errors| errors.places()).unwrap_or_default();
        let found: Vec<_> = places
            .iter()
            .map(|p| (p.line, p.column, p.problem.split(" (").next().unwrap_or_default()))
            .map(|(line, column, problem)| (line, column, problem.rsplit('/').next().unwrap_or_default()))
            .collect();
        assert_eq!(found, expected, "{lines}");
    };
    let good = "provider = 'twilio'\nsecrets.account_sid = { env = 'NOWHERE_SET' }\nsecrets.auth_token = { file = 'token' }";
    check(good, &[]);
    check("provider = 'twillio'", &[(3, 12, "there is no provider `twillio`")]);
    check(&good.replace("auth_token", "auth_tokn"), &[(5, 9, "`twilio` has no secret `auth_tokn`")]);
    check(
        "provider = 'twilio'\nsecrets.account_sid = { env = 'NOWHERE_SET' }",
        &[(1, 9, "`twilio` needs the secret `auth_token`")],
    );
    check(&good.replace("'token'", "'gone'"), &[(5, 22, "gone cannot be read")]);
    check(&format!("{good}\nsettings.base = 'x'"), &[(6, 10, "`twilio` has no setting `base`")]);
    let text = format!("[routes.us]\ncountries = ['US']\n{good}\n");
    let config = Config::parse(&file, &text).expect("config");
    let unset = config.unset_secrets(&file, &text).expect("a warning");
    assert_eq!((unset.places()[0].line, unset.places().len()), (4, 1), "{unset}");
    assert!(unset.to_string().starts_with("warning: the environment variable NOWHERE_SET"), "{unset}");
}

#[test]
fn files_are_held_against_what_the_store_knows() {
    let config = "[segments]\nbuyers = \"count('ordr') > 0\"\nlookers = \" count('visit') > 0\"\n\
                  reds = \"attr.colour = 'red'\"\nlost = \"stage = 'lost'\"\n";
    let campaign = "segment = \"buyers\"\nroutes = ['us']\nschedule.at = 'now'\n[coupon]\npool = 'autum'\n\
                    [text]\nen = \"{{ attr.colour }} {{ attr.size | d('') }} {{ coupon.code }}\"\n";
    let read = Config::check("winback.toml", config).expect("config");
    let definition = Definition::parse("c.toml", campaign, "UTC").expect("campaign");
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let check = |facts: &facts::Facts, wrong: &[(usize, usize)], doubtful: &[(usize, usize)]| {
        let one = read.check_facts("winback.toml", config, facts).expect("TOML");
        let two = facts::check_campaign_facts(&definition, "c.toml", campaign, facts).expect("TOML");
        let places = |errors: [Option<FileErrors>; 2]| {
            let all = errors.into_iter().flatten().flat_map(|errors| errors.places());
            all.map(|place| (place.line, place.column)).collect::<Vec<_>>()
        };
        assert_eq!(places([one.wrong, two.wrong]), wrong);
        assert_eq!(places([one.doubtful, two.doubtful]), doubtful);
    };
    let pools = list(&["autumn"]);
    check(&facts::Facts { pools: pools.clone(), ..Default::default() }, &[(5, 8)], &[(2, 17), (3, 19)]);
    let mut known = facts::Facts {
        contacts: true,
        kinds: list(&["order"]),
        pools,
        absent: ["attr.colour", "attr.size", "stage"].map(str::to_owned).into(),
        attributes: ["weight".to_owned()].into(),
    };
    check(&known, &[(2, 17), (5, 8), (7, 10)], &[(3, 19), (4, 9), (5, 9), (7, 28)]);
    known.attributes.insert("color".to_owned());
    check(&known, &[(2, 17), (4, 9), (5, 8), (7, 10)], &[(3, 19), (5, 9), (7, 28)]);
    let asked: Vec<String> = read.asked().into_iter().chain(facts::asked(&definition)).collect();
    assert_eq!(asked, ["attr.colour", "stage", "attr.colour", "attr.size"]);
}
