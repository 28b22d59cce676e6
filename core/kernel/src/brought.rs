//! What the files of a package bring: a kernel, headers, sources of modules. Pure, and the same for
//! every kind of package.
//!
//! A kernel is what has `boot/vmlinuz-K`, `lib/modules/K/vmlinuz` or `lib/modules/K/modules.order`, which
//! `make modules_install` writes: names of packages differ between distributions, and `lib/modules/K` with a
//! configuration may be there with headers alone.

use std::collections::BTreeSet;

use super::prebuilt::{is_of_source, name_of};
use dkms_base::id::KernelRelease;

/// What a package brings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brought {
    /// Kernels, by release.
    pub kernels: BTreeSet<String>,
    /// Headers, by the release of their kernel.
    pub headers: BTreeSet<String>,
    /// Folders of `/usr/src` with the source of a module.
    pub sources: BTreeSet<String>,
    /// Modules that are not of a kernel's source, ready built: the release of their kernel, and their name.
    pub modules: BTreeSet<(String, String)>,
}

impl Brought {
    /// By paths as any package manager lists them: with `/`, `./` or nothing in front, below `usr` or not.
    #[must_use]
    pub fn of<T: AsRef<str>>(files: impl IntoIterator<Item = T>) -> Self {
        let mut brought = Self::default();
        let (mut links, mut has_headers) = (BTreeSet::new(), false);
        let (mut in_tree, mut has_image) = (BTreeSet::new(), false);
        for file in files {
            let file = plain(file.as_ref());
            has_headers |= file.starts_with("src/linux-");
            has_image |= is_nameless_image(file);
            match part_of(file) {
                Some(Part::Kernel(release)) => brought.kernels.insert(release.to_owned()),
                Some(Part::Headers(release)) => brought.headers.insert(release.to_owned()),
                Some(Part::InTree(release)) => in_tree.insert(release.to_owned()),
                Some(Part::BuildLink(release)) => links.insert(release.to_owned()),
                Some(Part::Source(folder)) => brought.sources.insert(folder.to_owned()),
                Some(Part::Module(release, name)) => brought.modules.insert((release.to_owned(), name)),
                None => continue,
            };
        }
        if has_image {
            brought.kernels.extend(in_tree);
        }
        // The link alone is that of the kernel's own package, or of one beside it.
        if has_headers {
            brought.headers.extend(links.into_iter().filter(|release| !brought.kernels.contains(release)));
        }
        brought
    }

    /// Whether there is no kernel, no headers and no source.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kernels.is_empty() && self.headers.is_empty() && self.sources.is_empty()
    }

    /// Whether the source of a module comes: a folder `NAME-SOMETHING`.
    #[must_use]
    pub fn replaces(&self, name: &str) -> bool {
        let is_of = |folder: &String| folder.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'));
        self.sources.iter().any(is_of)
    }
}

/// A path without what stands in front of it, and without `usr/`.
pub(super) fn plain(file: &str) -> &str {
    let file = file.strip_prefix('.').unwrap_or(file).trim_start_matches('/');
    file.strip_prefix("usr/").unwrap_or(file)
}

/// A kernel's image that isn't named after its release, as boards' packages have it: `boot/Image`,
/// `boot/kernel8.img`.
fn is_nameless_image(file: &str) -> bool {
    let name = file.strip_prefix("boot/").unwrap_or_default();
    let is_raspberrys = name.starts_with("kernel") && name.ends_with(".img");
    is_raspberrys
        || ["Image", "zImage", "uImage", "vmlinuz", "vmlinux"].iter().any(|image| {
            name.strip_prefix(image).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<'a> {
    Kernel(&'a str),
    Headers(&'a str),
    /// A module of the kernel's own source.
    InTree(&'a str),
    BuildLink(&'a str),
    Source(&'a str),
    Module(&'a str, String),
}

fn part_of(file: &str) -> Option<Part<'_>> {
    let is_release = |release: &&str| KernelRelease::looks_like_kernel(release);
    if let Some(image) = file.strip_prefix("boot/") {
        let release = image.strip_prefix("vmlinuz-").or_else(|| image.strip_prefix("vmlinux-"))?;
        return (!release.contains('/')).then_some(release).filter(is_release).map(Part::Kernel);
    }
    if let Some(rest) = file.strip_prefix("lib/modules/") {
        let (release, rest) = rest.split_once('/').filter(|(release, _)| is_release(release))?;
        return match rest {
            "vmlinuz" | "modules.order" => Some(Part::Kernel(release)),
            "build" => Some(Part::BuildLink(release)),
            "build/Makefile" | "build/.config" => Some(Part::Headers(release)),
            _ if is_of_source(rest) => Some(Part::InTree(release)),
            _ => name_of(rest).map(|name| Part::Module(release, name)),
        };
    }
    let (folder, rest) = file.strip_prefix("src/")?.split_once('/')?;
    if folder == "kernels" {
        let (release, rest) = rest.split_once('/')?;
        return (rest == "Makefile").then_some(Part::Headers(release));
    }
    if let Some(release) = folder.strip_prefix("linux-headers-").filter(is_release) {
        // What a kernel's headers have, and the part that several kernels share has not.
        let own = [".config", "include/config/auto.conf", "include/generated/utsrelease.h"];
        return own.contains(&rest).then_some(Part::Headers(release));
    }
    (rest == "dkms.conf").then_some(Part::Source(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(files: &[&str]) -> String {
        let Brought { kernels, headers, sources, modules } = Brought::of(files.iter().copied());
        let modules = modules.into_iter().map(|(release, name)| format!("{release}/{name}")).collect();
        let words = |kind: &str, set: BTreeSet<String>| {
            set.into_iter().map(|one| format!("{kind}{one}")).collect::<Vec<_>>()
        };
        [words("k:", kernels), words("h:", headers), words("s:", sources), words("m:", modules)]
            .concat()
            .join(" ")
    }

    #[test]
    fn a_package_is_known_by_what_it_has() {
        // Debian's: the image, the headers, their common part. Paths as dpkg-deb, md5sums and
        // dpkg's lists have them.
        assert_eq!(
            words(&["./boot/vmlinuz-6.1.0-56-amd64", "./lib/modules/6.1.0-56-amd64/"]),
            "k:6.1.0-56-amd64"
        );
        let headers = "usr/src/linux-headers-6.1.0-56-amd64/include/config/auto.conf";
        assert_eq!(words(&[headers, "/lib/modules/6.1.0-56-amd64/build"]), "h:6.1.0-56-amd64");
        assert_eq!(words(&["/usr/src/linux-headers-6.1.0-56-common/Makefile"]), "");
        // forky: headers alone bring the kernel's folder with a configuration.
        assert_eq!(
            words(&["/usr/lib/modules/7.2.3-amd64/modules.builtin", "/usr/lib/modules/7.2.3-amd64/config"]),
            ""
        );
        // Proxmox, Armbian, Raspberry Pi OS, Ubuntu's modules.
        assert_eq!(
            words(&["boot/vmlinuz-6.8.12-4-pve", "lib/modules/6.8.12-4-pve/modules.order"]),
            "k:6.8.12-4-pve"
        );
        assert_eq!(words(&["lib/modules/6.1.21-v8+/modules.order", "boot/kernel8.img"]), "k:6.1.21-v8+");
        assert_eq!(words(&["lib/modules/6.8.0-31-generic/kernel/net/x.ko.zst"]), "");
        // Boards' kernels whose image has no release in its name, and no list of modules.
        assert_eq!(
            words(&["boot/Image", "boot/Image.sig", "lib/modules/5.15.136-tegra/kernel/net/x.ko"]),
            "k:5.15.136-tegra"
        );
        assert_eq!(words(&["boot/Image", "lib/modules/5.15.136-tegra/extra/x.ko"]), "m:5.15.136-tegra/x");
        assert_eq!(words(&["boot/Images", "lib/modules/5.15.136-tegra/kernel/net/x.ko"]), "");
        // Fedora's core and devel; the link is in a package beside them. SUSE's, Arch's.
        assert_eq!(words(&["/lib/modules/6.12.0-1.fc41.x86_64/vmlinuz"]), "k:6.12.0-1.fc41.x86_64");
        assert_eq!(words(&["/usr/src/kernels/6.12.0-1.fc41.x86_64/Makefile"]), "h:6.12.0-1.fc41.x86_64");
        assert_eq!(words(&["/lib/modules/6.12.0-1.fc41.x86_64/build"]), "");
        assert_eq!(
            words(&[
                "/usr/lib/modules/6.4.0-1-default/build",
                "/usr/src/linux-6.4.0-1-obj/x86_64/default/Makefile"
            ]),
            "h:6.4.0-1-default"
        );
        assert_eq!(words(&["usr/lib/modules/6.12.8-arch1-1/build/Makefile"]), "h:6.12.8-arch1-1");
        // Modules, built and not.
        assert_eq!(
            words(&["usr/src/foo-bar-1.0/dkms.conf", "usr/src/foo-bar-1.0/src/dkms.conf"]),
            "s:foo-bar-1.0"
        );
        assert_eq!(
            words(&["lib/modules/6.1.0/updates/dkms/foo.ko", "boot/vmlinuz-", "boot/vmlinuz-old"]),
            "m:6.1.0/foo"
        );
        // Ubuntu's modules that are linked when their package is configured.
        let bits = "./lib/modules/6.8.0-45-generic/kernel/nvidia-550/bits/";
        assert_eq!(
            words(&[
                &format!("{bits}nvidia.ko.sig"),
                &format!("{bits}nvidia-drm.ko.sig"),
                &format!("{bits}BUILD")
            ]),
            "m:6.8.0-45-generic/nvidia m:6.8.0-45-generic/nvidia_drm"
        );
        let brought = Brought::of(["usr/src/foo-bar-1.0/dkms.conf"]);
        assert!(brought.replaces("foo-bar") && brought.replaces("foo") && !brought.replaces("fo"));
    }
}
