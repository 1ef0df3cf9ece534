//! What keeps a shop running: backups and the way back, retention, what limits a run.

use super::Shop;

/// A shop whose one campaign goes to everybody at once.
fn shop() -> Shop {
    let shop = Shop::new();
    let rows: Vec<String> = (2000..2020).map(|n| format!("+1212200{n},2020-01-01\n")).collect();
    std::fs::write(shop.path("list.csv"), format!("phone,consent_at\n{}", rows.concat())).expect("written");
    shop.good(&["contact", "import", "list.csv"]);
    let campaign = "segment = \"true\"\nroutes = [\"us\"]\nschedule = { at = \"now\" }\n[text]\n\
                    en = \"Hello from Corner Shop. STOP to opt out\"\n";
    for name in ["winter", "spring"] {
        std::fs::write(shop.path(&format!("campaigns/{name}.toml")), campaign).expect("written");
    }
    shop
}

#[test]
fn why_slow_names_what_stops_a_run_and_a_daemon_that_is_not_there() {
    let shop = shop();
    let none = shop.run(&["why-slow", "winter"]);
    assert!(none.code == Some(2) && none.err.contains("has not been launched"), "{}", none.err);
    shop.good(&["launch", "winter", "--yes"]);
    let limit = || shop.json(&["why-slow", "winter"])["limit"]["limit"].clone();
    assert_eq!(limit(), "no_daemon");
    shop.good(&["pause", "winter"]);
    assert_eq!(limit(), "paused");
    let told = shop.good(&["why-slow", "winter"]);
    assert!(told.contains("20 wait") && told.contains("winback resume winter"), "{told}");
    shop.good(&["cancel", "winter"]);
    assert_eq!(limit(), "nothing");
}

#[test]
fn retention_wants_a_period_that_outlives_late_receipts() {
    let shop = shop();
    for wrong in ["29 days", "soon", "180", "4w", "-90d", "2 hours"] {
        let said = shop.run(&["store", "prune", "--older-than", wrong]);
        assert_eq!(said.code, Some(2), "{wrong}: {}", said.out);
    }
    for right in ["90d", "6 months", "5 w", "1y", "26weeks"] {
        shop.good(&["store", "prune", "--older-than", right]);
    }
    let said = shop.json(&["store", "prune", "--older-than", "180 days", "--archive", "old"]);
    assert_eq!((&said["runs"], &said["pruned"]["messages"]), (&0.into(), &0.into()), "{said}");
    assert!(shop.path("old").is_dir());
}

#[test]
fn a_backup_comes_back_only_where_nothing_is_and_forgotten_launches_are_not_repeated() {
    let shop = shop();
    shop.good(&["launch", "winter", "--yes"]);
    let made = shop.json(&["store", "backup", "kept.db"]);
    assert_eq!((&made["file"], &made["running"]), (&"kept.db".into(), &1.into()), "{made}");
    let again = shop.run(&["store", "backup", "kept.db"]);
    assert_eq!(again.code, Some(1), "{}", again.out);
    assert!(again.err.contains("--replace"), "{}", again.err);
    let told = shop.good(&["store", "backup", "kept.db", "--replace"]);
    assert!(told.contains("1 run is sending"), "{told}");
    let full = shop.run(&["store", "restore", "kept.db"]);
    assert!(full.code == Some(1) && full.err.contains("with something in it"), "{}", full.err);
    let missing = shop.run(&["store", "restore", "no.db"]);
    assert_eq!(missing.code, Some(2), "{}", missing.err);

    let lose = || {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(shop.path(&format!("winback.db{end}")));
        }
    };
    lose();
    let told = shop.good(&["store", "restore", "kept.db"]);
    for words in ["1 run is paused", "cannot have been sent since", "STOPs since", "message resolve"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!(shop.json(&["store", "check"])["good"], true);
    assert_eq!(shop.json(&["status", "winter"])["state"], "paused");
    let forgotten = shop.run(&["launch", "spring", "--yes"]);
    assert_eq!(forgotten.code, Some(2), "{}", forgotten.out);
    assert!(forgotten.err.contains("--after-restore"), "{}", forgotten.err);
    shop.good(&["launch", "spring", "--yes", "--after-restore"]);

    let again = shop.json(&["store", "restore", "--in-place"]);
    assert_eq!(again["paused"], 2, "{again}");
    lose();
    let known = ["--nothing-sent-since", "--nothing-launched-since"];
    let restored = shop.json(&[&["store", "restore", "kept.db"][..], &known].concat());
    assert_eq!((&restored["in_doubt"], &restored["waiting"]), (&0.into(), &20.into()), "{restored}");
    shop.good(&["launch", "spring", "--yes"]);
}

#[test]
fn what_is_not_the_store_is_neither_written_over_nor_sent_from() {
    let shop = shop();
    std::os::unix::fs::symlink(shop.path("elsewhere.db"), shop.path("link.db")).expect("a link");
    std::fs::create_dir(shop.path("folder.db")).expect("a folder");
    for (place, told) in [("link.db", "no ordinary file"), ("folder.db", "is a folder; name a file in it")] {
        let refused = shop.run(&["store", "backup", place, "--replace"]);
        assert_eq!(refused.code, Some(1), "{place}: {}", refused.out);
        assert!(refused.err.contains(told), "{place}: {}", refused.err);
    }
    assert!(std::fs::symlink_metadata(shop.path("link.db")).expect("it is there").is_symlink());

    // A backup that was only copied into place.
    shop.good(&["launch", "winter", "--yes"]);
    shop.good(&["store", "backup", "kept.db"]);
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(shop.path(&format!("winback.db{end}")));
    }
    std::fs::copy(shop.path("kept.db"), shop.path("winback.db")).expect("copied");
    let status = shop.good(&["status", "winter"]);
    assert!(
        status.contains("held     this store is a backup") && status.contains("store restore"),
        "{status}"
    );
    assert!(!status.contains("start it with `winback daemon`"), "{status}");
    for args in [&["launch", "spring", "--yes"][..], &["store", "backup", "again.db"], &["doctor"]] {
        let refused = shop.run(args);
        assert_eq!(refused.code, Some(1), "{args:?}: {}{}", refused.out, refused.err);
        let told = refused.out + &refused.err;
        assert!(told.contains("is a backup") && told.contains("store restore"), "{args:?}: {told}");
    }

    // Nothing at all, and a file with nothing in it.
    std::fs::write(shop.path("winback.db"), "").expect("written");
    let empty = shop.run(&["status"]);
    assert!(empty.code == Some(1) && empty.err.contains("is empty"), "{}", empty.err);
    std::fs::remove_file(shop.path("winback.db")).expect("removed");
    let nothing = shop.run(&["store", "restore", "--in-place"]);
    assert!(nothing.code == Some(2) && nothing.err.contains("there is no store"), "{}", nothing.err);
    assert!(!shop.path("winback.db").exists(), "nothing is made of nothing");
}
