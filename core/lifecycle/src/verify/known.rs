//! What is known of the symbols that a kernel exports: from the list of its headers, the list that its
//! package leaves, or, without either, from its image and depmod's list of the modules' symbols.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::host::fs;
use crate::kernel::KernelFacts;
use crate::kernel::exports::{Export, Exports, image, symvers};
use crate::layout::Layout;
use crate::modfile::content;

/// The name of a list of symbols.
pub(super) const LIST: &str = "Module.symvers";

/// No list has more bytes, unpacked; that of a whole kernel has a few megabytes.
pub(super) const LIST_LIMIT: u64 = 64 << 20;

/// No image of a kernel is larger.
const IMAGE_LIMIT: u64 = 256 << 20;

/// The exports of a kernel and its own modules.
#[derive(Debug)]
pub(super) struct Known {
    exports: Exports,
    /// Symbols of modules, of which no more than the name is known.
    names: BTreeSet<String>,
}

impl Known {
    /// Reads the first source that is there; `None`: nothing tells. Headers that are another kernel's
    /// (`has_own_headers`) say nothing of this one.
    pub(super) fn read(layout: &Layout, kernel: &KernelFacts, has_own_headers: bool) -> Option<Self> {
        let release = &kernel.target.kernel;
        let of_headers = has_own_headers.then(|| kernel.headers.join(LIST));
        let of_package = ["", ".gz", ".xz", ".zst"].into_iter().flat_map(|suffix| {
            let in_boot = layout.at("/boot").join(format!("symvers-{release}{suffix}"));
            [kernel.module_dir.join(format!("symvers{suffix}")), in_boot]
        });
        let mut texts = of_headers.into_iter().chain(of_package).filter_map(|path| text(&path));
        match texts.find(|text| is_of_kernel(text)) {
            Some(text) => Some(Self { exports: symvers::parse(&text), names: BTreeSet::new() }),
            None => Self::of_image(layout, kernel),
        }
    }

    fn of_image(layout: &Layout, kernel: &KernelFacts) -> Option<Self> {
        let names = names(&text(&kernel.module_dir.join("modules.symbols"))?);
        let exports = images(layout, kernel).into_iter().find_map(|path| {
            let bytes = fs::read_limited(&path, IMAGE_LIMIT).ok()?;
            image::parse(&bytes).ok()
        })?;
        Some(Self { exports, names })
    }

    /// How a symbol is exported, where more than its name is known.
    pub(super) fn export(&self, name: &str) -> Option<&Export> {
        self.exports.get(name)
    }

    /// Whether a symbol is exported.
    pub(super) fn has(&self, name: &str) -> bool {
        self.exports.contains_key(name) || self.names.contains(name)
    }
}

/// Where a kernel's image may be.
fn images(layout: &Layout, kernel: &KernelFacts) -> [PathBuf; 3] {
    let release = &kernel.target.kernel;
    let boot = layout.at("/boot");
    [
        kernel.module_dir.join("vmlinuz"),
        boot.join(format!("vmlinuz-{release}")),
        boot.join(format!("vmlinux-{release}")),
    ]
}

/// Whether a list is that of a whole kernel. One that `make modules_prepare` or a build of some modules
/// left has nothing of the kernel's image.
fn is_of_kernel(text: &str) -> bool {
    symvers::lines(text).any(|line| line.exporter == symvers::IMAGE)
}

/// The names in depmod's `modules.symbols`: `alias symbol:NAME MODULE` (depmod(8)).
fn names(text: &str) -> BTreeSet<String> {
    let name = |line: &str| Some(line.strip_prefix("alias symbol:")?.split(' ').next()?.to_owned());
    text.lines().filter_map(name).collect()
}

/// A text, however it is packed. One that is broken is none.
fn text(path: &Path) -> Option<String> {
    let mut text = String::new();
    content::reader(path, LIST_LIMIT).ok()?.read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_list_with_the_image_is_a_kernels() {
        assert!(is_of_kernel("0x1\tx\tlib/x\tEXPORT_SYMBOL\n0x2\ty\tvmlinux\tEXPORT_SYMBOL\t\n"));
        assert!(!is_of_kernel("0x1\tfoo\t/srv/foo\tEXPORT_SYMBOL\n0x2\tvmlinux\tx\tEXPORT_SYMBOL\n"));
        assert!(!is_of_kernel(""));
    }

    #[test]
    fn depmods_list_names_symbols() {
        let text =
            "# Aliases for symbols, used by symbol_request().\nalias symbol:crc16 crc16\nalias pci:x y\n";
        assert_eq!(names(text), ["crc16".to_owned()].into());
    }
}
