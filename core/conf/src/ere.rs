//! POSIX extended regular expressions as bash's `=~` reads them: libc's engine, searched, by bytes.

use std::ffi::CString;

use dkms_base::sys;

/// A compiled expression.
#[derive(Debug)]
pub struct Ere(sys::Regex);

/// An expression that libc can't compile. Bash takes such a one for a mismatch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is no regular expression: {reason}")]
pub struct EreError {
    /// The expression.
    pub pattern: String,
    /// libc's words.
    pub reason: String,
}

impl Ere {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// [`EreError`].
    pub fn new(pattern: &str) -> Result<Self, EreError> {
        let error = |reason: String| EreError { pattern: shown(pattern), reason };
        bounded(pattern).map_err(|reason| error(reason.to_owned()))?;
        let text = CString::new(pattern).map_err(|_| error("it holds a NUL byte".to_owned()))?;
        sys::Regex::new(&text).map(Self).map_err(error)
    }

    /// Whether it matches anywhere in `text`. No text with a NUL byte can be had in bash; here none matches.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        CString::new(text).is_ok_and(|text| self.0.is_match(&text))
    }
}

/// Whether `pattern` matches anywhere in `text`, where one that can't be compiled matches
/// nothing, as in bash.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    Ere::new(pattern).is_ok_and(|ere| ere.is_match(text))
}

/// In bytes. The longest of a real conf has a few hundred.
const LONGEST: usize = 16 << 10;
/// How deep groups may be: libc's engine goes down into them.
const DEEPEST: usize = 100;
/// How many atoms a pattern may be, each as often as it is repeated: libc's engine copies it so often.
const LARGEST: usize = 10_000;
/// As how many atoms a constraint (`^`, `$`, `\b`) counts: what libc's engine needs grows with the cube of
/// their number in a row. 100 of them take 26 MB, 400 take 1.3 GB (measured, glibc 2.36).
const CONSTRAINT: usize = 100;

/// Whether an untrusted pattern may be given to libc's engine, which has no limits of its own.
fn bounded(pattern: &str) -> Result<(), &'static str> {
    if pattern.len() > LONGEST {
        return Err("it is too long");
    }
    // What was read of each open group, and its last atom, which a `{…}` repeats.
    let mut groups = vec![(0_usize, 0_usize)];
    let mut rest = pattern.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let atom = match first {
            b'(' if groups.len() > DEEPEST => return Err("its groups are nested too deep"),
            b'(' => {
                groups.push((0, 0));
                continue;
            }
            b')' if groups.len() > 1 => groups.pop().map_or(1, |(sum, last)| sum + last + 1),
            b'{' => {
                let end = rest.iter().position(|byte| *byte == b'}').unwrap_or(rest.len());
                let times = rest[..end].split(|byte| !byte.is_ascii_digit());
                let times = times.filter_map(|number| std::str::from_utf8(number).ok()?.parse().ok()).max();
                rest = rest.get(end + 1..).unwrap_or_default();
                groups.pop().map_or(1, |(sum, last)| {
                    groups.push((sum, 0));
                    last.max(1).saturating_mul(times.unwrap_or(1).max(1))
                })
            }
            // `x+` is `xx*` to the engine.
            b'+' => groups.pop().map_or(1, |(sum, last)| {
                groups.push((sum, 0));
                last.max(1).saturating_mul(2)
            }),
            b'[' => {
                rest = behind_set(rest);
                1
            }
            b'\\' => {
                let escaped = rest.first().copied().unwrap_or_default();
                rest = rest.get(1..).unwrap_or_default();
                if b"bB<>`'".contains(&escaped) { CONSTRAINT } else { 1 }
            }
            b'^' | b'$' => CONSTRAINT,
            _ => 1,
        };
        if let Some((sum, last)) = groups.last_mut() {
            (*sum, *last) = (sum.saturating_add(*last), atom);
        }
        if groups.iter().fold(0_usize, |all, (sum, last)| all.saturating_add(*sum).saturating_add(*last))
            > LARGEST
        {
            return Err("it repeats too much");
        }
    }
    Ok(())
}

/// What follows a set `[…]`, in which a `]` may come first, and classes like `[:digit:]`.
fn behind_set(text: &[u8]) -> &[u8] {
    let mut rest = text.strip_prefix(b"^").unwrap_or(text);
    rest = rest.strip_prefix(b"]").unwrap_or(rest);
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b']', _) => return after,
            (b'[', [kind @ (b':' | b'.' | b'='), inside @ ..]) => {
                let end = inside.windows(2).position(|two| two == [*kind, b']']);
                end.map_or(inside, |end| &inside[end + 2..])
            }
            _ => after,
        };
    }
    rest
}

/// A pattern as an error names it.
fn shown(pattern: &str) -> String {
    let begin: String = pattern.chars().take(200).collect();
    if begin.len() < pattern.len() { begin + "…" } else { begin }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_searched_and_posix() {
        let kernel = "6.1.0-47-amd64";
        for (pattern, expected) in [
            ("6.1", true),
            ("^6\\.1\\.", true),
            ("^5\\.", false),
            ("amd64$", true),
            ("^(5|6)\\.[0-9]+", true),
            ("", true),
            ("^(([^0-6]|[0-9]{2,})\\..*|6\\.([^0-2]|[0-9]{2,})\\..*)", false),
            ("[[:digit:]]{2}-amd", true),
            ("\\d", true), // an escaped letter is that letter in glibc
            ("^(?!5)", false),
        ] {
            assert_eq!(matches(pattern, kernel), expected, "{pattern}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = Ere::new("^(6").unwrap_err();
        assert!(error.to_string().starts_with("`^(6` is no regular expression: "), "{error}");
        assert!(Ere::new("a\0b").is_err());
        assert!(!matches("[z-a]", "b"));
    }

    #[test]
    fn a_pattern_that_takes_all_memory_or_the_stack_is_refused() {
        for (pattern, reason) in [
            ("(((a{1,100}){1,100}){1,100})".to_owned(), "repeats"),
            ("a{100}{100}{100}".to_owned(), "repeats"),
            ("a{1,32767}".to_owned(), "repeats"),
            ("[]{1}(]{200}([[:digit:]]{200})".to_owned() + "{300}", "repeats"),
            ("(".repeat(19) + "a?" + &"){2}".repeat(19), "repeats"),
            ("a".to_owned() + &"+".repeat(100), "repeats"),
            ("(a)*".to_owned() + &"$()".repeat(101), "repeats"),
            ("(a)*(".to_owned() + &"$()".repeat(11) + "){10}", "repeats"),
            (r"\b".repeat(101), "repeats"),
            ("(".repeat(5000) + "a" + &")".repeat(5000), "nested"),
            ("a|".repeat(10_000), "long"),
        ] {
            let error = Ere::new(&pattern).unwrap_err().to_string();
            assert!(error.contains(reason) && error.len() < 1000, "{error}");
        }
        for pattern in ["^(6\\.(1{0,1}[0-9]{1,3}))$", "[{]9999}", "\\{9999}", "[[:digit:]]{2}", "a{0}"] {
            assert!(Ere::new(pattern).is_ok(), "{pattern}");
        }
        assert!(Ere::new(&format!("^({})$", vec!["6\\.1\\.[0-9]+-amd64"; 200].join("|"))).is_ok());
    }
}
