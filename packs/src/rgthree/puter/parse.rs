//! From tokens to statements.

use anyhow::{Result, bail, ensure};

use super::tokens::{Token, tokens, unescaped};
use super::value::Thing;

/// How deep expressions and blocks may lie in each other.
const DEEPEST: usize = 64;

#[derive(Debug)]
pub(super) enum Tree {
    Value(Thing),
    Name(String),
    /// Texts and expressions that are joined.
    Format(Vec<Tree>),
    Attribute(Box<Tree>, String),
    Member(Box<[Tree; 2]>),
    Call(String, Vec<Tree>),
    Method(Box<Tree>, String, Vec<Tree>),
    Not(Box<Tree>),
    Minus(Box<Tree>),
    Binary(&'static str, Box<[Tree; 2]>),
    Compare(&'static str, Box<[Tree; 2]>),
    And(Box<[Tree; 2]>),
    Or(Box<[Tree; 2]>),
    /// The condition, and what counts if it holds and if not.
    If(Box<[Tree; 3]>),
    List(Vec<Tree>),
    Tuple(Vec<Tree>),
}

#[derive(Debug)]
pub(super) enum Statement {
    Value(Tree),
    /// One name, or as many as the value has members.
    Assign(Vec<String>, Tree),
    /// Conditions with what is done where they are the first that holds, and what is done where none does.
    If(Vec<(Tree, Vec<Statement>)>, Vec<Statement>),
    Return(Option<Tree>),
}

/// A program's statements.
pub(super) fn program(text: &str) -> Result<Vec<Statement>> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, depth: 0 };
    let statements = parser.block()?;
    ensure!(parser.tokens.is_empty(), "a line is indented, and nothing before it wants that");
    Ok(statements)
}

struct Parser<'t> {
    tokens: &'t [Token],
    depth: usize,
}

impl Parser<'_> {
    fn next(&self) -> Option<&Token> {
        self.tokens.first()
    }

    fn skip(&mut self) {
        self.tokens = self.tokens.get(1..).unwrap_or_default();
    }

    fn takes(&mut self, wanted: &Token) -> bool {
        let found = self.next() == Some(wanted);
        if found {
            self.skip();
        }
        found
    }

    fn sign(&mut self, sign: &'static str) -> bool {
        self.takes(&Token::Sign(sign))
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.next(), Some(Token::Name(name)) if name == word);
        if found {
            self.skip();
        }
        found
    }

    fn must(&mut self, sign: &'static str) -> Result<()> {
        ensure!(self.sign(sign), "'{sign}' is missing {}", self.before());
        Ok(())
    }

    /// Where the parser stands, in words.
    fn before(&self) -> String {
        match self.next() {
            Some(Token::Name(name)) => format!("before '{name}'"),
            Some(Token::Sign(sign)) => format!("before '{sign}'"),
            Some(Token::Number(number)) => format!("before {number}"),
            Some(Token::Text(_) | Token::Format(_)) => "before a text".to_owned(),
            _ => "at the end of a line".to_owned(),
        }
    }

    /// Does something one step deeper.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        ensure!(self.depth < DEEPEST, "it is nested deeper than {DEEPEST}; make it simpler");
        self.depth += 1;
        let found = inner(self);
        self.depth -= 1;
        found
    }

    /// Statements up to the end of the block.
    fn block(&mut self) -> Result<Vec<Statement>> {
        let mut statements = Vec::new();
        while !matches!(self.next(), None | Some(Token::Dedent | Token::Indent)) {
            if self.takes(&Token::Newline) || self.sign(";") {
                continue;
            }
            statements.extend(self.statement()?);
        }
        Ok(statements)
    }

    fn statement(&mut self) -> Result<Option<Statement>> {
        const LOOPS: [&str; 8] = ["for", "while", "def", "class", "import", "from", "lambda", "with"];
        if let Some(Token::Name(name)) = self.next()
            && LOOPS.contains(&name.as_str())
        {
            bail!("'{name}' is not understood here; use names, conditions, texts and numbers alone");
        }
        if self.word("if") {
            return self.deeper(Self::conditions).map(Some);
        }
        if self.word("pass") {
            return Ok(None);
        }
        let statement = if self.word("return") {
            let bare = matches!(self.next(), None | Some(Token::Newline));
            Statement::Return(if bare { None } else { Some(self.values()?) })
        } else {
            let value = self.values()?;
            if self.sign("=") { Statement::Assign(targets(&value)?, self.values()?) } else { Statement::Value(value) }
        };
        let ends = matches!(self.next(), None | Some(Token::Newline | Token::Dedent | Token::Sign(";")));
        ensure!(ends, "an operator is missing {}", self.before());
        Ok(Some(statement))
    }

    /// What follows an `if`.
    fn conditions(&mut self) -> Result<Statement> {
        let mut branches = vec![(self.value()?, self.body()?)];
        loop {
            while self.takes(&Token::Newline) {}
            if self.word("elif") {
                branches.push((self.value()?, self.body()?));
            } else if self.word("else") {
                return Ok(Statement::If(branches, self.body()?));
            } else {
                return Ok(Statement::If(branches, Vec::new()));
            }
        }
    }

    fn body(&mut self) -> Result<Vec<Statement>> {
        self.must(":")?;
        if !self.takes(&Token::Newline) {
            return Ok(self.statement()?.into_iter().collect());
        }
        ensure!(self.takes(&Token::Indent), "an indented line is missing behind ':'");
        let statements = self.block()?;
        ensure!(self.takes(&Token::Dedent), "a line is indented further than the one before it");
        Ok(statements)
    }

    /// One value, or several with commas between them, which are a tuple.
    fn values(&mut self) -> Result<Tree> {
        let first = self.value()?;
        if self.next() != Some(&Token::Sign(",")) {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.sign(",") {
            if matches!(self.next(), None | Some(Token::Newline | Token::Sign("=" | ")"))) {
                break;
            }
            all.push(self.value()?);
        }
        Ok(Tree::Tuple(all))
    }

    fn value(&mut self) -> Result<Tree> {
        self.deeper(|parser| {
            let value = parser.either()?;
            if !parser.word("if") {
                return Ok(value);
            }
            let condition = parser.either()?;
            ensure!(parser.word("else"), "'else' is missing {}", parser.before());
            Ok(Tree::If(Box::new([condition, value, parser.value()?])))
        })
    }

    fn either(&mut self) -> Result<Tree> {
        let mut left = self.both()?;
        while self.word("or") {
            left = Tree::Or(Box::new([left, self.both()?]));
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Tree> {
        let mut left = self.negated()?;
        while self.word("and") {
            left = Tree::And(Box::new([left, self.negated()?]));
        }
        Ok(left)
    }

    fn negated(&mut self) -> Result<Tree> {
        if self.word("not") {
            return self.deeper(|parser| Ok(Tree::Not(Box::new(parser.negated()?))));
        }
        let left = self.sum()?;
        for sign in ["==", "!=", "<=", ">=", "<", ">"] {
            if self.sign(sign) {
                return Ok(Tree::Compare(sign, Box::new([left, self.sum()?])));
            }
        }
        if self.word("in") {
            return Ok(Tree::Compare("in", Box::new([left, self.sum()?])));
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<Tree> {
        let mut left = self.product()?;
        while let Some(sign) = ["+", "-"].into_iter().find(|sign| self.sign(sign)) {
            left = Tree::Binary(sign, Box::new([left, self.product()?]));
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Tree> {
        let mut left = self.signed()?;
        while let Some(sign) = ["*", "//", "/", "%"].into_iter().find(|sign| self.sign(sign)) {
            left = Tree::Binary(sign, Box::new([left, self.signed()?]));
        }
        Ok(left)
    }

    fn signed(&mut self) -> Result<Tree> {
        self.deeper(|parser| {
            if parser.sign("-") {
                return Ok(Tree::Minus(Box::new(parser.signed()?)));
            }
            if parser.sign("+") {
                return parser.signed();
            }
            let base = parser.part()?;
            if parser.sign("**") {
                return Ok(Tree::Binary("**", Box::new([base, parser.signed()?])));
            }
            Ok(base)
        })
    }

    /// A value with what hangs on it: attributes, members, calls.
    fn part(&mut self) -> Result<Tree> {
        let mut tree = self.atom()?;
        loop {
            if self.sign(".") {
                let Some(Token::Name(name)) = self.next().cloned() else { bail!("a name is missing behind '.'") };
                self.skip();
                tree = match self.sign("(") {
                    true => Tree::Method(Box::new(tree), name, self.list(")")?),
                    false => Tree::Attribute(Box::new(tree), name),
                };
            } else if self.sign("[") {
                let at = self.value()?;
                self.must("]")?;
                tree = Tree::Member(Box::new([tree, at]));
            } else {
                return Ok(tree);
            }
        }
    }

    /// Values up to a closing bracket.
    fn list(&mut self, end: &'static str) -> Result<Vec<Tree>> {
        let mut all = Vec::new();
        while !self.sign(end) {
            all.push(self.value()?);
            if !self.sign(",") {
                self.must(end)?;
                break;
            }
        }
        Ok(all)
    }

    fn atom(&mut self) -> Result<Tree> {
        let Some(token) = self.next().cloned() else { bail!("a value is missing at the end") };
        let place = self.before();
        self.skip();
        Ok(match token {
            Token::Number(number) => Tree::Value(Thing::Number(number)),
            Token::Text(text) => Tree::Value(Thing::Text(text)),
            Token::Format(text) => self.deeper(|parser| parser.format(&text))?,
            Token::Name(name) if self.sign("(") => Tree::Call(name, self.list(")")?),
            Token::Name(name) => Tree::Name(name),
            Token::Sign("[") => Tree::List(self.list("]")?),
            Token::Sign("(") if self.sign(")") => Tree::Tuple(Vec::new()),
            Token::Sign("(") => {
                let inner = self.values()?;
                self.must(")")?;
                inner
            }
            _ => bail!("a value is missing {place}"),
        })
    }

    /// The parts of a text with expressions in braces.
    fn format(&mut self, text: &str) -> Result<Tree> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            parts.push(Tree::Value(Thing::Text(unescaped(before))));
            let doubled = ["{{", "}}"].into_iter().find(|doubled| brace.starts_with(doubled));
            if let Some(doubled) = doubled {
                parts.push(Tree::Value(Thing::Text(doubled[1..].to_owned())));
                rest = &brace[2..];
                continue;
            }
            let Some(end) = brace.find('}').filter(|end| *end > 1) else {
                bail!("a brace in a text has no value; write {{name}}")
            };
            let inner = tokens(&brace[1..end])?;
            let mut parser = Parser { tokens: &inner, depth: self.depth };
            parts.push(parser.value()?);
            ensure!(parser.takes(&Token::Newline), "how '{}' is to be written is not understood", &brace[1..end]);
            rest = &brace[end + 1..];
        }
        parts.push(Tree::Value(Thing::Text(unescaped(rest))));
        Ok(Tree::Format(parts))
    }
}

/// The names to the left of `=`.
fn targets(tree: &Tree) -> Result<Vec<String>> {
    let name = |tree: &Tree| match tree {
        Tree::Name(name) => Ok(name.clone()),
        _ => bail!("only names may stand before '='"),
    };
    match tree {
        Tree::Tuple(names) => names.iter().map(name).collect(),
        tree => Ok(vec![name(tree)?]),
    }
}
