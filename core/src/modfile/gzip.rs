//! gzip without the program, for systems that don't have it: a header as the program writes it,
//! flate2's deflate behind it.

use std::io::{self, Write};

/// Packs bytes with the header of `gzip NAME`: name and time of the file, Unix.
pub(super) fn packed(bytes: &[u8], name: &str, mtime: u32) -> io::Result<Vec<u8>> {
    let builder = flate2::GzBuilder::new().filename(name).mtime(mtime).operating_system(3);
    let mut encoder = builder.write(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}
