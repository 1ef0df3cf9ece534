//! Backups that are wrong, places that cannot take one, and processes that are killed in the middle.

use std::path::PathBuf;

use super::Shop;
use crate::support::sql::Sql;

/// A shop with one run of twenty messages.
fn shop() -> Shop {
    let shop = Shop::new();
    let rows: Vec<String> = (2000..2020).map(|n| format!("+1212200{n},2020-01-01\n")).collect();
    std::fs::write(shop.path("list.csv"), format!("phone,consent_at\n{}", rows.concat())).expect("written");
    shop.good(&["contact", "import", "list.csv"]);
    let campaign = "segment = \"true\"\nroutes = [\"us\"]\nschedule = { at = \"now\" }\n[text]\n\
                    en = \"Hello from Corner Shop. STOP to opt out\"\n";
    std::fs::write(shop.path("campaigns/winter.toml"), campaign).expect("written");
    shop.good(&["launch", "winter", "--yes"]);
    shop
}

fn lose(shop: &Shop) {
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(shop.path(&format!("winback.db{end}")));
    }
}

/// What a killed command has left beside its place.
fn left(shop: &Shop) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(shop.folder.path()).expect("a folder").map(|entry| entry.expect("one").path());
    entries.filter(|path| path.extension().is_some_and(|end| end == "part")).collect()
}

/// Runs a command that ends at a point as if it were killed there.
fn killed(shop: &Shop, args: &[&str], point: &str) {
    let output = shop.command(args).env("WINBACK_FAULTS", format!("end={point}")).output().expect("runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_none() && told.contains("ended at"), "{args:?} at {point}: {told}");
}

#[test]
fn a_wrong_backup_is_told_by_its_own_name_and_changes_nothing() {
    let shop = shop();
    shop.good(&["store", "backup", "kept.db"]);
    lose(&shop);
    let whole = std::fs::read(shop.path("kept.db")).expect("read");
    let mut broken = whole.clone();
    for octet in &mut broken[4096..8 * 4096] {
        *octet = 0xa5;
    }
    let wrong: [(&str, &[u8]); 5] = [
        (
            "garbage.db",
            b"Dear customers, this is no database at all, and nobody has ever said that it was one.",
        ),
        ("broken.db", &broken),
        ("cut.db", &whole[..whole.len() / 2 + 100]),
        ("empty.db", b""),
        ("page.db", &whole[..100]),
    ];
    for (name, octets) in wrong {
        std::fs::write(shop.path(name), octets).expect("written");
        let refused = shop.run(&["store", "restore", name]);
        assert_eq!(refused.code, Some(1), "{name}: {}", refused.out);
        let told = format!("{name} is no whole backup");
        assert!(
            refused.err.contains(&told) && refused.err.contains("take another one"),
            "{name}: {}",
            refused.err
        );
        for raw in ["the store at", "store answered", "disk I/O"] {
            assert!(!refused.err.contains(raw), "{name}: {}", refused.err);
        }
        assert!(!shop.path("winback.db").exists() && left(&shop).is_empty(), "{name}: nothing was changed");
    }
    std::fs::create_dir(shop.path("folder.db")).expect("made");
    let folder = shop.run(&["store", "restore", "folder.db"]);
    assert!(
        folder.code == Some(1) && folder.err.contains("folder.db is a folder; name the backup"),
        "{}",
        folder.err
    );
    // What lies where the store should be is damaged too; the backup is whole, and says what to do.
    std::fs::write(shop.path("winback.db"), &broken).expect("written");
    let refused = shop.run(&["store", "restore", "kept.db"]);
    assert!(refused.err.contains("winback.db is no sound store; move it away"), "{}", refused.err);
    std::fs::remove_file(shop.path("winback.db")).expect("removed");
    shop.good(&["store", "restore", "kept.db"]);
}

#[test]
fn a_place_that_cannot_take_a_backup_is_named_with_the_way_out() {
    let shop = Shop::new();
    std::fs::create_dir(shop.path("folder")).expect("made");
    for (place, told) in [
        ("folder", "folder is a folder; name a file in it"),
        ("folder/", "folder/ is a folder; name a file in it"),
        ("nowhere/kept.db", "there is no folder nowhere; make it"),
        ("winback.toml/kept.db", "there is no folder winback.toml"),
    ] {
        let refused = shop.run(&["store", "backup", place]);
        assert!(refused.code == Some(1) && refused.err.contains(told), "{place}: {}", refused.err);
    }
}

#[test]
fn a_backup_that_is_killed_leaves_what_was_there_and_the_next_one_clears_up() {
    let shop = shop();
    for point in ["backup-copied:1", "backup-whole:1"] {
        killed(&shop, &["store", "backup", "kept.db"], point);
        assert!(!shop.path("kept.db").exists(), "{point}: not before it is whole");
        assert_eq!(left(&shop).len(), 1, "{point}");
        shop.good(&["store", "backup", "kept.db"]);
        assert_eq!(left(&shop), Vec::<PathBuf>::new(), "{point}");
        let before = std::fs::read(shop.path("kept.db")).expect("read");
        killed(&shop, &["store", "backup", "kept.db", "--replace"], point);
        assert!(std::fs::read(shop.path("kept.db")).expect("read") == before, "{point}: as it was");
        std::fs::remove_file(shop.path("kept.db")).expect("removed");
    }
    shop.good(&["store", "backup", "kept.db"]);
    assert_eq!(left(&shop), Vec::<PathBuf>::new());
    lose(&shop);
    shop.good(&["store", "restore", "kept.db"]);
    assert_eq!(shop.json(&["store", "check"])["good"], true);
}

#[test]
fn a_restore_that_is_killed_is_done_again_and_all_is_well() {
    let shop = shop();
    shop.good(&["store", "backup", "kept.db"]);
    for point in
        ["restore-copied:1", "before-commit:1", "before-commit:3", "after-commit:2", "restore-whole:1"]
    {
        lose(&shop);
        killed(&shop, &["store", "restore", "kept.db"], point);
        assert!(!shop.path("winback.db").exists(), "{point}: nothing is half restored");
        let told = shop.json(&["store", "restore", "kept.db"]);
        assert_eq!(told["paused"], 1, "{point}: {told}");
        assert_eq!(left(&shop), Vec::<PathBuf>::new(), "{point}");
        assert_eq!(shop.json(&["store", "check"])["good"], true, "{point}");
        assert_eq!(shop.json(&["status", "winter"])["messages"], 20, "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_that_is_killed_goes_on_and_archives_everything_once() {
    let shop = shop();
    shop.good(&["cancel", "winter"]);
    Sql::open(&format!("sqlite:{}", shop.path("winback.db").display()))
        .await
        .run("UPDATE runs SET finished_at = 1000")
        .await;
    let prune = ["store", "prune", "--older-than", "30 days", "--archive", "old"];
    for point in ["archived:1", "before-commit:1", "after-commit:1"] {
        killed(&shop, &prune, point);
        assert_eq!(shop.json(&["store", "check"])["good"], true, "{point}");
    }
    shop.good(&prune);
    let again = shop.json(&prune);
    assert_eq!(again["pruned"]["messages"], 0, "{again}");
    let archived: Vec<String> = std::fs::read_dir(shop.path("old"))
        .expect("a folder")
        .map(|file| std::fs::read_to_string(file.expect("one").path()).expect("text"))
        .collect();
    assert_eq!(archived.concat().matches("\"message\":").count(), 20, "each once");
    assert_eq!(shop.json(&["status", "winter"])["messages"], 20);
}
