//! Debian packages, unpacked into the cache, never installed.

use std::path::Path;

use anyhow::{Context, Result};
use dkms_base::host::fs;

use super::apt::Apt;
use crate::cache::Cache;
use crate::command::must;
use crate::say;

/// A Debian package with the source of a kernel module.
#[derive(Debug, Clone, Copy)]
pub struct ModulePackage {
    /// Its name.
    pub name: &'static str,
    /// The suite that it is taken from.
    pub suite: &'static str,
    /// Whether every run of the tests builds it, or only the full one.
    pub sampled: bool,
    /// Whether it takes so many minutes of make (zfs, nvidia) that it is built for the kernels of its own
    /// suite only.
    pub large: bool,
}

const fn often(name: &'static str) -> ModulePackage {
    ModulePackage { name, suite: "bookworm", sampled: true, large: false }
}

const fn full(name: &'static str) -> ModulePackage {
    ModulePackage { name, suite: "bookworm", sampled: false, large: false }
}

const fn of(suite: &'static str, name: &'static str) -> ModulePackage {
    ModulePackage { name, suite, sampled: false, large: false }
}

const fn large(suite: &'static str, name: &'static str) -> ModulePackage {
    ModulePackage { name, suite, sampled: false, large: true }
}

/// Packages whose modules must come out byte for byte as the original builds them; setup fetches them.
pub const MODULE_PACKAGES: &[ModulePackage] = &[
    often("acpi-call-dkms"),
    full("adv-17v35x-dkms"),
    full("apfs-dkms"),
    often("bbswitch-dkms"),
    full("ddcci-dkms"),
    full("digimend-dkms"),
    often("dm-writeboost-dkms"),
    full("evdi-dkms"),
    full("falcosecurity-scap-dkms"),
    full("gost-crypto-dkms"),
    full("iptables-netflow-dkms"),
    full("jool-dkms"),
    full("langford-dkms"),
    full("librem-ec-acpi-dkms"),
    full("lime-forensics-dkms"),
    full("lttng-modules-dkms"),
    full("nat-rtsp-dkms"),
    full("openafs-modules-dkms"),
    full("openrazer-driver-dkms"),
    full("rapiddisk-dkms"),
    full("tp-smapi-dkms"),
    // Its conf rules the cloud kernel out.
    full("v4l2loopback-dkms"),
    full("vpoll-dkms"),
    full("west-chamber-dkms"),
    full("xtables-addons-dkms"),
];

/// The other module packages of Debian's main, contrib and non-free: large ones, and such as fail with one of
/// the kernels. The full tier [fetches](fetch_further) and builds them.
pub const FURTHER_PACKAGES: &[ModulePackage] = &[
    full("broadcom-sta-dkms"),
    full("dahdi-dkms"),
    full("dpdk-kmods-dkms"),
    full("nvidia-fs-dkms"),
    large("bookworm", "nvidia-kernel-dkms"),
    large("bookworm", "nvidia-open-kernel-dkms"),
    large("bookworm", "nvidia-tesla-470-kernel-dkms"),
    large("bookworm", "nvidia-tesla-535-kernel-dkms"),
    large("bookworm", "nvidia-tesla-kernel-dkms"),
    full("openvpn-dco-dkms"),
    full("r8125-dkms"),
    full("r8168-dkms"),
    full("rtpengine-kernel-dkms"),
    full("xtrx-dkms"),
    large("bookworm", "zfs-dkms"),
    of("trixie", "leds-alix-dkms"),
    of("trixie", "lenovolegionlinux-dkms"),
    of("trixie", "mimic-dkms"),
    of("trixie", "mstflint-dkms"),
    of("trixie", "osmocom-dahdi-dkms"),
    of("trixie", "reform2-lpc-dkms"),
    of("trixie", "sl-modem-dkms"),
    of("trixie", "smifb2-dkms"),
    of("trixie", "vhba-dkms"),
    large("trixie", "zfs-dkms"),
];

/// Packages that need the source of another one beside theirs.
const NEEDS: &[(&str, &str)] = &[("west-chamber-dkms", "xtables-addons-dkms")];

/// What an unpacked package has for dkms.
#[derive(Debug, Clone)]
pub struct ModuleSource {
    /// What dkms calls it.
    pub module: String,
    /// Its version.
    pub version: String,
    /// Debian's version of the package, and of what it needs.
    pub debian: String,
    /// Source trees: its own, then those that it needs, each with the folder's name.
    pub trees: Vec<String>,
}

impl ModulePackage {
    /// What is in it, unpacked in the cache.
    ///
    /// # Errors
    /// If it is not there, or has no source of a module.
    pub fn source(&self, cache: &Cache) -> Result<ModuleSource> {
        let names = std::iter::once(self.name)
            .chain(NEEDS.iter().filter(|(of, _)| *of == self.name).map(|(_, needed)| *needed));
        let (mut debian, mut trees) = (Vec::new(), Vec::new());
        for name in names {
            debian.push(cache.package_version(self.suite, name)?);
            trees.push(tree(&cache.package(self.suite, name).join("root/usr/src"))?);
        }
        let own = trees.first().context("a package has a source")?;
        let conf = fs::read_lossy(&Path::new(own).join("dkms.conf"))?;
        let module = value(&conf, "PACKAGE_NAME")?;
        // The folder's, as Debian's own postinst has it: one conf has a placeholder in its place.
        let folder = own.rsplit('/').next().unwrap_or_default();
        let version = folder.strip_prefix(&format!("{module}-"));
        let version = version.with_context(|| format!("`{own}` isn't of {module}"))?.to_owned();
        Ok(ModuleSource { module, version, debian: debian.join(" "), trees })
    }
}

/// The one source tree in an unpacked package.
fn tree(dir: &Path) -> Result<String> {
    let trees = fs::list(dir)?;
    let with_conf = |entry: &&fs::Entry| fs::is_file(&dir.join(&entry.name).join("dkms.conf"));
    let found =
        trees.iter().find(with_conf).with_context(|| format!("no dkms.conf in `{}`", dir.display()))?;
    Ok(dir.join(&found.name).to_string_lossy().into_owned())
}

/// A plain assignment of a dkms.conf: all that names and versions of these packages need.
fn value(conf: &str, name: &str) -> Result<String> {
    let assigned = conf.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    Ok(assigned.with_context(|| format!("no {name}"))?.trim().trim_matches('"').to_owned())
}

/// Fetches one of them, where it isn't there already.
///
/// # Errors
/// Where it is not available.
pub fn fetch_further(cache: &Cache, package: &ModulePackage) -> Result<()> {
    fetch(cache, package.suite, package.name)
}

/// Unpacks a package of a suite, where it isn't already: its files in `root/`, its version in `VERSION`.
pub(super) fn fetch(cache: &Cache, suite: &str, name: &str) -> Result<()> {
    let dir = cache.package(suite, name);
    if fs::is_file(&dir.join("VERSION")) {
        return Ok(());
    }
    say(&format!("setup: fetching {name} of {suite}"));
    fs::remove_any(&dir)?;
    let apt = Apt::open(cache, suite)?;
    let file = apt.download(&|| Ok(Some(name.to_owned())), name, &dir)?;
    let file = file.to_string_lossy();
    fs::create_dir_all(&dir.join("root"))?;
    must("dpkg-deb", &["-x", &file, "root"], &dir)?;
    let version = must("dpkg-deb", &["-f", &file, "Version"], &dir)?;
    fs::write_whole(&dir.join("VERSION"), version.as_bytes(), 0o644)?;
    Ok(())
}
