//! What a kernel's image exports, kept in `.state/exports/K`: unpacking the image takes a second. Its
//! first line names the image, with size and time of change; what was kept of another one does not count.
//! It can be deleted at any time, and is kept only where root may write.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::host::fs;
use crate::id::KernelRelease;
use crate::kernel::exports::{Export, Exports, symvers};
use crate::layout::Layout;
use crate::tree::state;

/// No list of a kernel's symbols is longer.
const LIMIT: u64 = 64 << 20;

/// What is kept of this image, or what `parse` reads of it, which is kept then.
pub(super) fn read_or(
    layout: &Layout,
    kernel: &KernelRelease,
    image: &Path,
    parse: impl FnOnce() -> Option<Exports>,
) -> Option<Exports> {
    let head = head(image)?;
    if let Some(kept) = read(layout, kernel, &head) {
        return Some(kept);
    }
    let exports = parse()?;
    keep(layout, kernel, &head, &exports);
    Some(exports)
}

/// What tells one image from another.
fn head(image: &Path) -> Option<String> {
    let meta = fs::stat(image).ok()??;
    let (size, inode) = (meta.len(), meta.ino());
    Some(format!("# 1 {size} {inode} {}.{:09} {}", meta.ctime(), meta.ctime_nsec(), image.display()))
}

fn read(layout: &Layout, kernel: &KernelRelease, head: &str) -> Option<Exports> {
    let bytes = fs::read_limited(&layout.exports_dir().join(kernel), LIMIT).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (first, rest) = text.split_once('\n')?;
    // One that was cut does not end so.
    let list = rest.strip_suffix("# end\n")?;
    (first == head).then(|| symvers::parse(list)).filter(|exports| !exports.is_empty())
}

/// Keeps it, if that can be done; what is kept of kernels that are gone goes.
fn keep(layout: &Layout, kernel: &KernelRelease, head: &str, exports: &Exports) {
    let dir = layout.exports_dir();
    let may_write = rustix::process::geteuid().is_root() && fs::is_dir(&layout.dkms_tree);
    if !may_write || fs::is_read_only(&layout.dkms_tree) || state::create_folder(layout, &dir).is_err() {
        return;
    }
    drop(fs::write_whole(&dir.join(kernel), text(head, exports).as_bytes(), 0o644));
    for entry in fs::list(&dir).unwrap_or_default() {
        let name = entry.name.to_str().and_then(|name| KernelRelease::new(name).ok());
        if name.is_some_and(|name| !fs::is_dir(&layout.kernel_dir(&name))) {
            drop(fs::remove_file(&dir.join(&entry.name)));
        }
    }
}

fn text(head: &str, exports: &BTreeMap<String, Export>) -> String {
    let mut text = format!("{head}\n");
    for (name, Export { crc, gpl_only, namespace }) in exports {
        let (crc, suffix) = (crc.unwrap_or_default(), if *gpl_only { "_GPL" } else { "" });
        let namespace = namespace.as_deref().unwrap_or_default();
        // Writing to a string can't fail.
        let _ = writeln!(text, "{crc:#010x}\t{name}\t{}\tEXPORT_SYMBOL{suffix}\t{namespace}", symvers::IMAGE);
    }
    text.push_str("# end\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_counts_for_this_very_image() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::under(root.path());
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        let kernel = KernelRelease::new("6.1").unwrap();
        fs::create_dir_all(&layout.kernel_dir(&kernel)).unwrap();
        let image = layout.kernel_dir(&kernel).join("vmlinuz");
        fs::write_whole(&image, b"one", 0o644).unwrap();
        let exports: Exports = [
            ("a".to_owned(), Export { crc: Some(7), gpl_only: true, namespace: Some("NS".to_owned()) }),
            ("b".to_owned(), Export { crc: Some(0), gpl_only: false, namespace: None }),
        ]
        .into();
        let kept = || read(&layout, &kernel, &head(&image).unwrap());
        assert_eq!(kept(), None);
        keep(&layout, &kernel, &head(&image).unwrap(), &exports);
        if rustix::process::geteuid().is_root() {
            assert_eq!(kept(), Some(exports.clone()));
            let got = read_or(&layout, &kernel, &image, || panic!("it is kept"));
            assert_eq!(got, Some(exports));
        }
        fs::write_whole(&image, b"other", 0o644).unwrap();
        assert_eq!(kept(), None);
        assert_eq!(read_or(&layout, &kernel, &image, || None), None);
    }
}
