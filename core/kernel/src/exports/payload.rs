//! Where the compressed kernel is in the image that a loader starts, and how to unpack it.
//!
//! - x86: Documentation/arch/x86/boot.rst (`HdrS`, `setup_sects`, `payload_offset`, `payload_length`)
//! - EFI zboot (arm64, riscv, loongarch): drivers/firmware/efi/libstub/zboot-header.S
//! - else the whole file may be compressed (`Image.gz`)

use std::borrow::Cow;
use std::io::{self, Read};

use crate::packed::{self, Ahead, Memory};

/// No distribution's kernel has more bytes, unpacked: it is in memory as a whole, and the decoder's window
/// may have as many.
pub(super) const LIMIT: u64 = 112 << 20;
/// And none has more packed.
const PACKED_LIMIT: usize = 32 << 20;
/// The kernel's build takes a dictionary of up to 128 MiB for xz, and `zstd -22 --ultra`.
const MEMORY: Memory = Memory { zstd_window: 27, xz: 256 << 20 };

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

/// The part of an image that is the packed kernel; of an image that is nothing but it, all of it.
pub(super) fn find(image: &[u8]) -> Option<&[u8]> {
    if image.get(0x202..0x206) == Some(b"HdrS") {
        // 0: what 4 meant before there was the field.
        let sectors = match image[0x1f1] {
            0 => 4,
            sectors => usize::from(sectors),
        };
        let at = (sectors + 1) * 512 + number(image, 0x248)?;
        return image.get(at..at.checked_add(number(image, 0x24c)?)?);
    }
    if image.starts_with(b"MZ") && image.get(4..8) == Some(b"zimg") {
        let at = number(image, 8)?;
        return image.get(at..at.checked_add(number(image, 12)?)?);
    }
    Some(image)
}

/// The unpacked kernel; bytes that aren't packed are as they are. What follows the packed bytes, such as
/// their unpacked size, which the kernel's build appends, is not read.
///
/// # Errors
/// [`io::Error`] where they are broken, or larger unpacked than any kernel.
pub(super) fn unpack(packed: &[u8]) -> io::Result<Cow<'_, [u8]>> {
    let mut rest = Ahead::new(packed);
    let mut bytes = Vec::new();
    match packed::unpacking(&mut rest, MEMORY)? {
        Some(_) if packed.len() > PACKED_LIMIT => return Err(io::ErrorKind::FileTooLarge.into()),
        Some(reader) => reader.take(LIMIT + 1).read_to_end(&mut bytes)?,
        None => return Ok(Cow::Borrowed(packed)),
    };
    if bytes.len() as u64 > LIMIT { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes.into()) }
}
