//! What an answer of a customer means: STOP, START, HELP, something for a person to read, or nothing special.
//!
//! The reading leans to the safe side: a refusal that we overlook breaks the law and annoys a customer, a refusal that we
//! imagine costs one text. This module never suppresses, lifts or answers anything; it only reads.

mod normal;
mod table;

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Serialize;

use normal::words;

/// What an inbound text asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Keyword {
    /// Never text this number again.
    Stop {
        /// Read from a phrase ("leave me alone") rather than from a keyword.
        inferred: bool,
    },
    /// Lift an earlier STOP of this same number.
    Start,
    /// Say who writes, and how to stop.
    Help,
    /// A STOP keyword inside a longer text: a person must read it, and sending to the number pauses meanwhile.
    Review,
    /// Anything else: store it and show it.
    Other,
}

/// Reads one inbound text. `one_letter` are the single letters that the route announces as a way to stop, such as `T`
/// or `R` in mainland China; on every other route a single letter means nothing.
///
/// In order: (1) the whole text is a keyword; (2) a STOP keyword is the first meaningful word of at most five; (3) a
/// phrase of refusal; (4) a STOP keyword anywhere. START and HELP count only as the whole text, so that "please help me
/// stop this" is never taken for a request for help.
pub fn classify(text: &str, one_letter: &[char]) -> Keyword {
    let mut words = words(text);
    if words.iter().all(|word| word.chars().nth(1).is_none()) {
        words = vec![words.concat()]; // s.t.o.p
    }
    let whole = words.join(" ");
    if let Some(keyword) = TABLE.whole.get(whole.as_str()) {
        return *keyword;
    }
    if one_letter.iter().any(|letter| normal::words(&letter.to_string()) == [whole.as_str()]) {
        return Keyword::Stop { inferred: false };
    }
    if words.len() <= MAX_WORDS && stop_comes_first(&words) {
        return Keyword::Stop { inferred: false };
    }
    if refuses(&words) {
        return Keyword::Stop { inferred: true };
    }
    if mentions_stop(&words) { Keyword::Review } else { Keyword::Other }
}

/// Above this a STOP keyword at the start may be part of a sentence about something else.
const MAX_WORDS: usize = 5;

/// Languages without spaces write a whole sentence as one word; a request this short is a STOP.
const MAX_UNSPACED_CHARS: usize = 8;

static TABLE: LazyLock<Table> = LazyLock::new(Table::build);

/// The tables in the form that texts are compared in.
struct Table {
    whole: HashMap<String, Keyword>,
    /// STOP keywords as words, for a look inside a text.
    stops: Vec<Vec<String>>,
    refusals: Vec<Vec<String>>,
    fillers: Vec<String>,
    negations: Vec<String>,
}

impl Table {
    fn build() -> Self {
        let mut whole = HashMap::new();
        let mut stops = Vec::new();
        for language in table::LANGUAGES {
            for (keywords, keyword) in [
                (language.help, Keyword::Help),
                (language.start, Keyword::Start),
                (language.stop, Keyword::Stop { inferred: false }),
            ] {
                whole.extend(keywords.iter().map(|text| (words(text).join(" "), keyword)));
            }
            stops.extend(language.stop.iter().map(|text| words(text)));
        }
        let lists = |texts: &[&str]| texts.iter().map(|text| words(text)).collect();
        let singles = |texts: &[&str]| texts.iter().flat_map(|text| words(text)).collect();
        Self {
            whole,
            stops,
            refusals: lists(table::REFUSALS),
            fillers: singles(table::FILLERS),
            negations: singles(table::NEGATIONS),
        }
    }
}

/// Rule 2: the first word that is not mere politeness starts a STOP keyword.
fn stop_comes_first(words: &[String]) -> bool {
    let polite = words.iter().take_while(|word| TABLE.fillers.contains(word)).count();
    let rest = &words[polite..];
    TABLE.stops.iter().any(|stop| rest.starts_with(stop))
        || rest.first().is_some_and(|word| short_unspaced_stop(word))
}

/// `请退订` and `退订谢谢`: without spaces, politeness sticks to the keyword.
fn short_unspaced_stop(word: &str) -> bool {
    let polite =
        TABLE.fillers.iter().find_map(|filler| word.strip_prefix(filler.as_str()).filter(|_| unspaced(word)));
    let rest = polite.unwrap_or(word);
    word.chars().count() <= MAX_UNSPACED_CHARS && unspaced_stops().any(|stop| rest.starts_with(stop))
}

/// Rule 3: a phrase of refusal stands in the text, and no "not" right before it.
fn refuses(words: &[String]) -> bool {
    TABLE.refusals.iter().any(|phrase| {
        if let [only] = phrase.as_slice()
            && unspaced(only)
        {
            return words.iter().any(|word| word.contains(only.as_str()));
        }
        words.windows(phrase.len()).enumerate().any(|(at, window)| {
            let negated = at.checked_sub(1).is_some_and(|before| TABLE.negations.contains(&words[before]));
            window == phrase.as_slice() && !negated
        })
    })
}

/// Rule 4.
fn mentions_stop(words: &[String]) -> bool {
    TABLE.stops.iter().any(|stop| words.windows(stop.len()).any(|window| window == stop.as_slice()))
        || words.iter().any(|word| unspaced(word) && unspaced_stops().any(|stop| word.contains(stop)))
}

/// STOP keywords of languages that write without spaces.
fn unspaced_stops() -> impl Iterator<Item = &'static str> {
    TABLE.stops.iter().filter_map(|stop| match stop.as_slice() {
        [only] if unspaced(only) => Some(only.as_str()),
        _ => None,
    })
}

/// Chinese, Japanese, Korean (whose endings stick to the word) and Thai.
fn unspaced(word: &str) -> bool {
    word.chars().any(|c| {
        matches!(c, '\u{0E00}'..='\u{0E7F}' | '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}')
    })
}

#[cfg(test)]
mod tests;
