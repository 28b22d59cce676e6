//! The systems that every run of the tests wants, and those of packages that no single topic has for itself.

use anyhow::{Result, bail};

use super::{Base, base};
use crate::cache::Cache;
use crate::pacman::{self, Pacman};
use crate::rpm::Suite;
use crate::{apt, debs, share};

/// What modules are built with; Debian's dkms lies ready for apt.
const WITH_HEADERS: &str = "
    take() { apt install \"$2\"; }
    signed_offers cloud-amd64 $OWN | newest 1 take >/tmp/kernel
    enough 1 cloud-amd64 /tmp/kernel
    apt install --download-only dkms";

const BUILD: &[&str] = &["gcc", "make", "patch", "kmod", "dpkg-dev"];

/// Nothing but a system and, ready for apt, a kernel.
const BARE: &str = "
    apt install kmod
    take() { apt install --download-only \"$3\"; }
    signed_offers cloud-amd64 $OWN | newest 1 take >/tmp/kernel
    enough 1 cloud-amd64 /tmp/kernel";

/// Systems in which modules' packages are built.
pub const BUILDERS: [Base; 2] = [
    Base { name: "packages-bookworm", suite: "bookworm", include: BUILD, script: WITH_HEADERS },
    Base { name: "packages-trixie", suite: "trixie", include: BUILD, script: WITH_HEADERS },
];

/// Systems without compiler and headers.
pub const BARES: [Base; 2] = [
    Base { name: "bare-bookworm", suite: "bookworm", include: &[], script: BARE },
    Base { name: "bare-trixie", suite: "trixie", include: &[], script: BARE },
];

/// The newest rpm, and dnf 5, with what installs a dkms beside them.
pub const PACKAGES_FORKY: Base = Base {
    name: "packages-forky",
    suite: "forky",
    include: &["rpm", "dnf5", "createrepo-c", "kmod", "make", "gcc", "patch"],
    script: "",
};

/// The systems that even the sample of the tests wants. Whatever else a test wants it makes itself.
fn wanted() -> Vec<Base> {
    vec![
        // Tasks are taken from the end: the longest ones stand there.
        BARES[0],
        apt::TRIXIE,
        BUILDERS[0],
        debs::SYSTEMS[0],
        Pacman::V6_0.base(),
        Suite::Forky.base(),
        Suite::Bookworm.base(),
        Suite::Zypper.base(),
        pacman::REPOSITORY,
        apt::BOOKWORM,
    ]
}

/// Makes the systems with these names, or all, side by side: each waits for the network half of its time.
///
/// # Errors
/// If one can't be made, or has no such name.
pub fn make(cache: &Cache, names: &[String]) -> Result<()> {
    let mut wanted = wanted();
    let all: Vec<&str> = wanted.iter().map(|base| base.name).collect();
    if let Some(name) = names.iter().find(|name| !all.contains(&name.as_str())) {
        bail!("no system is called `{name}`: there are {}", all.join(", "));
    }
    if !names.is_empty() {
        wanted.retain(|base| names.iter().any(|name| name == base.name));
    }
    share::among(3, wanted, || Ok(()), |(), of| base(cache, &of)).map(drop)
}
