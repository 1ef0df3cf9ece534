//! Patterns over digits, all of one territory in one walk: the reason why reading a number costs a microsecond.
//!
//! The numbering metadata describes each kind of number by a pattern made of digits, classes, groups, alternatives
//! and counts, nothing else. A territory's patterns become one deterministic automaton over ten symbols, so a number
//! is matched against all kinds at once, and always as a whole. Knows nothing about kinds or countries.

use std::collections::{BTreeSet, HashMap};

/// An automaton that says which of up to 16 patterns match a string of digits as a whole.
#[derive(Debug)]
pub(super) struct Automaton {
    /// Next state by state and digit; 0 is the dead state, 1 the first.
    next: Vec<[u16; 10]>,
    /// Bit i is set where pattern i accepts.
    accepts: Vec<u16>,
}

/// A pattern outside the language described above; metadata of a newer kind than this reader.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsupported;

impl Automaton {
    /// Compiles patterns; bit i of a match stands for pattern i. `None` never matches.
    pub(super) fn new(patterns: &[Option<Pattern<'_>>]) -> Result<Self, Unsupported> {
        let mut nfa = Nfa::default();
        let mut starts = BTreeSet::from([nfa.state()]);
        for (index, pattern) in patterns.iter().enumerate() {
            let Some(pattern) = pattern else { continue };
            let node = Reader::read(pattern.text)?;
            let end = nfa.state();
            nfa.accepts[end] = 1 << index;
            if pattern.prefix {
                nfa.steps[end].push((ANY, end));
            }
            starts.insert(nfa.build(&node, end));
        }
        Ok(nfa.determinise(&starts))
    }

    /// The bits of the patterns that match all of `digits` (values 0 to 9).
    pub(super) fn matches(&self, digits: &[u8]) -> u16 {
        let mut state = 1_u16;
        for &digit in digits {
            state = self.next[usize::from(state)][usize::from(digit)];
        }
        self.accepts[usize::from(state)]
    }
}

/// One pattern to compile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pattern<'a> {
    /// The pattern as the metadata writes it; white space has no meaning.
    pub(super) text: &'a str,
    /// Whether a match of the beginning is enough.
    pub(super) prefix: bool,
}

/// A set of digits, bit d for digit d.
type Digits = u16;

const ANY: Digits = 0b11_1111_1111;

#[derive(Debug)]
enum Node {
    One(Digits),
    All(Vec<Node>),
    Either(Vec<Node>),
    Times(Box<Node>, usize, usize),
}

struct Reader {
    text: Vec<u8>,
    at: usize,
}

impl Reader {
    fn read(pattern: &str) -> Result<Node, Unsupported> {
        let text = pattern.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let mut reader = Reader { text, at: 0 };
        let node = reader.either()?;
        if reader.at == reader.text.len() { Ok(node) } else { Err(Unsupported) }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn either(&mut self) -> Result<Node, Unsupported> {
        let mut branches = vec![self.all()?];
        while self.take(b'|') {
            branches.push(self.all()?);
        }
        Ok(Node::Either(branches))
    }

    fn all(&mut self) -> Result<Node, Unsupported> {
        let mut nodes = Vec::new();
        while self.text.get(self.at).is_some_and(|b| !matches!(b, b'|' | b')')) {
            let node = self.one()?;
            nodes.push(self.times(node)?);
        }
        Ok(Node::All(nodes))
    }

    fn one(&mut self) -> Result<Node, Unsupported> {
        let byte = self.text[self.at];
        self.at += 1;
        match byte {
            b'0'..=b'9' => Ok(Node::One(1 << (byte - b'0'))),
            b'\\' if self.take(b'd') => Ok(Node::One(ANY)),
            b'[' => self.class(),
            b'(' => {
                if self.take(b'?') && !self.take(b':') {
                    return Err(Unsupported);
                }
                let node = self.either()?;
                if self.take(b')') { Ok(node) } else { Err(Unsupported) }
            }
            _ => Err(Unsupported),
        }
    }

    fn class(&mut self) -> Result<Node, Unsupported> {
        let mut set = 0;
        while !self.take(b']') {
            let from = self.digit()?;
            let to = if self.take(b'-') { self.digit()? } else { from };
            for digit in from..=to {
                set |= 1 << digit;
            }
        }
        Ok(Node::One(set))
    }

    fn digit(&mut self) -> Result<u8, Unsupported> {
        let byte = *self.text.get(self.at).ok_or(Unsupported)?;
        self.at += 1;
        if byte.is_ascii_digit() { Ok(byte - b'0') } else { Err(Unsupported) }
    }

    fn times(&mut self, node: Node) -> Result<Node, Unsupported> {
        if self.take(b'?') {
            return Ok(Node::Times(Box::new(node), 0, 1));
        }
        if !self.take(b'{') {
            return Ok(node);
        }
        let least = self.count()?;
        let most = if self.take(b',') { self.count()? } else { least };
        if self.take(b'}') && least <= most && most <= 20 {
            Ok(Node::Times(Box::new(node), least, most))
        } else {
            Err(Unsupported)
        }
    }

    fn count(&mut self) -> Result<usize, Unsupported> {
        let mut count = usize::from(self.digit()?);
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            count = count * 10 + usize::from(self.digit()?);
        }
        Ok(count)
    }
}

/// Built from the end backwards, so that it needs no empty steps.
#[derive(Default)]
struct Nfa {
    /// By state: which digits lead where.
    steps: Vec<Vec<(Digits, usize)>>,
    accepts: Vec<u16>,
    /// By state: states that are entered with it, without a digit.
    also: Vec<Vec<usize>>,
}

impl Nfa {
    fn state(&mut self) -> usize {
        self.steps.push(Vec::new());
        self.also.push(Vec::new());
        self.accepts.push(0);
        self.steps.len() - 1
    }

    /// Adds `node` in front of state `then` and returns where it starts.
    fn build(&mut self, node: &Node, then: usize) -> usize {
        match node {
            Node::One(set) => {
                let start = self.state();
                self.steps[start].push((*set, then));
                start
            }
            Node::All(nodes) => nodes.iter().rev().fold(then, |then, node| self.build(node, then)),
            Node::Either(branches) => {
                let starts = branches.iter().map(|branch| self.build(branch, then)).collect();
                let start = self.state();
                self.also[start] = starts;
                start
            }
            Node::Times(node, least, most) => {
                let mut at = then;
                for _ in *least..*most {
                    let once = self.build(node, at);
                    at = self.state();
                    self.also[at] = vec![once, then];
                }
                (0..*least).fold(at, |at, _| self.build(node, at))
            }
        }
    }

    fn closure(&self, states: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut all = BTreeSet::new();
        let mut open: Vec<usize> = states.iter().copied().collect();
        while let Some(state) = open.pop() {
            if all.insert(state) {
                open.extend(&self.also[state]);
            }
        }
        all
    }

    fn determinise(&self, starts: &BTreeSet<usize>) -> Automaton {
        let mut names: HashMap<BTreeSet<usize>, u16> = HashMap::from([(BTreeSet::new(), 0)]);
        let mut automaton = Automaton { next: vec![[0; 10]], accepts: vec![0] };
        let mut open = vec![automaton.name(&mut names, starts)];
        while let Some((state, set)) = open.pop().flatten() {
            let set = self.closure(&set);
            automaton.accepts[usize::from(state)] = set.iter().fold(0, |bits, &s| bits | self.accepts[s]);
            for digit in 0..10 {
                let steps = set.iter().flat_map(|&s| &self.steps[s]);
                let to: BTreeSet<usize> =
                    steps.filter(|(digits, _)| digits >> digit & 1 == 1).map(|&(_, to)| to).collect();
                let fresh = automaton.name(&mut names, &to);
                automaton.next[usize::from(state)][digit] = names[&to];
                if fresh.is_some() {
                    open.push(fresh);
                }
            }
        }
        automaton
    }
}

impl Automaton {
    /// Gives a set of states its number; `Some` when it was not known before.
    fn name(
        &mut self,
        names: &mut HashMap<BTreeSet<usize>, u16>,
        set: &BTreeSet<usize>,
    ) -> Option<(u16, BTreeSet<usize>)> {
        if names.contains_key(set) {
            return None;
        }
        let name = u16::try_from(self.next.len()).expect("no numbering plan has 65,536 states");
        self.next.push([0; 10]);
        self.accepts.push(0);
        names.insert(set.clone(), name);
        Some((name, set.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Automaton, Pattern, Unsupported};

    fn digits(text: &str) -> Vec<u8> {
        text.bytes().map(|b| b - b'0').collect()
    }

    #[test]
    fn a_pattern_matches_the_whole_number() {
        let check = |pattern: &str, prefix: bool, yes: &[&str], no: &[&str]| {
            let automaton =
                Automaton::new(&[None, Some(Pattern { text: pattern, prefix })]).expect("readable");
            for text in yes {
                assert_eq!(automaton.matches(&digits(text)), 2, "{pattern} should match {text}");
            }
            for text in no {
                assert_eq!(automaton.matches(&digits(text)), 0, "{pattern} should not match {text}");
            }
        };
        check("[2-9]\\d{2}", false, &["200", "999"], &["", "100", "20", "2000"]);
        check("1|1 23", false, &["1", "123"], &["12", "1234"]);
        check("(?:7[0-24]|8\\d?)\\d{1,3}", false, &["7123", "80", "81999", "812"], &["731", "8", "812345"]);
        check("0?5", false, &["5", "05"], &["0", "005"]);
        check("658|876", true, &["658", "8765550123"], &["65", "1876"]);
        check("(?:1|2){2}", false, &["11", "12", "22"], &["1", "111"]);
    }

    #[test]
    fn several_patterns_are_told_apart_in_one_walk() {
        let all = ["\\d{3}", "1\\d\\d", "15\\d"].map(|text| Some(Pattern { text, prefix: false }));
        let automaton = Automaton::new(&all).expect("readable");
        assert_eq!(automaton.matches(&digits("150")), 0b111);
        assert_eq!(automaton.matches(&digits("140")), 0b011);
        assert_eq!(automaton.matches(&digits("240")), 0b001);
    }

    #[test]
    fn an_unknown_kind_of_pattern_is_refused() {
        for text in ["(?=1)", "1+", "a", "[1", "(1", "1)", "1{2", "1{3,2}", "\\w"] {
            let got = Automaton::new(&[Some(Pattern { text, prefix: false })]);
            assert_eq!(got.err(), Some(Unsupported), "{text}");
        }
    }
}
