//! The compiled `tripwire.c` in a root, and what came of a command that ran with it.

use anyhow::{Context, Result};

use crate::root::{Output, Root, User};

/// Where it lies in a root.
const PROGRAM: &str = "/srv/tripwire";
/// Where it tells which calls it saw.
const LOG: &str = "/srv/tripwire.log";

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The process is killed, the call isn't carried out.
    KilledBefore,
    /// The process is killed when the call was carried out.
    KilledAfter,
    /// The call fails: no space left on the device.
    NoSpace,
    /// The call fails: input/output error.
    Io,
}

impl Fate {
    fn word(self) -> &'static str {
        match self {
            Self::KilledBefore => "before",
            Self::KilledAfter => "after",
            Self::NoSpace => "28",
            Self::Io => "5",
        }
    }
}

/// Which calls count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Those that change names, and those that sync.
    Names,
    /// Those that make and fill files, too.
    Data,
}

/// A command that ran to its end, or to the given point.
#[derive(Debug, Clone)]
pub struct Tripped {
    /// How it ended.
    pub output: Output,
    /// The calls that it made, the one that was meant included: name and paths.
    pub calls: Vec<String>,
}

impl Tripped {
    /// The call with this number (from 1), if it got there.
    #[must_use]
    pub fn at(&self, number: usize) -> Option<&str> {
        self.calls.get(number.checked_sub(1)?).map(String::as_str)
    }
}

/// Compiles it and puts it into a root.
///
/// # Errors
/// Where there is no C compiler, or it finds fault.
pub fn put_into(root: &Root) -> Result<()> {
    root.write("/srv/tripwire.c", include_str!("tripwire.c"), 0o644)?;
    root.must(&format!("cc -O2 -Wall -Wextra -Werror -o {PROGRAM} /srv/tripwire.c")).map(|_| ())
}

/// Runs `dkms` with these words up to the call with this number (0: to its end), after
/// `before`, a line of shell.
///
/// # Errors
/// Where no process can be started, or the tripwire itself fails.
pub fn run(
    root: &Root,
    before: &str,
    words: &str,
    calls: Calls,
    number: usize,
    fate: Fate,
) -> Result<Tripped> {
    let what = match calls {
        Calls::Names => "names",
        Calls::Data => "data",
    };
    let line = format!("{before}\nexec {PROGRAM} {what} {} {number} {LOG} \"$DKMS\" {words}", fate.word());
    let output = root.shell(&line, User::Root, "/")?;
    if output.code == 125 || output.code == 124 {
        anyhow::bail!("`{words}`: the tripwire failed or it took too long: {}", output.stderr);
    }
    let calls = root.read(LOG).context("the tripwire's log")?.lines().map(str::to_owned).collect();
    Ok(Tripped { output, calls })
}
