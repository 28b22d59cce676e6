//! Expanding words: a [`Scope`] and a [`Word`] → a text.

use super::ast::{Expansion, Operation, Parameter, Piece, Subscript, Word};
use super::pattern::Pattern;
use super::scope::Scope;
use super::{Certain, arith, needs_bash};

impl Scope<'_> {
    /// The text of a word that isn't split.
    ///
    /// # Errors
    /// [`NeedsBash`](super::NeedsBash).
    pub(crate) fn text(&mut self, word: &Word) -> Certain<String> {
        let mut text = String::new();
        for piece in &word.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Expand { expansion, .. } => text.push_str(&self.expand(expansion)?),
            }
        }
        Ok(text)
    }

    /// The text of an element of `(…)`, where an unquoted expansion must be one plain word.
    pub(super) fn element_text(&mut self, word: &Word) -> Certain<String> {
        let mut text = String::new();
        for piece in &word.0 {
            let (expansion, quoted) = match piece {
                Piece::Text(plain) => {
                    text.push_str(plain);
                    continue;
                }
                Piece::Expand { expansion, quoted } => (expansion, *quoted),
            };
            if let Expansion::Parameter(Parameter { subscript: Some(Subscript::All), operation, .. }) =
                expansion
                && *operation == Operation::Value
            {
                return needs_bash("all elements of an array, in an array");
            }
            let value = self.expand(expansion)?;
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-+./:,%@=".contains(c);
            if !quoted && (value.is_empty() || !value.chars().all(plain)) {
                return needs_bash("a value that may be split, or be a pattern");
            }
            text.push_str(&value);
        }
        Ok(text)
    }

    fn expand(&mut self, expansion: &Expansion) -> Certain<String> {
        let value = match expansion {
            Expansion::Parameter(parameter) => self.parameter(parameter)?,
            Expansion::Processors => match self.processors() {
                Some(number) => number.to_string(),
                None => return needs_bash("a command substitution"),
            },
            Expansion::Arithmetic(word) => arith::evaluate(self, word)?.to_string(),
        };
        self.spend(value.len())?;
        Ok(value)
    }

    fn parameter(&mut self, parameter: &Parameter) -> Certain<String> {
        let Parameter { name, subscript, operation } = parameter;
        if *subscript == Some(Subscript::All) {
            let all = self.with(name, |variable| (variable.all().join(" "), variable.all().len()));
            let (joined, count) = all.unwrap_or_default();
            self.spend(joined.len() + 8 * count)?;
            return Ok(if *operation == Operation::Length { count.to_string() } else { joined });
        }
        let value = match subscript {
            Some(Subscript::Index(index)) => {
                let index = arith::index(self, index)?;
                self.with(name, |variable| variable.at(index).map(str::to_owned)).flatten()
            }
            _ => self.value(name),
        };
        self.operate(value, operation)
    }

    fn operate(&mut self, value: Option<String>, operation: &Operation) -> Certain<String> {
        if matches!(operation, Operation::Default { .. } | Operation::Alternative { .. }) {
            self.decide();
        }
        match operation {
            Operation::Default { word, colon } => match value {
                Some(value) if !(*colon && value.is_empty()) => Ok(value),
                _ => self.text(word),
            },
            Operation::Alternative { word, colon } => match value {
                Some(value) if !(*colon && value.is_empty()) => self.text(word),
                _ => Ok(String::new()),
            },
            Operation::Value => Ok(value.unwrap_or_default()),
            Operation::Length => Ok(plain(value.unwrap_or_default())?.len().to_string()),
            Operation::RemovePrefix { pattern, longest } => {
                let value = plain(value.unwrap_or_default())?;
                let pattern = self.pattern(pattern)?;
                let mut ends = 0..=value.len();
                let matches = |end: &usize| pattern.matches(&value[..*end]);
                let end = if *longest { ends.rfind(matches) } else { ends.find(matches) };
                self.spent_on(&pattern, value[end.unwrap_or(0)..].to_owned())
            }
            Operation::RemoveSuffix { pattern, longest } => {
                let value = plain(value.unwrap_or_default())?;
                let pattern = self.pattern(pattern)?;
                let mut starts = 0..=value.len();
                let matches = |start: &usize| pattern.matches(&value[*start..]);
                let start = if *longest { starts.find(matches) } else { starts.rfind(matches) };
                self.spent_on(&pattern, value[..start.unwrap_or(value.len())].to_owned())
            }
            Operation::Replace { pattern, with, all } => {
                let value = plain(value.unwrap_or_default())?;
                let pattern = self.pattern(pattern)?;
                let with = plain(self.text(with)?)?;
                // Since 5.2, `&` there means what matched, and `\` quotes it.
                if value.is_empty() || with.contains(['&', '\\']) {
                    return needs_bash("a replacement with its own rules");
                }
                self.spent_on(&pattern, pattern.replace(&value, &with, *all))
            }
            Operation::Substring { offset, length } => {
                let value = plain(value.unwrap_or_default())?;
                let offset = self.number(offset)?;
                let length = length.as_ref().map(|length| self.number(length)).transpose()?;
                let start = offset.min(value.len());
                let end = length.map_or(value.len(), |length| start.saturating_add(length).min(value.len()));
                Ok(value[start..end].to_owned())
            }
        }
    }

    /// What matching gave; its comparisons count.
    fn spent_on(&mut self, pattern: &Pattern, result: String) -> Certain<String> {
        self.spend(pattern.comparisons()?)?;
        Ok(result)
    }

    fn pattern(&mut self, word: &Word) -> Certain<Pattern> {
        Pattern::new(&self.text(word)?)
    }

    /// An operand that must be a plain decimal number.
    fn number(&mut self, word: &Word) -> Certain<usize> {
        let text = self.text(word)?;
        let plain = text == "0" || (!text.starts_with('0') && text.chars().all(|c| c.is_ascii_digit()));
        match text.parse() {
            Ok(number) if plain => Ok(number),
            _ => needs_bash("an offset that must be computed"),
        }
    }
}

/// The longest text that is searched: it takes the square of its length, and more, and only
/// bash has a time limit.
const LONGEST: usize = 4096;

/// Bash counts bytes or characters, as the locale says; in ASCII they are the same.
fn plain(value: String) -> Certain<String> {
    if value.len() > LONGEST {
        return needs_bash("an operation on a long value");
    }
    if value.is_ascii() { Ok(value) } else { needs_bash("an operation on other letters than ASCII's") }
}
