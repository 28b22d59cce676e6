//! What is printed, and where, as debhelper does it.

use std::io::Write as _;

use dkms_base::visible::visible;

use crate::error::Error;

/// Standard output and standard error.
#[derive(Debug, Default)]
pub struct Messages {
    /// Whether each thing that is done is shown.
    pub verbose: bool,
}

impl Messages {
    /// Something that is done, where those are shown.
    pub fn doing(&self, text: &str) {
        if self.verbose {
            self.print(&format!("\t{text}"));
        }
    }

    /// A line on standard output; who went away doesn't hear it.
    pub fn print(&self, text: &str) {
        let _ = writeln!(std::io::stdout(), "{}", visible(text));
    }

    /// Something that isn't as it should be, and we go on.
    pub fn warn(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "dh_dkms: warning: {}", visible(text));
    }

    /// What ends the program, with what to do about it.
    pub fn error(&self, error: &Error) {
        let mut lines = std::io::stderr().lock();
        let _ = writeln!(lines, "dh_dkms: error: {}", visible(&error.to_string()));
        if let Some(hint) = error.hint() {
            let _ = writeln!(lines, "\n  hint: {}", visible(hint));
        }
    }
}
