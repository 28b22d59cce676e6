//! `load-module FILE`: asks the kernel to take a module's file as it is, which it unpacks itself where it is
//! compressed. Kmod does so too since version 31.

use std::path::Path;

use anyhow::{Context, Result};
use dkms_base::host::fs;

/// `MODULE_INIT_COMPRESSED_FILE` of finit_module(2).
const COMPRESSED: i32 = 4;

fn main() -> Result<()> {
    let file = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .nth(1)
        .context("no file is named")?;
    let opened = fs::open(Path::new(&file))?;
    let flags = if file.ends_with(".ko") { 0 } else { COMPRESSED };
    rustix::system::finit_module(&opened, c"", flags).with_context(|| file)
}
