//! gzip without the program, for systems that don't have it: a header as the program writes it,
//! flate2's deflate behind it.

use std::fs::File;
use std::io::{self, BufWriter};

/// Packs a file with the header of `gzip NAME`: its name and time, Unix.
pub(super) fn packed(
    mut source: File,
    name: &str,
    (mtime, _): (u32, u64),
    packed: BufWriter<File>,
) -> io::Result<BufWriter<File>> {
    let builder = flate2::GzBuilder::new().filename(name).mtime(mtime).operating_system(3);
    let mut encoder = builder.write(packed, flate2::Compression::default());
    io::copy(&mut source, &mut encoder)?;
    encoder.finish()
}
