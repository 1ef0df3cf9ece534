//! The process ends at each boundary at which something is half done, and the next one finishes.

use super::stand::{Stand, WINDOW};
use crate::support::{postgres, world};

/// Where a daemon ends, and at which pass of the place. Each boundary once early, when nothing else is under way, and the
/// busy ones once more in the thick of it.
pub(super) const POINTS: [(&str, u32); 19] = [
    ("before-claim", 1),
    ("after-claim", 1),
    ("before-intent", 1),
    ("after-intent", 1),
    ("before-wire", 1),
    ("inside-wire", 1),
    ("after-wire", 1),
    ("before-outcome", 1),
    ("after-outcome", 1),
    ("before-receipt", 1),
    ("after-receipt", 1),
    ("before-stop", 1),
    ("after-stop", 1),
    ("after-claim", 5),
    ("after-intent", 6),
    ("inside-wire", 40),
    ("before-outcome", 5),
    ("after-receipt", 20),
    ("before-commit", 12),
];

async fn ends_everywhere(url: Option<&str>) {
    let stand = Stand::new(url, 700, &["--reply", "STOP=0.2", "--latency-ms", "5", "15"]).await;
    stand.launch();
    stand.config(150, "");
    for (point, pass) in POINTS {
        stand.daemon(&format!("end={point}:{pass}")).ends_at(point);
    }
    assert!(stand.messages("planned queued claimed").await > 0, "there was always something to do");
    let audited = stand.finish(WINDOW * i64::try_from(POINTS.len()).expect("few")).await;
    println!("{} ends, audit {}, provider {}", POINTS.len(), audited.audit, audited.stats);
    assert!(audited.count("not_sent") > 0, "STOPs withdrew something: {:#}", audited.audit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_ends_at_any_boundary_loses_nothing_and_repeats_nothing() {
    ends_everywhere(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_server_a_daemon_that_ends_at_any_boundary_loses_nothing_and_repeats_nothing() {
    ends_everywhere(Some(&postgres::empty_database().await)).await;
}

/// Each text has a code of its own: what is cancelled gives them back, or the next launch finds too few.
const COUPON: &str = "[coupon]\npool = \"autumn\"\nexpires_in = \"7 days\"\n";

/// Each command ends at the first pass of a point, then at the second of what is left, and so on until it comes through.
fn through(stand: &Stand, args: &[&str], point: &str, least: u32) {
    for pass in 1.. {
        let output = stand.run(args, &format!("end={point}:{pass}"));
        if output.status.success() {
            assert!(pass > least, "{args:?} ended {} times at {point}", pass - 1);
            return;
        }
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(&format!("ended at {point}")), "{args:?} at {point}: {told}");
        assert!(pass < 50, "{args:?} never comes past {point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_and_a_launch_that_end_anywhere_are_finished_by_doing_them_again() {
    let stand = Stand::new(None, 1_200, &[]).await;
    let row = |n| format!("c{n},{},2016-01-01\n", world::phone(n).e164());
    let rows: Vec<String> = (1_200..2_400).map(row).collect();
    stand.write("people.csv", &format!("customer_id,phone,consent_at\n{}", rows.concat()));
    for point in ["before-commit", "after-commit"] {
        through(&stand, &["contact", "import", "people.csv"], point, 1);
    }
    assert_eq!(stand.number("SELECT count(*) FROM contacts").await, 2_400);
    let orders = |kind: &str| -> String {
        let row = |n: u64| format!("{kind}{n},c{},2016-01-01,{n}\n", n * 7919 % 2_500);
        (0..34_000).map(row).collect()
    };
    for point in ["before-commit", "after-commit"] {
        stand.write("orders.csv", &format!("order_id,customer_id,time,value\n{}", orders(point)));
        through(&stand, &["event", "import", "orders.csv", "--kind", point], point, 2);
        let kept = format!("SELECT count(DISTINCT event_id) FROM events WHERE kind = '{point}'");
        assert_eq!(stand.number(&kept).await, 34_000);
    }
    assert_eq!(stand.number("SELECT count(*) FROM events").await, 68_000);
    stand.good(&["coupon", "generate", "autumn", "1500"]);
    let points = [
        "plan-page",
        "before-commit",
        "after-commit",
        "run-created",
        "before-chunk",
        "before-run-starts",
        "after-chunk",
    ];
    for point in points {
        stand.campaign(point, COUPON, "{{ coupon.code }}");
        through(&stand, &["launch", point, "--yes"], point, 1);
        let written = format!(
            "SELECT count(*) FROM messages AS m JOIN runs AS r ON r.id = m.run_id WHERE r.campaign = '{point}'"
        );
        assert_eq!(stand.number(&written).await, 2_400, "{point}");
        if point != "after-chunk" {
            stand.good(&["cancel", point]);
        }
    }
    let audited = stand.finish(0).await;
    assert_eq!(audited.count("accepted"), 2_400, "{:#}", audited.audit);
}
