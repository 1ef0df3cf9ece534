//! The words and signs a segment may be written with. Everything else is refused here, before the SQL parser sees it,
//! so that its many statements, quotes and operators can never matter; nesting is bounded here too.

use std::ops::Range;

use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use super::error::SegmentError;
use super::{MAX_DEPTH, MAX_LENGTH};

/// Our dialect of SQL: plain, with names in any script.
#[derive(Debug)]
pub(super) struct Grammar;

impl Dialect for Grammar {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch == '_' || ch.is_alphabetic()
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch == '_' || ch.is_alphanumeric()
    }
}

/// Whether a name needs no double quotes.
pub(super) fn is_plain_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| Grammar.is_identifier_start(first))
        && chars.all(|ch| Grammar.is_identifier_part(ch))
}

/// Reads the text into tokens, all of which the language knows, nested no deeper than it allows.
pub(super) fn tokens(text: &str) -> Result<Vec<TokenWithSpan>, SegmentError> {
    if text.len() > MAX_LENGTH {
        let message = format!("the expression is longer than {MAX_LENGTH} bytes");
        return Err(
            SegmentError::new(text, 0..0, message).help("import long lists as tags and ask for the tag")
        );
    }
    if let Some(at) = text.find('\0') {
        return Err(SegmentError::new(text, at..at + 1, "a text cannot hold the character U+0000"));
    }
    let tokens = Tokenizer::new(&Grammar, text).tokenize_with_location().map_err(|error| {
        let at = offset(text, error.location);
        SegmentError::new(text, at..at, decapitalised(&error.message))
            .help("a text ends with a single quote: 'vip'")
    })?;
    let tokens: Vec<TokenWithSpan> =
        tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    if tokens.is_empty() {
        return Err(SegmentError::new(text, 0..0, "the expression is empty").help("`true` means everyone"));
    }
    check_words(text, &tokens)?;
    check_depth(text, &tokens)?;
    Ok(tokens)
}

fn check_words(text: &str, tokens: &[TokenWithSpan]) -> Result<(), SegmentError> {
    for (index, token) in tokens.iter().enumerate() {
        let named = index > 0 && tokens[index - 1].token == Token::Period;
        let refused = match &token.token {
            Token::Word(word) if named => refused_name(word),
            Token::Word(word) => refused_word(word),
            Token::Mul if index > 0 && tokens[index - 1].token == Token::LParen => {
                Some(("`*` is no kind of event".to_owned(), "name what to count: count('order')".to_owned()))
            }
            other => refused_sign(other),
        };
        if let Some((message, help)) = refused {
            return Err(SegmentError::new(text, range(text, token), message).help(help));
        }
    }
    Ok(())
}

/// Why the name of an attribute cannot be taken. Quotes and backslashes would need escapes that the databases read
/// differently.
fn refused_name(word: &Word) -> Option<(String, String)> {
    let bad = |ch: char| ch == '"' || ch == '\\' || ch.is_control();
    (word.value.is_empty() || word.value.contains(bad)).then(|| {
        (
            "this name of an attribute cannot be asked for".into(),
            "rename the column with --map on import".into(),
        )
    })
}

fn refused_word(word: &Word) -> Option<(String, String)> {
    if word.quote_style.is_some() {
        let help = format!("texts take single quotes: '{}'", word.value);
        return Some((format!("\"{}\" in double quotes is a name, not a text", word.value), help));
    }
    let shown = word.value.to_lowercase();
    let (message, help) = match word.keyword {
        Keyword::SELECT | Keyword::EXISTS | Keyword::WITH | Keyword::TABLE | Keyword::VALUES => (
            format!("`{shown}` asks for a subquery; a segment is one condition over a contact"),
            "ask with the functions: count('order', '90 days') > 0",
        ),
        Keyword::INSERT
        | Keyword::UPDATE
        | Keyword::DELETE
        | Keyword::DROP
        | Keyword::CREATE
        | Keyword::ALTER => (
            format!("`{shown}` begins a statement; a segment is one condition over a contact"),
            "write a condition, like stage = 'sleeping'",
        ),
        Keyword::ILIKE => ("there is no `ilike`".to_owned(), "`like` ignores the case of the letters a to z"),
        Keyword::CASE | Keyword::CAST | Keyword::CONVERT | Keyword::EXTRACT | Keyword::INTERVAL => (
            format!("`{shown}` is not part of segment expressions"),
            "periods are texts: count('order', '90 days'); days are days_since('order') > 90",
        ),
        Keyword::ANY | Keyword::ALL | Keyword::SOME | Keyword::SIMILAR | Keyword::RLIKE | Keyword::REGEXP => {
            (
                format!("`{shown}` is not part of segment expressions"),
                "tests are = <> < <= > >=, between, in, like, is null",
            )
        }
        _ => return None,
    };
    Some((message, help.to_owned()))
}

fn refused_sign(token: &Token) -> Option<(String, String)> {
    let (message, help) = match token {
        Token::Number(_, false)
        | Token::SingleQuotedString(_)
        | Token::Comma
        | Token::Period
        | Token::Eq
        | Token::Neq
        | Token::Lt
        | Token::LtEq
        | Token::Gt
        | Token::GtEq
        | Token::LParen
        | Token::RParen
        | Token::Plus
        | Token::Minus => return None,
        Token::SemiColon => {
            ("`;` would end a statement; a segment is one condition".to_owned(), "leave it out")
        }
        Token::DoubleEq => ("`==` is written `=`".to_owned(), "stage = 'sleeping'"),
        Token::Char('‘' | '’' | '“' | '”') => {
            ("curly quotes do not quote a text".to_owned(), "use straight single quotes: 'vip'")
        }
        Token::Overlap | Token::Ampersand => ("`&` is written `and`".to_owned(), "a and b"),
        Token::StringConcat | Token::Pipe => ("`|` is written `or`".to_owned(), "a or b"),
        Token::ExclamationMark => ("`!` is written `not`".to_owned(), "not tagged('vip')"),
        Token::Mul | Token::Div | Token::Mod => {
            (format!("`{token}`: segments do not calculate"), "compare a value: sum('order') >= 200")
        }
        Token::Placeholder(_) => {
            (format!("`{token}`: a segment has no placeholders"), "write the value itself")
        }
        Token::DoubleQuotedString(_) => ("a text takes single quotes".to_owned(), "'vip'"),
        other => (
            format!("`{other}` is not part of segment expressions"),
            "a segment is made of columns, functions, 'texts', numbers, comparisons, and, or, not",
        ),
    };
    Some((message, help.to_owned()))
}

/// Counts parentheses and the `not`s and signs in a row before a value, which the parser would follow by recursion.
/// A call takes only texts, so nothing is nested inside one.
fn check_depth(text: &str, tokens: &[TokenWithSpan]) -> Result<(), SegmentError> {
    let (mut depth, mut run, mut nots) = (0_usize, 0_usize, vec![]);
    let mut call: Option<usize> = None;
    for (index, token) in tokens.iter().enumerate() {
        let error = |message: String| SegmentError::new(text, range(text, token), message);
        match &token.token {
            Token::LParen => {
                if call.is_some() {
                    return Err(error("a function takes only texts".into()).help("count('order', '90 days')"));
                }
                nots.push(run);
                depth += 1 + run;
                run = 0;
                call = (index > 0 && is_function(&tokens[index - 1].token)).then_some(depth);
            }
            Token::RParen => {
                let Some(opened) = nots.pop() else {
                    return Err(error("this parenthesis closes nothing".into()).help("leave it out"));
                };
                depth -= 1 + opened;
                (run, call) = (0, None);
            }
            Token::Word(word) if word.keyword == Keyword::NOT => run += 1,
            Token::Minus | Token::Plus => run += 1,
            _ => run = 0,
        }
        if depth + run > MAX_DEPTH {
            let message = format!("the expression is nested deeper than {MAX_DEPTH} levels");
            return Err(error(message).help("name parts of it as tags, or leave out parentheses"));
        }
    }
    Ok(())
}

fn is_function(before: &Token) -> bool {
    let Token::Word(word) = before else { return false };
    !matches!(
        word.keyword,
        Keyword::AND | Keyword::OR | Keyword::NOT | Keyword::IN | Keyword::BETWEEN | Keyword::LIKE
    )
}

/// The bytes of a token.
pub(super) fn range(text: &str, token: &TokenWithSpan) -> Range<usize> {
    offset(text, token.span.start)..offset(text, token.span.end)
}

/// The byte at a line and column of the tokenizer, both from 1, columns in characters.
pub(super) fn offset(text: &str, at: Location) -> usize {
    let (Ok(line), Ok(column)) = (usize::try_from(at.line), usize::try_from(at.column)) else {
        return text.len();
    };
    if line == 0 {
        return text.len();
    }
    let start = text.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>();
    let characters = text[start..].char_indices().nth(column.saturating_sub(1));
    characters.map_or(text.len(), |(index, _)| start + index)
}

/// A parser's message in our style: no capital, no full stop.
pub(super) fn decapitalised(message: &str) -> String {
    let message = message.trim().trim_end_matches('.');
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
