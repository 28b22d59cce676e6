//! Which images a kernel boots with: the files that are there.

use std::path::{Path, PathBuf};

use crate::host::fs;
use crate::id::KernelRelease;
use crate::kernel::Owner;
use crate::layout::Layout;

/// Larger than any preset.
const PRESET_LIMIT: u64 = 1 << 20;

/// Where boot partitions are mounted.
const PARTITIONS: [&str; 3] = ["/efi", "/boot", "/boot/efi"];

/// What is known of a kernel's images.
#[derive(Debug, Default)]
pub(super) struct Images {
    /// All of them that are there.
    pub(super) files: Vec<PathBuf>,
    /// The package of an Arch kernel, which its presets and images are named after.
    pub(super) base: Option<String>,
    /// mkinitcpio made one of them by it, or nobody else has made one.
    pub(super) by_preset: bool,
    /// kernel-install made one of them.
    pub(super) by_kernel_install: bool,
    /// The unified image that dracut named.
    pub(super) of_dracut: Option<PathBuf>,
}

impl Images {
    /// Where the families keep a kernel's images: Debian's, dracut's (Fedora, SUSE), Arch's by the kernel's
    /// package, those that its preset names, those of the Boot Loader Specification, and unified ones.
    pub(super) fn of(kernel: &KernelRelease, layout: &Layout) -> Self {
        let boot = layout.at("/boot");
        let there = |mut paths: Vec<PathBuf>| {
            paths.retain(|path| fs::is_file(path));
            paths
        };
        let mut images = Self { base: package_base(kernel, layout), ..Self::default() };
        images.files = there(vec![
            boot.join(format!("initrd.img-{kernel}")),
            boot.join(format!("initramfs-{kernel}.img")),
            boot.join(format!("initrd-{kernel}")),
        ]);
        let has_preset = images.base.as_ref().is_some_and(|base| preset(base, layout).is_some());
        let mut of_preset = Vec::new();
        if let Some(base) = &images.base {
            images.files.extend(there(vec![boot.join(format!("booster-{base}.img"))]));
            of_preset.push(boot.join(format!("initramfs-{base}.img")));
            of_preset.extend(preset_images(base, layout));
        }
        let of_preset = there(of_preset);
        let entry = entry_folder(kernel, layout);
        let names = ["initrd", "initramfs", "initrd.img"];
        let in_entry = entry.iter().flat_map(|entry| names.map(|name| entry.join(name))).collect();
        let (installed, of_dracut) = unified(kernel, layout);
        images.by_kernel_install = entry.is_some() || !installed.is_empty();
        images.by_preset = has_preset && (!of_preset.is_empty() || !images.by_kernel_install);
        images.of_dracut = of_dracut.first().cloned();
        images.files.extend(of_preset.into_iter().chain(there(in_entry)).chain(installed).chain(of_dracut));
        images.files.dedup();
        images
    }
}

/// As the kernel's folder says, as a preset for this very release is named, or as pacman says.
fn package_base(kernel: &KernelRelease, layout: &Layout) -> Option<String> {
    let named = fs::read_lossy(&layout.kernel_dir(kernel).join("pkgbase")).ok();
    let base = named.or_else(|| preset_for(kernel, layout)).or_else(|| {
        let database = layout.at("/var/lib/pacman/local");
        fs::is_dir(&database).then(|| Owner::in_pacman(kernel, layout)).flatten().map(|owner| owner.name)
    })?;
    let base = base.trim().to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+@".contains(c);
    (!base.is_empty() && !base.starts_with(['-', '.']) && base.chars().all(plain)).then_some(base)
}

/// The preset that names a release, as those of Arch Linux ARM do: `ALL_kver="6.12.8-1-aarch64-ARCH"`.
fn preset_for(kernel: &KernelRelease, layout: &Layout) -> Option<String> {
    let mut names = fs::list(&layout.at("/etc/mkinitcpio.d"))
        .unwrap_or_default()
        .into_iter()
        .filter_map(|entry| Some(entry.name.to_str()?.strip_suffix(".preset")?.to_owned()));
    names.find(|name| {
        let mut kernels = assigned(name, layout).into_iter().filter(|(key, _)| key.ends_with("_kver"));
        kernels.any(|(_, value)| value == kernel.as_str())
    })
}

fn preset(base: &str, layout: &Layout) -> Option<PathBuf> {
    let file = layout.at("/etc/mkinitcpio.d").join(Path::new(&format!("{base}.preset")));
    fs::is_file(&file).then_some(file)
}

/// What a preset assigns; it is shell, of which plain assignments count.
fn assigned(base: &str, layout: &Layout) -> Vec<(String, String)> {
    let Some(file) = preset(base, layout) else { return Vec::new() };
    let text = fs::read_limited(&file, PRESET_LIMIT).unwrap_or_default();
    let pair = |line: &str| {
        let (name, value) = line.trim().split_once('=')?;
        Some((name.to_owned(), value.trim().trim_matches(['"', '\'']).to_owned()))
    };
    String::from_utf8_lossy(&text).lines().filter_map(pair).collect()
}

/// The images and unified kernel images that a preset names.
fn preset_images(base: &str, layout: &Layout) -> Vec<PathBuf> {
    let names_one = |name: &str| name.ends_with("_image") || name.ends_with("_uki");
    let is_plain = |path: &str| path.starts_with('/') && !path.contains('$');
    let images = assigned(base, layout).into_iter();
    images
        .filter(|(name, path)| names_one(name) && is_plain(path))
        .map(|(_, path)| layout.at(&path))
        .collect()
}

/// `TOKEN/K` on a boot partition, as kernel-install makes it: the token may be the machine's id, or
/// any name.
fn entry_folder(kernel: &KernelRelease, layout: &Layout) -> Option<PathBuf> {
    let entries = PARTITIONS.iter().flat_map(|partition| {
        let partition = layout.at(partition);
        let tokens = fs::list(&partition).unwrap_or_default();
        tokens.into_iter().map(move |token| partition.join(token.name).join(kernel))
    });
    let is_entry = |folder: &PathBuf| {
        fs::list(folder).unwrap_or_default().iter().any(|file| {
            let name = file.name.to_string_lossy();
            name == "linux" || name.starts_with("initr")
        })
    };
    entries.into_iter().find(is_entry)
}

/// Unified images in `EFI/Linux`: those that are named as kernel-install does (`TOKEN-K.efi`, with a counter
/// of tries behind the release), and as dracut does (`linux-K-MACHINE-ID-BUILD.efi`).
fn unified(kernel: &KernelRelease, layout: &Layout) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut installed, mut of_dracut) = (Vec::new(), Vec::new());
    for folder in PARTITIONS.map(|partition| layout.at(partition).join("EFI/Linux")) {
        for entry in fs::list(&folder).unwrap_or_default() {
            let Some(name) = entry.name.to_str().and_then(|name| name.strip_suffix(".efi")) else { continue };
            let rest = name.split_once(&format!("-{kernel}")).map(|(_, rest)| rest);
            let is_id = |rest: &str| rest.len() >= 32 && rest.bytes().take(32).all(|b| b.is_ascii_hexdigit());
            match rest {
                Some(rest) if rest.is_empty() || rest.starts_with('+') => {
                    installed.push(folder.join(&entry.name));
                }
                Some(rest) if rest.strip_prefix('-').is_some_and(is_id) => {
                    of_dracut.push(folder.join(&entry.name));
                }
                Some(_) | None => {}
            }
        }
    }
    (installed, of_dracut)
}
