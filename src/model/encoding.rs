//! How the characters of a text travel: seven bits or two octets each.

use serde::{Deserialize, Serialize};

/// The encoding of a whole text; one character outside GSM-7 turns all of it into UCS-2 (3GPP TS 23.038).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// The GSM 7-bit default alphabet with its extension table; unit = septet.
    Gsm7,
    /// UTF-16; unit = 16-bit code unit.
    Ucs2,
}

impl Encoding {
    /// `gsm7` or `ucs2`, as stored, shown and used as a key in provider definitions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gsm7 => "gsm7",
            Self::Ucs2 => "ucs2",
        }
    }
}
