//! Which files belong to an SQLite store: its own, and those that SQLite and this program keep beside it. Whoever writes
//! a file that a person has named asks here first.
//!
//! It compares names and what they lead to; it never changes or removes a file.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::scratch::folder_of;

/// How the names end of what lies beside a store: SQLite's log, its index, its older kind of log, the daemon's lock, the
/// turn to write.
const ENDS: [&str; 5] = ["-wal", "-shm", "-journal", LOCK, TURN];

/// The end of the daemon's lock.
pub(super) const LOCK: &str = ".daemon";

/// The end of the turn to write.
pub(super) const TURN: &str = ".turn";

/// How every SQLite file begins.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Links that are followed by hand, where their end is not there.
const MOST_LINKS: usize = 16;

/// The file of an SQLite store; none for a server.
pub fn of_url(url: &str) -> Option<&Path> {
    url.strip_prefix("sqlite:").map(|path| Path::new(path.strip_prefix("//").unwrap_or(path)))
}

/// Where a store really lies: SQLite keeps its log beside the end of a link, so everything else lies there, too.
pub(super) fn lies_at(store: &Path) -> PathBuf {
    if store.is_symlink() { end_of(store) } else { store.to_owned() }
}

/// What lies beside a store under its name and this end.
pub(super) fn beside(store: &Path, end: &str) -> PathBuf {
    let mut name = lies_at(store).into_os_string();
    name.push(end);
    PathBuf::from(name)
}

/// The store and everything that may lie beside it, whether it is there or not.
pub(super) fn all(store: &Path) -> impl Iterator<Item = PathBuf> {
    let around = ENDS.map(|end| beside(store, end));
    [lies_at(store)].into_iter().chain(around)
}

/// Whether a store can only be read, and nobody has it open to write: neither we nor SQLite can make the files that reading
/// beside a writer needs, and whoever writes has them.
pub(super) fn is_sealed(store: &Path) -> bool {
    let place = lies_at(store);
    let sealed = |path: &Path| access(path, Access::WRITE_OK).is_err();
    let written = ["-wal", "-shm"].iter().any(|end| beside(store, end).exists());
    place.exists() && sealed(&place) && sealed(folder_of(&place)) && !written
}

/// Whether a file is the store or lies beside it as a part of it, under whatever name.
pub fn belongs(store: &Path, file: &Path) -> bool {
    all(store).any(|own| is_one(&own, file))
}

/// The store that a file belongs to: this one under whatever name, or any other by the name of what lies beside it.
pub fn owner(store: Option<&Path>, file: &Path) -> Option<PathBuf> {
    if let Some(store) = store.filter(|store| belongs(store, file)) {
        return Some(store.to_owned());
    }
    let (folder, name) = (folder_of(file), file.file_name()?.to_str()?);
    let others = ENDS.iter().filter_map(|end| name.strip_suffix(end)).map(|name| folder.join(name));
    others.into_iter().find(|other| is_sqlite(other))
}

/// Whether both names lead to one file, or would once it is made.
pub fn is_one(one: &Path, other: &Path) -> bool {
    let number = |path: &Path| std::fs::metadata(path).map(|facts| (facts.dev(), facts.ino())).ok();
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => end_of(one) == end_of(other),
        _ => false,
    }
}

/// The file that a name leads to, without links, also where it is not there yet.
pub fn end_of(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        if let Ok(end) = path.canonicalize() {
            return end;
        }
        match path.read_link() {
            Ok(next) => path = folder_of(&path).join(next),
            Err(_) => break,
        }
    }
    match (folder_of(&path).canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path,
    }
}

fn is_sqlite(path: &Path) -> bool {
    let mut beginning = [0; SQLITE.len()];
    // Whoever opens a pipe waits for its other end.
    std::fs::metadata(path).is_ok_and(|facts| facts.is_file())
        && File::open(path).is_ok_and(|mut file| file.read_exact(&mut beginning).is_ok())
        && beginning == SQLITE
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_of_a_store_is_known_under_every_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("inner")).expect("made");
        for name in ["w.db", "w.db-wal", "w.db.turn", "other.db", "list.csv"] {
            std::fs::write(at(name), name).expect("written");
        }
        std::fs::hard_link(at("w.db-wal"), at("hard.wal")).expect("linked");
        symlink(at("w.db.turn"), at("soft.turn")).expect("linked");
        symlink("w.db.daemon", at("dangling")).expect("linked");
        symlink("dangling", at("twice")).expect("linked");
        symlink(at("w.db"), at("link.db")).expect("linked");
        std::fs::write(at("foreign.db"), [SQLITE, &[0; 84]].concat()).expect("written");
        let check = |name: &str, own: bool| {
            for store in ["w.db", "link.db", "inner/../w.db"] {
                assert_eq!(belongs(&at(store), &at(name)), own, "{name} of {store}");
            }
        };
        for own in ["w.db", "w.db-wal", "w.db-shm", "w.db-journal", "w.db.daemon", "hard.wal", "soft.turn"] {
            check(own, true);
        }
        for own in ["inner/../w.db-shm", "dangling", "twice", "link.db"] {
            check(own, true);
        }
        for other in ["other.db", "w.db.old", "list.csv", "gone.csv", "link.db-wal", "inner/w.db-wal"] {
            check(other, false);
        }
        let owner = |name: &str| owner(Some(&at("w.db")), &at(name));
        assert_eq!(owner("w.db-wal"), Some(at("w.db")));
        assert_eq!(owner("foreign.db-journal"), Some(at("foreign.db")));
        assert_eq!((owner("foreign.db"), owner("list.csv-wal"), owner("gone.db-wal")), (None, None, None));
    }
}
