//! What a provider can be asked about a message whose fate is unknown. It asks nothing.

use std::time::Duration;

use super::clock::Timestamp;

/// A way to ask a provider what became of a message, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// A look-up by our reference.
    Lookup,
    /// The same request again, under the same key: a provider that has it answers as it did the first time.
    Replay,
    /// What it took lately for the same recipient, sender, time and text.
    List,
}

impl Rung {
    /// Every rung, in order.
    pub const ALL: [Rung; 3] = [Self::Lookup, Self::Replay, Self::List];

    /// The rung as it is written in definitions and for machines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Replay => "replay",
            Self::List => "list",
        }
    }
}

/// A question to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// By reference, or by what was sent.
    pub rung: Rung,
    /// How long the provider may take to show a message that it took.
    pub after: Duration,
    /// How far back it can look.
    pub within: Duration,
    /// Whether "not found" is a proof.
    pub authoritative: bool,
}

/// A request that may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// How long the provider remembers the key.
    pub lifetime: Duration,
    /// Requests have been rendered as they would be now since then; earlier ones would differ.
    pub alike_since: Timestamp,
}

/// Everything that the provider of one route can be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Means {
    /// A look-up or a list.
    pub ask: Option<Ask>,
    /// A replay.
    pub repeat: Option<Repeat>,
}

/// What asking about one attempt has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    /// It was not found, which proves nothing.
    Nothing,
    /// The provider did not answer, or said nothing about it.
    NoAnswer,
    /// It was found more than once: a duplicate has happened.
    Twice,
    /// Several were found that could be it, and it is not the only text of ours that they could be: nobody can tell.
    Alike,
}

impl Finding {
    /// Every finding.
    pub const ALL: [Finding; 4] = [Self::Nothing, Self::NoAnswer, Self::Twice, Self::Alike];

    /// The finding as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::NoAnswer => "no-answer",
            Self::Twice => "twice",
            Self::Alike => "alike",
        }
    }

    /// Reads what [`Finding::as_str`] writes.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|finding| finding.as_str() == word)
    }
}

/// How often and when a provider was asked about one attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Look-ups or lists so far that were answered.
    pub looks: u32,
    /// Those that were not.
    pub looks_unanswered: u32,
    /// The last of them all.
    pub looked_at: Option<Timestamp>,
    /// Replays so far that were answered.
    pub replays: u32,
    /// Those that were not, or are on the wire.
    pub replays_unanswered: u32,
    /// The last of them all.
    pub replayed_at: Option<Timestamp>,
    /// It is never replayed any more: it was seen to be too old for that, or nobody knows how old it is. A clock that is
    /// set back makes nothing young again.
    pub replay_over: bool,
    /// What came of it.
    pub finding: Option<Finding>,
}

impl Asked {
    /// How often the provider was asked, answered or not.
    pub fn times(&self) -> u32 {
        [self.looks_unanswered, self.replays, self.replays_unanswered]
            .into_iter()
            .fold(self.looks, u32::saturating_add)
    }
}
