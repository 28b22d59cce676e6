//! What is known of the symbols that a kernel exports: from the list of its headers, the list that its
//! package leaves, or, without either, from its image and its own modules.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::cache;
use super::doubt::Tried;
use crate::host::fs;
use crate::id::KernelRelease;
use crate::kernel::KernelFacts;
use crate::kernel::exports::{Export, Exports, image, symvers};
use crate::layout::Layout;
use crate::modfile::{ModuleFile, canonical_name, content, exported};

/// The name of a list of symbols.
pub(super) const LIST: &str = "Module.symvers";

/// No list has more bytes, unpacked; that of a whole kernel has two or three megabytes. In memory it takes
/// several times as much.
pub(super) const LIST_LIMIT: u64 = 10 << 20;

/// No image of a kernel is larger.
const IMAGE_LIMIT: u64 = 128 << 20;

/// No packed module of a kernel is larger, unpacked.
const MODULE_LIMIT: u64 = 96 << 20;

/// So many exports of modules are kept at a time; those of a distribution's kernel are about 30,000.
const KEPT: usize = 100_000;

/// The exports of a kernel and its own modules.
#[derive(Debug)]
pub(super) struct Known {
    exports: Exports,
    of_modules: OfModules,
}

/// What the kernel's own modules export, each read when one of its symbols is asked for.
#[derive(Debug, Default)]
struct OfModules {
    /// The kernel's folder.
    dir: PathBuf,
    /// Symbols, and the modules that have them, as modules.symbols says.
    names: BTreeMap<String, String>,
    /// The modules' files below the folder, as modules.dep says.
    paths: BTreeMap<String, PathBuf>,
    read: Mutex<BTreeMap<String, Exports>>,
}

impl Known {
    /// Reads the first source that is there. Headers that are another kernel's (`has_own_headers`) say
    /// nothing of this one.
    ///
    /// # Errors
    /// The files that were looked for, where none of them tells.
    pub(super) fn read(
        layout: &Layout,
        kernel: &KernelFacts,
        has_own_headers: bool,
    ) -> Result<Self, Vec<Tried>> {
        let release = &kernel.target.kernel;
        let of_headers = has_own_headers.then(|| kernel.headers.join(LIST));
        let of_package = ["", ".gz", ".xz", ".zst"].into_iter().flat_map(|suffix| {
            let in_boot = layout.at("/boot").join(format!("symvers-{release}{suffix}"));
            [kernel.module_dir.join(format!("symvers{suffix}")), in_boot]
        });
        let lists: Vec<PathBuf> = of_headers.clone().into_iter().chain(of_package).collect();
        match lists.iter().filter_map(|path| text(path)).find(|text| is_of_kernel(text)) {
            Some(text) => Ok(Self { exports: symvers::parse(&text), of_modules: OfModules::default() }),
            None => Self::of_image(layout, kernel).ok_or_else(|| {
                let symbols = kernel.module_dir.join("modules.symbols");
                let [_, boot, _] = images(layout, kernel);
                let named = of_headers.into_iter().chain([boot]);
                let rest = (!fs::exists(&symbols)).then_some(symbols);
                let images = images(layout, kernel).into_iter();
                let denied = lists.into_iter().chain(images).filter(|path| is_denied(path));
                let denied = denied.map(|path| Tried { path, is_denied: true });
                let missing = named.chain(rest).filter(|path| !is_denied(path));
                denied.chain(missing.map(|path| Tried { path, is_denied: false })).collect()
            }),
        }
    }

    fn of_image(layout: &Layout, kernel: &KernelFacts) -> Option<Self> {
        let names = names(&text(&kernel.module_dir.join("modules.symbols"))?);
        let paths = paths(&text(&kernel.module_dir.join("modules.dep")).unwrap_or_default());
        let release = &kernel.target.kernel;
        let exports = images(layout, kernel).into_iter().find_map(|path| {
            cache::read_or(layout, release, &path, || {
                image::parse(&fs::read_limited(&path, IMAGE_LIMIT).ok()?).ok()
            })
        })?;
        let of_modules = OfModules { dir: kernel.module_dir.clone(), names, paths, read: Mutex::default() };
        Some(Self { exports, of_modules })
    }

    /// How a symbol is exported.
    pub(super) fn export(&self, name: &str) -> Option<Export> {
        self.exports.get(name).cloned().or_else(|| self.of_modules.export(name))
    }
}

impl OfModules {
    /// Of a module that can't be read no more than the name is known.
    fn export(&self, name: &str) -> Option<Export> {
        let module = self.names.get(name)?;
        let mut read = self.read.lock().ok()?;
        if !read.contains_key(module) && read.values().map(Exports::len).sum::<usize>() > KEPT {
            read.clear();
        }
        let exports = read.entry(module.clone()).or_insert_with(|| {
            let path = self.paths.get(module).map(|path| self.dir.join(path));
            path.and_then(|path| exported(&path, MODULE_LIMIT)).unwrap_or_default()
        });
        Some(exports.get(name).cloned().unwrap_or_default())
    }
}

fn is_denied(path: &Path) -> bool {
    fs::is_file(path) && fs::open(path).is_err_and(|error| error.is_permission())
}

/// Where the image of a kernel may be whose folder is perhaps another than the installed one's.
fn images(layout: &Layout, kernel: &KernelFacts) -> [PathBuf; 3] {
    let [_, boot, uncompressed] = images_of(layout, &kernel.target.kernel);
    [kernel.module_dir.join("vmlinuz"), boot, uncompressed]
}

/// Where a kernel's image may be.
#[must_use]
pub fn images_of(layout: &Layout, release: &KernelRelease) -> [PathBuf; 3] {
    let boot = layout.at("/boot");
    [
        layout.kernel_dir(release).join("vmlinuz"),
        boot.join(format!("vmlinuz-{release}")),
        boot.join(format!("vmlinux-{release}")),
    ]
}

/// Whether a list is that of a whole kernel. One that `make modules_prepare` or a build of some modules
/// left has nothing of the kernel's image.
fn is_of_kernel(text: &str) -> bool {
    symvers::lines(text).any(|line| line.exporter == symvers::IMAGE)
}

/// Symbols and modules in depmod's `modules.symbols`: `alias symbol:NAME MODULE` (depmod(8)).
fn names(text: &str) -> BTreeMap<String, String> {
    let name = |line: &str| {
        let (name, module) = line.strip_prefix("alias symbol:")?.split_once(' ')?;
        Some((name.to_owned(), canonical_name(module)))
    };
    text.lines().filter_map(name).collect()
}

/// The files in modules.dep, by the names of modules.
fn paths(text: &str) -> BTreeMap<String, PathBuf> {
    let path = |line: &str| {
        let path = PathBuf::from(line.split_once(':')?.0);
        Some((canonical_name(&ModuleFile::from_path(&path)?.stem), path))
    };
    text.lines().filter_map(path).collect()
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
    fn depmods_lists_name_symbols_and_files() {
        let text =
            "# Aliases for symbols, used by symbol_request().\nalias symbol:crc16 crc-x\nalias pci:x y\n";
        assert_eq!(names(text), [("crc16".to_owned(), "crc_x".to_owned())].into());
        let dep = paths("kernel/lib/crc-x.ko.xz: kernel/lib/y.ko\n");
        assert_eq!(dep, [("crc_x".to_owned(), PathBuf::from("kernel/lib/crc-x.ko.xz"))].into());
    }
}
