//! What stands after `%if`: numbers, quoted texts, comparisons, `!`, `&&`, `||`; macros are expanded already.

use std::cmp::Ordering;

/// Whether a condition holds; none where it isn't understood.
pub(super) fn holds(text: &str) -> Option<bool> {
    let mut words = words(text)?.into_iter().peekable();
    let value = any(&mut words)?;
    words.next().is_none().then_some(value)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Number(i64),
    Text(String),
    Sign(&'static str),
}

/// Longer signs first.
const SIGNS: [&str; 11] = ["==", "!=", ">=", "<=", "&&", "||", ">", "<", "!", "(", ")"];

fn words(text: &str) -> Option<Vec<Word>> {
    let (mut words, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            words.push(Word::Sign(sign));
            rest = &rest[sign.len()..];
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"')?;
            words.push(Word::Text(quoted[..end].to_owned()));
            rest = &quoted[end + 1..];
        } else {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            words.push(Word::Number(rest[..end].parse().ok()?));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Some(words)
}

type Words = std::iter::Peekable<std::vec::IntoIter<Word>>;

fn any(words: &mut Words) -> Option<bool> {
    let mut value = all(words)?;
    while words.next_if_eq(&Word::Sign("||")).is_some() {
        value |= all(words)?;
    }
    Some(value)
}

fn all(words: &mut Words) -> Option<bool> {
    let mut value = one(words)?;
    while words.next_if_eq(&Word::Sign("&&")).is_some() {
        value &= one(words)?;
    }
    Some(value)
}

fn one(words: &mut Words) -> Option<bool> {
    let first = match words.next()? {
        Word::Sign("!") => return one(words).map(|value| !value),
        Word::Sign("(") => {
            let value = any(words)?;
            return words.next_if_eq(&Word::Sign(")")).map(|_| value);
        }
        Word::Sign(_) => return None,
        value => value,
    };
    let sign = words.next_if(|word| matches!(word, Word::Sign("==" | "!=" | ">=" | "<=" | ">" | "<")));
    let Some(Word::Sign(sign)) = sign else {
        return Some(match first {
            Word::Number(number) => number != 0,
            Word::Text(text) => !text.is_empty(),
            Word::Sign(_) => return None,
        });
    };
    let order = match (first, words.next()?) {
        (Word::Number(a), Word::Number(b)) => a.cmp(&b),
        (Word::Text(a), Word::Text(b)) => a.cmp(&b),
        _ => return None,
    };
    Some(match sign {
        "==" => order == Ordering::Equal,
        "!=" => order != Ordering::Equal,
        ">=" => order != Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => order == Ordering::Greater,
        _ => order == Ordering::Less,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_or_not_or_are_not_understood() {
        for (text, expected) in [
            ("1", Some(true)),
            ("0", Some(false)),
            ("09 >= 8 && !0", Some(true)),
            ("\"a\" == \"b\" || (1 && 2 > 1)", Some(true)),
            ("!(1)", Some(false)),
            ("", None),
            ("x", None),
            ("1 ==", None),
            ("1 == \"1\"", None),
            ("(1", None),
            ("1 1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(holds(text), expected, "{text}");
        }
    }
}
