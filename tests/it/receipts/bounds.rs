//! What a daemon takes at a time, and from whom: floods, slow callers, silent ones, and addresses that hold a secret.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use winback::config::DaemonConfig;
use winback::config::secrets::SecretSource;

use super::{end, rows};
use crate::support::calls::Caller;
use crate::support::stores::{Bench, on_both};
use crate::support::world::World;

/// Long enough for a busy machine; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn supervisors_get_their_pages_and_slow_or_silent_callers_are_cut_off() {
    let bench = Bench::sqlite().await;
    let mut world = World::new(&bench, 1, |_| {}).await;
    world.config.daemon.callback_header_time = Duration::from_secs(1);
    world.config.daemon.callback_body_time = Duration::from_secs(1);
    let daemon = world.daemon().await;
    let caller = Caller::new(&daemon, &world.clock);
    for (path, said) in [("/healthz", "ok"), ("/readyz", "ready"), ("/metrics", "winback_store_writable 1")] {
        let reply = caller.get(path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.body.contains(said), "{path}: {}", reply.body);
    }
    let page = caller.get("/metrics").await.body;
    for counted in [
        "winback_receipts_total{route=\"sim\",kind=\"delivered\"} 0",
        "winback_inbound_total{route=\"sim\",kind=\"stop\"} 0",
        "winback_refused_callbacks_total{route=\"sim\",kind=\"forged\"} 0",
        "winback_refused_callbacks_total{route=\"sim\",kind=\"busy\"} 0",
        "winback_acknowledge_seconds_count{route=\"sim\"} 0",
        "winback_outcomes_total{route=\"sim\",kind=\"accepted\"} 0",
    ] {
        assert!(page.contains(counted), "from the start, {counted}: {page}");
    }
    let check = async |request: &str, wanted: &[u16]| {
        let reply = tokio::time::timeout(PATIENCE, caller.raw(request)).await;
        let reply = reply.unwrap_or_else(|_| panic!("still open: {request:?}"));
        assert!(wanted.contains(&reply.status), "{request:?}: {reply:?}");
    };
    let post = |rest: &str| format!("POST /callback/sim/receipt HTTP/1.1\r\nhost: x\r\n{rest}");
    let (header, body) = (post("x-slow: "), post("content-length: 9\r\n\r\n{"));
    let chunk = post("transfer-encoding: chunked\r\n\r\n1\r\n{");
    tokio::join!(
        check("", &[0]),
        check("POST /callback", &[0, 408]),
        check(&header, &[0, 408]),
        check(&body, &[400, 408]),
        check(&chunk, &[400, 408]),
        // It kept to every deadline and is idle now.
        check("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", &[200]),
    );
    assert_eq!(rows(&bench).await, ["0|0"]);
    end(world, daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_at_once_is_told_to_come_back_and_is_taken_then() {
    let check = async |tune: fn(&mut DaemonConfig)| {
        let bench = Bench::sqlite().await;
        let mut world = World::new(&bench, 1, |_| {}).await;
        tune(&mut world.config.daemon);
        let daemon = world.daemon().await;
        let caller = Caller::new(&daemon, &world.clock);
        let mut lock = bench.sql().await;
        lock.run("BEGIN IMMEDIATE").await;
        let (one, two) = ([(Some("one"), None, "delivered")], [(Some("two"), None, "delivered")]);
        let (one, two) = (Box::pin(caller.receipts(&one)), Box::pin(caller.receipts(&two)));
        // One of them holds the only place while the store is locked; nobody waits behind it.
        let (refused, waits) = futures_util::future::select(one, two).await.factor_first();
        assert_eq!((refused.status, refused.body.as_str()), (503, "busy\n"));
        assert!(refused.head.contains("retry-after: 5"), "{}", refused.head);
        assert_eq!(caller.get("/healthz").await.status, 200, "other pages are answered");
        lock.run("ROLLBACK").await;
        assert_eq!(waits.await.status, 200);
        assert_eq!(caller.receipts(&[(Some("again"), None, "delivered")]).await.status, 200);
        assert_eq!(rows(&bench).await, ["2|2"]);
        let page = caller.get("/metrics").await.body;
        assert!(page.contains("winback_refused_callbacks_total{route=\"sim\",kind=\"busy\"} 1"), "{page}");
        end(world, daemon).await;
    };
    check(|daemon| daemon.callbacks_at_once = 1).await;
    check(|daemon| daemon.callback_waiting_bytes = 4_096).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_announced_takes_up_its_room_before_it_comes() {
    let bench = Bench::sqlite().await;
    let mut world = World::new(&bench, 1, |_| {}).await;
    world.config.daemon.callback_waiting_bytes = 65_536;
    let daemon = world.daemon().await;
    let caller = Caller::new(&daemon, &world.clock);
    let large = "x".repeat(60_000);
    let announce = async || {
        let mut slow = TcpStream::connect(daemon.address()).await.unwrap();
        slow.write_all(b"POST /callback/sim/receipt HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n")
            .await
            .unwrap();
        slow
    };
    let mut slow = announce().await;
    let until = async |status: u16, slow: &mut TcpStream| {
        let asked = async {
            loop {
                let reply = caller.receipts(&[(Some(&large), None, "delivered")]).await;
                if reply.status == status {
                    return reply;
                }
                // The room may have been taken by a call of ours when it was announced; then that was refused.
                if status == 503 && slow.try_read(&mut [0; 512]).is_ok() {
                    *slow = announce().await;
                }
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("never {status}"))
    };
    let refused = until(503, &mut slow).await;
    assert_eq!(refused.body, "busy\n");
    assert!(refused.head.contains("retry-after: 5"), "{}", refused.head);
    let small = caller.receipts(&[(Some("small"), None, "delivered")]).await;
    assert_eq!(small.status, 200, "what still fits is taken");
    slow.shutdown().await.unwrap();
    until(200, &mut slow).await;
    end(world, daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_closed_and_a_place_that_is_left_can_be_taken() {
    let bench = Bench::sqlite().await;
    let mut world = World::new(&bench, 1, |_| {}).await;
    world.config.daemon.callback_connections = 2;
    let daemon = world.daemon().await;
    let caller = Caller::new(&daemon, &world.clock);
    let open = async || {
        let mut socket = TcpStream::connect(daemon.address()).await.unwrap();
        socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 512];
        assert!(socket.read(&mut answer).await.unwrap() > 0);
        socket
    };
    let (first, second) = (open().await, open().await);
    assert_eq!(caller.get("/healthz").await.status, 0);
    drop(first);
    let taken = async {
        loop {
            let reply = caller.get("/metrics").await;
            if reply.status == 200 {
                return reply.body;
            }
        }
    };
    let page = tokio::time::timeout(PATIENCE, taken).await.expect("its place is free");
    assert!(page.contains("winback_refused_connections_total "), "{page}");
    assert!(!page.contains("winback_refused_connections_total 0"), "{page}");
    drop(second);
    end(world, daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_an_address_is_kept_nowhere() {
    const TOKEN: &str = "Zk3v9QhX2mT7wLr5bN8cYd";
    on_both(async |bench| {
        let mut world = World::new(bench, 1, |_| {}).await;
        std::fs::write(world.config.providers_folder.join("tokens.toml"), by_token()).unwrap();
        std::fs::write(world.folder.path().join("token"), TOKEN).unwrap();
        let mut route = world.config.routes["sim"].clone();
        route.provider = "tokens".to_owned();
        route.callback_token = Some(SecretSource::File(world.folder.path().join("token")));
        route.secrets.remove("signing_key");
        world.config.routes.insert("tok".to_owned(), route);
        let daemon = world.daemon().await;
        let caller = Caller::new(&daemon, &world.clock);
        let body = "{\"receipts\":[{\"id\":\"x\",\"status\":\"delivered\"}]}";
        let escaped = TOKEN.replacen('Z', "%5A", 1);
        for (last, status) in [
            (format!("{TOKEN}.test-1-1?at={TOKEN}"), 200),
            (format!("{escaped}.test-1-1"), 200),
            ("guessed.test-1-1".to_owned(), 403),
        ] {
            let reply = caller.post(&format!("/callback/tok/receipt/{last}"), body, "", "").await;
            assert_eq!(reply.status, status, "{last}: {reply:?}");
        }
        let (address, last) = ("/callback/tok/receipt/[token].test-1-1", "[token].test-1-1");
        let kept = bench.lines("SELECT url, path_ref FROM inbox ORDER BY id").await;
        assert_eq!(kept, [format!("{address}?at=[token]|{last}"), format!("{address}|{last}")]);
        let references = bench.lines("SELECT DISTINCT reference FROM receipts").await;
        assert_eq!(references, ["test-1-1"], "what follows the token is still read");
        end(world, daemon).await;
    })
    .await;
}

/// The simulator's definition with a token in the address instead of a signature.
fn by_token() -> String {
    let (mut lines, mut in_verify) = (Vec::new(), false);
    for line in include_str!("../../../providers/simulator.toml").lines() {
        if line.starts_with('[') {
            in_verify = line.contains(".verify]");
        }
        lines.push(match line {
            "name   = \"simulator\"" => "name = \"tokens\"",
            "address   = \"route\"" => "address = \"message\"",
            _ if line.starts_with("signing_key") => "",
            _ if in_verify && line.starts_with("kind") => "kind = \"path-token\"",
            _ if in_verify && !line.starts_with('[') => "",
            _ => line,
        });
    }
    lines.join("\n")
}
