//! Which images a kernel boots with, and what of this system makes them: for exactly the
//! files that are there.

use std::path::{Path, PathBuf};

use crate::host::fs;
use crate::id::KernelRelease;
use crate::layout::Layout;

/// A way to make an image anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Maker {
    pub(super) program: &'static str,
    pub(super) arguments: Vec<String>,
}

/// No preset comes near it.
const PRESET_LIMIT: u64 = 1 << 20;

/// Where the families keep a kernel's images: Debian's, dracut's (Fedora, SUSE), Arch's by the kernel's
/// package, those that its preset names, and those of the Boot Loader Specification.
pub(super) fn images(kernel: &KernelRelease, layout: &Layout) -> Vec<PathBuf> {
    let boot = layout.at("/boot");
    let mut images = vec![
        boot.join(format!("initrd.img-{kernel}")),
        boot.join(format!("initramfs-{kernel}.img")),
        boot.join(format!("initrd-{kernel}")),
    ];
    if let Some(base) = package_base(kernel, layout) {
        images.push(boot.join(format!("initramfs-{base}.img")));
        images.push(boot.join(format!("booster-{base}.img")));
        images.extend(preset_images(&base, layout));
    }
    if let Some(entries) = entry_folder(kernel, layout) {
        images.extend(["initrd", "initramfs", "initrd.img"].map(|name| entries.join(name)));
    }
    images.retain(|path| fs::is_file(path));
    images.dedup();
    images
}

/// The package of an Arch kernel, which its presets and images are named after.
fn package_base(kernel: &KernelRelease, layout: &Layout) -> Option<String> {
    let base = fs::read_lossy(&layout.kernel_dir(kernel).join("pkgbase")).ok()?.trim().to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+@".contains(c);
    (!base.is_empty() && !base.starts_with(['-', '.']) && base.chars().all(plain)).then_some(base)
}

fn preset(base: &str, layout: &Layout) -> Option<PathBuf> {
    let file = layout.at("/etc/mkinitcpio.d").join(Path::new(&format!("{base}.preset")));
    fs::is_file(&file).then_some(file)
}

/// The images and unified kernel images that a preset names; it is shell, of which plain assignments count.
fn preset_images(base: &str, layout: &Layout) -> Vec<PathBuf> {
    let Some(file) = preset(base, layout) else { return Vec::new() };
    let text = fs::read_limited(&file, PRESET_LIMIT).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let image = |line: &str| {
        let (name, value) = line.trim().split_once('=')?;
        let names_one = name.ends_with("_image") || name.ends_with("_uki") || name.ends_with("_efi_image");
        let path = value.trim().trim_matches(['"', '\'']);
        (names_one && path.starts_with('/') && !path.contains('$')).then(|| layout.at(path))
    };
    text.lines().filter_map(image).collect()
}

/// `MACHINE-ID/K` on the boot partition, as kernel-install makes it.
fn entry_folder(kernel: &KernelRelease, layout: &Layout) -> Option<PathBuf> {
    let machine = fs::read_lossy(&layout.at("/etc/machine-id")).ok()?.trim().to_owned();
    let tokens = [
        fs::read_lossy(&layout.at("/etc/kernel/entry-token")).unwrap_or_default().trim().to_owned(),
        machine,
    ];
    let plain = |token: &&String| {
        !token.is_empty()
            && token.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && !token.starts_with('.')
    };
    let partitions = ["/efi", "/boot", "/boot/efi"];
    let folders = tokens
        .iter()
        .filter(plain)
        .flat_map(|token| partitions.map(|partition| layout.at(partition).join(token).join(kernel)));
    folders.into_iter().find(|folder| fs::is_dir(folder))
}

/// What makes a kernel's images anew. `is_there`: whether a program is.
pub(super) fn maker(
    kernel: &KernelRelease,
    layout: &Layout,
    is_there: &dyn Fn(&str) -> bool,
) -> Option<Maker> {
    let with = |program: &'static str, arguments: &[&str]| {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        is_there(program).then_some(Maker { program, arguments })
    };
    let release = kernel.as_str();
    let boot = layout.at("/boot");
    let existing = |name: String| Some(boot.join(name)).filter(|path| fs::is_file(path));
    let base = package_base(kernel, layout);
    let debian = || with("update-initramfs", &["-u", "-k", release]);
    let mkinitcpio = || {
        let base = base.as_deref().filter(|base| preset(base, layout).is_some())?;
        with("mkinitcpio", &["-p", base])
    };
    let booster = || {
        let image = existing(format!("booster-{}.img", base.as_deref()?))?;
        with("booster", &["build", "--force", "--kernel-version", release, &image.to_string_lossy()])
    };
    // By its own rules dracut would make a file that nobody boots.
    let dracut = || {
        let mut names = vec![
            format!("initramfs-{release}.img"),
            format!("initrd-{release}"),
            format!("initrd.img-{release}"),
        ];
        names.extend(base.as_deref().map(|base| format!("initramfs-{base}.img")));
        let image = names.into_iter().find_map(existing)?;
        with("dracut", &["--force", &image.to_string_lossy(), release])
    };
    let kernel_install = || {
        entry_folder(kernel, layout)?;
        let image = layout.kernel_dir(kernel).join("vmlinuz");
        let image = if fs::is_file(&image) { image } else { boot.join(format!("vmlinuz-{release}")) };
        with("kernel-install", &["add", release, &image.to_string_lossy()])
    };
    debian().or_else(mkinitcpio).or_else(booster).or_else(dracut).or_else(kernel_install)
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: &str = "6.1.0-1-amd64";

    fn world(files: &[(&str, &str)]) -> (tempfile::TempDir, Layout, KernelRelease) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        for (path, text) in files {
            let path = layout.at(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, text.as_bytes(), 0o644).unwrap();
        }
        (dir, layout, KernelRelease::new(K).unwrap())
    }

    const ARCH: (&str, &str) = ("/lib/modules/6.1.0-1-amd64/pkgbase", "linux-lts\n");

    /// The command that is run with these programs and files there; `ROOT` in place of the root.
    fn made(programs: &[&str], files: &[(&str, &str)]) -> Option<String> {
        let (dir, layout, kernel) = world(files);
        assert!(!images(&kernel, &layout).is_empty(), "{files:?}");
        let maker = maker(&kernel, &layout, &|program| programs.contains(&program))?;
        let line = format!("{} {}", maker.program, maker.arguments.join(" "));
        Some(line.replace(&dir.path().to_string_lossy().into_owned(), "ROOT"))
    }

    #[test]
    fn the_systems_own_maker_makes_the_file_that_is_there() {
        let debian = ("/boot/initrd.img-6.1.0-1-amd64", "");
        let expected = format!("update-initramfs -u -k {K}");
        assert_eq!(made(&["dracut", "update-initramfs"], &[debian]), Some(expected));
        for name in ["initrd.img-6.1.0-1-amd64", "initramfs-6.1.0-1-amd64.img", "initrd-6.1.0-1-amd64"] {
            let file = format!("/boot/{name}");
            assert_eq!(
                made(&["dracut"], &[(&file, "")]),
                Some(format!("dracut --force ROOT/boot/{name} {K}"))
            );
        }
        let image = ("/boot/initramfs-linux-lts.img", "");
        let preset = ("/etc/mkinitcpio.d/linux-lts.preset", "PRESETS=(default)\n");
        let mkinitcpio = Some("mkinitcpio -p linux-lts".to_owned());
        assert_eq!(made(&["mkinitcpio", "dracut"], &[ARCH, image, preset]), mkinitcpio);
        let expected = Some(format!("dracut --force ROOT/boot/initramfs-linux-lts.img {K}"));
        assert_eq!(made(&["mkinitcpio", "dracut"], &[ARCH, image]), expected);
        let expected =
            Some(format!("booster build --force --kernel-version {K} ROOT/boot/booster-linux-lts.img"));
        assert_eq!(made(&["booster"], &[ARCH, ("/boot/booster-linux-lts.img", "")]), expected);
        let uki = "default_uki=\"/efi/EFI/Linux/arch.efi\"\nother_image=$x\n";
        let files = [ARCH, ("/efi/EFI/Linux/arch.efi", ""), ("/etc/mkinitcpio.d/linux-lts.preset", uki)];
        assert_eq!(made(&["mkinitcpio"], &files), mkinitcpio);
        assert_eq!(made(&["kernel-install"], &[debian]), None);
    }

    #[test]
    fn an_entry_of_the_boot_loader_is_made_by_kernel_install() {
        let files = [("/etc/machine-id", "abc\n"), ("/efi/abc/6.1.0-1-amd64/initrd", "")];
        let expected = format!("kernel-install add {K} ROOT/boot/vmlinuz-{K}");
        assert_eq!(made(&["kernel-install", "dracut"], &files), Some(expected));
    }
}
