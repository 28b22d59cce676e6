//! Why something is not fetched, and the exit code for it.

/// Why nothing, or not all, was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The place cannot be used: another file of it would not come either.
    Place(String),
    /// This file cannot be fetched.
    File(String),
    /// The command line is invalid.
    Usage(String),
}

impl Fault {
    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Place(_) => 1,
            Self::Usage(_) => 2,
            Self::File(_) => 3,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Place(text) | Self::File(text) | Self::Usage(text) => {
                // One line, whatever a server has put into it.
                let plain = |c: char| if c.is_control() { '?' } else { c };
                f.write_str(&text.chars().take(LONGEST).map(plain).collect::<String>())
            }
        }
    }
}

/// More than any message of ours.
const LONGEST: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line() {
        assert_eq!(Fault::Place("a\u{1b}[2J\nb".to_owned()).to_string(), "a?[2J?b");
        assert_eq!(Fault::File("x".repeat(9000)).to_string().len(), LONGEST);
    }
}
