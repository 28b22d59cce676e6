//! Where adapters write.

use std::io::{Result, Stderr, Stdout, Write};

use super::Plain;

/// Where adapters write, in plain lines.
pub type Output = Plain<Stream>;

/// One of the two streams of a process.
#[derive(Debug)]
pub enum Stream {
    /// Standard output.
    Out(Stdout),
    /// Standard output, on which somebody may have left a line without its end.
    Below(Stdout),
    /// Standard error, where the other one is somebody's protocol.
    Error(Stderr),
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
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Out(stream) | Self::Below(stream) => stream.flush(),
            Self::Error(stream) => stream.flush(),
        }
    }
}
