//! A throw-away `PostgreSQL` of its own for a test: started in a temporary folder, reached through a unix socket, gone
//! with the test. Where `PostgreSQL` is not installed there is none.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tempfile::TempDir;

/// A running server. Dropping it stops the server and removes its files.
pub(crate) struct Cluster {
    server: Child,
    folder: TempDir,
}

impl Cluster {
    /// Starts one, or says that `PostgreSQL` is not installed here.
    pub(crate) async fn start() -> Option<(Self, PgPool)> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("wb-pg").tempdir_in("/tmp").unwrap();
        let root = is_root(folder.path());
        if root {
            assert!(Command::new("chown").arg("postgres").arg(folder.path()).status().unwrap().success());
        }
        let data = folder.path().join("data");
        // A locale that sorts like people do, so that SQL which leaves order to the locale is found out.
        let made = as_postgres(root, &programs.join("initdb"))
            .args(["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale", "C.UTF-8"])
            .args(["--locale-provider", "icu", "--icu-locale", "en-US", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb fails");
        let server = as_postgres(root, &programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let cluster = Self { server, folder };
        let options = PgConnectOptions::new_without_pgpass()
            .socket(cluster.folder.path())
            .username("postgres")
            .database("postgres");
        for _ in 0..200 {
            if let Ok(pool) = PgPoolOptions::new().max_connections(2).connect_with(options.clone()).await {
                return Some((cluster, pool));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server does not answer");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The child may be `runuser`, so the server is asked through its own pid file.
        let pid = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            let _ = Command::new("kill").args(["-INT", pid]).status();
        }
        let _ = self.server.wait();
    }
}

/// The newest installed version.
fn programs() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    versions.sort();
    versions.into_iter().rev().find(|bin| bin.join("initdb").exists())
}

/// `PostgreSQL` refuses to run as root, so root runs it as its own user.
fn is_root(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(folder).is_ok_and(|folder| folder.uid() == 0)
}

fn as_postgres(root: bool, program: &Path) -> Command {
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}
