//! The typed tree of a segment: what was meant, checked, with no trace of the parser. Never holds SQL text of a user.
//!
//! `Display` writes the tree back as an expression that reads the same; [`Expression::tree`] shows it indented.

use std::ops::Range;

use super::condition::{Argument, Column, Function};
use super::error::{SegmentError, nearest};
use super::period::{Moment, Period};
use super::show;
use crate::model::money::Micros;

/// A checked segment: its text as written and its tree.
#[derive(Clone, Debug)]
pub struct Expression {
    pub(super) text: String,
    pub(super) root: Node,
}

/// One node of the tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// All of them hold; at least two.
    And(Vec<Node>),
    /// Any of them holds; at least two.
    Or(Vec<Node>),
    /// It does not hold.
    Not(Box<Node>),
    /// Everyone or no one.
    Constant(bool),
    /// A function that is itself a condition, like `tagged('vip')`.
    Fact(Call),
    /// A value and what is asked of it.
    Test(Subject, Check),
}

/// What a test looks at.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// A known column.
    Column(&'static Column),
    /// An imported attribute by its exact name.
    Attribute(String),
    /// A function that yields a value.
    Call(Call),
}

/// A use of a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which one.
    pub function: &'static Function,
    /// Its first argument: an event kind, a tag or a campaign.
    pub name: String,
    /// How far back it looks; `None` for always.
    pub period: Option<Period>,
    /// Where the first argument stands in the text.
    pub span: Span,
}

/// Bytes of the text. Two trees that differ only in places are equal.
#[derive(Clone, Debug)]
pub struct Span(pub Range<usize>);

impl PartialEq for Span {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The type of a subject: what it may be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A condition by itself.
    Truth,
    /// A text.
    Text,
    /// An imported value: a text that may read as a number or a truth.
    Attribute,
    /// A whole number.
    Count,
    /// Money in millionths.
    Money,
    /// An instant.
    Instant,
    /// Whole days before *as of*.
    Days,
}

/// What is asked of a subject.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// `is null`, or `is not null` when `negated`.
    Null {
        /// `is not null`.
        negated: bool,
    },
    /// `= 'text'` and the like.
    Compare(Comparison, Literal),
    /// A comparison with another subject of the same type.
    Against(Comparison, Subject),
    /// `between low and high`, both included.
    Between {
        /// `not between`.
        negated: bool,
        /// Lower bound.
        low: Literal,
        /// Upper bound.
        high: Literal,
    },
    /// `in (…)`; all values of one type.
    In {
        /// `not in`.
        negated: bool,
        /// At least one value.
        list: Vec<Literal>,
    },
    /// `like`, without regard to the case of a to z.
    Like {
        /// `not like`.
        negated: bool,
        /// With `%`, `_` and `\` as the escape; never ends in an escape.
        pattern: String,
    },
}

/// An operator of comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A value written in the expression, with the type its place asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// A text, never empty.
    Text(String),
    /// A number of things or days.
    Whole(i64),
    /// Money, or a number an attribute is compared with, in millionths.
    Decimal(Micros),
    /// `true` or `false`.
    Truth(bool),
    /// A day or an instant.
    Moment(Moment),
}

impl Expression {
    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The top of the tree.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The tree for people, one node a line, children indented.
    pub fn tree(&self) -> String {
        let mut out = String::new();
        show::draw(&self.root, &mut out, 0);
        out
    }

    /// Every use of a function, in the order of the text.
    pub fn calls(&self) -> Vec<&Call> {
        let mut found = Vec::new();
        self.root.visit(&mut |subject| {
            if let Either::Call(call) = subject {
                found.push(call);
            }
        });
        found
    }

    /// Names of the columns it reads, each once, in the order of the text; attributes as `attr.NAME`.
    pub fn columns(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.root.visit(&mut |subject| {
            if let Either::Value(subject) = subject {
                let name = subject.to_string();
                if !found.contains(&name) {
                    found.push(name);
                }
            }
        });
        found
    }

    /// Event kinds it counts, each once, in the order of the text.
    pub fn kinds(&self) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        for call in self.calls() {
            if call.function.takes == Argument::Kind && !found.contains(&call.name.as_str()) {
                found.push(&call.name);
            }
        }
        found
    }

    /// Event kinds that are not among those the store has seen, each once, so that `count('ordr')` is not silently zero.
    pub fn check_kinds(&self, known: &[&str]) -> Vec<UnknownKind> {
        let mut found: Vec<UnknownKind> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for call in self.calls() {
            let name = call.name.as_str();
            if call.function.takes != Argument::Kind || known.contains(&name) || seen.contains(&name) {
                continue;
            }
            seen.push(name);
            let title = format!("no event of kind '{name}' is known");
            let error = SegmentError::new(&self.text, call.span.0.clone(), title);
            let near = nearest(name, known.iter().copied());
            let error = match near {
                Some(kind) => error.help(format!("did you mean '{kind}'?")),
                None if known.is_empty() => error.help("it counts as none until events are imported"),
                None => error.help(format!("known kinds: {}", known.join(", "))),
            };
            found.push(UnknownKind { error, slip: near.is_some() });
        }
        found
    }
}

/// An event kind that a segment counts and nobody has seen.
#[derive(Clone, Debug)]
pub struct UnknownKind {
    /// Its place, and what else it may be.
    pub error: SegmentError,
    /// Whether a known kind is so near that it must have been meant. Any other may be right, and have no event yet.
    pub slip: bool,
}

/// What a visit of the tree meets.
enum Either<'a> {
    Call(&'a Call),
    Value(&'a Subject),
}

impl Node {
    fn visit<'a>(&'a self, meet: &mut impl FnMut(Either<'a>)) {
        match self {
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().for_each(|node| node.visit(meet)),
            Self::Not(node) => node.visit(meet),
            Self::Constant(_) => {}
            Self::Fact(call) => meet(Either::Call(call)),
            Self::Test(subject, check) => {
                subject.visit(meet);
                if let Check::Against(_, other) = check {
                    other.visit(meet);
                }
            }
        }
    }
}

impl Subject {
    /// The type of the value.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Column(column) => column.kind,
            Self::Attribute(_) => Kind::Attribute,
            Self::Call(call) => call.function.yields,
        }
    }

    fn visit<'a>(&'a self, meet: &mut impl FnMut(Either<'a>)) {
        match self {
            Self::Call(call) => meet(Either::Call(call)),
            value => meet(Either::Value(value)),
        }
    }
}

impl Comparison {
    /// The operator in SQL and in the language.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// The operator with its sides exchanged: `a < b` is `b > a`.
    #[must_use]
    pub fn flipped(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::NotEqual => Self::NotEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}
