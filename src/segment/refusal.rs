//! What the reader says to a text that is not of the language: one message and one way out for each mistake that people
//! make. Decides nothing; the reader does.

use std::ops::Range;

use sqlparser::ast::{BinaryOperator, Expr, Ident};
use sqlparser::parser::ParserError;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::MAX_DEPTH;
use super::condition::{Argument, COLUMNS, FUNCTIONS, Function};
use super::error::{SegmentError, nearest};
use super::grammar;
use super::parse::Reader;
use super::tree::{Kind, Subject};

impl Reader<'_> {
    pub(super) fn no_condition(&self, tree: &Expr, subject: &Subject) -> SegmentError {
        let example = match subject.kind() {
            Kind::Count | Kind::Money => format!("{subject} > 0"),
            Kind::Days => format!("{subject} > 90"),
            Kind::Attribute => format!("{subject} = true"),
            Kind::Text => format!("{subject} = '…'"),
            Kind::Instant | Kind::Truth => format!("{subject} is not null"),
        };
        self.error(tree, format!("{subject} is {}, not a condition", subject.kind()))
            .help(format!("compare it: {example}"))
    }

    pub(super) fn unknown_column(&self, word: &Ident, right: bool) -> SegmentError {
        let error = self.error_at(word, format!("`{}` is not a column", word.value));
        if word.value.eq_ignore_ascii_case("phone") {
            return error.help("segments do not ask for numbers; `winback contact show` finds one person");
        }
        if word.value.eq_ignore_ascii_case("attr") {
            return error.help("name the attribute: attr.city");
        }
        if let Some(column) = nearest(&word.value, COLUMNS.iter().map(|column| column.name)) {
            return error.help(format!("did you mean `{column}`?"));
        }
        if let Some(function) = FUNCTIONS.iter().find(|known| known.name.eq_ignore_ascii_case(&word.value)) {
            return error.help(format!("write {}", function.example()));
        }
        if right {
            return self.unquoted(word);
        }
        error.help(format!("write attr.{} for an imported column", word.value))
    }

    pub(super) fn unquoted(&self, word: &Ident) -> SegmentError {
        self.error_at(word, format!("`{}` is not a value", word.value))
            .help(format!("texts take single quotes: '{}'", word.value))
    }

    pub(super) fn refused(&self, tree: &Expr) -> SegmentError {
        match tree {
            Expr::InSubquery { .. } | Expr::Subquery(_) | Expr::Exists { .. } => self
                .error(tree, "a segment has no subqueries")
                .help("ask with the functions: count('order', '90 days') > 0"),
            Expr::TypedString(_) => {
                self.error(tree, "a date or a time is a plain text").help("last('order') >= '2026-03-01'")
            }
            Expr::IsTrue(_) | Expr::IsFalse(_) | Expr::IsNotTrue(_) | Expr::IsNotFalse(_) => {
                self.error(tree, "`is` asks for null alone").help("attr.vip = true")
            }
            Expr::BinaryOp { op: BinaryOperator::Plus | BinaryOperator::Minus, .. } => {
                self.error(tree, "segments do not calculate").help("compare a value: sum('order') >= 200")
            }
            Expr::Tuple(_) => {
                self.error(tree, "a list belongs behind `in`").help("stage in ('sleeping', 'lost')")
            }
            Expr::BinaryOp { .. } | Expr::UnaryOp { .. } => self
                .error(tree, "a condition cannot be compared or calculated with")
                .help("combine conditions with and, or, not and parentheses"),
            _ => self
                .error(tree, "this is not part of segment expressions")
                .help("tests are = <> < <= > >=, between, in, like, is null"),
        }
    }

    pub(super) fn trailing(&self, rest: &TokenWithSpan) -> SegmentError {
        let span = grammar::range(self.text, rest);
        let error = SegmentError::new(self.text, span, format!("`{}` is not expected here", rest.token));
        match rest.token {
            Token::Comma => error.help("combine conditions with `and` or `or`"),
            Token::Number(..) => {
                error.help("a name that begins with a digit takes double quotes: attr.\"2nd\"")
            }
            _ => error.help(
                "one condition ends before it: combine conditions with `and` or `or`, quote texts as 'text'",
            ),
        }
    }

    /// A message of the SQL parser at its place.
    pub(super) fn syntax(&self, error: &ParserError) -> SegmentError {
        let message = match error {
            ParserError::RecursionLimitExceeded => {
                let message = format!("the expression is nested deeper than {MAX_DEPTH} levels");
                return SegmentError::new(self.text, 0..0, message).help("leave out parentheses");
            }
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        };
        let end = Location { line: 0, column: 0 };
        let (message, at) =
            message.rsplit_once(" at Line: ").map_or((message.as_str(), end), |(message, place)| {
                let mut numbers = place.split(", Column: ").map(|number| number.trim().parse().unwrap_or(0));
                (message, Location { line: numbers.next().unwrap_or(0), column: numbers.next().unwrap_or(0) })
            });
        let at = grammar::offset(self.text, at);
        let message = grammar::decapitalised(message).replacen("expected: ", "expected ", 1);
        let message = match message.replace("expected )", "expected `)`").split_once(", found: ") {
            Some((expected, "EOF")) => format!("{expected}, but the text ends"),
            Some((expected, found)) => format!("{expected}, found `{found}`"),
            None => message,
        };
        SegmentError::new(self.text, at..at, message)
            .help("a condition looks like stage in ('sleeping', 'lost')")
    }
}

pub(super) fn unknown_function(text: &str, place: Range<usize>, written: &str) -> SegmentError {
    let error = SegmentError::new(text, place, format!("`{written}` is not a function"));
    if written.eq_ignore_ascii_case("segment") {
        return error.help("a segment cannot use another one; repeat its condition, or tag its contacts");
    }
    let known = FUNCTIONS.iter().map(|function| function.name);
    if let Some(name) = nearest(written, known) {
        return error.help(format!("did you mean `{name}`?"));
    }
    let all: Vec<String> = FUNCTIONS.iter().map(|function| function.usage()).collect();
    error.help(format!("functions: {}", all.join(", ")))
}

pub(super) fn misused(text: &str, place: Range<usize>, function: &Function) -> SegmentError {
    let what = match function.takes {
        Argument::Kind => "a kind of event",
        Argument::Tag => "a tag",
        Argument::Campaign => "a campaign",
    };
    let period = if function.period { " and, if you like, a period" } else { " and nothing else" };
    SegmentError::new(text, place, format!("`{}` takes {what}{period}, as texts", function.name))
        .help(format!("write {}", function.example()))
}
