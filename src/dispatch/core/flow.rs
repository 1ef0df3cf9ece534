//! How fast the wire takes what a lane gives it and the disk records it, so that no more is recorded ahead than needed.
//! Keeps a few numbers.

use std::time::Duration;

/// How fast the wire answers, measured over short spans.
#[derive(Debug, Default)]
pub(super) struct Flow {
    since: Duration,
    answers: usize,
    per_second: f64,
    recording: Duration,
}

impl Flow {
    /// Long enough to even out single answers, short enough to follow a lane that starts.
    const SPAN: Duration = Duration::from_millis(100);

    /// Counts answers that came.
    pub(super) fn count(&mut self, answers: usize, now: Duration) {
        self.answers += answers;
        let span = now.saturating_sub(self.since);
        if span >= Self::SPAN {
            #[expect(clippy::cast_precision_loss, reason = "a rate")]
            let answers = self.answers as f64;
            self.per_second = answers / span.as_secs_f64();
            (self.since, self.answers) = (now, 0);
        }
    }

    /// Learns how long it took to record an intent; a single slow one counts little.
    pub(super) fn recorded(&mut self, took: Duration) {
        self.recording = (self.recording * 63 + took) / 64;
    }

    /// How long it takes lately to record an intent.
    pub(super) fn recording(&self) -> Duration {
        self.recording
    }

    /// Answers that came lately in such a span.
    pub(super) fn within(&self, span: Duration) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a bound; the cast saturates"
        )]
        let answers = (self.per_second * span.as_secs_f64()) as usize;
        answers
    }
}
