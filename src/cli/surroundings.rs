//! What `winback doctor` asks of a machine and of everybody around it: open files, who may read the configuration, the
//! log of the store, other people's clocks, and whether callbacks come through to this very daemon. Changes nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rand::RngExt as _;

use crate::config::Config;
use crate::daemon::routes::{self, RouteParts};
use crate::http::hello;
use crate::model::clock::Timestamp;
use crate::model::encoding::Encoding;
use crate::model::phone::Phone;
use crate::provider::{Submission, Transport, TransportLimits};
use crate::store::log::LONG;
use crate::store::{Backend, Store, runs_here};

use super::doctor::{Findings, Grade};

/// Files a daemon needs beside its connections: the store, its log, locks, the terminal.
const OTHER_FILES: u64 = 64;

/// Clocks that differ by more than this make windows and receipts wrong.
const CLOCKS_DIFFER: Duration = Duration::from_secs(30);

/// The oldest PostgreSQL that its makers still mend.
const OLDEST_POSTGRES: u32 = 14;

/// How long somebody else may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the kernel tells the limits of this process.
const LIMITS: &str = "/proc/self/limits";

fn transport() -> anyhow::Result<Transport> {
    let limits =
        TransportLimits { connect_timeout: PATIENCE, total_timeout: PATIENCE, ..TransportLimits::default() };
    Ok(Transport::new(limits)?)
}

/// Whether a daemon may open as many connections as its configuration lets in.
pub(super) fn open_files(config: &Config, findings: &mut Findings) {
    let wire: usize = config.routes.values().map(|route| route.in_flight).sum();
    let needed = (wire + config.daemon.callback_connections) as u64 + OTHER_FILES;
    let limits = std::fs::read_to_string(LIMITS).unwrap_or_default();
    match soft_limit(&limits) {
        None => {}
        Some(allowed) if allowed < needed => findings.add(
            Grade::Warning,
            "open files",
            format!(
                "{allowed} are allowed here and {needed} may be needed; raise it for the daemon (`ulimit -n {needed}`, \
                 LimitNOFILE in a unit), or connections fail under load"
            ),
        ),
        Some(allowed) => {
            findings.add(Grade::Ok, "open files", format!("{allowed} allowed, {needed} may be needed"));
        }
    }
}

/// The soft limit of open files in what the kernel tells.
fn soft_limit(limits: &str) -> Option<u64> {
    let rest = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let word = rest.split_whitespace().next()?;
    if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() }
}

/// Whether others may change the configuration, or read a password in it.
pub(super) fn config_file(path: &Path, config: &Config, findings: &mut Findings) {
    use std::os::unix::fs::PermissionsExt as _;
    let Ok(facts) = std::fs::metadata(path) else { return };
    let mode = facts.permissions().mode() & 0o777;
    let password = config.store.url.split_once('@').is_some_and(|(user, _)| user.matches(':').count() > 1);
    let shown = path.display();
    if mode & 0o022 != 0 {
        let told = format!("others may change {shown} (mode {mode:o}); run `chmod go-w {shown}`");
        findings.add(Grade::Wrong, "config mode", told);
    } else if password && mode & 0o044 != 0 {
        let told = format!("others may read the password of the store in {shown}; run `chmod 600 {shown}`");
        findings.add(Grade::Wrong, "config mode", told);
    } else {
        findings.add(Grade::Ok, "config mode", format!("{mode:o}"));
    }
}

/// The store's log, and the age and the clock of a server.
pub(super) async fn around_store(
    store: &Store,
    now: Timestamp,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    if let Some(octets) = store.log_bytes() {
        let told = format!("{} MiB", octets >> 20);
        if octets > LONG {
            findings.add(
                Grade::Warning,
                "log",
                format!(
                    "{told}; something has been reading from the store for long: end it, the daemon then shortens the log"
                ),
            );
        } else {
            findings.add(Grade::Ok, "log", told);
        }
    }
    if store.backend() == Backend::Postgres {
        let (grade, told) = old_server(&store.database_version().await?);
        findings.add(grade, "server", told);
        let (grade, told) = clocks(now, store.server_time().await?.unwrap_or(now), "the server's clock");
        findings.add(grade, "clock and server", told);
    }
    Ok(())
}

fn old_server(version: &str) -> (Grade, String) {
    let major = version.split(|letter: char| !letter.is_ascii_digit()).next().and_then(|n| n.parse().ok());
    if major.is_some_and(|major: u32| major < OLDEST_POSTGRES) {
        let told = format!("PostgreSQL {version} gets no fixes any more; {OLDEST_POSTGRES} or later does");
        return (Grade::Warning, told);
    }
    (Grade::Ok, format!("PostgreSQL {version}"))
}

fn clocks(ours: Timestamp, theirs: Timestamp, whose: &str) -> (Grade, String) {
    let apart = ours.since(theirs).max(theirs.since(ours));
    let told = format!("{whose} and ours are {} seconds apart", apart.as_secs());
    if apart > CLOCKS_DIFFER {
        let told = format!("{told}: one is wrong; set this machine's (`timedatectl set-ntp true`)");
        return (Grade::Warning, told);
    }
    (Grade::Ok, told)
}

/// Whether a provider answers at all, and what its clock says. Nothing but a question for its front page is sent.
pub(super) async fn provider(
    parts: &RouteParts,
    now: Timestamp,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let sample = Submission {
        callback_url: None,
        reference: String::new(),
        to: Phone::from_digits(12_125_550_100).expect("a number kept for fiction"),
        sender: String::new(),
        text: String::new(),
        encoding: Encoding::Gsm7,
        parts: 1,
        validity: None,
    };
    let origin = parts.adapter.request(std::slice::from_ref(&sample)).url().origin().ascii_serialization();
    let what = format!("clock and {}", parts.name);
    match transport()?.look(&origin).await {
        Err(why) => findings.add(
            Grade::Warning,
            what,
            format!("{origin} does not answer ({why}); texts cannot be handed over from here"),
        ),
        Ok(look) => {
            if let Some(date) = look.date {
                let (grade, told) = clocks(now, date, &format!("the clock of {origin}"));
                findings.add(grade, what, told);
            }
        }
    }
    Ok(())
}

/// Whether a daemon works on the store, answers where the configuration says, and is what providers reach when they
/// call: it must answer a word that only it and we can work out.
pub(super) async fn daemon(config: &Config, store: &Store, findings: &mut Findings) -> anyhow::Result<()> {
    let Some(owner) = store.daemon().await? else {
        findings.add(
            Grade::Warning,
            "daemon",
            "not running, so nothing is sent and no receipt is taken; start it with `winback daemon`",
        );
        return Ok(());
    };
    let key = routes::token_key(store).await?;
    let nonce = format!("{:016x}", rand::rng().random::<u64>());
    let (expected, path) = (hello(&key, &nonce), format!("/callback/.hello/{nonce}"));
    let transport = transport()?;
    let listen = config.daemon.listen;
    let here = transport.look(&format!("http://{listen}{path}")).await;
    if here.is_ok_and(|look| look.status == 200 && look.body.trim() == expected) {
        findings.add(Grade::Ok, "daemon", format!("running as {owner}"));
        return callbacks(config, &transport, &path, &expected, findings).await;
    }
    let (grade, told) = silent(&owner, listen, runs_here(&owner));
    findings.add(grade, "daemon", told);
    if let Some(public) = &config.daemon.public_url {
        let told = format!("whether {public} leads to the daemon cannot be said: it does not answer here");
        findings.add(Grade::Warning, "callbacks", told);
    }
    Ok(())
}

/// What is said of a daemon that holds the store and cannot be spoken to.
fn silent(owner: &str, listen: SocketAddr, here: bool) -> (Grade, String) {
    let told = format!("{owner} has the store and does not answer at {listen}");
    if here {
        let way_out = "it hangs, or `daemon.listen` was changed after it had started: restart it, or nothing is sent and no \
                       receipt or STOP is taken";
        return (Grade::Wrong, format!("{told}: {way_out}"));
    }
    (Grade::Warning, format!("{told}, which may be right from this machine: run `winback doctor` on its own"))
}

/// Whether what providers call comes through to this very daemon.
async fn callbacks(
    config: &Config,
    transport: &Transport,
    path: &str,
    expected: &str,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let Some(public) = &config.daemon.public_url else { return Ok(()) };
    let way_out = format!(
        "receipts and STOP cannot come in; let the proxy there pass /callback/ to {} as it came",
        config.daemon.listen
    );
    match transport.look(&format!("{public}{path}")).await {
        Ok(look) if look.status == 200 && look.body.trim() == expected => {
            findings.add(Grade::Ok, "callbacks", format!("{public} leads to this daemon"));
        }
        Ok(look) if look.status == 200 => {
            let told = format!("{public} is answered by somebody else than this daemon: {way_out}");
            findings.add(Grade::Wrong, "callbacks", told);
        }
        Ok(look) => {
            let told =
                format!("{public} answers with http {}, the daemon itself with 200: {way_out}", look.status);
            findings.add(Grade::Wrong, "callbacks", told);
        }
        Err(why) => {
            let told = format!(
                "{public} does not answer ({why}): {way_out}, and check name and certificate; from inside some networks a public address cannot be called, then ask from outside"
            );
            findings.add(Grade::Warning, "callbacks", told);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_read_as_the_kernel_tells_it() {
        let line = |soft: &str| {
            format!("Max processes  1  1  processes\nMax open files            {soft}  4096  files\n")
        };
        let check = |soft: &str, wanted| assert_eq!(soft_limit(&line(soft)), wanted, "{soft}");
        check("1024", Some(1_024));
        check("unlimited", Some(u64::MAX));
        check("-", None);
        assert_eq!(soft_limit(""), None);
    }

    #[test]
    fn a_daemon_that_cannot_be_spoken_to_is_wrong_where_it_runs_and_may_be_right_elsewhere() {
        let listen: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
        let check = |here, grade, words: &str| {
            let (found, told) = silent("process 7", listen, here);
            assert!(found == grade && told.contains(words) && told.contains("at 127.0.0.1:8080"), "{told}");
        };
        check(true, Grade::Wrong, "restart it");
        check(false, Grade::Warning, "on its own");
    }

    #[test]
    fn clocks_that_differ_and_old_servers_are_told() {
        let check = |ours: i64, theirs: i64, grade: Grade| {
            assert_eq!(clocks(Timestamp(ours), Timestamp(theirs), "theirs").0, grade, "{ours} {theirs}");
        };
        check(0, 0, Grade::Ok);
        check(30_000, 0, Grade::Ok);
        check(31_000, 0, Grade::Warning);
        check(0, 31_000, Grade::Warning);
        let check = |version: &str, grade: Grade| assert_eq!(old_server(version).0, grade, "{version}");
        check("13.9 (Debian 13.9-1)", Grade::Warning);
        check("15.14", Grade::Ok);
        check("17beta1", Grade::Ok);
    }
}
