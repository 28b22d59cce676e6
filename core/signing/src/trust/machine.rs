//! What a machine demands of modules and whom it trusts: the facts, gathered from sysfs, efivarfs and procfs.
//! Changes nothing; decides nothing.

use std::collections::BTreeSet;
use std::path::Path;

use dkms_base::host::efi;
use dkms_base::host::fs::{self, FsError};
use dkms_base::layout::Layout;

use super::kernel_keys;
use super::signature_list::certificates;

/// Vendors of EFI variables: the specification, its security databases, shim.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const SECURITY: &str = "d719b2cb-3d3a-4596-a3bc-dad00e67656f";
const SHIM: &str = "605dab50-e046-4300-abb6-3dd810dd8b23";

/// What is known of it; empty where it didn't boot by EFI, or we can't see how (containers).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// How the firmware stands, where its variables are here.
    pub firmware: Option<Firmware>,
    /// The running kernel's `module.sig_enforce`; `None` where it doesn't check signatures at
    /// all, or we can't see.
    pub enforced: Option<bool>,
    /// The running kernel's lockdown; `None` where we can't see.
    pub lockdown: Option<Lockdown>,
    /// Ids of the certificates that the running kernel has loaded; `None` where we can't see.
    pub loaded: Option<BTreeSet<String>>,
}

/// The firmware and what runs before the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Firmware {
    /// `SecureBoot`.
    pub secure_boot: bool,
    /// `SetupMode`: there is no owner's key yet, every user may put one there.
    pub setup_mode: bool,
    /// shim is set to check nothing (`mokutil --disable-validation`): kernels then take
    /// Secure Boot for off.
    pub unchecked: bool,
    /// shim booted the system: only it enrols machine owner keys.
    pub shim: bool,
    /// shim says that its keys are to be trusted as the kernel's own are (`MokListTrustedRT`).
    pub moks_trusted: bool,
    /// The machine owner keys, as DER.
    pub moks: Vec<Vec<u8>>,
    /// The firmware's own keys (`db`), as DER.
    pub db: Vec<Vec<u8>>,
    /// Keys whose enrolment the next boot will ask for.
    pub waiting: Vec<Vec<u8>>,
}

/// lockdown(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lockdown {
    /// Off.
    Off,
    /// On: root may not change the kernel, and so not load what nobody trusted has signed.
    Integrity,
    /// Nor read its secrets.
    Confidentiality,
}

impl Lockdown {
    /// Reads `none [integrity] confidentiality`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let chosen = text.split_once('[')?.1.split_once(']')?.0;
        match chosen {
            "none" => Some(Self::Off),
            "integrity" => Some(Self::Integrity),
            "confidentiality" => Some(Self::Confidentiality),
            _ => None,
        }
    }

    /// As the kernel says it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "none",
            Self::Integrity => "integrity",
            Self::Confidentiality => "confidentiality",
        }
    }
}

impl Machine {
    /// Looks. What can't be read is not known: nobody should be kept from anything by it.
    #[must_use]
    pub fn look(layout: &Layout) -> Self {
        let text = |path: &str| fs::read_limited(&layout.at(path), 8 << 20).ok();
        let text = |path: &str| text(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let enforced = text("/sys/module/module/parameters/sig_enforce");
        let security = layout.at("/sys/kernel/security");
        let lockdown = match text("/sys/kernel/security/lockdown") {
            Some(text) => Lockdown::parse(&text),
            // A kernel without it, not a system where it isn't shown.
            None => fs::list(&security).is_ok_and(|entries| !entries.is_empty()).then_some(Lockdown::Off),
        };
        Self {
            firmware: Firmware::look(layout).ok().flatten(),
            enforced: enforced.map(|text| text.trim() == "Y"),
            lockdown,
            loaded: text("/proc/keys").and_then(|text| kernel_keys::loaded(&text)),
        }
    }

    /// Whether Secure Boot is on, as kernels see it.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.firmware.as_ref().is_some_and(|firmware| firmware.secure_boot && !firmware.unchecked)
    }
}

impl Firmware {
    /// `None` where there are no variables.
    fn look(layout: &Layout) -> Result<Option<Self>, FsError> {
        let folder = layout.at("/sys/firmware/efi/efivars");
        let value = |name: &str, vendor: &str| efi::variable(&folder, name, vendor);
        let is_one = |name: &str, vendor: &str| Ok(value(name, vendor)?.is_some_and(|value| value == [1]));
        if value("SecureBoot", GLOBAL)?.is_none() {
            return Ok(None);
        }
        let list = |value: Option<Vec<u8>>| -> Vec<Vec<u8>> {
            certificates(&value.unwrap_or_default()).into_iter().map(<[u8]>::to_owned).collect()
        };
        let moks = moks(&layout.at("/sys/firmware/efi/mok-variables"), &folder)?;
        let sbat = value("SbatLevelRT", SHIM)?;
        Ok(Some(Self {
            secure_boot: is_one("SecureBoot", GLOBAL)?,
            setup_mode: is_one("SetupMode", GLOBAL)?,
            unchecked: is_one("MokSBStateRT", SHIM)?,
            shim: moks.is_some() || sbat.is_some(),
            moks_trusted: value("MokListTrustedRT", SHIM)?.is_some(),
            moks: moks.map_or_else(Vec::new, |value| list(Some(value))),
            db: list(value("db", SECURITY)?),
            waiting: list(value("MokNew", SHIM)?),
        }))
    }
}

/// The value of `MokListRT`: from the table that newer kernels show whole (to root), or else from the
/// variables; a list that is too long for one goes on in `MokListRT1`, `MokListRT2`, ….
fn moks(table: &Path, variables: &Path) -> Result<Option<Vec<u8>>, FsError> {
    if let Ok(whole) = fs::read_limited(&table.join("MokListRT"), 8 << 20) {
        return Ok(Some(whole));
    }
    let Some(mut whole) = efi::variable(variables, "MokListRT", SHIM)? else { return Ok(None) };
    for number in 1..100 {
        match efi::variable(variables, &format!("MokListRT{number}"), SHIM)? {
            Some(more) => whole.extend(more),
            None => break,
        }
    }
    Ok(Some(whole))
}

#[cfg(test)]
mod tests {
    use super::super::signature_list::tests::x509;
    use super::*;

    struct World {
        _dir: tempfile::TempDir,
        layout: Layout,
    }

    impl World {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            Self { layout: Layout::under(dir.path()), _dir: dir }
        }

        fn write(&self, path: &str, bytes: &[u8]) {
            let path = self.layout.at(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, bytes, 0o644).unwrap();
        }

        fn variable(&self, name: &str, vendor: &str, value: &[u8]) {
            let path = format!("/sys/firmware/efi/efivars/{name}-{vendor}");
            self.write(&path, &[&[6, 0, 0, 0], value].concat());
        }

        fn firmware(&self) -> Firmware {
            Machine::look(&self.layout).firmware.unwrap()
        }
    }

    #[test]
    fn where_nothing_can_be_seen_nothing_is_known() {
        let world = World::new();
        assert_eq!(Machine::look(&world.layout), Machine::default());
        // A container: the folders are there, and empty.
        fs::create_dir_all(&world.layout.at("/sys/firmware/efi/efivars")).unwrap();
        fs::create_dir_all(&world.layout.at("/sys/kernel/security")).unwrap();
        assert_eq!(Machine::look(&world.layout), Machine::default());
        world.write("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", &[1]);
        assert_eq!(Machine::look(&world.layout), Machine::default(), "no whole variable");
    }

    #[test]
    fn variables_are_read_behind_their_attributes() {
        let world = World::new();
        world.variable("SecureBoot", GLOBAL, &[1]);
        world.variable("SetupMode", GLOBAL, &[0]);
        world.variable("db", SECURITY, &x509(&[0x30, 1, 1]));
        let firmware = world.firmware();
        let expected = Firmware { secure_boot: true, db: vec![vec![0x30, 1, 1]], ..Firmware::default() };
        assert_eq!(firmware, expected);
        world.variable("MokListRT", SHIM, &x509(&[0x30, 1, 2]));
        world.variable("MokListRT1", SHIM, &x509(&[0x30, 1, 3]));
        world.variable("MokListTrustedRT", SHIM, &[1]);
        world.variable("MokSBStateRT", SHIM, &[1]);
        world.variable("MokNew", SHIM, &x509(&[0x30, 1, 4]));
        let firmware = world.firmware();
        assert!(firmware.shim && firmware.moks_trusted && firmware.unchecked);
        assert_eq!(firmware.moks, [[0x30, 1, 2], [0x30, 1, 3]]);
        assert_eq!(firmware.waiting, [[0x30, 1, 4]]);
        assert!(!Machine::look(&world.layout).is_secure(), "kernels believe shim");
        // The table has no attributes, and is whole.
        world.write("/sys/firmware/efi/mok-variables/MokListRT", &x509(&[0x30, 1, 9]));
        assert_eq!(world.firmware().moks, [[0x30, 1, 9]]);
    }

    #[test]
    fn the_kernel_says_how_strict_it_is() {
        let world = World::new();
        world.write("/sys/module/module/parameters/sig_enforce", b"N\n");
        world.write("/sys/kernel/security/lsm", b"capability");
        let machine = Machine::look(&world.layout);
        assert_eq!((machine.enforced, machine.lockdown), (Some(false), Some(Lockdown::Off)));
        world.write("/sys/module/module/parameters/sig_enforce", b"Y\n");
        world.write("/sys/kernel/security/lockdown", b"none [integrity] confidentiality\n");
        let machine = Machine::look(&world.layout);
        assert_eq!((machine.enforced, machine.lockdown), (Some(true), Some(Lockdown::Integrity)));
        for level in [Lockdown::Off, Lockdown::Integrity, Lockdown::Confidentiality] {
            assert_eq!(Lockdown::parse(&format!("x [{}] y", level.word())), Some(level));
        }
        assert_eq!(Lockdown::parse("garbage"), None);
    }
}
