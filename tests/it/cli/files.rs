//! Files that a command is told to write: never the store's, the configuration's or anybody's but its own.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use winback::model::clock::Timestamp;
use winback::store::{Store, StoreError};

use super::{Said, Shop};
use crate::support::sql::Sql;

/// A shop with two customers on a list, one of them without a number, and its store held open so that it has a log.
async fn shop() -> (Shop, Sql) {
    let shop = Shop::new();
    std::fs::write(shop.path("list.csv"), "customer_id,phone\n1,+12125550123\n2,oops\n").expect("written");
    std::fs::write(shop.path("campaigns/winter.toml"), "segment = \"true\"\n").expect("written");
    let mut store = Sql::open(&format!("sqlite:{}", shop.path("winback.db").display())).await;
    store.run("UPDATE store_meta SET value = value").await;
    for end in [".daemon", ".turn"] {
        std::fs::File::create(shop.path(&format!("winback.db{end}"))).expect("made");
    }
    (shop, store)
}

/// Everything in the folder, by name, number and content. A reader of the store may change its index.
fn all(shop: &Shop) -> Vec<(String, u64, Vec<u8>)> {
    let mut all = Vec::new();
    for folder in ["", "campaigns"] {
        for entry in std::fs::read_dir(shop.path(folder)).expect("a folder") {
            let path = entry.expect("one").path();
            if path.is_file() && !path.to_string_lossy().contains("-shm") {
                let number = std::fs::metadata(&path).expect("there").ino();
                let content = std::fs::read(&path).expect("read");
                all.push((path.to_string_lossy().into_owned(), number, content));
            }
        }
    }
    all.sort();
    all
}

fn refused(said: &Said, args: &[&str], told: &str) {
    assert!(matches!(said.code, Some(1 | 2)), "{args:?}: {}{}", said.out, said.err);
    assert!(said.err.contains(told), "{args:?}: {told}: {}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_never_takes_the_place_of_a_file_that_is_no_backup() {
    let (shop, _store) = shop().await;
    for (of, name) in
        [("winback.db", "hard.db"), ("winback.db-wal", "hard.wal"), ("winback.db.turn", "hard.turn")]
    {
        std::fs::hard_link(shop.path(of), shop.path(name)).expect("linked");
    }
    std::fs::create_dir(shop.path("inner")).expect("made");
    let before = all(&shop);
    let own = "belongs to the store at";
    for (place, told) in [
        ("winback.db", own),
        ("./winback.db-wal", own),
        ("winback.db-shm", own),
        ("winback.db-journal", own),
        ("inner/../winback.db.daemon", own),
        ("winback.db.turn", own),
        ("hard.db", own),
        ("hard.wal", own),
        ("hard.turn", own),
        ("winback.toml", "is the configuration"),
        ("campaigns/winter.toml", "campaigns are read from"),
    ] {
        for args in [&["store", "backup", place, "--replace"][..], &["store", "backup", place]] {
            refused(&shop.run(args), args, told);
        }
    }
    let args = ["store", "backup", "list.csv", "--replace"];
    refused(&shop.run(&args), &args, "is there and is no backup");
    assert!(all(&shop) == before, "nothing was written or replaced");

    // Another shop's store is no backup either, and neither is what lies beside it.
    shop.good(&["store", "backup", "kept.db"]);
    let other = Shop::new();
    let theirs = other.path("winback.db");
    for (place, told) in
        [(theirs.display().to_string(), "no backup"), (format!("{}-wal", theirs.display()), own)]
    {
        let args = ["store", "backup", place.as_str(), "--replace"];
        refused(&shop.run(&args), &args, told);
    }
    shop.good(&["store", "backup", "kept.db", "--replace"]);
    std::fs::File::create(shop.path("empty")).expect("made");
    shop.good(&["store", "backup", "empty", "--replace"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_not_brought_back_from_its_own_files() {
    let (shop, _store) = shop().await;
    std::fs::hard_link(shop.path("winback.db"), shop.path("hard.db")).expect("linked");
    for (from, told) in [("hard.db", "lies where the store should be"), ("winback.db-wal", "name a backup")] {
        let args = ["store", "restore", from];
        refused(&shop.run(&args), &args, told);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_rows_replace_nothing_but_rejected_rows() {
    let (shop, _store) = shop().await;
    std::fs::hard_link(shop.path("list.csv"), shop.path("hard.csv")).expect("linked");
    std::os::unix::fs::symlink("winback.db-journal", shop.path("dangling")).expect("linked");
    std::fs::File::create(shop.path("campaigns/empty.toml")).expect("made");
    let before = all(&shop);
    let own = "belongs to the store at";
    for (place, told) in [
        ("winback.db", own),
        ("winback.db-wal", own),
        ("winback.db-journal", own),
        ("winback.db.turn", own),
        ("dangling", own),
        ("winback.toml", "is the configuration"),
        ("campaigns/winter.toml", "campaigns are read from"),
        ("campaigns/empty.toml", "campaigns are read from"),
        ("campaigns/new.toml", "campaigns are read from"),
        ("list.csv", "is the file that is read"),
        ("hard.csv", "is the file that is read"),
        ("campaigns", "campaigns is a folder"),
        ("nowhere/rejects.csv", "lies in no folder that is there"),
        ("winback.toml/rejects.csv", "cannot be written"),
    ] {
        for more in [&[][..], &["--dry-run"]] {
            let args = [&["contact", "import", "list.csv", "--rejects", place], more].concat();
            let said = shop.run(&args);
            refused(&said, &args, told);
            assert!(said.code == Some(2) && said.err.contains(place), "{args:?}: {}", said.err);
        }
    }
    std::fs::write(shop.path("notes.csv"), "mine\n").expect("written");
    let args = ["contact", "import", "list.csv", "--rejects", "notes.csv"];
    refused(&shop.run(&args), &args, "holds no rejected rows");
    std::fs::remove_file(shop.path("notes.csv")).expect("removed");
    assert!(all(&shop) == before, "nothing was written or replaced");
    assert_eq!(shop.contacts().await.len(), 0, "refused before the first row");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_no_file_and_an_earlier_file_of_rejected_rows_is_replaced() {
    let (shop, _store) = shop().await;
    let import = |more: &[&str]| {
        shop.good(&[&["contact", "import", "list.csv", "--rejects", "rejects.csv"], more].concat())
    };
    let told = import(&["--dry-run"]);
    assert!(told.contains("rejects.csv was not written") && !shop.path("rejects.csv").exists(), "{told}");
    import(&[]);
    let first = std::fs::read(shop.path("rejects.csv")).expect("written");
    std::fs::write(shop.path("list.csv"), "customer_id,phone\n1,+12125550123\n3,none\n").expect("written");
    import(&["--dry-run"]);
    assert_eq!(std::fs::read(shop.path("rejects.csv")).expect("there"), first);
    import(&[]);
    let second = std::fs::read_to_string(shop.path("rejects.csv")).expect("written");
    assert!(second.contains("\"none\"") && !second.contains("\"oops\""), "{second}");

    // From standard input, the file that is read is known all the same.
    let mut command = shop.command(&["contact", "import", "-", "--rejects", "rejects.csv"]);
    let file = std::fs::File::open(shop.path("rejects.csv")).expect("there");
    let said = Said::of(&command.stdin(file).output().expect("runs"));
    assert!(said.code == Some(2) && said.err.contains("is the file that is read"), "{}", said.err);
    assert_eq!(std::fs::read_to_string(shop.path("rejects.csv")).expect("there"), second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_rejected_rows_that_takes_none_is_named_with_the_way_out() {
    let (shop, _store) = shop().await;
    let said = shop.run(&["contact", "import", "list.csv", "--rejects", "/dev/full"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(
        said.err.contains("cannot be written to /dev/full")
            && said.err.contains("name another file with --rejects"),
        "{}",
        said.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_not_begun_in_a_file_of_the_shop() {
    let (shop, _store) = shop().await;
    let before = all(&shop);
    for (place, told) in
        [("winback.db.turn", "belongs to the store at"), ("winback.toml", "is the configuration")]
    {
        let args = ["simulator", "--listen", "127.0.0.1:0", "--ledger", place];
        refused(&shop.run(&args), &args, told);
    }
    assert!(all(&shop) == before, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_has_one_daemon_by_whatever_link_it_is_called() {
    let shop = Shop::new();
    std::fs::create_dir(shop.path("inner")).expect("made");
    std::os::unix::fs::symlink("../winback.db", shop.path("inner/link.db")).expect("linked");
    let open = async |name: &str| {
        Store::open(&format!("sqlite:{}", shop.path(name).display())).await.expect("a store")
    };
    let (one, other) = (open("winback.db").await, open("inner/link.db").await);
    let held = one.lock_daemon(Timestamp(1)).await.expect("free");
    assert!(matches!(other.lock_daemon(Timestamp(1)).await, Err(StoreError::Locked { .. })));
    assert!(other.daemon().await.expect("asked").is_some());
    held.free().await;
}

#[test]
fn what_is_no_store_is_named_as_what_it_is_and_nothing_is_left_beside_it() {
    let shop = Shop::new();
    let list = || std::fs::read_dir(shop.path("")).expect("a folder").count();
    std::fs::create_dir(shop.path("folder")).expect("made");
    let made = std::process::Command::new("mkfifo").arg(shop.path("pipe")).status().expect("mkfifo runs");
    assert!(made.success());
    let before = list();
    for (place, told) in [
        ("folder", "folder is a folder and no store; name a file in it"),
        ("winback.toml", "no SQLite file"),
        ("pipe", "pipe is no file and so no store; name a file"),
    ] {
        for args in [&["status"][..], &["segment", "count", "true"], &["store", "check"]] {
            let said = shop.command(args).env("WINBACK_STORE_URL", format!("sqlite:{place}")).output();
            let said = Said::of(&said.expect("runs"));
            assert_eq!(said.code, Some(1), "{place} {args:?}: {}", said.out);
            assert!(format!("{}{}", said.out, said.err).contains(told), "{place} {args:?}: {}", said.err);
        }
    }
    let said = shop.command(&["store", "restore", "pipe"]).output();
    let said = Said::of(&said.expect("runs"));
    assert!(said.err.contains("pipe is no file"), "{}", said.err);
    assert_eq!(list(), before, "nothing is left beside them");
}

/// Runs a command as somebody whom rights hold: they do not hold the administrator.
fn as_somebody(shop: &Shop, folder: &Path, args: &[&str]) -> Said {
    use std::os::unix::process::CommandExt as _;
    let program = shop.path("program");
    if !program.exists() {
        let built = env!("CARGO_BIN_EXE_winback");
        std::fs::hard_link(built, &program)
            .or_else(|_| std::fs::copy(built, &program).map(drop))
            .expect("there");
    }
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).stdin(Stdio::null()).env_remove("WINBACK_STORE_URL");
    if std::fs::metadata(shop.path("")).expect("there").uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    Said::of(&command.output().expect("runs"))
}

/// The number of somebody without any rights.
const NOBODY: u32 = 65_534;

#[test]
fn a_copy_in_a_folder_that_takes_no_writes_can_be_looked_at() {
    let shop = Shop::new();
    let folder = shop.path("sealed");
    std::fs::create_dir(&folder).expect("made");
    std::fs::write(folder.join("ledger.jsonl"), "").expect("written");
    for name in ["winback.db", "winback.toml"] {
        std::fs::copy(shop.path(name), folder.join(name)).expect("copied");
    }
    let rights = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
        // Only the administrator can give files away, and only then somebody else runs the command.
        let _ = std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY));
    };
    for name in ["winback.db", "winback.toml", "ledger.jsonl"] {
        rights(&folder.join(name), 0o400);
    }
    rights(&folder, 0o500);
    std::fs::set_permissions(shop.path(""), std::fs::Permissions::from_mode(0o755)).expect("set");
    let looks = [
        &["store", "check"][..],
        &["simulator", "audit", "ledger.jsonl", "winback.db"],
        &["segment", "count", "true"],
    ];
    let said: Vec<Said> = looks.iter().map(|args| as_somebody(&shop, &folder, args)).collect();
    let left = std::fs::read_dir(&folder).expect("a folder").count();
    rights(&folder, 0o700);
    for (args, said) in looks.iter().zip(said) {
        assert_eq!(said.code, Some(0), "{args:?}: {}{}", said.out, said.err);
    }
    let audited = as_somebody(&shop, &folder, looks[1]);
    assert!(audited.err.contains("ledger.jsonl holds no text"), "that proves nothing: {}", audited.err);
    assert_eq!(left, 3, "nothing was made in it");
}
