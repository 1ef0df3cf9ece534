//! The worlds, by their seeds: ten thousand of them hold, the same one twice is the same, and each rule that is taken
//! out is missed.

use std::io::Write as _;

use super::faults::Fired;
use super::model::Broken;
use super::world::{End, Failure, play, play_in_doubt};

/// Worlds that are played unless the command line says otherwise.
const SEEDS: u64 = 10_000;

/// Worlds in which a broken rule must be noticed. A clock that jumps ahead just when it makes a provider's silence a proof
/// is the rarest of what they show, once in some three thousand.
const BITE: u64 = 6_000;

/// A number that the command line names, as `seed=7`: the test runner takes it for a name that no test has.
pub(crate) fn named(key: &str) -> Option<u64> {
    std::env::args().find_map(|arg| arg.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
}

pub(crate) fn show(failure: &Failure) -> String {
    let Failure { seed, breach, history } = failure;
    format!(
        "seed {seed} breaks `{}`: message {:?}: {}\n{history}\nplay it again: cargo test --test sim -- seed={seed}",
        breach.rule, breach.message, breach.told
    )
}

/// Plays worlds on two threads; answers what fired in them and how many steps they took.
fn play_all(from: u64, count: u64) -> (Fired, u64) {
    let half = |parity: u64| {
        let (mut fired, mut steps) = (Fired::default(), 0);
        for seed in (from..from + count).filter(|seed| seed % 2 == parity) {
            match play(seed, Broken::Nothing, false) {
                Ok(End { world, steps: taken }) => {
                    fired.add(&world.fired);
                    steps += u64::from(taken);
                }
                Err(failure) => panic!("{}", show(&failure)),
            }
        }
        (fired, steps)
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let (mut fired, steps) = half(0);
        let (more, more_steps) = other.join().unwrap_or_else(|failure| std::panic::resume_unwind(failure));
        fired.add(&more);
        (fired, steps + more_steps)
    })
}

#[test]
fn whatever_happens_nobody_is_texted_twice_unasked_or_after_a_stop_and_nothing_is_lost() {
    if let Some(seed) = named("seed") {
        let Err(failure) = play(seed, Broken::Nothing, false) else { return };
        panic!("{}", show(&failure));
    }
    let (fired, steps) = play_all(0, named("seeds").unwrap_or(SEEDS));
    let told: Vec<String> = fired.each().map(|(fault, count)| format!("{fault:?} {count}")).collect();
    let _ = writeln!(std::io::stderr(), "{steps} steps; {}", told.join(", "));
    assert!(
        fired.never().is_empty(),
        "these never fired, so that nothing is shown about them: {:?}",
        fired.never()
    );
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..200 {
        let run = || match play(seed, Broken::Nothing, false) {
            Ok(End { world, .. }) => (world.history.hash(), format!("{:?}", world.model.committed)),
            Err(failure) => panic!("{}", show(&failure)),
        };
        let (first, second) = (run(), run());
        assert!(first == second, "seed {seed}");
    }
}

/// How a world is played in which a rule is broken, or none.
type Play = fn(u64, Broken, bool) -> Result<End, Box<Failure>>;

/// Plays worlds in which something is broken until each of `rules` has noticed; answers in how many worlds it was.
fn until_noticed(broken: Broken, rules: &[&str], play: Play) -> u64 {
    let mut missing = rules.to_vec();
    let mut others = std::collections::BTreeSet::new();
    for seed in 0..BITE {
        let Err(failure) = play(seed, broken, false) else { continue };
        if let Err(failure) = play(seed, Broken::Nothing, false) {
            panic!("{}", show(&failure));
        }
        missing.retain(|rule| *rule != failure.breach.rule);
        others.insert(failure.breach.rule);
        if missing.is_empty() {
            return seed + 1;
        }
    }
    panic!("{broken:?} goes unnoticed by {missing:?} in {BITE} worlds; others: {others:?}");
}

#[test]
fn a_rule_that_is_taken_out_is_missed() {
    let check = |broken: Broken, rules: &[&str]| {
        let worlds = until_noticed(broken, rules, play);
        let _ = writeln!(std::io::stderr(), "{broken:?}: noticed by {rules:?} within {worlds} worlds");
    };
    check(Broken::IntentAfterWire, &["I3 nothing unexpected"]);
    check(Broken::NoSuppressionCheck, &["I4 nothing after STOP"]);
    check(Broken::LastReceiptWins, &["I5 receipts"]);
    check(Broken::EpochIgnored, &[]);
    check(Broken::CouponApart, &["coupon books"]);
    check(Broken::NotDurable, &["I3 nothing unexpected", "I5 receipts"]);
    check(Broken::BudgetIgnored, &["I6 limits"]);
    check(Broken::WindowIgnored, &["I6 limits"]);
    check(Broken::StoppedRunSends, &["I6 limits"]);
    check(Broken::ReceiptAckedEarly, &["I5 receipts"]);
    check(Broken::LateProofIsFree, &["I6 limits"]);
    check(Broken::CapsCountedEarly, &["I6 limits"]);
    check(Broken::NobodySweeps, &["I8 progress"]);
}

#[test]
fn a_rule_about_questions_to_providers_that_is_taken_out_is_missed() {
    let check = |broken: Broken, rules: &[&str]| {
        let worlds = until_noticed(broken, rules, play_in_doubt);
        let _ = writeln!(std::io::stderr(), "{broken:?}: noticed by {rules:?} within {worlds} worlds");
    };
    check(Broken::ReplayIgnoresStop, &["I4 nothing after STOP"]);
    check(Broken::ReplayUnrecorded, &["I3 nothing unexpected"]);
    check(Broken::KeysOutlived, &["I2 no silent duplicate"]);
    check(Broken::ClockUnwatched, &["I2 no silent duplicate"]);
    // What was taken and is called not taken is not paid for, which shows before the second copy leaves.
    check(Broken::NothingProves, &["I6 limits"]);
    check(Broken::AskedTooSoon, &["I6 limits"]);
    check(Broken::ClockTakenAsSteady, &["I6 limits"]);
    check(Broken::CallOffForgetsDoubt, &["I1 nothing is lost"]);
    check(Broken::RefusalEndsReplay, &["I6 limits"]);
}
