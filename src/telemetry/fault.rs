//! Faults that a test asks a debug build for: an end at a named point, a store that syncs less, a clock that is steered.
//!
//! A release build has none of it: its points are empty, and nothing is read. It never does harm that was not asked for
//! by name.

/// What a process was asked for.
#[cfg(debug_assertions)]
#[derive(Debug, Default)]
struct Asked {
    /// End at this point, when it is passed for the time that remains.
    end: Option<(String, std::sync::atomic::AtomicI64)>,
    weak_sync: bool,
    clock: Option<std::path::PathBuf>,
}

#[cfg(debug_assertions)]
static ASKED: std::sync::OnceLock<Asked> = std::sync::OnceLock::new();

/// Asks for faults, as a list: `end=POINT:3` ends the process when it passes the point for the third time, `weak-sync`
/// lets SQLite commit without a sync, `clock=FILE` moves the wall clock by the milliseconds that the file says. Only the
/// first call of a process counts.
///
/// # Panics
/// When a word is none of these: a test that asks for a fault which does not exist proves nothing.
#[cfg(debug_assertions)]
pub fn ask(list: &str) {
    let mut asked = Asked::default();
    for word in list.split(',') {
        match word.split_once('=') {
            None if word == "weak-sync" => asked.weak_sync = true,
            Some(("clock", file)) => asked.clock = Some(file.into()),
            Some(("end", point)) => {
                let (name, pass) = point.rsplit_once(':').expect("a fault is asked for as end=POINT:PASS");
                let pass: i64 = pass.parse().expect("the pass of a point is a number");
                asked.end = Some((name.to_owned(), pass.into()));
            }
            _ => panic!("there is no fault `{word}`"),
        }
    }
    // A second list would change what a process was started for.
    let _ = ASKED.set(asked);
}

/// A place at which a process may be asked to end, as `kill -9` would end it: nothing is flushed, nothing is dropped.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::io::Write as _;
    let Some((asked, remaining)) = ASKED.get().and_then(|asked| asked.end.as_ref()) else { return };
    if asked == name && remaining.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1 {
        // Whoever asked reads here that it came to that.
        let _ = writeln!(std::io::stderr(), "ended at {name}, as it was asked to");
        std::process::abort();
    }
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn point(_name: &str) {}

/// Whether commits shall not wait for the disk.
pub fn weak_sync() -> bool {
    #[cfg(debug_assertions)]
    return ASKED.get().is_some_and(|asked| asked.weak_sync);
    #[cfg(not(debug_assertions))]
    false
}

/// The file that steers the clock.
#[cfg(debug_assertions)]
pub fn clock() -> Option<&'static std::path::Path> {
    ASKED.get()?.clock.as_deref()
}
