//! The exports of a kernel's image as a boot loader starts it (`vmlinuz`, `Image`): no headers are needed.

use std::io;

use super::{Exports, ksymtab, payload, raw};

/// Why the exports of an image are not known.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It can't be unpacked.
    #[error("it cannot be unpacked: {0}")]
    Unpack(#[from] io::Error),
    /// There are no tables in it.
    #[error(transparent)]
    Tables(#[from] ksymtab::NoTables),
}

/// What a kernel's image exports.
///
/// # Errors
/// [`ImageError`]
pub fn parse(image: &[u8]) -> Result<Exports, ImageError> {
    let packed = payload::find(image).ok_or(ksymtab::NoTables::None)?;
    let kernel = payload::unpack(packed)?;
    if kernel.starts_with(b"\x7fELF") {
        return Ok(ksymtab::parse(&kernel)?);
    }
    Ok(raw::parse(&kernel).ok_or(ksymtab::NoTables::None)?)
}
