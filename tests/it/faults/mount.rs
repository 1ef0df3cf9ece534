//! File systems of a test's own: one in memory that can be full or read-only, one on a file that stands for a disk.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Octets of a disk on a file.
const DISK: u64 = 40 << 20;

/// A file system of its own, gone when dropped.
pub(super) struct Mount {
    folder: tempfile::TempDir,
}

impl Mount {
    /// One in memory, with these options. Says so where only root may have one.
    pub(super) fn memory(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mount = Self { folder };
        mount.call("mount", &["-t", "tmpfs", "-o", options, "tmpfs"]).then_some(mount)
    }

    /// One on a file that stands for a disk: what is in the file has reached it.
    pub(super) fn disk(file: &Path) -> Option<Self> {
        let image = fs::File::create(file).and_then(|image| image.set_len(DISK));
        image.expect("an image");
        let folder = tempfile::tempdir().expect("a folder");
        let mount = Self { folder };
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(file).output();
        let made = made.is_ok_and(|made| made.status.success());
        (made && mount.insert(file)).then_some(mount)
    }

    fn insert(&self, file: &Path) -> bool {
        self.call("mount", &["-o", "loop,commit=300", &file.to_string_lossy()])
    }

    /// The power fails: what has not reached the disk in `file` is gone, and the machine comes up with what has, which is
    /// in `copy`.
    pub(super) fn cut(&self, file: &Path, copy: &Path) {
        for _ in 0..10 {
            fs::copy(file, copy).expect("copied");
            // A write of the kernel's own in between would tear the copy, as no disk does.
            if fs::read(file).expect("read") == fs::read(copy).expect("read") {
                break;
            }
        }
        assert!(self.call("umount", &["-l"]) && self.insert(copy), "the disk is back");
    }

    /// The URL of a store on it.
    pub(super) fn url(&self) -> String {
        format!("sqlite:{}", self.path().join("store.db").display())
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Mounts it again with other options.
    pub(super) fn again(&self, options: &str) {
        assert!(self.call("mount", &["-o", &format!("remount,{options}")]), "it is mounted {options}");
    }

    /// Leaves no room.
    pub(super) fn fill(filler: &Path) {
        let mut file = fs::File::create(filler).expect("a filler");
        let octets = vec![0_u8; 4096];
        while std::io::Write::write_all(&mut file, &octets).is_ok() {}
    }

    pub(super) fn call(&self, program: &str, args: &[&str]) -> bool {
        let said = Command::new(program).args(args).arg(self.path()).output();
        let worked = said.as_ref().is_ok_and(|said| said.status.success());
        if !worked {
            println!("SKIPPED: {program} {args:?} did not work: {said:?}");
        }
        worked
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}
