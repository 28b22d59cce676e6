//! Patterns of `${x%p}` and its kin: `*`, `?`, plain sets, on ASCII.

use std::cell::Cell;

use super::{Certain, needs_bash};

/// A pattern for a whole text.
#[derive(Debug)]
pub(super) struct Pattern {
    parts: Vec<Part>,
    /// How many comparisons it may still make.
    left: Cell<u32>,
}

/// More comparisons than this are left to bash, and to its limit of time.
const MOST: u32 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `*`
    Any,
    /// `?`
    One,
    /// Itself.
    Byte(u8),
    /// `[a-z_]`, `[!a]`
    Set { ranges: Vec<(u8, u8)>, negated: bool },
}

impl Pattern {
    /// # Errors
    /// [`NeedsBash`](super::NeedsBash) where it has more in it.
    pub(super) fn new(text: &str) -> Certain<Self> {
        if text.is_empty() || !text.is_ascii() || text.contains(['\\', '(', ')', '|']) {
            return needs_bash("a pattern that we don't read");
        }
        let mut parts = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, after @ ..] = rest {
            rest = after;
            parts.push(match first {
                b'*' => Part::Any,
                b'?' => Part::One,
                b'[' => {
                    let (set, after) = set(rest)?;
                    rest = after;
                    set
                }
                byte => Part::Byte(*byte),
            });
        }
        Ok(Self { parts, left: Cell::new(MOST) })
    }

    /// Whether it matches the whole text.
    pub(super) fn matches(&self, text: &str) -> bool {
        matches(&self.parts, text.as_bytes(), &self.left)
    }

    /// How many comparisons it made, if matching came to its end.
    pub(super) fn comparisons(&self) -> Certain<usize> {
        match self.left.get() {
            0 => needs_bash("a pattern that takes long"),
            left => Ok(usize::try_from(MOST - left).unwrap_or(usize::MAX)),
        }
    }

    /// Replaces the first match, or all, each as far left and then as long as can be.
    pub(super) fn replace(&self, text: &str, with: &str, all: bool) -> String {
        let mut result = String::new();
        let mut start = 0;
        while start < text.len() {
            let end = (start + 1..=text.len()).rfind(|end| self.matches(&text[start..*end]));
            match end {
                Some(end) => {
                    result.push_str(with);
                    start = end;
                    if !all {
                        break;
                    }
                }
                None => {
                    result.push_str(&text[start..=start]);
                    start += 1;
                }
            }
        }
        result + &text[start..]
    }
}

fn matches(parts: &[Part], text: &[u8], left: &Cell<u32>) -> bool {
    // Where a `*` has to be tried again: parts behind it, text from there.
    let (mut at, mut pos) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    loop {
        let Some(less) = left.get().checked_sub(1) else { return false };
        left.set(less);
        let fits = match (parts.get(at), text.get(pos)) {
            (None, None) => return true,
            (Some(Part::Any), _) => {
                again = Some((at + 1, pos));
                at += 1;
                continue;
            }
            (Some(part), Some(byte)) => part.fits(*byte),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if fits {
            (at, pos) = (at + 1, pos + 1);
        } else {
            match again {
                Some((behind, from)) if from < text.len() => {
                    again = Some((behind, from + 1));
                    (at, pos) = (behind, from + 1);
                }
                _ => return false,
            }
        }
    }
}

impl Part {
    fn fits(&self, byte: u8) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Byte(own) => *own == byte,
            Self::Set { ranges, negated } => {
                ranges.iter().any(|(low, high)| (low..=high).contains(&&byte)) != *negated
            }
        }
    }
}

/// What follows a `[`, and what follows its `]`.
fn set(text: &[u8]) -> Certain<(Part, &[u8])> {
    let (negated, text) = match text {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let Some(end) = text.iter().position(|byte| *byte == b']') else {
        return needs_bash("a set without end");
    };
    let (inside, rest) = (&text[..end], &text[end + 1..]);
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-+".contains(byte);
    if inside.is_empty() || !inside.iter().all(plain) {
        return needs_bash("a set that we don't read");
    }
    let mut ranges = Vec::new();
    let mut left = inside;
    while let [first, after @ ..] = left {
        match after {
            [b'-', last, beyond @ ..] => {
                if first > last {
                    return needs_bash("a set that we don't read");
                }
                ranges.push((*first, *last));
                left = beyond;
            }
            _ => {
                ranges.push((*first, *first));
                left = after;
            }
        }
    }
    Ok((Part::Set { ranges, negated }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_sets() {
        let matches = |pattern: &str, text: &str| Pattern::new(pattern).unwrap().matches(text);
        assert!(matches("-*", "-47-amd64"));
        assert!(matches("*-*", "a-b-c"));
        assert!(!matches("a*b", "a-b-c"));
        assert!(matches("[0-9].[!a-z]", "6.1"));
        assert!(matches("???", "abc"));
        assert!(!matches("[a]", ""));
        for pattern in ["", "[a", "a\\.", "[[:digit:]]", "@(a|b)", "[]a]", "é"] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn replacing_is_greedy() {
        let pattern = Pattern::new("a*b").unwrap();
        assert_eq!(pattern.replace("xaabbya", "-", false), "x-ya");
        assert_eq!(Pattern::new("-").unwrap().replace("6-1-x", "_", true), "6_1_x");
        assert_eq!(Pattern::new("-").unwrap().replace("6-1-x", "_", false), "6_1-x");
    }
}
