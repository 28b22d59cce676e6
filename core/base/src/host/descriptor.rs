//! A descriptor that our caller left open for us, named by its number.

use std::fs::OpenOptions;
use std::io::{self, Read};

/// The first line that can be read from a descriptor, without its end; at most `limit` bytes.
///
/// It is opened again through `/proc`, which works for files (from their beginning) and pipes, not for
/// sockets. Nothing behind the line is taken out of a pipe.
///
/// # Errors
/// Where it isn't open, can't be read, or the line is longer.
pub fn first_line(number: u32, limit: usize) -> io::Result<Vec<u8>> {
    let mut file = OpenOptions::new().read(true).open(format!("/proc/self/fd/{number}"))?;
    let mut line = Vec::new();
    let mut byte = [0];
    while file.read(&mut byte)? == 1 && byte != *b"\n" {
        if line.len() == limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        line.extend(byte);
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_line_comes_from_a_pipe_and_from_a_file() {
        let (reader, mut writer) = io::pipe().unwrap();
        let number = u32::try_from(reader.as_raw_fd()).unwrap();
        writer.write_all(b"first\nsecond\nlast").unwrap();
        assert_eq!(first_line(number, 6).unwrap(), b"first");
        assert_eq!(first_line(number, 6).unwrap(), b"second");
        drop(writer);
        assert_eq!(first_line(number, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"line\n").unwrap();
        assert_eq!(first_line(u32::try_from(file.as_raw_fd()).unwrap(), 9).unwrap(), b"line");
        assert_eq!(first_line(u32::MAX, 9).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
