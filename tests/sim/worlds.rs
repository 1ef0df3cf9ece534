//! The worlds, by their seeds: ten thousand of them hold, the same one twice is the same, and each rule that is taken
//! out is missed.

use std::io::Write as _;

use super::faults::Fired;
use super::model::Broken;
use super::world::{End, Failure, play};

/// Worlds that are played unless the command line says otherwise.
const SEEDS: u64 = 10_000;

/// Worlds in which a broken rule must be noticed.
const BITE: u64 = 3_000;

/// A number that the command line names, as `seed=7`: the test runner takes it for a name that no test has.
fn named(key: &str) -> Option<u64> {
    std::env::args().find_map(|arg| arg.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
}

fn show(failure: &Failure) -> String {
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
    assert!(fired.never().is_empty(), "these never fired, so that nothing is shown about them: {:?}", fired.never());
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
