//! Compiles a typed tree to a SQL condition over a contact `c`. Every value travels as a parameter; the text is made
//! only of what this module and [`super::condition`] contain. Never runs anything.

use std::fmt;

use super::condition::{self, Reading};
use super::dialect::Dialect;
use super::period::{AsOf, Moment, Period};
use super::tree::{Check, Comparison, Expression, Kind, Literal, Node, Subject};

/// A SQL condition and its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// A boolean expression over the table `contacts c`; refers to its values as `$1`, `$2`, … from the first number
    /// that [`compile`] was given.
    pub sql: String,
    /// The values in the order of their numbers.
    pub values: Vec<Value>,
}

/// A value of a [`Fragment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A 64-bit number: a count, millionths of money, or an instant in milliseconds.
    Int(i64),
    /// A text.
    Text(String),
}

impl fmt::Display for Value {
    /// As a SQL literal, for people who read a plan.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
        }
    }
}

/// The condition as SQL for one database, asked as of an instant; its parameters are numbered from `first`.
pub fn compile(expression: &Expression, as_of: &AsOf, dialect: Dialect, first: usize) -> Fragment {
    let mut writer = Writer { dialect, as_of, first, values: Vec::new() };
    let sql = writer.node(expression.root());
    Fragment { sql, values: writer.values }
}

/// Collects the values while the text is made. A value that occurs twice travels once.
pub(super) struct Writer<'a> {
    pub(super) dialect: Dialect,
    as_of: &'a AsOf,
    first: usize,
    values: Vec<Value>,
}

impl Writer<'_> {
    /// A text value; returns its parameter.
    pub(super) fn text(&mut self, text: &str) -> String {
        self.bind(Value::Text(text.to_owned()))
    }

    /// A number; returns its parameter.
    pub(super) fn int(&mut self, number: i64) -> String {
        self.bind(Value::Int(number))
    }

    /// The instant of the question; returns its parameter.
    pub(super) fn as_of(&mut self) -> String {
        self.int(self.as_of.at.0)
    }

    /// The instant after which something lies in a period; returns its parameter.
    pub(super) fn start_of(&mut self, period: Period) -> String {
        self.int(period.start(self.as_of).0)
    }

    fn bind(&mut self, value: Value) -> String {
        let index = self.values.iter().position(|known| *known == value).unwrap_or_else(|| {
            self.values.push(value);
            self.values.len() - 1
        });
        format!("${}", self.first + index)
    }

    fn node(&mut self, node: &Node) -> String {
        match node {
            Node::And(nodes) => self.combined(nodes, " AND "),
            Node::Or(nodes) => self.combined(nodes, " OR "),
            Node::Not(node) => format!("NOT ({})", self.node(node)),
            Node::Constant(true) => "TRUE".to_owned(),
            Node::Constant(false) => "FALSE".to_owned(),
            Node::Fact(call) => (call.function.sql)(call, self),
            Node::Test(subject, check) => self.test(subject, check),
        }
    }

    fn combined(&mut self, nodes: &[Node], word: &str) -> String {
        let parts: Vec<String> = nodes.iter().map(|node| self.node(node)).collect();
        balanced(&parts, word)
    }

    fn test(&mut self, subject: &Subject, check: &Check) -> String {
        let value = condition::value(subject, reading(check), self);
        let kind = subject.kind();
        match check {
            Check::Null { negated } => format!("({value}) IS {}NULL", not(*negated)),
            Check::Against(comparison, other) => {
                let other = condition::value(other, Reading::Plain, self);
                let text = matches!(kind, Kind::Text | Kind::Attribute);
                let value = if text { self.ordered(value, *comparison) } else { value };
                format!("{value} {} {other}", comparison.sign())
            }
            _ if matches!(kind, Kind::Instant | Kind::Days) => self.instant_test(&value, kind, check),
            Check::Compare(comparison, literal) => {
                let text = matches!(literal, Literal::Text(_));
                let value = if text { self.ordered(value, *comparison) } else { value };
                format!("{value} {} {}", comparison.sign(), self.literal(literal))
            }
            Check::Between { negated, low, high } => {
                let text = matches!(low, Literal::Text(_));
                let value = if text { self.ordered(value, Comparison::Less) } else { value };
                let (low, high) = (self.literal(low), self.literal(high));
                format!("{value} {}BETWEEN {low} AND {high}", not(*negated))
            }
            Check::In { negated, list } => {
                let list: Vec<String> = list.iter().map(|literal| self.literal(literal)).collect();
                format!("{value} {}IN ({})", not(*negated), list.join(", "))
            }
            Check::Like { negated, pattern } => {
                let pattern = self.text(&pattern.to_ascii_lowercase());
                self.dialect.like(&value, not(*negated), &pattern)
            }
        }
    }

    /// Texts are put in order by code point; equality needs no order and keeps its index.
    fn ordered(&self, text: String, comparison: Comparison) -> String {
        match comparison {
            Comparison::Equal | Comparison::NotEqual => text,
            _ => self.dialect.by_code_point(&text),
        }
    }

    fn literal(&mut self, literal: &Literal) -> String {
        match literal {
            Literal::Text(text) => self.text(text),
            Literal::Whole(number) => self.int(*number),
            Literal::Decimal(number) => self.int(number.0),
            Literal::Truth(truth) => self.text(if *truth { "true" } else { "false" }),
            Literal::Moment(moment) => self.int(moment.bounds(self.as_of).0.0),
        }
    }

    /// Tests of instants against moments that may last a day, and of days against the dates they mean. More days since
    /// an event is an earlier event, so the order of days is the opposite of the order of instants.
    fn instant_test(&mut self, value: &str, kind: Kind, check: &Check) -> String {
        let days = kind == Kind::Days;
        match check {
            Check::Compare(comparison, literal) => {
                let comparison = if days { comparison.flipped() } else { *comparison };
                let (first, last) = self.bounds(literal);
                match comparison {
                    Comparison::Equal => {
                        format!("{value} BETWEEN {} AND {}", self.int(first), self.int(last))
                    }
                    Comparison::NotEqual => {
                        format!("{value} NOT BETWEEN {} AND {}", self.int(first), self.int(last))
                    }
                    Comparison::Less | Comparison::GreaterOrEqual => {
                        format!("{value} {} {}", comparison.sign(), self.int(first))
                    }
                    Comparison::LessOrEqual | Comparison::Greater => {
                        format!("{value} {} {}", comparison.sign(), self.int(last))
                    }
                }
            }
            Check::Between { negated, low, high } => {
                let (early, late) = if days { (high, low) } else { (low, high) };
                let (first, last) = (self.bounds(early).0, self.bounds(late).1);
                format!("{value} {}BETWEEN {} AND {}", not(*negated), self.int(first), self.int(last))
            }
            Check::In { negated, list } => {
                let any: Vec<String> = list
                    .iter()
                    .map(|literal| {
                        let (first, last) = self.bounds(literal);
                        format!("v.at BETWEEN {} AND {}", self.int(first), self.int(last))
                    })
                    .collect();
                let any = balanced(&any, " OR ");
                format!("{}(SELECT {any} FROM (SELECT {value} AS at) AS v)", not(*negated))
            }
            Check::Null { .. } | Check::Against(..) | Check::Like { .. } => {
                unreachable!("parse refuses `like` on instants, and the other two are compiled before")
            }
        }
    }

    /// First and last millisecond of a literal that an instant is compared with.
    fn bounds(&self, literal: &Literal) -> (i64, i64) {
        let moment = match literal {
            Literal::Moment(moment) => *moment,
            Literal::Whole(days) => Moment::Day(self.as_of.days_ago(*days)),
            other => unreachable!("parse gives instants and days no {other}"),
        };
        let (first, last) = moment.bounds(self.as_of);
        (first.0, last.0)
    }
}

/// How the check reads an attribute; its literals are all of one type.
fn reading(check: &Check) -> Reading {
    let literal = match check {
        Check::Compare(_, literal) | Check::Between { low: literal, .. } => Some(literal),
        Check::In { list, .. } => list.first(),
        Check::Null { .. } | Check::Against(..) | Check::Like { .. } => None,
    };
    match literal {
        Some(Literal::Decimal(_)) => Reading::Number,
        Some(Literal::Truth(_)) => Reading::Truth,
        _ => Reading::Plain,
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

/// Longest flat chain of `AND` or `OR`. Longer ones are halved by parentheses: `SQLite` bounds the depth of a condition at
/// a thousand, and a flat chain is as deep as it is long.
const LONGEST_CHAIN: usize = 64;

fn balanced(parts: &[String], word: &str) -> String {
    if parts.len() <= LONGEST_CHAIN {
        return format!("({})", parts.join(word));
    }
    let (left, right) = parts.split_at(parts.len() / 2);
    format!("({}{word}{})", balanced(left, word), balanced(right, word))
}
