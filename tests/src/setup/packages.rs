//! Debian packages, unpacked into the cache, never installed.

use anyhow::Result;
use dkms_core::host::fs;

use super::apt::Apt;
use crate::cache::Cache;
use crate::command::must;
use crate::say;

/// A Debian package with the source of a kernel module.
#[derive(Debug, Clone, Copy)]
pub struct ModulePackage {
    /// Its name.
    pub name: &'static str,
    /// Whether every run of the tests builds it, or only the full one.
    pub sampled: bool,
}

const fn often(name: &'static str) -> ModulePackage {
    ModulePackage { name, sampled: true }
}

const fn full(name: &'static str) -> ModulePackage {
    ModulePackage { name, sampled: false }
}

/// The packages whose modules must come out byte for byte as the original builds them.
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
