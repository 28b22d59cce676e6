//! The systems that every run of the tests wants, and those of packages that no single topic has for itself.

use anyhow::Result;

use super::{Base, base};
use crate::cache::Cache;
use crate::pacman::{self, Pacman};
use crate::rpm::Suite;
use crate::{apt, debs, share};

/// What modules are built with; Debian's dkms lies ready for apt.
const WITH_HEADERS: &str = "
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends linux-headers-cloud-amd64 gcc make patch kmod dpkg-dev >/dev/null
    apt-get install -qq -y --no-install-recommends --download-only dkms >/dev/null";

/// Nothing but a system and, ready for apt, a kernel.
const BARE: &str = "
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends kmod >/dev/null
    apt-get install -qq -y --no-install-recommends --download-only linux-image-cloud-amd64 >/dev/null";

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
    script: "true",
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
