//! Programs that the tests and the modules' builds run, and a fresh Debian machine may lack.

use std::path::Path;

use anyhow::{Result, bail};
use dkms_base::host::{Environment, fs, programs};

use super::apt::Apt;

/// A program, and the package that has it.
const NEEDED: &[(&str, &str)] = &[
    ("depmod", "kmod"),
    ("patch", "patch"),
    ("strace", "strace"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
    ("bzip2", "bzip2"),
    ("openssl", "openssl"),
    ("bc", "bc"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("ps", "procps"),
    ("unshare", "util-linux"),
    ("systemd-nspawn", "systemd-container"),
    ("systemd-analyze", "systemd"),
    ("perl", "perl-base"),
    ("pgrep", "procps"),
    ("rpm", "rpm"),
    ("lintian", "lintian"),
    ("dpkg-buildpackage", "dpkg-dev"),
    ("dh", "debhelper"),
    ("dh_dkms", "dh-dkms"),
    ("dnf", "dnf"),
    ("createrepo_c", "createrepo-c"),
    ("xorriso", "xorriso"),
    ("rpmlint", "rpmlint"),
    ("musl-gcc", "musl-tools"),
    ("mmdebstrap", "mmdebstrap"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("sbsign", "sbsigntool"),
    ("busybox", "busybox-static"),
    ("strip", "binutils"),
    ("mokutil", "mokutil"),
    ("softhsm2-util", "softhsm2"),
    ("pip3", "python3-pip"),
    ("shellcheck", "shellcheck"),
    ("mandoc", "mandoc"),
    ("reprepro", "reprepro"),
    ("aptly", "aptly"),
    ("apt-ftparchive", "apt-utils"),
];

/// Files, and the packages that have them.
const NEEDED_FILES: &[(&str, &str)] = &[("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "ovmf")];

/// Installs the packages of those that are missing; where some programs are named, of these alone.
pub(super) fn install(only: &[String]) -> Result<()> {
    if let Some(name) = only.iter().find(|name| !NEEDED.iter().any(|(program, _)| program == name)) {
        bail!("`{name}` is no program that the tests need");
    }
    let environment = Environment::of_this_process();
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|program| program == name);
    let missing = || -> Vec<String> {
        let lacking = NEEDED
            .iter()
            .filter(|(program, _)| is_wanted(program) && programs::find(program, &environment).is_none());
        let files = NEEDED_FILES.iter().filter(|(path, _)| is_wanted(path) && !fs::is_file(Path::new(path)));
        lacking.chain(files).map(|(_, package)| (*package).to_owned()).collect()
    };
    Apt::of_machine().install(&missing)?;
    match missing().as_slice() {
        [] => Ok(()),
        still => bail!("installed, and yet not to be found in PATH: {}", still.join(", ")),
    }
}
