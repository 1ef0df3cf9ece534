//! The program itself, as people and scripts call it: exit codes, words and JSON of the real binary.

mod answers;
mod backups;
mod checking;
mod files;
mod lines;
mod operations;
mod operator;
mod sending;
mod setup;
mod telling;
mod wrong;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::sql::Sql;

/// A folder with a shop in it.
struct Shop {
    folder: tempfile::TempDir,
}

/// What a command said.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Shop {
    /// A folder with nothing in it.
    fn empty() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// A shop just set up.
    fn new() -> Self {
        let shop = Self::empty();
        shop.good(&["init", "--shop", "Corner Shop", "--price", "0.0079"]);
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_winback"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        for variable in
            ["WINBACK_STORE_URL", "WINBACK_DAEMON_LISTEN", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"]
        {
            command.env_remove(variable);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Said {
        Said::of(&self.command(args).output().expect("runs"))
    }

    /// Runs a command that must succeed; answers what it printed.
    fn good(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!(said.code, Some(0), "{args:?}: {}{}", said.out, said.err);
        said.out
    }

    /// The same with `--json`.
    fn json(&self, args: &[&str]) -> Value {
        let out = self.good(&[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"))
    }

    /// Everything known about contacts but the times of writing.
    async fn contacts(&self) -> Vec<String> {
        let url = format!("sqlite:{}", self.path("winback.db").display());
        let sql = "SELECT customer_id, CAST(phone AS TEXT), first_name, attrs, CAST(consent_at AS TEXT) FROM contacts \
                   ORDER BY phone";
        Sql::open(&url).await.lines(sql).await
    }
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

fn journey(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/journey").join(name);
    path.to_string_lossy().into_owned()
}

#[test]
fn a_shop_goes_from_nothing_to_a_launched_campaign_and_back() {
    let shop = Shop::new();
    let contacts = shop.json(&["contact", "import", &journey("customers.csv")]);
    assert_eq!((&contacts["rows"], &contacts["inserted"]), (&2_469.into(), &2_469.into()));
    let again = shop.json(&["contact", "import", &journey("customers.csv")]);
    assert_eq!((&again["unchanged"], &again["rejected"]["count"]), (&2_469.into(), &0.into()));
    let events = shop.json(&["event", "import", &journey("orders.csv.gz"), "--kind", "order"]);
    assert_eq!(events["inserted"], 155_848);
    let lost = "days_since('order') > 30";
    let count = shop.json(&["segment", "count", lost, "--as-of", "2018-01-01"]);
    assert!(count["contacts"].as_i64().is_some_and(|n| (400..500).contains(&n)), "{count}");

    shop.good(&["coupon", "create", "winter", "--value", "5"]);
    shop.good(&["coupon", "generate", "winter", "600"]);
    assert_eq!(shop.json(&["coupon", "list", "winter"])[0]["counts"]["available"], 600);
    let campaign = format!(
        "segment = \"{lost}\"\nroutes = [\"us\"]\nschedule = {{ at = \"now\" }}\n[coupon]\npool = \"winter\"\n\
         [text]\nen = \"{{{{ first_name | default('Hi') }}}}, take {{{{ coupon.value }}}} off with {{{{ coupon.code }}}}. \
         STOP to opt out\"\n"
    );
    std::fs::write(shop.path("campaigns/winter.toml"), campaign).expect("written");
    shop.good(&["check"]);

    let at = ["--as-of", "2018-01-01"];
    let plan = shop.json(&[&["plan", "winter"][..], &at].concat());
    let hash = plan["hash"].as_str().expect("a hash").to_owned();
    let launch = [&["launch", "winter", "--plan", &hash][..], &at].concat();
    let first = shop.json(&launch);
    let second = shop.json(&launch);
    assert_eq!((&first["fresh"], &second["fresh"]), (&true.into(), &false.into()));
    assert_eq!(first["run"], second["run"]);
    assert_eq!(first["messages"], plan["messages"]);

    let status = shop.json(&["status", "winter"]);
    assert_eq!(status["waiting"], first["messages"], "{status}");
    let listed = shop.json(&["message", "list", "winter", "--limit", "3"]);
    let id = listed[0]["id"].to_string();
    let hidden = shop.good(&["message", "show", &id]);
    assert!(!hidden.contains("STOP to opt out"), "{hidden}");
    assert!(shop.good(&["message", "show", &id, "--text"]).contains("STOP to opt out"));
    let cancelled = shop.json(&["cancel", "winter"]);
    assert_eq!(cancelled["withdrawn"], first["messages"]);
    assert_eq!(shop.json(&["coupon", "list"])[0]["counts"]["available"], 600);
    assert_eq!(shop.json(&["store", "check"])["good"], true);
}

#[test]
fn setting_up_twice_overwrites_nothing() {
    let shop = Shop::new();
    let mine = std::fs::read_to_string(shop.path("winback.toml")).expect("written") + "# mine\n";
    std::fs::write(shop.path("winback.toml"), &mine).expect("written");
    let said = shop.good(&["init"]);
    assert!(said.contains("winback.toml is there already"), "{said}");
    assert_eq!(std::fs::read_to_string(shop.path("winback.toml")).expect("there"), mine);
    let elsewhere = shop.run(&["init", "--url", "sqlite:other.db"]);
    assert_eq!(elsewhere.code, Some(2), "{}", elsewhere.err);
    assert!(!shop.path("other.db").exists());
}

#[tokio::test]
async fn an_import_that_was_killed_or_stopped_is_finished_by_the_next_one() {
    let clean = Shop::new();
    let list = shuffled_list(&clean.path("list.csv"));
    clean.good(&["contact", "import", &list]);
    let whole = clean.contacts().await;
    let count = ["segment", "count", "attr.color = 'red'"];
    for signal in ["-KILL", "-INT"] {
        let shop = Shop::new();
        let ended = break_off(&shop, &list, signal).await;
        if signal == "-INT" {
            assert_eq!(ended.code, Some(1), "{}", ended.err);
            assert!(ended.err.contains("run it again to finish it"), "{}", ended.err);
        }
        let half = shop.contacts().await.len();
        assert!(half > 0 && half < whole.len(), "{signal}: {half} of {}", whole.len());
        shop.good(&["contact", "import", &list]);
        assert_eq!(shop.contacts().await, whole, "{signal}");
        assert_eq!(shop.json(&count)["contacts"], clean.json(&count)["contacts"]);
    }
}

/// Sends a signal to an import once its first batch is in, so that it ends in the middle.
async fn break_off(shop: &Shop, list: &str, signal: &str) -> Said {
    let mut command = shop.command(&["contact", "import", list]);
    let import = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    for _ in 0..2_000 {
        if !shop.contacts().await.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let sent = Command::new("kill").args([signal, &import.id().to_string()]).status();
    assert!(sent.expect("runs").success(), "it ended before it got the signal");
    Said::of(&import.wait_with_output().expect("ends"))
}

/// Enough customers for many batches, some of them twice.
fn shuffled_list(path: &Path) -> String {
    let mut text = "customer_id,phone,first_name,color,consent_at\n".to_owned();
    for n in 0..40_000_u64 {
        let who = n * 7_919 % 38_000;
        let (area, color) = (
            [212, 312, 310][usize::try_from(who % 3).expect("small")],
            ["red", "blue"][usize::from(n % 2 == 0)],
        );
        writeln!(text, "c{who},+1{area}2{who:06},Name{who},{color},2016-12-15").expect("writes");
    }
    std::fs::write(path, text).expect("written");
    path.to_string_lossy().into_owned()
}

#[test]
fn rejected_rows_are_counted_shown_by_line_and_written_to_be_mended() {
    let shop = Shop::new();
    std::fs::write(shop.path("list.csv"), "customer_id,phone\n1,+12125550123\n2,oops\n3,\n")
        .expect("written");
    let told = shop.json(&["contact", "import", "list.csv", "--rejects", "rejects.csv"]);
    assert_eq!((&told["inserted"], &told["rejected"]["count"]), (&1.into(), &2.into()));
    assert_eq!(told["rejected"]["first"][0]["line"], 3, "{told}");
    let rejects = std::fs::read_to_string(shop.path("rejects.csv")).expect("written");
    assert!(rejects.contains("\"oops\""), "{rejects}");
    std::fs::write(shop.path("bad.csv"), "customer_id,phone\n2,oops\n").expect("written");
    let useless = shop.run(&["contact", "import", "bad.csv"]);
    assert_eq!(useless.code, Some(1), "{}", useless.out);
    assert!(
        useless.out.contains("rejected") && useless.err.contains("every row was rejected"),
        "{}",
        useless.err
    );
    assert_eq!(shop.run(&["contact", "import", "bad.csv", "--json"]).code, Some(1));
    let over = shop.run(&["contact", "import", "rejects.csv", "--rejects", "rejects.csv"]);
    assert_eq!(over.code, Some(2));
    assert_eq!(std::fs::read_to_string(shop.path("rejects.csv")).expect("there"), rejects);
}

#[test]
fn a_list_may_come_from_standard_input_and_a_rehearsal_writes_nothing() {
    let shop = Shop::new();
    std::fs::write(shop.path("list.csv"), "phone\n+12125550123\n").expect("written");
    let import = |args: &[&str]| {
        let file = std::fs::File::open(shop.path("list.csv")).expect("there");
        let output =
            shop.command(&[&["contact", "import", "-", "--json"], args].concat()).stdin(file).output();
        let said = Said::of(&output.expect("runs"));
        assert_eq!(said.code, Some(0), "{}", said.err);
        serde_json::from_str::<Value>(&said.out).expect("JSON")
    };
    assert_eq!(import(&["--dry-run"])["inserted"], 1);
    assert_eq!(import(&[])["inserted"], 1);
    assert_eq!(import(&[])["unchanged"], 1);
}

#[test]
fn nobody_who_opted_out_is_texted_not_even_to_try() {
    let shop = Shop::new();
    let send = ["provider", "try", "us", "--to", "+12125550123", "--text", "Hello"];
    let with_secrets = |args: &[&str]| {
        let mut command = shop.command(args);
        command
            .env("TWILIO_ACCOUNT_SID", format!("AC{:032}", 1))
            .env("TWILIO_AUTH_TOKEN", "a-very-secret-token");
        Said::of(&command.output().expect("runs"))
    };
    let request = with_secrets(&[&send[..], &["--dry-run"]].concat());
    assert_eq!(request.code, Some(0), "{}", request.err);
    assert!(request.out.contains("nothing was sent") && !request.out.contains("a-very-secret-token"));
    assert!(!request.out.contains("12125550123"), "{}", request.out);
    shop.good(&["optout", "add", "+1 212 555 0123"]);
    let refused = with_secrets(&send);
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    assert!(refused.err.contains("suppressed") && !refused.err.contains("5550123"), "{}", refused.err);
    let listed = shop.good(&["optout", "list"]);
    assert!(listed.contains("+12…23") && !listed.contains("5550123"), "{listed}");
}

#[test]
fn codes_are_printed_only_when_they_are_asked_for() {
    let shop = Shop::new();
    shop.good(&["coupon", "create", "mine", "--value", "5", "--expires", "2030-01-01"]);
    std::fs::write(shop.path("codes.csv"), "code\nSPRINGTIME7\nSPRINGTIME8\nSPRINGTIME7\n").expect("written");
    let told = shop.run(&["coupon", "import", "mine", "codes.csv"]);
    assert!(told.code == Some(0) && told.out.contains("code_repeated"), "{}", told.out);
    assert!(!format!("{}{}", told.out, told.err).contains("SPRINGTIME"), "{}", told.out);
    assert!(!shop.good(&["coupon", "list", "mine"]).contains("SPRINGTIME"));
    let shown = shop.good(&["coupon", "list", "mine", "--codes"]);
    assert_eq!(shown.lines().filter(|line| line.starts_with("SPRINGTIME")).count(), 2, "{shown}");
}

#[test]
fn every_mistake_of_every_file_is_shown_with_its_place() {
    let shop = Shop::new();
    let text = "segment = \"stage = 'lost'\"\nroutes = [\"uss\"]\nschedule = { at = \"now\" }\n[text]\n\
                en = \"Dear {{ frist_name }}\"\n";
    std::fs::write(shop.path("campaigns/bad.toml"), text).expect("written");
    let said = shop.run(&["check", "--json"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    let told: Value = serde_json::from_str(&said.out).expect("JSON");
    let places: Vec<String> = told["problems"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| format!("{}:{}:{}", one["file"].as_str().unwrap_or_default(), one["line"], one["column"]))
        .collect();
    for place in ["campaigns/bad.toml:2:11", "campaigns/bad.toml:5:15"] {
        assert!(places.iter().any(|one| one == place), "{place}: {places:?}\n{}", said.out);
    }
}
