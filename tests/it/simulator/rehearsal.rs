//! A rehearsal of a user's own campaign: the store stays as it is, the provider hears nothing, and nothing is left over.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::winback;
use crate::support::sql::Sql;

/// A shop whose route leads to a provider that must hear nothing.
struct Shop {
    folder: tempfile::TempDir,
    provider: std::net::TcpListener,
}

impl Shop {
    fn new() -> Self {
        let shop = Self {
            folder: tempfile::tempdir().expect("a folder"),
            provider: std::net::TcpListener::bind("127.0.0.1:0").expect("binds"),
        };
        let address = shop.provider.local_addr().expect("bound");
        shop.good(&["init", "--shop", "Corner Shop", "--price", "0.01"]);
        shop.write(
            "winback.toml",
            &format!(
                "[store]\nurl = \"sqlite:winback.db\"\n[shop]\nzone = \"America/New_York\"\ncountry = \"US\"\n\
                 currency = \"USD\"\n[routes.us]\nprovider = \"simulator\"\nsenders = [\"+15005550006\"]\n\
                 countries = [\"US\"]\nlimits = {{ parts_per_second = 20, burst = 5 }}\nprice = {{ US = 0.01 }}\n\
                 settings.base_url = \"http://{address}\"\nsecrets.api_key = {{ env = \"NOBODY_HAS_THIS\" }}\n\
                 secrets.signing_key = {{ env = \"NOR_THIS\" }}\n"
            ),
        );
        shop.write(
            "campaigns/winter.toml",
            "segment = \"true\"\nroutes = [\"us\"]\nschedule = { at = \"now\" }\n[coupon]\npool = \"winter\"\n\
             [text]\nen = \"Hi, {{ coupon.value }} off with {{ coupon.code }}. STOP to opt out\"\n",
        );
        let rows: Vec<String> = (2000..2060).map(|n| format!("c{n},+1212200{n},2020-01-01\n")).collect();
        let people = rows.concat();
        shop.write("people.csv", &format!("customer_id,phone,consent_at\n{people}"));
        shop.good(&["contact", "import", "people.csv"]);
        shop.good(&["coupon", "create", "winter", "--value", "5"]);
        shop.good(&["coupon", "generate", "winter", "100"]);
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    fn good(&self, args: &[&str]) -> String {
        let said = winback(self.folder.path(), args);
        assert!(said.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    /// Everything that a launch would have changed.
    async fn books(&self) -> Vec<String> {
        let url = format!("sqlite:{}", self.path("winback.db").display());
        Sql::open(&url)
            .await
            .lines(
                "SELECT (SELECT count(*) FROM runs) || ' ' || (SELECT count(*) FROM messages) || ' ' || \
            (SELECT count(*) FROM inbox) || ' ' || (SELECT count(*) FROM coupons WHERE state = 'available')",
            )
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_plays_the_campaign_and_touches_neither_store_nor_provider() {
    let shop = Shop::new();
    let temporary = shop.path("temporary");
    std::fs::create_dir(&temporary).expect("made");
    let before = shop.books().await;
    assert_eq!(before, ["0 0 0 100"]);
    let rehearse = |args: &[&str]| -> Value {
        let said = std::process::Command::new(env!("CARGO_BIN_EXE_winback"))
            .args([&["rehearse", "winter", "--json"], args].concat())
            .current_dir(shop.folder.path())
            .env("TMPDIR", &temporary)
            .env_remove("WINBACK_STORE_URL")
            .output()
            .expect("runs");
        let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert_eq!(said.status.code(), Some(0), "{out}{err}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"))
    };
    let told = rehearse(&["--script", "garbage", "--seed", "3", "--speed", "20"]);
    assert_eq!((&told["agrees"], &told["complete"]), (&true.into(), &true.into()), "{told:#}");
    assert_eq!(told["status"]["messages"], 60);
    let counted = |term: &str| told["audit"][term].as_i64().expect("a count");
    assert_eq!(counted("accepted") + counted("unresolved"), 60, "{told:#}");
    assert!(told["fired"].as_array().is_some_and(|fired| fired.iter().any(|fault| fault["times"] != 0)));

    assert_eq!(shop.books().await, before, "the store is as it was");

    // Its launch has most of the codes, and in the copy they are free again.
    shop.good(&["launch", "winter", "--yes"]);
    let launched = shop.books().await;
    let told = rehearse(&["--speed", "100"]);
    assert_eq!((&told["agrees"], &told["status"]["accepted"]), (&true.into(), &60.into()), "{told:#}");
    assert_eq!((launched.clone(), shop.books().await), (vec!["1 60 0 40".to_owned()], launched));
    shop.good(&["cancel", "winter"]);
    let cancelled = shop.books().await;
    let told = rehearse(&["--speed", "100"]);
    assert_eq!((&told["agrees"], &told["status"]["accepted"]), (&true.into(), &60.into()), "{told:#}");
    assert_eq!(shop.books().await, cancelled);
    shop.provider.set_nonblocking(true).expect("set");
    let heard = shop.provider.accept().map(|_| ()).expect_err("the provider heard nothing");
    assert_eq!(heard.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(left_in(&temporary), Vec::<PathBuf>::new(), "nothing is left over");
}

#[test]
fn a_rehearsal_says_in_place_of_which_provider_the_simulator_plays_and_what_that_can_be_asked() {
    let shop = Shop::new();
    let config = std::fs::read_to_string(shop.path("winback.toml")).expect("read");
    let rehearse = |provider: &str, more: &[&str]| {
        shop.write("winback.toml", &config.replace("\"simulator\"", &format!("\"{provider}\"")));
        shop.good(&[&["rehearse", "winter", "--speed", "100"], more].concat())
    };
    let text = rehearse("kannel", &[]);
    let told = "route us: the simulator stands in for kannel; as there, it answers no question";
    assert!(text.contains(told), "{text}");
    let said: Value = serde_json::from_str(&rehearse("infobip", &["--json"])).expect("one answer");
    let stands_in = serde_json::json!([
        {"route": "us", "provider": "infobip", "plays": "simulator", "doubt": ["lookup", "replay"]}
    ]);
    assert_eq!((&said["stands_in"], &said["agrees"]), (&stands_in, &true.into()), "{said:#}");
}

#[test]
fn a_rehearsal_is_private_and_a_terminal_that_closes_ends_it_and_leaves_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let shop = Shop::new();
    let temporary = shop.path("temporary");
    std::fs::create_dir(&temporary).expect("made");
    let (mut killed, ledger) = begun(&shop, &temporary, Path::new("none"));
    let folder = ledger.parent().expect("a folder");
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(folder), mode(&ledger)), (0o700, 0o600));
    assert_eq!((mode(&folder.join("key")), mode(&folder.join("signing-key"))), (0o600, 0o600));
    killed.kill().expect("killed");
    killed.wait().expect("ends");
    assert!(folder.exists(), "whoever is killed cannot clear up");
    let (mut rehearsal, _) = begun(&shop, &temporary, folder);
    assert!(!folder.exists(), "the next one clears up for it");
    let sent = std::process::Command::new("kill").args(["-HUP", &rehearsal.id().to_string()]).status();
    assert!(sent.expect("sent").success());
    assert_eq!(rehearsal.wait().expect("ends").code(), Some(1), "it ends in order");
    assert_eq!(left_in(&temporary), Vec::<PathBuf>::new(), "nothing is left over");
}

/// Starts a rehearsal that takes long, and waits until it has a ledger in another folder than this one.
fn begun(shop: &Shop, temporary: &Path, not: &Path) -> (std::process::Child, PathBuf) {
    let mut rehearsal = std::process::Command::new(env!("CARGO_BIN_EXE_winback"))
        .args(["rehearse", "winter", "--speed", "0.01"])
        .current_dir(shop.folder.path())
        .env("TMPDIR", temporary)
        .env_remove("WINBACK_STORE_URL")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("starts");
    loop {
        assert_eq!(rehearsal.try_wait().expect("asked"), None, "it ended before it began");
        let others = left_in(temporary).into_iter().filter(|folder| folder != not);
        let mut ledgers = others.map(|folder| folder.join("ledger.jsonl"));
        if let Some(ledger) = ledgers.find(|ledger| ledger.exists()) {
            return (rehearsal, ledger);
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_rehearsal_that_cannot_be_is_refused_with_the_way_out() {
    let shop = Shop::new();
    let check = |args: &[&str], told: &str| {
        let said = winback(shop.folder.path(), args);
        let err = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{args:?}: {err}");
        assert!(err.contains(told), "{args:?}: {err}");
    };
    check(
        &["rehearse", "winter", "--script", "no-such"],
        "there is no script `no-such`; there are absurd-waits",
    );
    check(&["rehearse", "winter", "--speed", "0"], "--speed");
    check(&["rehearse", "winter", "--store-copy", "postgres://x/y"], "--store-copy is for PostgreSQL");
    let config = std::fs::read_to_string(shop.path("winback.toml")).expect("read");
    shop.write("winback.toml", &config.replace("sqlite:winback.db", "postgres://nobody@127.0.0.1:1/none"));
    check(&["rehearse", "winter"], "--store-copy");
}

fn left_in(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
}
