//! The power fails: a file stands for the disk, the process is killed, and the next one finds what had reached the file.

use std::path::PathBuf;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::mount::Mount;
use super::seed;
use super::stand::{Stand, WINDOW};

const CUTS: u64 = 5;

struct Disks {
    folder: tempfile::TempDir,
    made: u64,
}

impl Disks {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), made: 0 }
    }

    fn last(&self) -> PathBuf {
        self.folder.path().join(format!("disk-{}", self.made))
    }

    /// The machine comes up with a copy of the disk.
    fn cut(&mut self, mount: &Mount) {
        let before = self.last();
        self.made += 1;
        mount.cut(&before, &self.last());
        std::fs::remove_file(before).expect("removed");
    }
}

/// What was promised before a cut is there after it: intents of what the provider has, receipts that were acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_loses_no_intent_and_no_receipt_that_was_acknowledged() {
    let mut disks = Disks::new();
    let Some(mount) = Mount::disk(&disks.last()) else { return };
    let mut rng = StdRng::seed_from_u64(seed("power cuts"));
    let stand =
        Stand::new(Some(&mount.url()), 700, &["--reply", "STOP=0.1", "--latency-ms", "5", "20"]).await;
    stand.launch();
    stand.config(150, "");
    for _ in 0..CUTS {
        let mut life = stand.daemon("");
        let before = stand.taken();
        stand.until("texts on the wire", &mut life, async || stand.taken() > before).await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..800))).await;
        life.kill();
        disks.cut(&mount);
        stand.nothing_bad();
    }
    let audited = stand.finish(WINDOW * CUTS.cast_signed()).await;
    println!("{CUTS} power cuts, audit {}", audited.audit);
}

/// The same without the sync: the provider has texts of which the store knows nothing. So the test above can fail.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_sync_a_power_cut_loses_intents_and_the_audit_says_so() {
    let mut disks = Disks::new();
    let Some(mount) = Mount::disk(&disks.last()) else { return };
    let stand = Stand::new(Some(&mount.url()), 300, &[]).await;
    stand.launch();
    let mut life = stand.daemon("weak-sync");
    stand.until("texts on the wire", &mut life, async || stand.taken() > 100).await;
    life.kill();
    disks.cut(&mount);
    let audit = stand.audit_now();
    let unexpected = audit["unexpected"].as_i64().expect("a count");
    assert!(unexpected > 50, "the store has forgotten what it had sent: {audit:#}");
    println!("without a sync {unexpected} texts were forgotten");
}
