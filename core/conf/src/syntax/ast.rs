//! What a conf of the static kind is made of.

/// A whole file: its commands in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Script(pub(super) Vec<Command>);

/// An assignment, and the test that it hangs on, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) test: Option<Test>,
    pub(super) assignment: Assignment,
}

/// `[ left -gt right ] &&`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) left: Word,
    pub(super) relation: Relation,
    pub(super) right: Word,
}

/// How two numbers are to stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// `NAME=…`, `NAME[…]=…`, `NAME+=…`, `NAME=(…)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) name: String,
    /// What stands between the brackets.
    pub(super) index: Option<Word>,
    /// `+=`
    pub(super) append: bool,
    pub(super) value: Value,
}

/// The right side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Scalar(Word),
    Array(Vec<Element>),
}

/// One element of `(…)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    /// `[3]=`
    pub(super) index: Option<usize>,
    pub(super) word: Word,
}

/// Pieces that are joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Word(pub(super) Vec<Piece>);

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Expand {
        expansion: Expansion,
        /// Between double quotes: not split.
        quoted: bool,
    },
}

/// What begins with `$`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expansion {
    Parameter(Parameter),
    /// `$((…))`
    Arithmetic(Word),
    /// `$(nproc)`, the one command whose output we know without running it.
    Processors,
}

/// `$x` or `${x…}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) subscript: Option<Subscript>,
    pub(super) operation: Operation,
}

/// What stands between the brackets of `${x[…]}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subscript {
    Index(Word),
    /// `@` or `*`
    All,
}

/// What is done with a parameter's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    /// `${x}`
    Value,
    /// `${#x}`
    Length,
    /// `${x-w}`; with a colon also where it is empty
    Default { word: Word, colon: bool },
    /// `${x+w}`; with a colon only where it isn't empty
    Alternative { word: Word, colon: bool },
    /// `${x#p}`, `${x##p}`
    RemovePrefix { pattern: Word, longest: bool },
    /// `${x%p}`, `${x%%p}`
    RemoveSuffix { pattern: Word, longest: bool },
    /// `${x/p/w}`, `${x//p/w}`
    Replace { pattern: Word, with: Word, all: bool },
    /// `${x:o}`, `${x:o:l}`
    Substring { offset: Word, length: Option<Word> },
}
