//! The symbols that a kernel exports to its modules, from whatever tells them: a list of the headers
//! or of the kernel's package ([`symvers`]), or the kernel's image itself ([`image`], [`ksymtab`]).
//! Bytes in, plain data out.

use std::collections::BTreeMap;

pub mod image;
pub mod ksymtab;
mod payload;
mod raw;
pub mod symvers;
#[cfg(test)]
mod tests;

/// How a symbol is exported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Export {
    /// The sum over its type, where the kernel has `CONFIG_MODVERSIONS`.
    pub crc: Option<u32>,
    /// Whether only a module with a GPL-compatible licence may use it (`EXPORT_SYMBOL_GPL`).
    pub gpl_only: bool,
    /// The namespace that a module must import to use it (`EXPORT_SYMBOL_NS`).
    pub namespace: Option<String>,
}

/// Exported symbols by name.
pub type Exports = BTreeMap<String, Export>;
