//! Stops a lane whose provider is unwell and lets single probes find out when it is well again. Pure.

use std::time::Duration;

use crate::model::outcome::OutcomeClass;

/// Failures in a row that open the breaker.
const FAILURES: u32 = 8;

/// How long it stays open the first time; doubled each time a probe fails.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// Longest pause between two probes.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// First pause when the account itself is broken: no probe will mend that quickly.
const ACCOUNT_PAUSE: Duration = Duration::from_secs(30);

/// The state of one lane's breaker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    pause: Duration,
    open_until: Option<Duration>,
    probing: bool,
}

/// What may be submitted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Anything.
    Free,
    /// One message, to find out.
    Probe,
    /// Nothing before this instant of the lane's clock.
    Until(Duration),
}

impl Breaker {
    /// What may be submitted at `now`.
    pub fn admit(&self, now: Duration) -> Admission {
        match self.open_until {
            None => Admission::Free,
            Some(until) if now < until => Admission::Until(until),
            Some(until) if self.probing => Admission::Until(until.max(now) + FIRST_PAUSE),
            Some(_) => Admission::Probe,
        }
    }

    /// A probe was sent; nothing else goes before its answer.
    pub fn probe_sent(&mut self) {
        self.probing = true;
    }

    /// A probe came back without being sent: another may try.
    pub fn probe_lost(&mut self) {
        self.probing = false;
    }

    /// Learns from an answer; true when it opened now.
    pub fn record(&mut self, class: OutcomeClass, now: Duration) -> bool {
        self.probing = false;
        match class {
            OutcomeClass::Accepted
            | OutcomeClass::BadRecipient
            | OutcomeClass::BadContent
            | OutcomeClass::OptedOut => {
                *self = Self::default();
                false
            }
            // Slow is not unwell: the pacer deals with it.
            OutcomeClass::Throttled => false,
            OutcomeClass::Account => self.open(now, ACCOUNT_PAUSE),
            OutcomeClass::Unavailable | OutcomeClass::Unknown | OutcomeClass::Garbled => {
                self.failures += 1;
                if self.failures >= FAILURES || self.open_until.is_some() {
                    return self.open(now, FIRST_PAUSE);
                }
                false
            }
        }
    }

    fn open(&mut self, now: Duration, first: Duration) -> bool {
        if self.open_until.is_some_and(|until| now < until) {
            return false;
        }
        self.pause = if self.pause.is_zero() { first } else { (self.pause * 2).clamp(first, LONGEST_PAUSE) };
        self.open_until = Some(now + self.pause);
        true
    }

    /// True while the answer to a probe is awaited.
    pub fn is_probing(&self) -> bool {
        self.probing
    }

    /// When the next probe may go, by the lane's clock; none while it is closed.
    pub fn next_try(&self) -> Option<Duration> {
        self.open_until
    }

    /// True while the lane is stopped or probing.
    pub fn is_open(&self) -> bool {
        self.open_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_failures_opens_it_and_one_good_probe_closes_it() {
        let mut breaker = Breaker::default();
        for n in 1..FAILURES {
            assert!(!breaker.record(OutcomeClass::Unavailable, Duration::ZERO), "{n}");
        }
        assert!(breaker.record(OutcomeClass::Unavailable, Duration::ZERO));
        assert_eq!(breaker.admit(Duration::from_secs(1)), Admission::Until(FIRST_PAUSE));
        assert_eq!(breaker.admit(FIRST_PAUSE), Admission::Probe);
        breaker.probe_sent();
        assert!(matches!(breaker.admit(FIRST_PAUSE), Admission::Until(_)), "one probe at a time");
        breaker.record(OutcomeClass::Accepted, FIRST_PAUSE);
        assert_eq!(breaker.admit(FIRST_PAUSE), Admission::Free);
    }

    #[test]
    fn pauses_grow_while_probes_fail_and_never_beyond_the_longest() {
        let mut breaker = Breaker::default();
        let mut now = Duration::ZERO;
        for _ in 0..FAILURES {
            breaker.record(OutcomeClass::Unavailable, now);
        }
        let mut last = Duration::ZERO;
        for _ in 0..12 {
            let Admission::Until(until) = breaker.admit(now) else { panic!("open") };
            let pause = until.saturating_sub(now);
            assert!(pause >= last.min(LONGEST_PAUSE) && pause <= LONGEST_PAUSE);
            last = pause;
            now = until;
            breaker.probe_sent();
            breaker.record(OutcomeClass::Unavailable, now);
        }
    }

    #[test]
    fn a_broken_account_stops_the_lane_at_once_and_refusals_of_single_texts_never_do() {
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            assert!(!breaker.record(OutcomeClass::BadRecipient, Duration::ZERO));
            assert!(!breaker.record(OutcomeClass::Throttled, Duration::ZERO));
        }
        assert!(breaker.record(OutcomeClass::Account, Duration::ZERO));
        assert_eq!(breaker.admit(Duration::ZERO), Admission::Until(ACCOUNT_PAUSE));
    }

    #[test]
    fn scattered_failures_do_not_open_it() {
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            breaker.record(OutcomeClass::Unknown, Duration::ZERO);
            breaker.record(OutcomeClass::Accepted, Duration::ZERO);
        }
        assert_eq!(breaker.admit(Duration::ZERO), Admission::Free);
    }
}
