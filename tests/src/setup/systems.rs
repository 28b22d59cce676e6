//! The systems that every run of the tests wants, and those of packages that no single topic has for itself.

use anyhow::Result;

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
    apt install gcc make patch kmod dpkg-dev
    apt install --download-only dkms";

/// Nothing but a system and, ready for apt, a kernel.
const BARE: &str = "
    apt install kmod
    take() { apt install --download-only \"$3\"; }
    signed_offers cloud-amd64 $OWN | newest 1 take >/tmp/kernel
    enough 1 cloud-amd64 /tmp/kernel";

/// Systems in which modules' packages are built.
pub const BUILDERS: [Base; 2] = [
    Base { name: "packages-bookworm", suite: "bookworm", include: &[], script: WITH_HEADERS },
    Base { name: "packages-trixie", suite: "trixie", include: &[], script: WITH_HEADERS },
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

/// Makes the systems that even the sample of the tests wants, side by side: each waits for the network half of its time. Whatever
/// else a test wants it makes itself.
pub(super) fn make(cache: &Cache) -> Result<()> {
    let wanted = [
        // Tasks are taken from the end: the longest ones stand there.
        BARES[0],
        apt::TRIXIE,
        BUILDERS[0],
        debs::SYSTEMS[0],
        Pacman::V6_0.base(),
        Suite::Forky.base(),
        Suite::Bookworm.base(),
        pacman::REPOSITORY,
        apt::BOOKWORM,
    ];
    share::among(3, wanted.to_vec(), || Ok(()), |(), of| base(cache, &of)).map(drop)
}
