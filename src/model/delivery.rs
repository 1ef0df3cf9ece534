//! The delivery axis: what providers report about an accepted message. Its rank only ever rises.

use serde::{Deserialize, Serialize};

/// Delivery state of a message or of one receipt, ordered by rank (reliability rule: rank only rises).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// No receipt yet.
    #[default]
    None,
    /// The provider or a carrier has it under way.
    EnRoute,
    /// Our own timer gave up waiting; any real receipt may still replace it.
    AssumedExpired,
    /// Could not be delivered.
    Undelivered,
    /// Refused on the way.
    Rejected,
    /// The validity period ended before delivery.
    Expired,
    /// On the handset.
    Delivered,
    /// Read, where a channel says so.
    Read,
}

impl Delivery {
    /// Every state in rank order.
    pub const ALL: [Delivery; 8] = [
        Self::None,
        Self::EnRoute,
        Self::AssumedExpired,
        Self::Undelivered,
        Self::Rejected,
        Self::Expired,
        Self::Delivered,
        Self::Read,
    ];

    /// 0 none, 1 en route, 2 assumed expired, 3 failed in any way, 4 delivered, 5 read.
    pub fn rank(self) -> i64 {
        match self {
            Self::None => 0,
            Self::EnRoute => 1,
            Self::AssumedExpired => 2,
            Self::Undelivered | Self::Rejected | Self::Expired => 3,
            Self::Delivered => 4,
            Self::Read => 5,
        }
    }

    /// True once a carrier or handset has spoken its last word.
    pub fn is_final(self) -> bool {
        self.rank() >= 3
    }

    /// The state as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::EnRoute => "en_route",
            Self::AssumedExpired => "assumed_expired",
            Self::Undelivered => "undelivered",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }

    /// Reads the stored form.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Joins a new report into this state. A higher rank wins, an equal one keeps the first,
    /// a lower or contradictory final report changes nothing but is flagged.
    pub fn join(self, report: Delivery) -> Joined {
        if report.rank() > self.rank() {
            let conflict = self.rank() == 3 && report.rank() >= 4;
            return Joined { state: report, changed: true, conflict };
        }
        let conflict = report.is_final()
            && self.is_final()
            && report != self
            && report.rank() <= self.rank()
            && !(self == Self::Read && report == Self::Delivered);
        Joined { state: self, changed: false, conflict }
    }
}

/// The result of joining a report into a delivery state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The state afterwards.
    pub state: Delivery,
    /// Whether the state differs from before.
    pub changed: bool,
    /// Whether two final reports contradict each other.
    pub conflict: bool,
}

#[cfg(test)]
mod tests {
    use super::Delivery;

    #[test]
    fn delivery_never_falls_whatever_the_order() {
        for first in Delivery::ALL {
            for second in Delivery::ALL {
                for third in Delivery::ALL {
                    let a = first.join(second).state.join(third).state;
                    let b = first.join(third).state.join(second).state;
                    assert_eq!(a.rank(), b.rank(), "{first:?} {second:?} {third:?}");
                    assert!(a.rank() >= first.rank());
                }
            }
        }
    }

    #[test]
    fn contradictions_between_final_reports_are_flagged() {
        let check = |now: Delivery, report: Delivery, conflict: bool| {
            assert_eq!(now.join(report).conflict, conflict, "{now:?} then {report:?}");
        };
        check(Delivery::Delivered, Delivery::Undelivered, true);
        check(Delivery::Undelivered, Delivery::Delivered, true);
        check(Delivery::Undelivered, Delivery::Expired, true);
        check(Delivery::Delivered, Delivery::Delivered, false);
        check(Delivery::Delivered, Delivery::EnRoute, false);
        check(Delivery::Delivered, Delivery::Read, false);
        check(Delivery::Read, Delivery::Delivered, false);
    }
}
