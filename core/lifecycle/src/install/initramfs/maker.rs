//! What of this system makes a kernel's images: for exactly the files that are there.

use super::places::Images;
use crate::host::fs;
use crate::id::KernelRelease;
use crate::layout::Layout;

/// A way to make an image again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Maker {
    pub(super) program: &'static str,
    pub(super) arguments: Vec<String>,
}

/// What makes a kernel's images again. `is_there`: whether a program is.
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
    let images = Images::of(kernel, layout);
    let base = images.base.as_deref();
    let debian = || with("update-initramfs", &["-u", "-k", release]);
    let mkinitcpio = || with("mkinitcpio", &["-p", base.filter(|_| images.by_preset)?]);
    let booster = || {
        let image = existing(format!("booster-{}.img", base?))?;
        with("booster", &["build", "--force", "--kernel-version", release, &image.to_string_lossy()])
    };
    // By its own rules dracut would make a file that nobody boots.
    let dracut = || {
        let mut names = vec![
            format!("initramfs-{release}.img"),
            format!("initrd-{release}"),
            format!("initrd.img-{release}"),
        ];
        names.extend(base.map(|base| format!("initramfs-{base}.img")));
        let image = names.into_iter().find_map(existing)?;
        with("dracut", &["--force", &image.to_string_lossy(), release])
    };
    let kernel_install = || {
        let image = layout.kernel_dir(kernel).join("vmlinuz");
        let image = if fs::is_file(&image) { image } else { boot.join(format!("vmlinuz-{release}")) };
        let made = images.by_kernel_install.then_some(image)?;
        with("kernel-install", &["add", release, &made.to_string_lossy()])
    };
    let unified = || {
        let image = images.of_dracut.as_ref()?.to_string_lossy();
        with("dracut", &["--force", "--uefi", &image, release])
    };
    debian().or_else(mkinitcpio).or_else(booster).or_else(dracut).or_else(kernel_install).or_else(unified)
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
        assert!(!Images::of(&kernel, &layout).files.is_empty(), "{files:?}");
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
        assert_eq!(made(&["kernel-install", "dracut"], &files), Some(expected.clone()));
        // Whatever the token; a preset that every kernel's package brings has not made it.
        let preset =
            ("/etc/mkinitcpio.d/linux-lts.preset", "default_image=\"/boot/initramfs-linux-lts.img\"\n");
        let files = [ARCH, preset, ("/boot/arch/6.1.0-1-amd64/initrd", "")];
        assert_eq!(made(&["kernel-install", "mkinitcpio"], &files), Some(expected.clone()));
        for name in ["abc-6.1.0-1-amd64.efi", "abc-6.1.0-1-amd64+2-1.efi"] {
            let file = format!("/boot/efi/EFI/Linux/{name}");
            assert_eq!(made(&["kernel-install", "dracut"], &[(&file, "")]), Some(expected.clone()));
        }
    }

    #[test]
    fn a_unified_image_of_dracut_is_made_by_dracut() {
        let file = "/efi/EFI/Linux/linux-6.1.0-1-amd64-0123456789abcdef0123456789abcdef-rolling.efi";
        let expected = format!("dracut --force --uefi ROOT{file} {K}");
        assert_eq!(made(&["kernel-install", "dracut"], &[(file, "")]), Some(expected));
        // That of a kernel whose name begins with this one's.
        let (_dir, layout, kernel) = world(&[("/efi/EFI/Linux/linux-6.1.0-1-amd64-rt.efi", "")]);
        assert!(Images::of(&kernel, &layout).files.is_empty());
    }

    #[test]
    fn a_kernel_without_a_name_of_its_package_has_its_preset_or_its_owner() {
        let image = ("/boot/initramfs-linux.img", "");
        let preset = (
            "/etc/mkinitcpio.d/linux-aarch64.preset",
            "ALL_kver=\"6.1.0-1-amd64\"\ndefault_image=\"/boot/initramfs-linux.img\"\n",
        );
        assert_eq!(made(&["mkinitcpio"], &[image, preset]), Some("mkinitcpio -p linux-aarch64".to_owned()));
        let files = [
            image,
            ("/etc/mkinitcpio.d/linux.preset", "ALL_kver=/boot/vmlinuz-linux\n"),
            ("/var/lib/pacman/local/linux-6.1-1/desc", "%NAME%\nlinux\n"),
            (
                "/var/lib/pacman/local/linux-6.1-1/files",
                "%FILES%\nusr/lib/modules/6.1.0-1-amd64/modules.order\n",
            ),
        ];
        assert_eq!(made(&["mkinitcpio"], &files), Some("mkinitcpio -p linux".to_owned()));
    }
}
