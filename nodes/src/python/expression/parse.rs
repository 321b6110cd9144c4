//! The grammar of expressions.

use super::tokens::Token;
use super::{Flaw, Number};

/// How deep brackets and operators may be nested.
const DEEPEST: usize = 100;

/// An expression as it was read.
#[derive(Debug)]
pub(super) enum Tree {
    Number(Number),
    Name(String),
    Call {
        name: String,
        arguments: Vec<Tree>,
        digits: Option<Box<Tree>>,
    },
    Member(Box<[Tree; 2]>),
    Slice {
        list: Box<Tree>,
        from: Option<Box<Tree>>,
        to: Option<Box<Tree>>,
    },
    Sign(&'static str, Box<Tree>),
    Binary(&'static str, Box<[Tree; 2]>),
    /// `a < b <= c`, as its first part and the others with what stands before them.
    Compare(Box<Tree>, Vec<(&'static str, Tree)>),
    Not(Box<Tree>),
    And(Box<[Tree; 2]>),
    Or(Box<[Tree; 2]>),
    /// The condition, and what holds if it is true and if not.
    If(Box<[Tree; 3]>),
}

pub(super) struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
}

/// Operators of two sides, by how tightly they bind, the loosest first. All are taken from the left.
const LEVELS: [&[&str]; 6] = [&["|"], &["^"], &["&"], &["<<", ">>"], &["+", "-"], &["*", "/", "//", "%"]];
const COMPARISONS: [&str; 6] = ["==", "!=", "<=", ">=", "<", ">"];
pub(super) const IN: &str = "in";
pub(super) const NOT_IN: &str = "not in";

impl<'t> Parser<'t> {
    pub(super) fn new(tokens: &'t [Token]) -> Self {
        Self { tokens, at: 0, depth: 0 }
    }

    pub(super) fn whole(mut self) -> Result<Tree, Flaw> {
        let tree = self.condition()?;
        match self.tokens.get(self.at) {
            None => Ok(tree),
            Some(token) => Err(Flaw::new(format!("{} is not expected there", shown(Some(token))))),
        }
    }

    fn next(&self) -> Option<&'t Token> {
        self.tokens.get(self.at)
    }

    fn any_of(&mut self, signs: &[&'static str]) -> Option<&'static str> {
        let Some(Token::Sign(next)) = self.next() else { return None };
        let found = signs.iter().copied().find(|sign| sign == next);
        self.at += usize::from(found.is_some());
        found
    }

    fn sign(&mut self, wanted: &'static str) -> bool {
        self.any_of(&[wanted]).is_some()
    }

    fn word(&mut self, wanted: &str) -> bool {
        let there = matches!(self.next(), Some(Token::Name(name)) if name == wanted);
        self.at += usize::from(there);
        there
    }

    fn missing(&self, what: &str) -> Flaw {
        Flaw::new(format!("{what} is missing before {}", shown(self.next())))
    }

    fn expect(&mut self, wanted: &'static str) -> Result<(), Flaw> {
        if self.sign(wanted) { Ok(()) } else { Err(self.missing(&format!("'{wanted}'"))) }
    }

    fn deeper(&mut self, read: fn(&mut Self) -> Result<Tree, Flaw>) -> Result<Tree, Flaw> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Flaw::new("it is nested too deep; write it simpler"));
        }
        let tree = read(self);
        self.depth -= 1;
        tree
    }

    fn condition(&mut self) -> Result<Tree, Flaw> {
        let first = self.or()?;
        if !self.word("if") {
            return Ok(first);
        }
        let condition = self.or()?;
        if !self.word("else") {
            return Err(self.missing("'else'"));
        }
        let other = self.deeper(Self::condition)?;
        Ok(Tree::If(Box::new([condition, first, other])))
    }

    fn or(&mut self) -> Result<Tree, Flaw> {
        let mut left = self.and()?;
        while self.word("or") {
            left = Tree::Or(Box::new([left, self.and()?]));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Tree, Flaw> {
        let mut left = self.not()?;
        while self.word("and") {
            left = Tree::And(Box::new([left, self.not()?]));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Tree, Flaw> {
        match self.word("not") {
            true => Ok(Tree::Not(Box::new(self.deeper(Self::not)?))),
            false => self.comparison(),
        }
    }

    fn comparison(&mut self) -> Result<Tree, Flaw> {
        let first = self.level(0)?;
        let mut others = Vec::new();
        while let Some(how) = self.how_compared() {
            others.push((how, self.level(0)?));
        }
        Ok(if others.is_empty() { first } else { Tree::Compare(Box::new(first), others) })
    }

    fn how_compared(&mut self) -> Option<&'static str> {
        if self.word("in") {
            return Some(IN);
        }
        let negated = matches!(self.tokens.get(self.at + 1), Some(Token::Name(name)) if name == "in");
        if negated && self.word("not") {
            self.at += 1;
            return Some(NOT_IN);
        }
        self.any_of(&COMPARISONS)
    }

    fn level(&mut self, level: usize) -> Result<Tree, Flaw> {
        let Some(signs) = LEVELS.get(level) else { return self.signed() };
        let mut left = self.level(level + 1)?;
        while let Some(sign) = self.any_of(signs) {
            left = Tree::Binary(sign, Box::new([left, self.level(level + 1)?]));
        }
        Ok(left)
    }

    /// Signs bind looser than powers to their right: `-2 ** 2` is -4.
    fn signed(&mut self) -> Result<Tree, Flaw> {
        match self.any_of(&["+", "-", "~"]) {
            Some(sign) => Ok(Tree::Sign(sign, Box::new(self.deeper(Self::signed)?))),
            None => self.power(),
        }
    }

    fn power(&mut self) -> Result<Tree, Flaw> {
        let base = self.indexed()?;
        match self.sign("**") {
            true => Ok(Tree::Binary("**", Box::new([base, self.deeper(Self::signed)?]))),
            false => Ok(base),
        }
    }

    /// A term with `[i]` or `[from:to]` behind it.
    fn indexed(&mut self) -> Result<Tree, Flaw> {
        let mut tree = self.atom()?;
        while self.sign("[") {
            let from = if self.sign(":") { None } else { Some(self.deeper(Self::condition)?) };
            tree = match from {
                Some(at) if self.sign("]") => Tree::Member(Box::new([tree, at])),
                from => {
                    if from.is_some() {
                        self.expect(":")?;
                    }
                    let to = if self.sign("]") { None } else { Some(self.deeper(Self::condition)?) };
                    if to.is_some() {
                        self.expect("]")?;
                    }
                    Tree::Slice { list: Box::new(tree), from: from.map(Box::new), to: to.map(Box::new) }
                }
            };
        }
        Ok(tree)
    }

    fn atom(&mut self) -> Result<Tree, Flaw> {
        let token = self.next();
        self.at += 1;
        match token {
            Some(Token::Number(number)) => Ok(Tree::Number(number.clone())),
            Some(Token::Sign("(")) => {
                let tree = self.deeper(Self::condition)?;
                self.expect(")")?;
                Ok(tree)
            }
            Some(Token::Name(name)) if self.sign("(") => self.called(name),
            Some(Token::Name(name)) => Ok(Tree::Name(name.clone())),
            other => Err(Flaw::new(format!("a number or a name is missing before {}", shown(other)))),
        }
    }

    /// The arguments of a function.
    fn called(&mut self, name: &str) -> Result<Tree, Flaw> {
        let (mut arguments, mut digits) = (Vec::new(), None);
        while !self.sign(")") {
            let named = match (self.next(), self.tokens.get(self.at + 1)) {
                (Some(Token::Name(name)), Some(Token::Sign("="))) => Some(name.as_str()),
                _ => None,
            };
            self.at += if named.is_some() { 2 } else { 0 };
            let tree = self.deeper(Self::condition)?;
            match named {
                None => arguments.push(tree),
                Some("ndigits") if name == "round" => digits = Some(Box::new(tree)),
                Some(other) => return Err(Flaw::new(format!("{name} takes no argument called '{other}'"))),
            }
            if !self.sign(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(Tree::Call { name: name.to_owned(), arguments, digits })
    }
}

fn shown(token: Option<&Token>) -> String {
    match token {
        None => "its end".to_owned(),
        Some(Token::Number(number)) => format!("'{number}'"),
        Some(Token::Name(name)) => format!("'{name}'"),
        Some(Token::Sign(sign)) => format!("'{sign}'"),
    }
}
