//! Programs that the tests and the modules' builds run, and a fresh Debian machine may lack.

use std::path::Path;

use anyhow::{Result, bail};
use dkms_core::host::{Environment, fs, programs};

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
];

/// Files, and the packages that have them.
const NEEDED_FILES: &[(&str, &str)] = &[("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "ovmf")];

/// Installs the packages of those that are missing.
pub(super) fn install() -> Result<()> {
    let environment = Environment::of_this_process();
    let missing = || -> Vec<String> {
        let lacking = NEEDED.iter().filter(|(program, _)| programs::find(program, &environment).is_none());
        let files = NEEDED_FILES.iter().filter(|(path, _)| !fs::is_file(Path::new(path)));
        lacking.chain(files).map(|(_, package)| (*package).to_owned()).collect()
    };
    Apt::of_machine().install(&missing)?;
    match missing().as_slice() {
        [] => Ok(()),
        still => bail!("installed, and yet not to be found in PATH: {}", still.join(", ")),
    }
}
