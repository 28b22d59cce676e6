//! Whether a kernel demands signatures, and whether it trusts a certificate. Pure: facts in, decisions out.
//!
//! What the rules follow from: Linux's `kernel/module/signing.c` (who is refused),
//! `security/integrity/platform_certs/` (which keys of firmware and shim go to which keyring);
//! `.builtin_trusted_keys`, `.secondary_trusted_keys` and, below the latter, `.machine` are trusted for
//! modules. `.platform` is not, but with the patch "KEYS: Make use of platform keyring for module signature
//! verify", which Debian (bugs 935945, 1030200), Ubuntu (lockdown series), Fedora, RHEL and SUSE carry.

use std::fmt;

use dkms_kernel::{Distribution, Family, KernelFacts};

use super::machine::{Lockdown, Machine};

/// What is known of a kernel, besides the machine that it is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Kernel {
    /// It runs now.
    pub running: bool,
    /// `CONFIG_MODULE_SIG_FORCE`.
    pub forced: bool,
    /// `CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT`, of distributions' kernels.
    pub locked_down_under_secure_boot: bool,
    /// `CONFIG_INTEGRITY_MACHINE_KEYRING`, for all of shim's keys.
    pub machine_keyring: bool,
    /// Its makers trust the platform keyring for modules.
    pub platform_trusted: bool,
}

impl Kernel {
    /// What its configuration, and whose it is, say.
    #[must_use]
    pub fn of(facts: &KernelFacts, distribution: &Distribution) -> Self {
        let has = |option: &str| facts.config.get(option) == Some("y");
        Self {
            running: facts.running,
            forced: has("CONFIG_MODULE_SIG_FORCE"),
            locked_down_under_secure_boot: has("CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT"),
            // With the second only those that may sign keys, which ours may not.
            machine_keyring: has("CONFIG_INTEGRITY_MACHINE_KEYRING")
                && !has("CONFIG_INTEGRITY_CA_MACHINE_KEYRING"),
            platform_trusted: matches!(
                distribution.family,
                Family::Debian | Family::Ubuntu | Family::Fedora | Family::Rhel | Family::Suse
            ),
        }
    }
}

/// Why a kernel loads only modules signed by a key that it trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// `module.sig_enforce`.
    Enforced,
    /// `CONFIG_MODULE_SIG_FORCE`, in a kernel that doesn't run now.
    Configured,
    /// It is locked down, as it is under Secure Boot.
    SecureBoot,
    /// It is locked down for another reason.
    Lockdown,
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforced => "`module.sig_enforce` is set",
            Self::Configured => "its configuration has CONFIG_MODULE_SIG_FORCE",
            Self::SecureBoot => "Secure Boot is on",
            Self::Lockdown => "it is locked down",
        })
    }
}

/// Whether a kernel loads trusted modules only; `None`: it loads any, or we can't know.
#[must_use]
pub fn demand(machine: &Machine, kernel: &Kernel) -> Option<Demand> {
    let secure = machine.is_secure();
    let by_secure_boot = secure && kernel.locked_down_under_secure_boot;
    if !kernel.running {
        return match () {
            () if kernel.forced => Some(Demand::Configured),
            () if by_secure_boot => Some(Demand::SecureBoot),
            () => None,
        };
    }
    let strict = matches!(machine.lockdown, Some(Lockdown::Integrity | Lockdown::Confidentiality));
    match machine.enforced {
        // The parameter isn't there: this kernel knows no signatures, or we see nothing of it.
        None => None,
        Some(true) => Some(if secure { Demand::SecureBoot } else { Demand::Enforced }),
        Some(false) if strict => Some(if secure { Demand::SecureBoot } else { Demand::Lockdown }),
        Some(false) if machine.lockdown.is_none() && by_secure_boot => Some(Demand::SecureBoot),
        Some(false) => None,
    }
}

/// Where a kernel has a certificate that it trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyring {
    /// It came with the kernel, or was added with a signature that it trusts.
    Kernels,
    /// Enrolled with shim, which vouches for it.
    Machine,
    /// Enrolled with shim or in the firmware, and its makers trust that.
    Platform,
}

/// Why a kernel doesn't trust a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Untrusted {
    /// It isn't enrolled anywhere.
    NotEnrolled,
    /// It will be, if a person confirms it at the next boot.
    Waiting,
    /// It is enrolled, but kernels look at that under Secure Boot only.
    NoSecureBoot,
    /// It is enrolled, but the kernel has not loaded it: it doesn't know its kind of key.
    NotLoaded,
    /// It is enrolled, but for starting systems; this kernel trusts nobody else's modules for that.
    OnlyForBooting,
}

/// Whether a kernel trusts a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It does.
    Trusted(Keyring),
    /// It doesn't.
    Untrusted(Untrusted),
}

/// Whether a kernel trusts a certificate, of which are known its DER and its id in the kernel.
#[must_use]
pub fn trust(machine: &Machine, kernel: &Kernel, der: &[u8], id: Option<&str>) -> Trust {
    let none = super::Firmware::default();
    let firmware = machine.firmware.as_ref().unwrap_or(&none);
    let has = |list: &[Vec<u8>]| list.iter().any(|one| one == der);
    let (is_mok, is_db) = (has(&firmware.moks), has(&firmware.db));
    let loaded = match (&machine.loaded, id) {
        (Some(ids), Some(id)) if kernel.running => Some(ids.contains(id)),
        _ => None,
    };
    let untrusted = |why| Trust::Untrusted(why);
    match (is_mok, is_db, loaded) {
        (false, false, Some(true)) => Trust::Trusted(Keyring::Kernels),
        (false, false, _) if has(&firmware.waiting) => untrusted(Untrusted::Waiting),
        (false, false, _) => untrusted(Untrusted::NotEnrolled),
        (true, false, loaded) if loaded != Some(true) && !machine.is_secure() => {
            untrusted(Untrusted::NoSecureBoot)
        }
        (_, _, Some(false)) => untrusted(Untrusted::NotLoaded),
        (true, _, _) if kernel.machine_keyring && firmware.moks_trusted && machine.is_secure() => {
            Trust::Trusted(Keyring::Machine)
        }
        _ if kernel.platform_trusted => Trust::Trusted(Keyring::Platform),
        _ => untrusted(Untrusted::OnlyForBooting),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Firmware;
    use super::*;

    const OURS: &[u8] = b"ours";

    fn machine(secure_boot: bool, enforced: Option<bool>, lockdown: Option<Lockdown>) -> Machine {
        let firmware = Firmware { secure_boot, ..Firmware::default() };
        Machine { firmware: Some(firmware), enforced, lockdown, loaded: None }
    }

    #[test]
    fn who_demands_signatures() {
        use Lockdown::{Confidentiality, Integrity, Off};
        let debian = Kernel { running: true, locked_down_under_secure_boot: true, ..Kernel::default() };
        let next = Kernel { running: false, ..debian };
        let vanilla = Kernel { running: true, ..Kernel::default() };
        let forced = Kernel { forced: true, ..Kernel::default() };
        for (case, secure, enforced, lockdown, kernel, expected) in [
            ("free", false, Some(false), Some(Off), debian, None),
            ("sig_enforce", false, Some(true), Some(Off), debian, Some(Demand::Enforced)),
            ("Secure Boot", true, Some(false), Some(Integrity), debian, Some(Demand::SecureBoot)),
            ("IMA's policy enforces", true, Some(true), None, debian, Some(Demand::SecureBoot)),
            ("lockdown=", false, Some(false), Some(Confidentiality), vanilla, Some(Demand::Lockdown)),
            ("Secure Boot changes nothing by itself", true, Some(false), Some(Off), vanilla, None),
            ("securityfs is not mounted", true, Some(false), None, debian, Some(Demand::SecureBoot)),
            ("nor known of this kernel", true, Some(false), None, vanilla, None),
            ("no signatures in this kernel", true, None, Some(Integrity), vanilla, None),
            ("the next kernel", true, Some(false), Some(Integrity), next, Some(Demand::SecureBoot)),
            ("the next kernel, free", false, Some(false), Some(Off), next, None),
            ("the next kernel, forced", false, Some(false), Some(Off), forced, Some(Demand::Configured)),
        ] {
            assert_eq!(demand(&machine(secure, enforced, lockdown), &kernel), expected, "{case}");
        }
        let mut unchecked = machine(true, Some(false), None);
        unchecked.firmware.as_mut().unwrap().unchecked = true;
        assert_eq!(demand(&unchecked, &debian), None, "shim checks nothing, and kernels follow it");
        assert_eq!(demand(&Machine::default(), &debian), None, "a container");
    }

    #[test]
    fn who_is_trusted() {
        let debian =
            Kernel { running: true, machine_keyring: true, platform_trusted: true, ..Kernel::default() };
        let arch = Kernel { platform_trusted: false, ..debian };
        let old = Kernel { machine_keyring: false, ..arch };
        let (here, absent): (Option<&[&str]>, Option<&[&str]>) = (Some(&["id"]), Some(&["other"]));
        let machine_key = Trust::Trusted(Keyring::Machine);
        let platform_key = Trust::Trusted(Keyring::Platform);
        for (case, places, secure, vouched, loaded, kernel, expected) in [
            ("nowhere", "", true, true, absent, debian, Trust::Untrusted(Untrusted::NotEnrolled)),
            ("not seen", "", true, true, None, debian, Trust::Untrusted(Untrusted::NotEnrolled)),
            ("the kernel's own", "", false, false, here, arch, Trust::Trusted(Keyring::Kernels)),
            ("waiting", "w", true, true, absent, debian, Trust::Untrusted(Untrusted::Waiting)),
            ("enrolled", "m", true, true, here, debian, machine_key),
            ("enrolled, mainline", "m", true, true, here, arch, machine_key),
            ("enrolled, keys not seen", "m", true, true, None, arch, machine_key),
            ("enrolled, waiting once more", "mw", true, true, None, arch, machine_key),
            ("shim doesn't vouch", "m", true, false, here, debian, platform_key),
            (
                "shim doesn't vouch, mainline",
                "m",
                true,
                false,
                here,
                arch,
                Trust::Untrusted(Untrusted::OnlyForBooting),
            ),
            ("no machine keyring", "m", true, true, here, old, Trust::Untrusted(Untrusted::OnlyForBooting)),
            ("in db", "d", true, false, here, debian, platform_key),
            ("in db, mainline", "d", true, false, here, arch, Trust::Untrusted(Untrusted::OnlyForBooting)),
            ("in both, mainline", "dm", true, true, here, arch, machine_key),
            (
                "a kind that the kernel doesn't know",
                "d",
                true,
                false,
                absent,
                debian,
                Trust::Untrusted(Untrusted::NotLoaded),
            ),
            ("the same of shim's", "m", true, true, absent, debian, Trust::Untrusted(Untrusted::NotLoaded)),
            (
                "Secure Boot is off",
                "m",
                false,
                true,
                absent,
                debian,
                Trust::Untrusted(Untrusted::NoSecureBoot),
            ),
            (
                "Secure Boot is off, not seen",
                "m",
                false,
                true,
                None,
                debian,
                Trust::Untrusted(Untrusted::NoSecureBoot),
            ),
            ("in db, Secure Boot is off", "d", false, false, here, debian, platform_key),
        ] {
            let list = |place: char| if places.contains(place) { vec![OURS.to_vec()] } else { Vec::new() };
            let firmware = Firmware {
                secure_boot: secure,
                moks_trusted: vouched,
                moks: list('m'),
                db: list('d'),
                waiting: list('w'),
                ..Firmware::default()
            };
            let loaded = loaded.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
            let machine = Machine { firmware: Some(firmware), loaded, ..Machine::default() };
            assert_eq!(trust(&machine, &kernel, OURS, Some("id")), expected, "{case}");
        }
        // What this kernel has loaded says nothing about the next one.
        let next = Kernel { running: false, ..debian };
        let machine = Machine { loaded: Some(["id".to_owned()].into()), ..Machine::default() };
        assert_eq!(trust(&machine, &next, OURS, Some("id")), Trust::Untrusted(Untrusted::NotEnrolled));
    }
}
