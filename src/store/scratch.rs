//! A folder of our own beside a place, on the same disk, in which something is made whole before it is moved there.
//!
//! Gone when it is dropped; what a process that was killed has left is cleared away by the next one at the same place. It
//! never touches what a living process holds.

use std::fs::File;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::StoreError;

/// How the names of such folders end, after the name of the place and the number of the process.
const END: &str = ".part";

/// The name of a store that is made in one.
const STORE: &str = "store.db";

/// The folder, held by a lock for as long as this lives.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    _held: File,
}

impl Scratch {
    /// Makes one for a place.
    ///
    /// # Errors
    /// When nothing can be made beside the place; told by the name of the place.
    pub fn beside(place: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::File { path: place.to_owned(), source };
        sweep(place);
        let folder = folder_of(place).join(name(place, std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
        let held = File::open(&folder).map_err(failed)?;
        // Where a file system has no locks, the number of a living process keeps others away.
        let _ = held.try_lock();
        Ok(Self { folder, _held: held })
    }

    /// The folder, which only its owner may enter.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file to be made.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.join(STORE)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is in nobody's way.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Where a place lies.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn name(place: &Path, process: u32) -> String {
    format!("{}{process}{END}", beginning(place))
}

fn beginning(place: &Path) -> String {
    format!(".{}.", place.file_name().unwrap_or_default().to_string_lossy())
}

/// Removes what dead processes have left beside a place: for it, and for others what can only be ours, since backups are
/// named by their day and a name does not come again. What cannot be removed stays for the next one.
fn sweep(place: &Path) {
    let Ok(entries) = std::fs::read_dir(folder_of(place)) else { return };
    let beginning = beginning(place);
    for entry in entries.flatten() {
        let found = entry.file_name();
        let told = found.to_str().and_then(|name| name.strip_suffix(END)?.rsplit_once('.'));
        let Some((of, Ok(process))) = told.map(|(of, number)| (of, number.parse::<u32>())) else { continue };
        // Whoever opens a pipe waits for its other end.
        let Ok(kind) = entry.file_type() else { continue };
        let same = beginning.strip_suffix('.') == Some(of);
        let hidden = of.starts_with('.');
        let ours =
            same && kind.is_file() || kind.is_dir() && (same || hidden && holds_a_store(&entry.path()));
        if !ours || !is_stale(&entry.path(), process) {
            continue;
        }
        let _ = if kind.is_dir() {
            std::fs::remove_dir_all(entry.path())
        } else {
            std::fs::remove_file(entry.path())
        };
    }
}

/// Whether there is the file that [`Scratch::file`] names, and what SQLite keeps beside it, and nothing else.
fn holds_a_store(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.iter().any(|name| name == STORE)
        && names.iter().all(|name| name.to_str().is_some_and(|name| name.starts_with(STORE)))
}

/// Whether nobody works there: its process is gone or is this one, and nobody holds the lock. Either alone may be wrong: a
/// number is given again, and another machine or container has numbers of its own.
fn is_stale(path: &Path, process: u32) -> bool {
    let ours = process == std::process::id();
    let lives = !ours && Path::new("/proc").join(process.to_string()).exists();
    !lives && File::open(path).is_ok_and(|held| held.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_have_left_goes_and_what_the_living_hold_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("kept.db");
        // No process has this number: it is above the largest that a kernel gives.
        let dead = 4_194_305;
        let (left, file) =
            (folder.path().join(name(&place, dead)), folder.path().join(name(&place, dead + 1)));
        std::fs::create_dir(&left).expect("made");
        std::fs::write(left.join("store.db"), "half").expect("written");
        std::fs::write(&file, "half").expect("written");
        let held = folder.path().join(name(&place, dead + 2));
        std::fs::create_dir(&held).expect("made");
        let lock = File::open(&held).expect("opened");
        lock.try_lock().expect("free");
        let stays = [
            held.clone(),
            folder.path().join(name(&place, 1)),
            folder.path().join(name(&folder.path().join("download"), dead)),
            folder.path().join(".kept.db.mine.part"),
        ];
        for other in &stays[1..] {
            std::fs::create_dir(other).expect("made");
        }
        let other = folder.path().join(name(&folder.path().join("of-another-day.db"), dead));
        std::fs::create_dir(&other).expect("made");
        for name in ["store.db", "store.db-journal"] {
            std::fs::write(other.join(name), "half").expect("written");
        }
        std::fs::write(stays[2].join("film.mp4"), "half").expect("written");
        let scratch = Scratch::beside(&place).expect("made");
        assert!(!left.exists() && !file.exists() && !other.exists());
        assert!(stays.iter().all(|path| path.exists()), "{stays:?}");
        let ours = scratch.folder.clone();
        assert!(ours.is_dir());
        drop(scratch);
        assert!(!ours.exists());
        drop(lock);
        drop(Scratch::beside(&place).expect("made"));
        assert!(!held.exists(), "it is free now");
    }

    #[test]
    fn two_at_once_in_one_process_do_not_share_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("kept.db");
        let first = Scratch::beside(&place).expect("made");
        assert!(Scratch::beside(&place).is_err());
        drop(first);
        assert!(Scratch::beside(&place).is_ok());
    }
}
