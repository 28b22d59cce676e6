//! Why a kernel would refuse a module, and what to do about it. Pure.

use std::fmt;
use std::path::PathBuf;

use crate::Signature;
use dkms_base::host::process::quote;

use super::{Certificate, Demand, Kernel, Machine, Trust, Untrusted, demand, trust};

/// How a module is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signed {
    /// It is not.
    Not,
    /// With the key that modules are signed with now.
    Now,
    /// With another one.
    Otherwise,
}

impl Signed {
    /// Of a module with this signature; `certificate` is that of the key that modules are signed with.
    #[must_use]
    pub fn of(signature: Option<&Signature>, certificate: Option<&Certificate>) -> Self {
        let Some(signature) = signature else { return Self::Not };
        match certificate {
            // Of a kind of key that only the kernel's program knows: it was made with it.
            Some(Certificate { signer: None, .. }) => Self::Now,
            Some(Certificate { signer: Some(signer), .. }) if signature.verify(signer).is_ok() => Self::Now,
            _ => Self::Otherwise,
        }
    }
}

/// That a kernel would refuse a module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rejection {
    /// Why it is so strict.
    pub demand: Demand,
    /// What it doesn't like.
    pub fault: Fault,
    /// The certificate that modules are signed with.
    pub certificate: Option<PathBuf>,
    /// How the machine comes to trust it.
    pub way: Way,
}

/// How a machine comes to trust a key for its kernels' modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// `mokutil` has shim enrol it.
    Mokutil,
    /// shim didn't boot this system: the owner of the firmware's `db` adds it there.
    Firmware,
    /// It is built into the kernel: enrolled keys count under Secure Boot only.
    Kernel,
}

/// What a kernel doesn't like about a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It isn't signed.
    Unsigned,
    /// It is signed with another key than modules are signed with now, and than any that the machine trusts.
    OtherKey,
    /// Its key isn't trusted.
    Key(Untrusted),
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificate =
            self.certificate.as_ref().map_or_else(String::new, |path| path.display().to_string());
        match self.fault {
            Fault::Unsigned => f.write_str("it is not signed"),
            Fault::OtherKey => f.write_str("it is signed with a key that is not trusted"),
            Fault::Key(why) => {
                write!(f, "it is signed with the key of `{certificate}`, which ")?;
                f.write_str(match why {
                    Untrusted::NotEnrolled if self.way == Way::Kernel => "it does not have",
                    Untrusted::NotEnrolled => "is not enrolled",
                    Untrusted::Waiting => "waits for its enrolment to be confirmed at the next boot",
                    Untrusted::NoSecureBoot => "is enrolled, but counts only while Secure Boot is on",
                    Untrusted::NotLoaded => "is enrolled, but is of a kind that this kernel does not know",
                    Untrusted::OnlyForBooting => "is enrolled for starting systems only",
                })
            }
        }
    }
}

impl Rejection {
    /// What to do about it, where that is plain: a phrase that begins with a verb.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        let path = quote(&self.certificate.as_ref()?.display().to_string());
        match (self.fault, self.way) {
            (Fault::Key(Untrusted::Waiting), _) => Some("reboot, and confirm it there".to_owned()),
            (Fault::Key(Untrusted::NotEnrolled), Way::Mokutil) => {
                Some(format!("enrol it with `mokutil --import {path}`, and reboot"))
            }
            (Fault::Key(Untrusted::NotEnrolled), Way::Firmware) => {
                Some("add it to the firmware's `db` (without shim `mokutil` cannot enrol it)".to_owned())
            }
            (Fault::Key(Untrusted::NotEnrolled), Way::Kernel) => {
                Some("this kernel trusts only keys that were built into it".to_owned())
            }
            (Fault::Key(Untrusted::OnlyForBooting), Way::Mokutil) => {
                Some(format!("enrol it with `mokutil --import {path} && mokutil --trust-mok`, and reboot"))
            }
            (Fault::OtherKey, _) => Some("build it again with `--force`".to_owned()),
            _ => None,
        }
    }
}

/// Whether a kernel would refuse a module with this signature, and why; `certificate` is that of the key that
/// modules are signed with, and where it is.
#[must_use]
pub fn rejection(
    machine: &Machine,
    kernel: &Kernel,
    signature: Option<&Signature>,
    certificate: Option<(&Certificate, PathBuf)>,
) -> Option<Rejection> {
    let demand = demand(machine, kernel)?;
    let trusted =
        |certificate: &Certificate| trust(machine, kernel, &certificate.der, certificate.id.as_deref());
    let firmware = machine.firmware.as_ref();
    let fault = match (Signed::of(signature, certificate.as_ref().map(|(one, _)| *one)), &certificate) {
        (Signed::Not, _) => Fault::Unsigned,
        (Signed::Now, Some((certificate, _))) => match trusted(certificate) {
            Trust::Trusted(_) => return None,
            Trust::Untrusted(why) => Fault::Key(why),
        },
        (Signed::Now | Signed::Otherwise, _) => {
            let enrolled = firmware.into_iter().flat_map(|firmware| firmware.moks.iter().chain(&firmware.db));
            let is_trusted = |der: &Vec<u8>| {
                let one = Certificate::of_der(der);
                one.signer.is_some()
                    && Signed::of(signature, Some(&one)) == Signed::Now
                    && matches!(trusted(&one), Trust::Trusted(_))
            };
            if enrolled.into_iter().any(is_trusted) {
                return None;
            }
            Fault::OtherKey
        }
    };
    let way = match firmware {
        Some(firmware) if machine.is_secure() && firmware.shim => Way::Mokutil,
        Some(_) if machine.is_secure() => Way::Firmware,
        _ => Way::Kernel,
    };
    Some(Rejection { demand, fault, certificate: certificate.map(|(_, path)| path), way })
}

#[cfg(test)]
mod tests {
    use super::super::{Firmware, Lockdown};
    use super::*;
    use crate::places::Maker;
    use crate::{KeyPlaces, OwnSigner, PassphrasePlaces, Signer, certificate};
    use dkms_base::host::{clock, fs};

    /// A certificate, and a module that its key has signed.
    fn signed() -> (Certificate, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let pair = certificate::make(clock::unix_seconds()).unwrap();
        let places = KeyPlaces {
            key: dir.path().join("key"),
            certificate: dir.path().join("der"),
            maker: Maker::Ourselves,
        };
        let module = dir.path().join("m.ko");
        for (path, bytes) in [
            (&places.key, pair.key.as_bytes()),
            (&places.certificate, &pair.certificate),
            (&module, b"module"),
        ] {
            fs::write_whole(path, bytes, 0o600).unwrap();
        }
        OwnSigner::load(&places, "sha256", &PassphrasePlaces::default()).unwrap().sign(&module, &[]).unwrap();
        (Certificate::of_der(&pair.certificate), fs::read(&module).unwrap())
    }

    const DEBIAN: Kernel = Kernel {
        running: true,
        forced: false,
        locked_down_under_secure_boot: true,
        machine_keyring: true,
        platform_trusted: true,
    };

    /// Under Secure Boot, or with `module.sig_enforce` without it.
    fn machine(firmware: Firmware) -> Machine {
        let enforced = Some(!firmware.secure_boot);
        let lockdown = Some(if firmware.secure_boot { Lockdown::Integrity } else { Lockdown::Off });
        Machine { firmware: Some(firmware), enforced, lockdown, loaded: None }
    }

    fn said(machine: &Machine, kernel: &Kernel, module: &[u8], certificate: &Certificate) -> String {
        match rejection(
            machine,
            kernel,
            Signature::of_bytes(module).as_ref(),
            Some((certificate, "/k/mok.pub".into())),
        ) {
            None => "it loads".to_owned(),
            Some(found) => format!("{}: {found}; {}", found.demand, found.remedy().unwrap_or_default()),
        }
    }

    #[test]
    fn what_is_wrong_and_what_helps() {
        let (ours, module) = signed();
        let (_, others) = signed();
        let secure = Firmware { secure_boot: true, ..Firmware::default() };
        let shim = Firmware { shim: true, moks_trusted: true, ..secure.clone() };
        let list = || vec![ours.der.clone()];
        let mainline = Kernel { platform_trusted: false, ..DEBIAN };
        let key = "it is signed with the key of `/k/mok.pub`, which";
        for (firmware, kernel, module, expected) in [
            (shim.clone(), DEBIAN, &b"module"[..], "Secure Boot is on: it is not signed; ".to_owned()),
            (
                shim.clone(),
                DEBIAN,
                &others,
                "Secure Boot is on: it is signed with a key that is not trusted; build it again with `--force`"
                    .to_owned(),
            ),
            (
                shim.clone(),
                DEBIAN,
                &module,
                format!(
                    "Secure Boot is on: {key} is not enrolled; enrol it with `mokutil --import /k/mok.pub`, and reboot"
                ),
            ),
            (
                Firmware { waiting: list(), ..shim.clone() },
                DEBIAN,
                &module,
                format!(
                    "Secure Boot is on: {key} waits for its enrolment to be confirmed at the next boot; \
                     reboot, and confirm it there"
                ),
            ),
            (Firmware { moks: list(), ..shim.clone() }, DEBIAN, &module, "it loads".to_owned()),
            (Firmware { db: list(), ..secure.clone() }, DEBIAN, &module, "it loads".to_owned()),
            (
                Firmware { db: list(), ..shim },
                mainline,
                &module,
                format!(
                    "Secure Boot is on: {key} is enrolled for starting systems only; \
                     enrol it with `mokutil --import /k/mok.pub && mokutil --trust-mok`, and reboot"
                ),
            ),
            (
                secure,
                DEBIAN,
                &module,
                format!(
                    "Secure Boot is on: {key} is not enrolled; \
                     add it to the firmware's `db` (without shim `mokutil` cannot enrol it)"
                ),
            ),
            (
                Firmware::default(),
                DEBIAN,
                &module,
                format!(
                    "`module.sig_enforce` is set: {key} it does not have; \
                     this kernel trusts only keys that were built into it"
                ),
            ),
        ] {
            assert_eq!(said(&machine(firmware), &kernel, module, &ours), expected);
        }
        let free = Machine { enforced: Some(false), lockdown: Some(Lockdown::Off), ..Machine::default() };
        assert_eq!(said(&free, &DEBIAN, b"module", &ours), "it loads");
        assert_eq!(said(&Machine::default(), &DEBIAN, b"module", &ours), "it loads");
    }

    #[test]
    fn a_module_that_another_enrolled_key_has_signed_loads() {
        let ((ours, _), (other, module)) = (signed(), signed());
        let firmware = Firmware {
            secure_boot: true,
            shim: true,
            moks_trusted: true,
            moks: vec![b"junk".to_vec(), other.der],
            ..Firmware::default()
        };
        assert_eq!(said(&machine(firmware), &DEBIAN, &module, &ours), "it loads");
    }
}
