//! What is wrong with a conf.

use std::fmt;
use std::path::PathBuf;

use crate::directive::Directive;

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub directive: Directive,
    /// At which index, if the directive is an array.
    pub index: Option<usize>,
    /// What is wrong, to be read behind the directive.
    pub fault: String,
}

impl Problem {
    pub(super) fn scalar(directive: Directive, fault: impl Into<String>) -> Self {
        Self { directive, index: None, fault: fault.into() }
    }

    pub(super) fn at(directive: Directive, index: usize, fault: impl Into<String>) -> Self {
        Self { directive, index: Some(index), fault: fault.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "`{}[{index}]` {}", self.directive, self.fault),
            None => write!(f, "`{}` {}", self.directive, self.fault),
        }
    }
}

/// A conf that was read, but can't be used; with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a valid dkms.conf{}", file.display(), lines(problems))]
pub struct InvalidConf {
    /// The module's conf.
    pub file: PathBuf,
    /// What is wrong, in the order of the directives.
    pub problems: Vec<Problem>,
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}
