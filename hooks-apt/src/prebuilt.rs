//! Modules that unpacked packages will put in place ready built: Ubuntu's `linux-modules-nvidia-550-K` links
//! them when it is configured, of the parts that other packages have brought.

use dkms_base::layout::Layout;
use dkms_kernel::{PrebuiltComing, installed_kernels, prebuilt};

use crate::unpacked::Package;

/// What these packages, which are not configured yet, will bring. The package that links is named after the
/// kernel and has no files of it.
#[must_use]
pub fn coming(packages: &[Package], layout: &Layout) -> PrebuiltComing {
    let named: Vec<&Package> =
        packages.iter().filter(|package| package.name.starts_with("linux-modules-")).collect();
    let mut coming = PrebuiltComing::new();
    if named.is_empty() {
        return coming;
    }
    for kernel in installed_kernels(layout).unwrap_or_default() {
        let end = format!("-{kernel}");
        let links =
            |package: &&&Package| package.name.ends_with(&end) && package.contents(layout).kernels.is_empty();
        let Some(package) = named.iter().find(links) else { continue };
        let modules = prebuilt::unlinked(&layout.kernel_dir(&kernel));
        coming.extend(modules.into_iter().map(|module| ((kernel.clone(), module), package.name.clone())));
    }
    coming
}
