//! Writing the ledger: one thread writes whatever is waiting and syncs once for all of it, so that the price of the
//! sync is shared.
//!
//! It never answers a client: it says what is durable and what was refused.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::{Entry, LONGEST_LINE, LedgerError};

/// Entries that may wait for a stalled disk; more are refused.
const LONGEST_QUEUE: usize = 64 * 1024;

/// How every line begins, the mark by which a ledger is told from other files.
const BEGINNING: &[u8] = b"{\"at\":";

/// The writing end. Each entry carries a `T` that is handed over in a batch as soon as the entry is durable.
#[derive(Debug)]
pub(in crate::simulator) struct Writer<T> {
    shared: Arc<Shared<T>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared<T> {
    batch: Mutex<Batch<T>>,
    filled: Condvar,
    healthy: AtomicBool,
}

#[derive(Debug)]
struct Batch<T> {
    bytes: Vec<u8>,
    waiting: Vec<(T, oneshot::Sender<()>)>,
    closed: bool,
}

impl<T: Send + 'static> Writer<T> {
    /// Opens or continues the ledger; `on_durable` sees every batch after its sync and before any client does.
    ///
    /// # Errors
    /// When the file cannot be opened or written, belongs to another simulator or is no ledger.
    pub(in crate::simulator) fn open(
        path: &Path,
        sync: bool,
        on_durable: impl FnMut(Vec<T>) + Send + 'static,
    ) -> Result<Self, LedgerError> {
        let log = Log::open(path, sync)?;
        let batch = Batch { bytes: Vec::new(), waiting: Vec::new(), closed: false };
        let shared = Arc::new(Shared {
            batch: Mutex::new(batch),
            filled: Condvar::new(),
            healthy: AtomicBool::new(true),
        });
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || write_batches(log, &theirs, on_durable))
            .map_err(|source| LedgerError::Io { path: path.to_owned(), source })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Queues one entry. The answer comes once it is durable; a closed channel means that it was not written.
    pub(in crate::simulator) fn append(&self, entry: &Entry<'_>, cargo: T) -> oneshot::Receiver<()> {
        let (done, durable) = oneshot::channel();
        let mut batch = self.shared.batch.lock().unwrap_or_else(PoisonError::into_inner);
        let before = batch.bytes.len();
        if batch.closed
            || batch.waiting.len() >= LONGEST_QUEUE
            || serde_json::to_writer(&mut batch.bytes, entry).is_err()
        {
            batch.bytes.truncate(before);
            return durable;
        }
        batch.bytes.push(b'\n');
        batch.waiting.push((cargo, done));
        if batch.waiting.len() == 1 {
            self.shared.filled.notify_one();
        }
        durable
    }

    /// False after a failed write, until one succeeds again.
    pub(in crate::simulator) fn healthy(&self) -> bool {
        self.shared.healthy.load(Ordering::Relaxed)
    }
}

impl<T> Writer<T> {
    /// Writes what is waiting and stops; blocks until it is on the disk. Nothing can be appended afterwards.
    pub(in crate::simulator) fn close(&self) {
        self.shared.batch.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.filled.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the ledger's thread had panicked");
        }
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        self.close();
    }
}

fn write_batches<T>(mut log: Log, shared: &Shared<T>, mut on_durable: impl FnMut(Vec<T>)) {
    let mut bytes = Vec::new();
    while let Some(waiting) = next_batch(shared, &mut bytes) {
        let (cargo, doors): (Vec<T>, Vec<_>) = waiting.into_iter().unzip();
        match log.append(&bytes) {
            Ok(()) => {
                shared.healthy.store(true, Ordering::Relaxed);
                on_durable(cargo);
                for door in doors {
                    // A client that hung up does not wait for its answer; the entry stands.
                    let _ = door.send(());
                }
            }
            Err(error) => {
                // Said once per spell; dropping the doors refuses the entries.
                if shared.healthy.swap(false, Ordering::Relaxed) {
                    tracing::error!(%error, "the ledger cannot be written; submissions are refused");
                }
            }
        }
        bytes.clear();
    }
}

/// Waits for entries and takes all of them; `None` when the ledger is closed and empty.
fn next_batch<T>(shared: &Shared<T>, bytes: &mut Vec<u8>) -> Option<Vec<(T, oneshot::Sender<()>)>> {
    let mut batch = shared.batch.lock().unwrap_or_else(PoisonError::into_inner);
    while batch.waiting.is_empty() {
        if batch.closed {
            return None;
        }
        batch = shared.filled.wait(batch).unwrap_or_else(PoisonError::into_inner);
    }
    std::mem::swap(&mut batch.bytes, bytes);
    Some(std::mem::take(&mut batch.waiting))
}

/// The file and how much of it is good.
#[derive(Debug)]
struct Log {
    file: File,
    sync: bool,
    good: u64,
    broken: bool,
}

impl Log {
    fn open(path: &Path, sync: bool) -> Result<Self, LedgerError> {
        let io = |source| LedgerError::Io { path: path.to_owned(), source };
        // Phone numbers are in it.
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(0o600).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LedgerError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let length = file.metadata().map_err(io)?.len();
        let Some(good) = whole_lines(&mut file, length).map_err(io)? else {
            return Err(LedgerError::NotALedger { path: path.to_owned() });
        };
        if good < length {
            tracing::warn!(
                bytes = length - good,
                "the ledger ended in a torn line that no client was told of; removed"
            );
            file.set_len(good).map_err(io)?;
        }
        if sync && length == 0 {
            // A new file survives a power cut only once its folder is on the disk.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).map_err(io)?;
        }
        Ok(Self { file, sync, good, broken: false })
    }

    /// Puts whole lines on the disk, or leaves the file as it was. After a failed sync nobody knows what the disk holds
    /// and asking again may lie, so that everything later fails too.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier failure left the file in doubt; restart to continue"));
        }
        let written = self.file.write_all(lines);
        let durable = match &written {
            Ok(()) if self.sync => self.file.sync_data().inspect_err(|_| self.broken = true),
            _ => Ok(()),
        };
        if let Err(error) = written.and(durable) {
            self.broken |= self.file.set_len(self.good).is_err();
            return Err(error);
        }
        self.good += lines.len() as u64;
        Ok(())
    }
}

/// Length up to the end of the last whole line; `None` when the file is not a ledger.
fn whole_lines(file: &mut File, length: u64) -> io::Result<Option<u64>> {
    if length == 0 {
        return Ok(Some(0));
    }
    let mut beginning = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(BEGINNING.len() as u64).read_to_end(&mut beginning)?;
    if !BEGINNING.starts_with(&beginning) {
        return Ok(None);
    }
    let from = length.saturating_sub(LONGEST_LINE);
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(LONGEST_LINE).read_to_end(&mut end)?;
    Ok(match end.iter().rposition(|&byte| byte == b'\n') {
        Some(newline) => Some(from + newline as u64 + 1),
        None if from == 0 => Some(0),
        None => None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::read;
    use super::*;
    use crate::model::clock::Timestamp;

    fn entry(n: u32) -> Entry<'static> {
        Entry {
            at: Timestamp(i64::from(n)),
            id: format!("sim-{n}").into(),
            reference: format!("ref \"{n}\"\n").into(),
            to: "+14805550126".into(),
            from: "15005550006".into(),
            body_sha256: crate::simulator::sign::sha256(b"hi").into(),
            parts: n,
        }
    }

    fn write(path: &Path, numbers: std::ops::Range<u32>) -> Vec<u32> {
        let (seen, batches) = mpsc::channel();
        let writer =
            Writer::open(path, true, move |batch| seen.send(batch).expect("listening")).expect("opens");
        let waiting: Vec<_> = numbers.map(|n| writer.append(&entry(n), n)).collect();
        writer.close();
        for durable in waiting {
            durable.blocking_recv().expect("written");
        }
        drop(writer);
        batches.iter().flatten().collect()
    }

    fn numbers(path: &Path) -> (Vec<u32>, usize) {
        let mut entries = read(path).expect("opens");
        let found = entries.by_ref().map(|entry| entry.expect("whole").parts).collect();
        (found, entries.torn_bytes())
    }

    #[test]
    fn what_is_written_is_read_back_and_handed_over_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.jsonl");
        assert_eq!(write(&path, 0..500), (0..500).collect::<Vec<_>>());
        let first = read(&path).expect("opens").next().expect("one").expect("whole");
        assert_eq!(first, entry(0));
        assert_eq!(write(&path, 500..510).len(), 10);
        assert_eq!(numbers(&path), ((0..510).collect(), 0));
    }

    #[test]
    fn a_reader_that_has_seen_the_end_goes_on_with_what_is_written_later() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.jsonl");
        write(&path, 0..5);
        let whole = std::fs::read(&path).expect("reads");
        for torn in [whole.len(), whole.len() - 1, whole.len() - 20] {
            std::fs::write(&path, &whole[..torn]).expect("writes");
            let mut entries = read(&path).expect("opens");
            let mut more = || entries.by_ref().map(|entry| entry.expect("whole").parts).collect::<Vec<_>>();
            let before = more();
            std::fs::write(&path, &whole).expect("writes");
            let all = [before, more(), more()].concat();
            assert_eq!(all, [0, 1, 2, 3, 4], "{torn}");
        }
    }

    #[test]
    fn a_torn_last_line_is_reported_and_a_new_writer_removes_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.jsonl");
        write(&path, 0..3);
        let whole = std::fs::read(&path).expect("reads");
        let torn_at = |length: usize| {
            std::fs::write(&path, &whole[..length]).expect("writes");
            numbers(&path)
        };
        assert_eq!(torn_at(whole.len() - 1).0, [0, 1]);
        let (left, torn) = torn_at(whole.len() - 10);
        assert_eq!((left, torn > 0), (vec![0, 1], true));
        write(&path, 7..8);
        assert_eq!(numbers(&path), (vec![0, 1, 7], 0));
        assert_eq!(torn_at(4), (vec![], 4));
        write(&path, 7..8);
        assert_eq!(numbers(&path), (vec![7], 0));
    }

    #[test]
    fn a_broken_line_in_the_middle_is_an_error_with_its_number() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.jsonl");
        write(&path, 0..3);
        let text = std::fs::read_to_string(&path).expect("reads");
        std::fs::write(&path, text.replacen("\"at\":1", "\"at\":x", 1)).expect("writes");
        let all: Vec<_> = read(&path).expect("opens").collect();
        assert!(matches!(&all[1], Err(LedgerError::Malformed { line: 2, .. })), "{all:?}");
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn a_file_that_is_no_ledger_or_has_a_writer_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "my notes").expect("writes");
        assert!(matches!(Writer::<()>::open(&path, true, |_| ()), Err(LedgerError::NotALedger { .. })));
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), "my notes");

        let path = folder.path().join("ledger.jsonl");
        let _first = Writer::<()>::open(&path, true, |_| ()).expect("opens");
        assert!(matches!(Writer::<()>::open(&path, true, |_| ()), Err(LedgerError::Busy { .. })));
        let missing = folder.path().join("no/such/ledger.jsonl");
        assert!(matches!(Writer::<()>::open(&missing, true, |_| ()), Err(LedgerError::Io { .. })));
    }

    #[test]
    fn a_full_disk_refuses_entries_and_hands_nothing_over() {
        // A device that answers every write with "no space left".
        let writer =
            Writer::open(Path::new("/dev/full"), false, |_| panic!("nothing is durable")).expect("opens");
        let durable = writer.append(&entry(1), ());
        assert!(durable.blocking_recv().is_err());
        assert!(!writer.healthy());
        writer.close();
        assert!(writer.append(&entry(2), ()).blocking_recv().is_err());
    }
}
