//! Where adapters write.

use std::fs::File;
use std::io::{Result, Stderr, Stdout, Write};

use super::Plain;
use dkms_base::host::ancestry;

/// Where adapters write, in plain lines.
pub type Output = Plain<Stream>;

/// One of the two streams of a process.
#[derive(Debug)]
pub enum Stream {
    /// Standard output.
    Out(Stdout),
    /// Standard output, on which another program may have left a line without its end.
    Below(Stdout),
    /// Standard error, where the other one carries a protocol.
    Error(Stderr),
    /// The standard output of who runs us.
    Parent(File),
}

impl Stream {
    /// Standard output.
    #[must_use]
    pub fn out() -> Self {
        Self::Out(std::io::stdout())
    }

    /// Standard output, from the next line on.
    #[must_use]
    pub fn below() -> Self {
        Self::Below(std::io::stdout())
    }

    /// Standard error.
    #[must_use]
    pub fn error() -> Self {
        Self::Error(std::io::stderr())
    }

    /// The standard output of our parent, where it shows nobody what we write. Standard error, if it can't
    /// be had.
    #[must_use]
    pub fn of_parent() -> Self {
        ancestry::output_of_parent().map_or_else(Self::error, Self::Parent)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Out(stream) => stream.write(bytes),
            Self::Below(stream) => {
                stream.write_all(b"\n")?;
                *self = Self::out();
                self.write(bytes)
            }
            Self::Error(stream) => stream.write(bytes),
            Self::Parent(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Out(stream) | Self::Below(stream) => stream.flush(),
            Self::Error(stream) => stream.flush(),
            Self::Parent(stream) => stream.flush(),
        }
    }
}
