//! What the host writes for the guest, and what the guest reports on its console.
//!
//! The guest's console is read by nobody else and written by the kernel as well, so each report is a line of
//! its own that begins with [`MARK`].

use serde::{Deserialize, Serialize};

/// How each line of a report begins.
pub(crate) const MARK: &str = "dkms-vm: ";
/// Where the guest has the list of modules.
pub(crate) const LIST: &str = "/dkms-vm/list.json";
/// The exit code of a process of the guest that failed without an errno: none is that large.
pub(crate) const NO_ERRNO: i32 = 255;

/// A module file in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    /// The file.
    pub(crate) path: String,
    /// Its name as the kernel has it, and its aliases.
    pub(crate) names: Vec<String>,
    /// Its parameters.
    pub(crate) options: String,
    /// Items that are loaded before it, by their places in the list.
    pub(crate) needs: Vec<usize>,
    /// What became of it is asked for; the others are only needed.
    pub(crate) is_asked: bool,
}

/// One line of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// An item is being loaded.
    Begin(usize),
    /// The kernel said this meanwhile.
    Says(usize, &'a str),
    /// It ended with this errno; 0: it is loaded.
    End(usize, i32),
    /// It was not tried, since this other one could not be loaded.
    Lacks(usize, usize),
    /// It is not loaded after this many seconds.
    Hangs(usize, u64),
    /// All were tried.
    Done,
}

impl Line<'_> {
    /// Which item it is about; `None`: all of them.
    pub(crate) fn item(&self) -> Option<usize> {
        match self {
            Self::Begin(item)
            | Self::Says(item, _)
            | Self::End(item, _)
            | Self::Lacks(item, _)
            | Self::Hangs(item, _) => Some(*item),
            Self::Done => None,
        }
    }

    /// As it is written.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Begin(item) => format!("{MARK}begin {item}"),
            Self::Says(item, text) => format!("{MARK}says {item} {text}"),
            Self::End(item, errno) => format!("{MARK}end {item} {errno}"),
            Self::Lacks(item, other) => format!("{MARK}lacks {item} {other}"),
            Self::Hangs(item, seconds) => format!("{MARK}hangs {item} {seconds}"),
            Self::Done => format!("{MARK}done"),
        }
    }

    /// Reads a line of the console; `None`: it is not ours.
    pub(crate) fn parse(line: &str) -> Option<Line<'_>> {
        let (kind, rest) = match line.strip_prefix(MARK)?.split_once(' ') {
            Some(parts) => parts,
            None => (line.strip_prefix(MARK)?, ""),
        };
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        let item = first.parse().ok();
        Some(match kind {
            "begin" => Line::Begin(item?),
            "says" => Line::Says(item?, second),
            "end" => Line::End(item?, second.parse().ok()?),
            "lacks" => Line::Lacks(item?, second.parse().ok()?),
            "hangs" => Line::Hangs(item?, second.parse().ok()?),
            "done" => Line::Done,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(item: usize, other: usize, errno: i32, seconds: u64, text in "[ -~]*") {
            for line in [
                Line::Begin(item),
                Line::Says(item, &text),
                Line::End(item, errno),
                Line::Lacks(item, other),
                Line::Hangs(item, seconds),
                Line::Done,
            ] {
                let written = line.text();
                prop_assert_eq!(Line::parse(&written), Some(line));
            }
        }

        #[test]
        fn other_lines_are_nobodys(line in "[^d].*") {
            prop_assert_eq!(Line::parse(&line), None);
        }
    }
}
