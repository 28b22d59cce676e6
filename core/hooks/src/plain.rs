//! What happens, a plain line each: package managers log what adapters say, and mix it with what others say.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use dkms_base::report::{Event, Reporter};
use dkms_base::visible::visible;

/// A finished step that took less isn't worth a line, unless it failed: in seconds.
const WORTH_A_LINE: f64 = 1.0;

/// Writes lines that begin with `dkms: `.
#[derive(Debug)]
pub struct Plain<W>(Mutex<W>);

impl<W: Write> Plain<W> {
    /// Writes to `out`. Where that can't be written, nothing is said: nobody's transaction fails for it.
    pub const fn new(out: W) -> Self {
        Self(Mutex::new(out))
    }

    /// Says a line.
    pub fn say(&self, line: &str) {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(out, "dkms: {}", visible(line)).and_then(|()| out.flush());
    }

    fn paragraph(&self, first: &str, hints: &[String]) {
        for line in first.lines().chain(hints.iter().flat_map(|hint| hint.lines())) {
            self.say(line);
        }
    }
}

impl<W: Write + Send> Reporter for Plain<W> {
    /// Which files a step puts where is more than a user wants to know of a transaction.
    fn report_of(&self, _: usize, event: Event) {
        if !matches!(event, Event::Note { .. }) {
            self.report(event);
        }
    }

    fn report(&self, event: Event) {
        match event {
            Event::Finished { what, seconds, well: true } if seconds >= WORTH_A_LINE => {
                self.say(&format!("{what}: done in {seconds:.1} s"));
            }
            Event::Finished { what, seconds, well: false } => {
                self.say(&format!("{what}: failed after {seconds:.1} s"));
            }
            Event::Note { text } => self.paragraph(&text, &[]),
            Event::Warning { text, hints } => self.paragraph(&format!("warning: {text}"), &hints),
            Event::Failed { text, hints, .. } => self.paragraph(&format!("error: {text}"), &hints),
            Event::Finished { .. }
            | Event::Started { .. }
            | Event::Command { .. }
            | Event::Logging { .. }
            | Event::Output { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_says_whose_it_is() {
        let plain = Plain::new(Vec::new());
        plain.report(Event::note("one\ntwo"));
        plain.report(Event::warning("three", ["four\x1b[2J".to_owned()]));
        plain.report_of(1, Event::note("installing a file"));
        plain.report(Event::Finished { what: "build a/1".to_owned(), seconds: 0.5, well: true });
        plain.report(Event::Finished { what: "build b/1".to_owned(), seconds: 0.5, well: false });
        let text = String::from_utf8(plain.0.into_inner().unwrap()).unwrap();
        assert_eq!(
            text,
            "dkms: one\ndkms: two\ndkms: warning: three\ndkms: four\\x1b[2J\ndkms: build b/1: failed after 0.5 s\n"
        );
    }
}
