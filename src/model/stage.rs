//! Lifecycle stages as words. Which stage a contact is in is decided in `insight`, never here.

use serde::{Deserialize, Serialize};

/// Where a contact stands between first sight and being lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Known, never bought.
    Prospect,
    /// Bought once, not long ago.
    New,
    /// Buys more often than before.
    Growing,
    /// Buys in a steady rhythm.
    Active,
    /// Has bought steadily for long.
    Loyal,
    /// Has missed the moment at which the next purchase was due.
    Sleeping,
    /// Has been away so long that a return would surprise.
    Lost,
}

impl Stage {
    /// Every stage, from first sight to lost.
    pub const ALL: [Stage; 7] =
        [Self::Prospect, Self::New, Self::Growing, Self::Active, Self::Loyal, Self::Sleeping, Self::Lost];

    /// The word as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prospect => "prospect",
            Self::New => "new",
            Self::Growing => "growing",
            Self::Active => "active",
            Self::Loyal => "loyal",
            Self::Sleeping => "sleeping",
            Self::Lost => "lost",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::Stage;

    #[test]
    fn every_stage_is_read_back_from_its_word() {
        for stage in Stage::ALL {
            assert_eq!(Stage::from_word(stage.as_str()), Some(stage));
            assert_eq!(serde_json::to_value(stage).expect("plain"), stage.as_str());
        }
        assert_eq!(Stage::from_word("asleep"), None);
    }
}
