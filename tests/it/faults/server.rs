//! A PostgreSQL that is restarted and whose sessions are cut off while texts go out. It is set up to forget its last
//! commits in a crash, as some are: the daemon must insist.

use std::time::Duration;

use super::stand::{Stand, WINDOW};
use crate::support::postgres::Server;
use crate::support::sql::Sql;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_restarted_and_cuts_sessions_off_loses_nothing_and_repeats_nothing() {
    let (mut server, url) = Server::start().await;
    let stand = Stand::new(Some(&url), 700, &["--reply", "STOP=0.05", "--latency-ms", "5", "20"]).await;
    stand.launch();
    stand.config(200, "");
    let mut life = stand.daemon("");
    let cut = "SELECT CAST(pg_terminate_backend(pid) AS TEXT) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name = 'winback'";
    let mut cut_off = 0;
    for _ in 0..8 {
        let before = stand.taken();
        stand.until("texts on the wire", &mut life, async || stand.taken() > before + 20).await;
        cut_off += Sql::open(&url).await.lines(cut).await.len();
    }
    assert!(cut_off > 8, "{cut_off} sessions were cut off");
    for how in ["immediate", "fast", "immediate"] {
        let before = stand.taken();
        stand.until("texts on the wire", &mut life, async || stand.taken() > before + 20).await;
        server.restart(how);
        let ended = life.wait();
        assert!(!ended.success(), "without its hold on the store a daemon ends: {}", life.log());
        stand.nothing_bad();
        // What it held is another's only when its leases have run out.
        stand.steer(super::stand::LONG);
        life = stand.daemon("");
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    life.kill();
    let audited = stand.finish(WINDOW * 12).await;
    println!("{cut_off} sessions cut off, 3 restarts, audit {}", audited.audit);
}
