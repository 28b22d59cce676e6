//! Kernels whose initramfs was made while modules were missing: a mark for each, `.state/initramfs/K`.
//! Whoever installs a module on such a kernel makes its initramfs anew, whether or not the module asks for
//! it: nobody knows whether the image would hold the module.

use crate::host::fs::{self, FsError};
use crate::id::KernelRelease;
use crate::layout::Layout;

use super::state;

/// Notes that a kernel's initramfs is made without modules that should be there.
///
/// # Errors
/// [`FsError`]; then it isn't made anew for them.
pub fn note(layout: &Layout, kernel: &KernelRelease) -> Result<(), FsError> {
    state::create_folder(layout, &layout.images_dir())?;
    fs::write_whole(&layout.images_dir().join(kernel), b"", 0o644)
}

/// Whether that is noted.
#[must_use]
pub fn is_noted(layout: &Layout, kernel: &KernelRelease) -> bool {
    fs::exists(&layout.images_dir().join(kernel))
}

/// It was made with them, or the kernel goes. A mark that can't be removed leads to one more image.
pub fn settle(layout: &Layout, kernel: &KernelRelease) {
    drop(fs::remove_file(&layout.images_dir().join(kernel)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_stays_until_it_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        let kernel = KernelRelease::new("6.1.0").unwrap();
        assert!(!is_noted(&layout, &kernel));
        note(&layout, &kernel).unwrap();
        note(&layout, &kernel).unwrap();
        assert!(is_noted(&layout, &kernel));
        settle(&layout, &kernel);
        settle(&layout, &kernel);
        assert!(!is_noted(&layout, &kernel));
    }
}
