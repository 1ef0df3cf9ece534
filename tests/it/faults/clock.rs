//! Somebody sets the machine's clock while texts go out. The provider's stays right and tells when they came.

use std::time::Duration;

use super::stand::Stand;

const HOUR: i64 = 3_600_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_jumps_sends_nothing_at_night_and_nothing_twice() {
    let stand = Stand::new(None, 700, &["--latency-ms", "20", "60"]).await;
    stand.launch();
    stand.config(100, "");
    let mut life = stand.daemon("");
    for lawful in [0, 1, 4, 0] {
        stand.missteer(lawful * HOUR);
        let before = stand.taken();
        stand.until("texts by day", &mut life, async || stand.taken() > before + 40).await;
    }
    // Before it begins, by night, the day before, and in 1970: nothing.
    for unlawful in [-HOUR, 10 * HOUR, -24 * HOUR, -48 * 365 * 24 * HOUR] {
        stand.missteer(unlawful);
        stand.until("silence", &mut life, async || stand.wire_is_dry().await).await;
        let before = stand.taken();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(stand.taken(), before, "{unlawful} ms off");
        stand.missteer(0);
    }
    assert!(stand.messages("planned queued").await > 0, "it was night in the middle");
    // Who saw the night waits for the next morning.
    stand.steer(24 * HOUR);
    let before = stand.taken();
    stand.until("the next day", &mut life, async || stand.taken() > before + 40).await;
    life.kill();
    let audited = stand.finish(super::stand::WINDOW).await;
    assert_eq!(audited.count("accepted") + audited.count("unresolved"), 1_400, "{:#}", audited.audit);
}
