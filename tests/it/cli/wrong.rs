//! Wrong calls: what they say and how they end.

use super::Shop;

/// Arguments, exit code, what the message says.
const WITHOUT_CONFIG: &[(&[&str], i32, &str)] = &[
    (&[], 2, "Usage"),
    (&["frobnicate"], 2, "unrecognized"),
    (&["status"], 1, "winback init"),
    (&["segment", "count", "true"], 1, "winback init"),
    (&["--config", "gone.toml", "phone", "+12125550123"], 2, "gone.toml"),
    (&["--config", "gone.toml", "status"], 2, "there is no gone.toml"),
    (&["--config", "gone.toml", "simulator", "audit", "gone.jsonl", "gone.db"], 2, "there is no gone.toml"),
    (&["demo", "--data", "gone"], 2, "gone/customers.csv is not there"),
    (&["text"], 2, "required"),
    (&["phone", "--lines", "+12125550123"], 2, "cannot be used"),
    (&["phone", "+12125550123", "--country", "USA"], 2, "--country"),
    (&["phone", "+12125550123", "--country", "USA"], 2, "did you mean US?"),
    (&["phone", "2125550123", "--country", "XX"], 2, "'--country <XX>': XX is no country"),
    (&["init", "--country", "UK"], 2, "did you mean GB?"),
    (&["init", "--zone", "Mars/Olympus"], 2, "Europe/Berlin"),
    (&["init", "--provider", "acme"], 2, "there are: "),
    (&["provider", "show", "acme"], 2, "there are: "),
    (&["provider", "check", "acme"], 2, "there are: "),
    (&["provider", "check", "gone.toml"], 2, "gone.toml"),
    (&["man", "nothing"], 2, "no command"),
    (&["completions", "cobol"], 2, "possible values"),
];

const WITH_SHOP: &[(&[&str], i32, &str)] = &[
    (&["contact", "import", "gone.csv"], 2, "gone.csv"),
    (&["contact", "import", "campaigns"], 1, "it is a folder"),
    (&["contact", "import", "winback.db"], 1, "is no text; name a CSV"),
    (&["contact", "import", "noise"], 1, "is no text; name a CSV"),
    (&["contact", "import", "picture"], 1, "picture is no text; name a CSV"),
    (&["contact", "import", "bare.csv"], 2, "bare.csv: the first line looks like data"),
    (&["event", "import", "cut.csv.gz", "--kind", "order"], 1, "fetch it again"),
    (&["contact", "import", "list.csv", "--consent-at", "2999-01-01"], 2, "in the future"),
    (&["contact", "import", "list.csv", "--country", "XX"], 2, "'--country <XX>': XX is no country"),
    (&["contact", "import", "list.csv", "--map", "phone"], 2, "field=Column"),
    (&["contact", "import", "list.csv", "--map", "phone=Gone"], 2, "no such column"),
    (&["contact", "import", "list.csv", "--consent-at", "soon"], 2, "is no time"),
    (&["contact", "import", "list.csv", "--encoding", "martian"], 1, "no encoding"),
    (&["contact", "show", "nobody"], 2, "no contact"),
    (&["event", "import", "list.csv"], 2, "--kind"),
    (&["event", "import", "list.csv", "--kind", "order"], 2, "occurred_at"),
    (&["event", "import", "list.csv", "--kind", " "], 2, "name what happened, such as order or login"),
    (&["segment", "count", "nobody"], 2, "sleeping-spenders"),
    (&["segment", "count", "stage ="], 2, "expected"),
    (&["segment", "count", "true", "--as-of", "tomorrow"], 2, "is no time"),
    (&["coupon", "generate", "gone", "5"], 2, "winback coupon create gone"),
    (&["coupon", "list", "gone"], 2, "winback coupon create gone"),
    (&["coupon", "generate", "gone", "0"], 2, "0"),
    (&["coupon", "create", "old", "--value", "5", "--expires", "2001-01-01"], 2, "past"),
    (&["coupon", "list", "--codes"], 2, "NAME"),
    (&["optout", "add", "12"], 2, "too few digits"),
    (&["check", "gone.toml"], 2, "there is no campaign `gone`"),
    (&["check", "gone"], 2, "there is no campaign `gone`"),
    (&["plan", "gone"], 2, "there is no campaign `gone`"),
    (&["launch", "gone"], 2, "there is no campaign `gone`"),
    (&["rehearse", "gone"], 2, "there is no campaign `gone`"),
    (&["rehearse", "national-day", "--minutes", "0"], 2, "1..=1440"),
    (&["rehearse", "national-day", "--script", "gone"], 2, "there is no script `gone`"),
    (&["why-slow", "gone"], 2, "has not been launched"),
    (&["watch", "gone"], 2, "has not been launched"),
    (&["why", "+12125550123", "gone"], 2, "no contact"),
    (&["simulator", "audit", "list.csv", "winback.db", "--run", "9"], 2, "there is no run 9"),
    (
        &["simulator", "audit", "list.csv", "winback.db", "--rate", "5", "--burst", "0"],
        2,
        "--burst must be 1 at least",
    ),
    (&["simulator", "--latency-ms", "5", "1"], 2, "the 95th percentile must not be below the median"),
    (&["simulator", "audit", "gone.jsonl", "winback.db"], 2, "there is no ledger gone.jsonl"),
    (&["simulator", "audit", "list.csv", "gone.db"], 2, "there is no store gone.db"),
    (&["simulator", "audit", "campaigns", "winback.db"], 1, "cannot read the ledger campaigns"),
    (
        &["simulator", "audit", "list.csv", "campaigns"],
        1,
        "campaigns is a folder and no store; name a file in it",
    ),
    (&["simulator", "--script", "gone.toml"], 2, "there is no script gone.toml"),
    (&["rehearse", "national-day", "--script", "gone.toml"], 2, "there is no script gone.toml"),
    (&["simulator", "--fail", "gone=0.1"], 2, "there are: throttled"),
    (&["simulator", "--fail", "reset=0.1,silent"], 2, "--fail silent: write NAME=SHARE"),
    (&["store", "restore", "gone.db"], 2, "gone.db"),
    (&["store", "prune", "--older-than", "9999999999 years"], 2, "name a shorter period"),
    (&["store", "prune", "--older-than", "half a year"], 2, "days, weeks, months or years"),
    (&["store", "prune", "--older-than", "3 w"], 2, "30 days or more"),
    (&["status", "gone"], 2, "has not been launched"),
    (&["message", "list", "gone"], 2, "has not been launched"),
    (&["message", "list", "gone", "--state", "lost"], 2, "there are: planned"),
    (&["message", "show", "7"], 2, "no message 7"),
    (&["message", "list"], 2, "CAMPAIGN"),
    (&["message", "show", "abc"], 2, "an id is a whole number such as 1234"),
    (&["message", "resolve", "7"], 2, "--as"),
    (&["message", "resolve", "abc", "--as", "accepted"], 2, "an id is a whole number such as 1234"),
    (&["message", "resolve", "7", "--as", "accepted"], 2, "there is no message 7, so nothing was decided"),
    (&["message", "resolve", "7", "--as", "maybe"], 2, "accepted, not-sent, resend"),
    (&["message", "resolve", "--as", "accepted", "--campaign", "gone"], 2, "--all"),
    (&["message", "resolve", "--as", "accepted", "--campaign", "gone", "--all"], 2, "has not been launched"),
    (&["pause", "gone"], 2, "has not been launched"),
    (&["optout", "remove", "+12125550123"], 2, "--reason"),
    (&["why", "nobody", "gone"], 2, "no contact"),
    (&["provider", "try", "gone", "--to", "+12125550123", "--text", "x"], 2, "there are: us"),
    (&["provider", "try", "us", "--to", "+442071838750", "--text", "x"], 2, "not texted"),
    (&["provider", "try", "us", "--to", "+447400123456", "--text", "x"], 2, "does not text GB"),
    (&["provider", "try", "us", "--to", "+12125550123", "--text", "x"], 1, "TWILIO_ACCOUNT_SID"),
    (&["receipt", "replay", "--route", "gone"], 2, "there are: us"),
    (&["test", "gone", "--to", "+12125550123"], 2, "gone"),
];

fn check(shop: &Shop, table: &[(&[&str], i32, &str)]) {
    for (args, code, fragment) in table {
        let said = shop.run(args);
        assert_eq!(said.code, Some(*code), "{args:?}: {}{}", said.out, said.err);
        assert!(said.err.contains(fragment), "{args:?}: {}", said.err);
    }
}

#[test]
fn a_wrong_call_says_what_is_wrong_and_the_way_out() {
    check(&Shop::empty(), WITHOUT_CONFIG);
    let shop = Shop::new();
    std::fs::write(shop.path("list.csv"), "customer_id,phone\n1,+12125550123\n").expect("written");
    std::fs::write(shop.path("noise"), [0x07, 0x1b, 0x02, b'a', b',', 0x11, b'\n', 0x03]).expect("written");
    // A picture whose first line has no octet that only pictures have.
    let picture = [&b"\xFEAB\n"[..], &[0x01, 0x00, 0x00, 0x9c].repeat(500)].concat();
    std::fs::write(shop.path("picture"), picture).expect("written");
    std::fs::write(shop.path("bare.csv"), "+12125550123,Ann\n").expect("written");
    let whole = std::fs::read(super::journey("orders.csv.gz")).expect("read");
    std::fs::write(shop.path("cut.csv.gz"), &whole[..whole.len() / 2]).expect("written");
    check(&shop, WITH_SHOP);
}

#[test]
fn what_needs_no_shop_works_without_one() {
    let shop = Shop::empty();
    let check = |args: &[&str], said: &str| {
        let out = shop.good(args);
        assert!(out.contains(said), "{args:?}: {out}");
    };
    check(&["text", "Don’t"], "ucs2");
    check(&["phone", "+12125550123"], "America/New_York");
    check(&["provider", "list"], "twilio");
    check(&["provider", "show", "twilio"], "secrets.account_sid");
    check(&["provider", "check"], "0 failed");
    check(&["completions", "bash"], "_winback");
    check(&["man"], ".TH winback");
    check(&["man", "contact", "import"], "consent");
    assert_eq!(std::fs::read_dir(shop.path("")).expect("there").count(), 0, "nothing was written");
}

#[test]
fn the_help_names_every_command_once() {
    let help = Shop::empty().good(&["--help"]);
    let commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let expected = [
        "init",
        "daemon",
        "doctor",
        "contact",
        "event",
        "segment",
        "coupon",
        "optout",
        "check",
        "plan",
        "launch",
        "test",
        "status",
        "watch",
        "why",
        "pause",
        "resume",
        "cancel",
        "message",
        "receipt",
        "provider",
        "route",
        "text",
        "phone",
        "simulator",
        "store",
        "completions",
        "man",
        "help",
    ];
    for name in expected {
        assert_eq!(names.iter().filter(|one| **one == name).count(), 1, "{name}: {names:?}");
    }
}

#[test]
fn a_wrong_call_gives_no_advice_that_leads_nowhere() {
    let shop = Shop::new();
    let check = |args: &[&str], told: &str, never: &str| {
        let said = shop.run(args);
        assert_eq!(said.code, Some(2), "{args:?}: {}", said.out);
        assert!(said.err.contains(told) && !said.err.contains(never), "{args:?}: {}", said.err);
    };
    check(&["rehearse", "national-day", "--speed", "-1"], "unexpected argument '-1'", "'-- -1'");
    check(&["simulator", "audit", "l", "s", "--rate", "-.5"], "unexpected argument '-.", "'-- -");
    check(&["message", "resolve", "--as", "not-sent", "--all"], "--campaign", "<IDS>");
    check(&["message", "resolve", "--as", "not-sent"], "<IDS>", "nothing");
    check(
        &["message", "resolve", "1", "--as", "resend", "--every-copy"],
        "goes with --as not-sent",
        "nothing",
    );
}

#[test]
fn a_campaigns_folder_that_is_not_there_is_a_warning() {
    let shop = Shop::new();
    let config = std::fs::read_to_string(shop.path("winback.toml")).expect("written");
    let warned = |folder: &str| {
        let text = format!("campaigns_folder = \"{folder}\"\n{config}");
        std::fs::write(shop.path("winback.toml"), text).expect("written");
        shop.good(&["check"]).contains("there is no such folder")
    };
    assert_eq!([warned("nope"), warned("campaigns")], [true, false]);
}
