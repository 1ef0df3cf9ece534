//! What happened in a world, line by line: cheap to keep, hashed as it grows, shown when something is wrong.

use std::fmt::Write as _;

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The true clock, in milliseconds.
    pub(crate) at: u64,
    /// The process, by the number of its incarnation; 0 is the world.
    pub(crate) who: u64,
    pub(crate) what: &'static str,
    /// The message it is about; 0 if it is about none or all.
    pub(crate) message: i64,
    pub(crate) detail: (&'static str, i64),
}

/// Everything that happened in one world.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) lines: Vec<Line>,
    hash: u64,
}

impl Default for History {
    fn default() -> Self {
        Self { lines: Vec::with_capacity(512), hash: 0xcbf2_9ce4_8422_2325 }
    }
}

impl History {
    pub(crate) fn add(&mut self, line: Line) {
        let text = |text: &str| text.bytes().fold(0, |sum: u64, byte| sum.rotate_left(7) ^ u64::from(byte));
        let [message, number] = [line.message, line.detail.1].map(i64::cast_unsigned);
        for value in [line.at, line.who, text(line.what), message, text(line.detail.0), number] {
            self.hash = (self.hash ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
        }
        self.lines.push(line);
    }

    /// The whole history as one number.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// What concerned a message, and what concerned all; everything if none is named.
    pub(crate) fn about(&self, message: Option<i64>) -> String {
        let mut text = String::new();
        for line in &self.lines {
            if message.is_none_or(|message| line.message == 0 || line.message == message) {
                let Line { at, who, what, message, detail } = line;
                let seconds = (at / 1_000, at % 1_000);
                let _ = writeln!(
                    text,
                    "{:>6}.{:03} process {who} {what} message {message} {} {}",
                    seconds.0, seconds.1, detail.0, detail.1
                );
            }
        }
        text
    }
}
