//! One PostgreSQL cluster per test process, in a temporary folder, reached by a socket inside that folder.
//!
//! A small shell owns the server and reads from a pipe that this process holds open. However the tests end — done,
//! panicked, killed — the pipe closes, and the shell stops the server and removes the folder.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use winback::store::Store;

/// Where distributions put the server programs.
const PLACES: &[(&str, &str)] = &[
    ("/usr/lib/postgresql", "bin"),
    ("/usr", "bin"),
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/usr/local", "bin"),
];

/// A server running as root refuses to start; Debian's package brings this user.
const SERVER_USER: &str = "postgres";

/// Arguments: folder of the programs, folder of the cluster. The locale sorts like people do, so that SQL which leaves
/// an order to the locale is found out.
const KEEPER: &str = r#"
trap '' INT TERM HUP
cd "$2" || exit 1
exec 3>&1 1>log 2>&1
"$1/initdb" -D data -U postgres -A trust --no-sync -E UTF8 --locale=C.UTF-8 --locale-provider=icu --icu-locale=en-US &&
"$1/pg_ctl" -D data -w -t 60 -l server.log -o "-k '$2' -c listen_addresses= -c max_connections=200 -c fsync=off \
    -c synchronous_commit=off -c full_page_writes=off -c max_wal_size=4GB" start 3>&- && echo ready >&3
while read -r how; do
    "$1/pg_ctl" -D data -w -t 60 -m "$how" restart 3>&-
    echo ready >&3
done
"$1/pg_ctl" -D data -m immediate stop
cd / && rm -rf "$2"
"#;

const TEMPLATE: &str = "winback_template";

/// A fresh database with the current schema; its URL.
pub(crate) async fn database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static TEMPLATE_MADE: tokio::sync::Mutex<bool> = tokio::sync::Mutex::const_new(false);
    let cluster = cluster();
    let mut made = TEMPLATE_MADE.lock().await;
    if !*made {
        admin(cluster, format!("CREATE DATABASE {TEMPLATE}")).await;
        let store = Store::create(&cluster.url(TEMPLATE), "test").await.expect("the template is migrated");
        store.close().await;
        *made = true;
    }
    let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
    admin(cluster, format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}")).await;
    cluster.url(&name)
}

/// A fresh database without any table; its URL.
pub(crate) async fn empty_database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let cluster = cluster();
    let name = format!("e{}", NEXT.fetch_add(1, Ordering::Relaxed));
    admin(cluster, format!("CREATE DATABASE {name}")).await;
    cluster.url(&name)
}

struct Cluster {
    folder: PathBuf,
    /// Held until the process ends; then the keeper reads the end of the pipe.
    leash: ChildStdin,
    _keeper: Child,
}

impl Cluster {
    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.folder.display())
    }
}

async fn admin(cluster: &Cluster, sql: String) {
    let mut connection = PgConnection::connect(&cluster.url("postgres")).await.expect("the server answers");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("the server obeys");
    connection.close().await.expect("the server lets go");
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| start().0)
}

/// A server of one test's own, which may be restarted; gone when dropped.
pub(crate) struct Server {
    cluster: Cluster,
    answers: BufReader<ChildStdout>,
}

impl Server {
    /// Starts one with an empty database; and the URL of that.
    pub(crate) async fn start() -> (Self, String) {
        let (cluster, answers) = start();
        admin(&cluster, "CREATE DATABASE own".to_owned()).await;
        let url = cluster.url("own");
        (Self { cluster, answers }, url)
    }

    /// Stops it, `fast` or `immediate`, and starts it again; returns when it answers.
    pub(crate) fn restart(&mut self, how: &str) {
        writeln!(self.cluster.leash, "{how}").expect("the keeper hears");
        await_ready(&mut self.answers, &self.cluster.folder);
    }
}

fn await_ready(answers: &mut BufReader<ChildStdout>, folder: &Path) {
    let mut answer = String::new();
    answers.read_line(&mut answer).expect("the keeper answers");
    assert!(answer.trim() == "ready", "PostgreSQL did not start:\n{}", logs(folder));
}

fn start() -> (Cluster, BufReader<ChildStdout>) {
    let programs = programs().expect(
        "PostgreSQL's server programs are needed and were not found: apt-get install postgresql (15 or later); \
         scripts/test does it",
    );
    // Kept: the keeper removes it. A socket's path must be short, so never a folder deep inside a build.
    let folder = tempfile::Builder::new().prefix("winback-pg-").tempdir_in("/tmp").expect("a folder").keep();
    let mut command = keeper(&folder);
    let spawned = command
        .args(["sh", "-c", KEEPER, "keeper"])
        .arg(&programs)
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    let mut keeper = spawned.expect("the keeper starts");
    let leash = keeper.stdin.take().expect("piped");
    let mut answers = BufReader::new(keeper.stdout.take().expect("piped"));
    await_ready(&mut answers, &folder);
    (Cluster { folder, leash, _keeper: keeper }, answers)
}

/// The command that runs what follows it as somebody who is not root.
fn keeper(folder: &Path) -> Command {
    let root = std::fs::metadata(folder).expect("just made").uid() == 0;
    if !root {
        return Command::new("/usr/bin/env");
    }
    let given = Command::new("chown").arg(SERVER_USER).arg(folder).status().expect("chown runs");
    assert!(given.success(), "the user `{SERVER_USER}` is missing: apt-get install postgresql");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", SERVER_USER, "--regid", SERVER_USER, "--clear-groups", "--"]);
    command
}

/// The folder of the newest server programs.
fn programs() -> Option<PathBuf> {
    PLACES.iter().find_map(|(place, inside)| newest(Path::new(place), inside))
}

fn newest(place: &Path, inside: &str) -> Option<PathBuf> {
    let direct = place.join(inside);
    let versions = std::fs::read_dir(place).into_iter().flatten().flatten().map(|e| e.path().join(inside));
    let usable = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file();
    versions.chain([direct]).filter(usable).max_by_key(|folder| version(folder))
}

/// The number in `…/15/bin` or `…/postgresql@15/bin`.
fn version(folder: &Path) -> u32 {
    let name = folder.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let digits: String = name
        .unwrap_or_default()
        .chars()
        .rev()
        .take_while(char::is_ascii_digit)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    digits.parse().unwrap_or(0)
}

fn logs(folder: &Path) -> String {
    ["log", "server.log"]
        .map(|name| std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| error.to_string()))
        .join("\n")
}
