//! The first steps of a shop: what `init` writes, what it refuses, and that its example goes as far as a plan.

use super::Shop;

#[test]
fn the_example_can_be_planned_as_soon_as_there_are_customers() {
    let shop = Shop::new();
    std::fs::write(
        shop.path("list.csv"),
        "phone,name,consent_at\n+12125550123,Ann,2026-01-31\n+13105550124,Bob,2026-01-31\n",
    )
    .expect("written");
    shop.good(&["contact", "import", "list.csv"]);
    let checked = shop.json(&["check"]);
    assert_eq!((&checked["good"], &checked["problems"]), (&true.into(), &serde_json::json!([])), "{checked}");
    let plan = shop.json(&["plan", "national-day"]);
    assert_eq!(
        (&plan["messages"], &plan["ready"], &plan["run"]),
        (&2.into(), &true.into(), &().into()),
        "{plan}"
    );
    let hash = plan["hash"].as_str().expect("a hash");
    shop.good(&["launch", "national-day", "--plan", hash]);
    let again = shop.good(&["plan", "national-day"]);
    assert!(again.contains("already launched for this start: run 1, running, 2 messages"), "{again}");
    assert!(!again.contains("launch it"), "{again}");
    let run = shop.json(&["plan", "national-day"])["run"].clone();
    assert_eq!(run, serde_json::json!({"id": 1, "state": "running"}));
}

#[test]
fn a_set_up_that_fails_leaves_nothing_behind() {
    let check = |args: &[&str], told: &str| {
        let shop = Shop::empty();
        let said = shop.run(&[&["init"], args].concat());
        assert_ne!(said.code, Some(0), "{args:?}: {}", said.out);
        assert!(said.err.contains(told), "{args:?}: {}", said.err);
        assert_eq!(std::fs::read_dir(shop.path("")).expect("there").count(), 0, "{args:?}");
    };
    check(&["--url", "mysql://x"], "--url is not the address of a store");
    check(&["--url", "sqlite:no/such/folder/w.db"], "no/such/folder");
    let nobody = "the PostgreSQL server at 127.0.0.1:1 (database `none`) cannot be used: Connection refused";
    check(&["--url", "postgres://nobody:secret@127.0.0.1:1/none"], nobody);
    check(&["--price", "-1"], "--price");
    check(&["--sender", " "], "--sender");
    check(&["--zone", "Mars/Olympus"], "--zone");
    check(&["--provider", "acme"], "acme");
}

#[test]
fn options_are_not_ignored_where_a_configuration_is_there_already() {
    let shop = Shop::new();
    let mine = std::fs::read_to_string(shop.path("winback.toml")).expect("written");
    let said = shop.run(&["init", "--shop", "Other", "--price", "0.5"]);
    assert_eq!(said.code, Some(2), "{}", said.out);
    assert!(said.err.contains("winback.toml is there already") && said.err.contains("--shop, --price"));
    std::fs::remove_file(shop.path("winback.db")).expect("removed");
    std::fs::remove_file(shop.path("campaigns/national-day.toml")).expect("removed");
    let again = shop.good(&["init"]);
    assert!(again.contains("winback.db created"), "{again}");
    assert!(!shop.path("campaigns/national-day.toml").exists(), "what was removed stays away");
    assert_eq!(std::fs::read_to_string(shop.path("winback.toml")).expect("there"), mine);
}

#[test]
fn doctor_says_what_is_wrong_and_how_to_mend_it() {
    let shop = Shop::new();
    let told = |what: &str| {
        let said = shop.run(&["doctor", "--json"]);
        let all: Vec<serde_json::Value> = serde_json::from_str(&said.out).expect("JSON");
        all.into_iter()
            .filter(|one| one["what"] == what)
            .map(|one| format!("{} {}", one["grade"], one["told"]))
            .collect()
    };
    let check = |what: &str, expected: &str| {
        let told: Vec<String> = told(what);
        assert!(told.iter().any(|one| one.contains(expected)), "{what}: {told:?}");
    };
    check("database", "\"ok\" \"SQLite 3.");
    check("disk", "MiB free");
    check("file modes", "\"ok\"");
    check("config mode", "\"ok\"");
    check("open files", "may be needed");
    check("log", "MiB");
    check("clock and store", "\"ok\"");
    check("route us", "TWILIO_ACCOUNT_SID is not set");
    check("campaign", "\"ok\"");
    check("file", "no event of kind 'order' is known");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(shop.path("winback.db"), mode).expect("mode");
    check("file modes", "chmod 600");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(shop.path("winback.toml"), mode).expect("mode");
    check("config mode", "chmod go-w");
    std::fs::write(
        shop.path("campaigns/bad.toml"),
        "segment = \"nobody\"\nroutes = [\"us\"]\nschedule.at = \"now\"\n[text]\nen = \"x\"\n",
    )
    .expect("written");
    check("file", "line 1: there is no segment `nobody`");
}
