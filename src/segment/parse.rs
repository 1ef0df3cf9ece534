//! From text to the typed tree: the one place that knows the SQL parser's tree. Refuses what the language does not have
//! and what its types do not allow, each with its place and a way out.

use std::ops::Range;

use sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned, UnaryOperator,
    Value as SqlValue,
};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::condition::{COLUMNS, FUNCTIONS, Function};
use super::error::SegmentError;
use super::grammar::{self, Grammar};
use super::literal::{Raw, Written, typed, typed_alike};
use super::period::{BadPeriod, Period};
use super::refusal::{misused, unknown_function};
use super::tree::{Call, Check, Comparison, Expression, Kind, Node, Span, Subject};
use super::{MAX_DEPTH, MAX_LIST};

/// Reads a segment.
///
/// # Errors
/// When the text is not a condition of the language: an unknown name, a type that does not fit, a statement, or more
/// than [`super::MAX_LENGTH`] bytes, [`MAX_DEPTH`] levels or [`MAX_LIST`] values in a list.
pub fn parse(text: &str) -> Result<Expression, SegmentError> {
    let tokens = grammar::tokens(text)?;
    let reader = Reader { text };
    let mut parser =
        Parser::new(&Grammar).with_recursion_limit(4 * MAX_DEPTH).with_tokens_with_locations(tokens);
    let tree = parser.parse_expr().map_err(|error| reader.syntax(&error))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(reader.trailing(&rest));
    }
    Ok(Expression { text: text.to_owned(), root: reader.node(&tree)? })
}

/// One side of a test.
enum Side {
    Subject(Subject),
    Value(Written),
}

/// Reads the parser's tree of one text.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
}

impl Reader<'_> {
    fn node(&self, tree: &Expr) -> Result<Node, SegmentError> {
        match tree {
            Expr::Nested(inner) => self.node(inner),
            Expr::BinaryOp { op: BinaryOperator::And, .. } => {
                Ok(Node::And(self.chain(tree, &BinaryOperator::And)?))
            }
            Expr::BinaryOp { op: BinaryOperator::Or, .. } => {
                Ok(Node::Or(self.chain(tree, &BinaryOperator::Or)?))
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => Ok(Node::Not(Box::new(self.node(expr)?))),
            Expr::BinaryOp { left, op, right } => self.comparison(tree, left, op, right),
            Expr::IsNull(value) => self.null(value, false),
            Expr::IsNotNull(value) => self.null(value, true),
            Expr::Between { expr, negated, low, high } => self.between(expr, *negated, low, high),
            Expr::InList { expr, list, negated } => self.list(expr, *negated, list),
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, *negated, pattern)
            }
            Expr::Like { escape_char: Some(_), .. } => Err(self
                .error(tree, "`escape` is fixed: a backslash takes the next sign literally")
                .help("like '100\\%'")),
            Expr::Value(value) if matches!(value.value, SqlValue::Boolean(_)) => {
                Ok(Node::Constant(value.value == SqlValue::Boolean(true)))
            }
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Function(_) => {
                match self.subject(tree, false)? {
                    Subject::Call(call) if call.function.yields == Kind::Truth => Ok(Node::Fact(call)),
                    subject => Err(self.no_condition(tree, &subject)),
                }
            }
            Expr::Value(_) => {
                Err(self.error(tree, "a value alone is not a condition").help("stage = 'sleeping'"))
            }
            other => Err(self.refused(other)),
        }
    }

    /// The members of `a and b and c`, which the parser hangs on one another to the left.
    fn chain(&self, tree: &Expr, operator: &BinaryOperator) -> Result<Vec<Node>, SegmentError> {
        let mut members = Vec::new();
        let mut rest = tree;
        while let Expr::BinaryOp { left, op, right } = rest
            && op == operator
        {
            members.push(right.as_ref());
            rest = left;
        }
        members.push(rest);
        members.into_iter().rev().map(|member| self.node(member)).collect()
    }

    fn comparison(
        &self,
        whole: &Expr,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
    ) -> Result<Node, SegmentError> {
        let comparison = match op {
            BinaryOperator::Eq => Comparison::Equal,
            BinaryOperator::NotEq => Comparison::NotEqual,
            BinaryOperator::Lt => Comparison::Less,
            BinaryOperator::LtEq => Comparison::LessOrEqual,
            BinaryOperator::Gt => Comparison::Greater,
            BinaryOperator::GtEq => Comparison::GreaterOrEqual,
            other => {
                let message =
                    format!("`{}` is not part of segment expressions", other.to_string().to_lowercase());
                return Err(self
                    .error(whole, message)
                    .help("segments compare values, they do not calculate"));
            }
        };
        match (self.side(left, false)?, self.side(right, true)?) {
            (Side::Subject(subject), Side::Value(value)) => self.compared(subject, comparison, &value),
            (Side::Value(value), Side::Subject(subject)) => {
                self.compared(subject, comparison.flipped(), &value)
            }
            (Side::Subject(one), Side::Subject(other)) => self.against(whole, one, comparison, other),
            (Side::Value(_), Side::Value(_)) => Err(self
                .error(whole, "this compares two values and asks nothing of the contact")
                .help("name a column or a function: stage = 'sleeping'")),
        }
    }

    fn compared(
        &self,
        subject: Subject,
        comparison: Comparison,
        value: &Written,
    ) -> Result<Node, SegmentError> {
        let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if subject.kind() == Kind::Attribute && matches!(value.value, Raw::Truth(_)) && !equality {
            let message = "true and false have no order";
            return Err(
                SegmentError::new(self.text, value.span.clone(), message).help(format!("{subject} = true"))
            );
        }
        let literal = typed(self.text, &subject, value)?;
        Ok(Node::Test(subject, Check::Compare(comparison, literal)))
    }

    /// Two subjects of one type; attributes count as texts here.
    fn against(
        &self,
        whole: &Expr,
        one: Subject,
        comparison: Comparison,
        other: Subject,
    ) -> Result<Node, SegmentError> {
        let as_text = |kind: Kind| if kind == Kind::Attribute { Kind::Text } else { kind };
        let (left, right) = (as_text(one.kind()), as_text(other.kind()));
        if left == Kind::Days && right == Kind::Days {
            let error = self.error(whole, "days can only be compared with a number");
            return Err(error.help("compare the instants: last('order') < last('login')"));
        }
        if left == Kind::Truth || left != right {
            let message = format!("{one} is {}, and {other} is {}", one.kind(), other.kind());
            return Err(self.error(whole, message).help("only values of one type compare"));
        }
        Ok(Node::Test(one, Check::Against(comparison, other)))
    }

    fn null(&self, value: &Expr, negated: bool) -> Result<Node, SegmentError> {
        let subject = self.subject(value, false)?;
        match subject.kind() {
            Kind::Truth | Kind::Count | Kind::Money => Err(self
                .error(value, format!("{subject} is never null"))
                .help("without events a count and a sum are 0, and a condition is false")),
            _ => Ok(Node::Test(subject, Check::Null { negated })),
        }
    }

    fn between(&self, value: &Expr, negated: bool, low: &Expr, high: &Expr) -> Result<Node, SegmentError> {
        let subject = self.subject(value, false)?;
        let bounds = [self.value(low)?, self.value(high)?];
        if let Some(truth) = bounds.iter().find(|bound| matches!(bound.value, Raw::Truth(_))) {
            return Err(SegmentError::new(self.text, truth.span.clone(), "true and false have no order"));
        }
        let mut literals = typed_alike(self.text, &subject, &bounds)?.into_iter();
        let (Some(low), Some(high)) = (literals.next(), literals.next()) else {
            unreachable!("two values give two literals")
        };
        Ok(Node::Test(subject, Check::Between { negated, low, high }))
    }

    fn list(&self, value: &Expr, negated: bool, list: &[Expr]) -> Result<Node, SegmentError> {
        let subject = self.subject(value, false)?;
        if list.len() > MAX_LIST {
            let message = format!("a list holds at most {MAX_LIST} values");
            return Err(self
                .error(&list[MAX_LIST], message)
                .help("import long lists as tags and ask for the tag"));
        }
        let written: Vec<Written> = list.iter().map(|one| self.value(one)).collect::<Result<_, _>>()?;
        let list = typed_alike(self.text, &subject, &written)?;
        Ok(Node::Test(subject, Check::In { negated, list }))
    }

    fn like(&self, value: &Expr, negated: bool, pattern: &Expr) -> Result<Node, SegmentError> {
        let subject = self.subject(value, false)?;
        if !matches!(subject.kind(), Kind::Text | Kind::Attribute) {
            let message = format!("{subject} is {}, and `like` asks about texts", subject.kind());
            return Err(self.error(value, message).help("compare it with = < > or between"));
        }
        let written = self.value(pattern)?;
        let Raw::Text(pattern) = written.value else {
            let error = SegmentError::new(self.text, written.span, "`like` takes a text");
            return Err(error.help("first_name like 'mar%'"));
        };
        let mut rest = pattern.chars();
        while let Some(ch) = rest.next() {
            if ch == '\\' && !matches!(rest.next(), Some('%' | '_' | '\\')) {
                let message = "a backslash takes the next `%`, `_` or `\\` literally, and none follows";
                return Err(
                    SegmentError::new(self.text, written.span, message).help("write `\\\\` for a backslash")
                );
            }
        }
        Ok(Node::Test(subject, Check::Like { negated, pattern }))
    }

    fn side(&self, tree: &Expr, right: bool) -> Result<Side, SegmentError> {
        match tree {
            Expr::Value(_) | Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, .. } => {
                self.value(tree).map(Side::Value)
            }
            Expr::Nested(inner) => self.side(inner, right),
            _ => self.subject(tree, right).map(Side::Subject),
        }
    }

    /// A value as written. A bare word in its place is most likely a text without quotes.
    fn value(&self, tree: &Expr) -> Result<Written, SegmentError> {
        let span = self.span(tree);
        let value = match tree {
            Expr::Nested(inner) => return self.value(inner),
            Expr::Value(value) => match &value.value {
                SqlValue::SingleQuotedString(text) => Raw::Text(text.clone()),
                SqlValue::Number(digits, _) => Raw::Number(digits.clone()),
                SqlValue::Boolean(truth) => Raw::Truth(*truth),
                SqlValue::Null => Raw::Null,
                _ => return Err(self.refused(tree)),
            },
            Expr::UnaryOp { op: op @ (UnaryOperator::Minus | UnaryOperator::Plus), expr } => {
                match self.value(expr)? {
                    Written { value: Raw::Number(digits), .. } if !digits.starts_with('-') => {
                        Raw::Number(if *op == UnaryOperator::Minus { format!("-{digits}") } else { digits })
                    }
                    _ => return Err(self.error(tree, "a sign stands before a number")),
                }
            }
            Expr::Identifier(word) => return Err(self.unquoted(word)),
            _ => {
                return Err(self
                    .error(tree, "only a value can stand here")
                    .help("write texts in single quotes, numbers as they are"));
            }
        };
        Ok(Written { value, span })
    }

    /// A column, an attribute or a call. On the `right` of a comparison an unknown word is most likely a text.
    fn subject(&self, tree: &Expr, right: bool) -> Result<Subject, SegmentError> {
        match tree {
            Expr::Nested(inner) => self.subject(inner, right),
            Expr::Identifier(word) => {
                match COLUMNS.iter().find(|column| column.name.eq_ignore_ascii_case(&word.value)) {
                    Some(column) => Ok(Subject::Column(column)),
                    None => Err(self.unknown_column(word, right)),
                }
            }
            Expr::CompoundIdentifier(words) => self.attribute(tree, words),
            Expr::Function(call) => self.call(call).map(Subject::Call),
            Expr::Value(_) => Err(self
                .error(tree, "a column or a function must stand here, not a value")
                .help("put the value on the right: stage = 'sleeping'")),
            other => Err(self.refused(other)),
        }
    }

    fn attribute(&self, tree: &Expr, words: &[Ident]) -> Result<Subject, SegmentError> {
        match words {
            [root, name] if root.value.eq_ignore_ascii_case("attr") => {
                Ok(Subject::Attribute(name.value.clone()))
            }
            [root, ..] if root.value.eq_ignore_ascii_case("attr") => Err(self
                .error(tree, "attributes are not nested")
                .help("quote a name that has points: attr.\"a.b\"")),
            _ => Err(self.error(tree, "only `attr` has names behind a point").help("attr.city")),
        }
    }

    fn call(&self, call: &sqlparser::ast::Function) -> Result<Call, SegmentError> {
        let written = call.name.to_string();
        let place = self.bytes(call.name.span());
        let Some(function) = FUNCTIONS.iter().find(|known| known.name.eq_ignore_ascii_case(&written)) else {
            return Err(unknown_function(self.text, place, &written));
        };
        let plain = call.over.is_none() && call.filter.is_none() && call.null_treatment.is_none();
        let (FunctionArguments::List(list), true) = (&call.args, plain && call.within_group.is_empty())
        else {
            return Err(misused(self.text, place, function));
        };
        if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
            return Err(misused(self.text, place, function));
        }
        let mut arguments = Vec::new();
        for argument in &list.args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = argument else {
                return Err(misused(self.text, place, function));
            };
            arguments.push(self.argument(argument, function)?);
        }
        let mut arguments = arguments.into_iter();
        let (Some((name, span)), period, None) = (arguments.next(), arguments.next(), arguments.next())
        else {
            return Err(misused(self.text, place, function));
        };
        if period.is_some() && !function.period {
            return Err(misused(self.text, place, function));
        }
        let period = period.map(|(written, span)| self.period(&written, span)).transpose()?;
        Ok(Call { function, name, period, span: Span(span) })
    }

    fn period(&self, written: &str, span: Range<usize>) -> Result<Period, SegmentError> {
        written.parse().map_err(|wrong: BadPeriod| {
            SegmentError::new(self.text, span, format!("'{written}' is not a period")).help(wrong.to_string())
        })
    }

    fn argument(&self, tree: &Expr, function: &Function) -> Result<(String, Range<usize>), SegmentError> {
        match self.value(tree)? {
            Written { value: Raw::Text(text), span } if !text.is_empty() => Ok((text, span)),
            Written { span, .. } => Err(misused(self.text, span, function)),
        }
    }

    pub(super) fn error(&self, tree: &Expr, message: impl Into<String>) -> SegmentError {
        SegmentError::new(self.text, self.span(tree), message)
    }

    pub(super) fn error_at(&self, word: &Ident, message: impl Into<String>) -> SegmentError {
        SegmentError::new(self.text, self.bytes(word.span), message)
    }

    /// The bytes of a subtree. The parser forgets the parenthesis that closes a call, so it is taken back in.
    fn span(&self, tree: &Expr) -> Range<usize> {
        let span = self.bytes(tree.span());
        let (mut open, mut quoted) = (0_usize, false);
        for ch in self.text[span.clone()].chars() {
            match ch {
                '\'' => quoted = !quoted,
                '(' if !quoted => open += 1,
                ')' if !quoted => open = open.saturating_sub(1),
                _ => {}
            }
        }
        let behind = self.text[span.end..].find(')').filter(|_| open > 0);
        span.start..behind.map_or(span.end, |behind| span.end + behind + 1)
    }

    fn bytes(&self, span: sqlparser::tokenizer::Span) -> Range<usize> {
        grammar::offset(self.text, span.start)..grammar::offset(self.text, span.end)
    }
}
