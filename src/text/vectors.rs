//! Reads the vector files that the tests of this module share. Never part of the program.

use serde::Deserialize;

use crate::model::encoding::Encoding;

/// One line of a vector file; a field that a file does not have stays at its default.
#[derive(Deserialize)]
pub(super) struct Vector {
    pub(super) id: String,
    text: Repeated,
    pub(super) encoding: Encoding,
    pub(super) units: u32,
    pub(super) parts: u16,
    #[serde(default)]
    pub(super) per_part: Vec<u16>,
    #[serde(default)]
    pub(super) parts_ref16: u16,
    #[serde(default)]
    pub(super) replaced: bool,
    result: Option<Repeated>,
}

impl Vector {
    pub(super) fn text(&self) -> String {
        self.text.expand()
    }

    pub(super) fn result(&self) -> String {
        self.result.as_ref().expect("a vector of replacement has a result").expand()
    }
}

/// A text as such, or pieces with the number of their repetitions.
#[derive(Deserialize)]
#[serde(untagged)]
enum Repeated {
    Plain(String),
    Pieces(Vec<(String, usize)>),
}

impl Repeated {
    fn expand(&self) -> String {
        match self {
            Self::Plain(text) => text.clone(),
            Self::Pieces(pieces) => pieces.iter().map(|(piece, times)| piece.repeat(*times)).collect(),
        }
    }
}

pub(super) fn read(lines: &str) -> Vec<Vector> {
    lines.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}
