//! The distribution, from os-release(5).

/// What a distribution's rules are those of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Debian and what is like it.
    Debian,
    /// Ubuntu itself.
    Ubuntu,
    /// Arch.
    Arch,
    /// Gentoo.
    Gentoo,
    /// Fedora.
    Fedora,
    /// RHEL, CentOS and their rebuilds.
    Rhel,
    /// SUSE and openSUSE.
    Suse,
    /// None that we know.
    Other,
}

/// Who made the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// `ID` of os-release.
    pub id: String,
    /// Its family.
    pub family: Family,
}
