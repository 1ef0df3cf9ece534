//! The tree in words: as an expression that reads the same again, and drawn one node a line. Never changes a value.

use std::fmt;
use std::fmt::Write as _;

use super::grammar;
use super::tree::{Call, Check, Expression, Kind, Literal, Node, Subject};

/// One node a line, its children indented below it.
pub(super) fn draw(node: &Node, out: &mut String, depth: usize) {
    let mut line = |text: &dyn fmt::Display| {
        writeln!(out, "{:width$}{text}", "", width = depth * 2).expect("writing to a string cannot fail");
    };
    match node {
        Node::And(_) => line(&"all of"),
        Node::Or(_) => line(&"any of"),
        Node::Not(_) => line(&"not"),
        leaf => line(leaf),
    }
    match node {
        Node::And(nodes) | Node::Or(nodes) => nodes.iter().for_each(|node| draw(node, out, depth + 1)),
        Node::Not(node) => draw(node, out, depth + 1),
        _ => {}
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truth => "a condition",
            Self::Text => "a text",
            Self::Attribute => "an attribute",
            Self::Count => "a whole number",
            Self::Money => "an amount of money",
            Self::Instant => "an instant",
            Self::Days => "a number of days",
        })
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(nodes) => joined(f, nodes, " and "),
            Self::Or(nodes) => joined(f, nodes, " or "),
            Self::Not(node) => match **node {
                Self::And(_) | Self::Or(_) => write!(f, "not ({node})"),
                _ => write!(f, "not {node}"),
            },
            Self::Constant(truth) => write!(f, "{truth}"),
            Self::Fact(call) => call.fmt(f),
            Self::Test(subject, check) => write!(f, "{subject} {check}"),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, nodes: &[Node], word: &str) -> fmt::Result {
    for (index, node) in nodes.iter().enumerate() {
        if index > 0 {
            f.write_str(word)?;
        }
        match node {
            Node::And(_) | Node::Or(_) => write!(f, "({node})")?,
            _ => write!(f, "{node}")?,
        }
    }
    Ok(())
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(column) => f.write_str(column.name),
            Self::Attribute(name) if grammar::is_plain_name(name) => write!(f, "attr.{name}"),
            Self::Attribute(name) => write!(f, "attr.\"{name}\""),
            Self::Call(call) => call.fmt(f),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}", self.function.name, quoted(&self.name))?;
        if let Some(period) = self.period {
            write!(f, ", '{period}'")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = |negated: bool| if negated { "not " } else { "" };
        match self {
            Self::Null { negated } => write!(f, "is {}null", not(*negated)),
            Self::Compare(comparison, literal) => write!(f, "{} {literal}", comparison.sign()),
            Self::Against(comparison, other) => write!(f, "{} {other}", comparison.sign()),
            Self::Between { negated, low, high } => write!(f, "{}between {low} and {high}", not(*negated)),
            Self::In { negated, list } => {
                let list: Vec<String> = list.iter().map(Literal::to_string).collect();
                write!(f, "{}in ({})", not(*negated), list.join(", "))
            }
            Self::Like { negated, pattern } => write!(f, "{}like {}", not(*negated), quoted(pattern)),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Whole(number) => number.fmt(f),
            Self::Decimal(number) => {
                let text = number.to_string();
                f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
            }
            Self::Truth(truth) => truth.fmt(f),
            Self::Moment(moment) => write!(f, "'{moment}'"),
        }
    }
}

/// A text in single quotes.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
