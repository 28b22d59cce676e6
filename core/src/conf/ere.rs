//! POSIX extended regular expressions as bash's `=~` reads them: libc's engine, searched, by bytes.

use std::ffi::CString;

use crate::sys;

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
        let error = |reason: String| EreError { pattern: pattern.to_owned(), reason };
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
}
