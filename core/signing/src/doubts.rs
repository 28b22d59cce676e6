//! What is wrong with keys, certificates and signing programs though modules may be built: for doctor. Runs
//! no program and makes nothing.

use dkms_base::host::process::quote;
use dkms_base::host::{Environment, fs};
use dkms_conf::Settings;
use dkms_kernel::{Distribution, KernelFacts};

use super::choose::{Making, Unsigned, fault, making, wanted};
use super::places::{self, Maker};
use super::{KeyPlaces, OwnSigner, PassphrasePlaces, SignError, chroot};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Doubt {
    /// What, with its path.
    pub what: String,
    /// What to do about it, where a sentence is needed.
    pub why: Option<String>,
    /// The command that fixes it.
    pub command: String,
    /// Whether modules may be signed anyway.
    pub is_hint: bool,
}

/// All that is wrong for a kernel.
#[must_use]
pub fn doubts(
    settings: &Settings,
    facts: &KernelFacts,
    distribution: &Distribution,
    environment: &Environment,
) -> Vec<Doubt> {
    let places = KeyPlaces::of(settings, facts, distribution, environment);
    let open = places.is_open().then(|| Doubt {
        what: format!("other users may read the signing key `{}`", places.key.display()),
        why: Some("who has it signs modules that this machine's kernels load".to_owned()),
        command: format!("chmod 600 {}", quote(&places.key.display().to_string())),
        is_hint: false,
    });
    open.into_iter().chain(of_signing(settings, facts, distribution, environment, &places)).collect()
}

fn of_signing(
    settings: &Settings,
    facts: &KernelFacts,
    distribution: &Distribution,
    environment: &Environment,
    places: &KeyPlaces,
) -> Vec<Doubt> {
    let edit = format!(
        "\"${{EDITOR:-vi}}\" {}",
        quote(&settings.layout.etc_dkms().join("framework.conf").display().to_string())
    );
    if let Some(doubt) = named_key_is_missing(settings, facts, distribution, environment, &edit) {
        return vec![doubt];
    }
    let is_there = KeyPlaces::is_named(settings) && (places.is_token() || fs::exists(&places.key));
    if wanted(settings, facts, || chroot::in_chroot(environment) && !is_there).is_err() {
        return Vec::new();
    }
    let mut doubts = Vec::new();
    let named = settings.sign_file.as_deref().filter(|named| !named.is_empty());
    let program = named.and_then(|_| places::programs(settings, facts, distribution).into_iter().next());
    if let Some(program) = program.as_ref().filter(|program| !fs::is_executable(program)) {
        let (shown, is_there) = (program.display(), fs::is_file(program));
        let (what, command) = if is_there {
            ("is not executable", format!("chmod +x {}", quote(&shown.to_string())))
        } else {
            ("is no file", edit.clone())
        };
        doubts.push(Doubt {
            what: format!("`{shown}`, which `sign_file` names, {what}"),
            why: Some("it signs nothing; dkms signs by itself where it can".to_owned()),
            command,
            is_hint: false,
        });
    }
    let mend = |error: &SignError| mend(error, settings, places, &edit);
    let of = |error: &SignError, is_hint| Doubt {
        what: format!("modules for {} stay unsigned: {error}", facts.target.kernel),
        why: error.hint(),
        command: mend(error),
        is_hint,
    };
    if let Some(error) = broken(places, facts, settings, environment) {
        // A program of the admin's may do without the passphrase, or ask for it.
        let is_hint = matches!(error, SignError::NoPassphrase { .. });
        doubts.push(of(&error, is_hint));
    } else if let Some(reason) = fault(settings, facts, distribution, environment) {
        let why = reason.hint();
        let command = match &reason {
            Unsigned::NoSecureBootPolicy { .. } => "apt-get install --reinstall shim-signed".to_owned(),
            _ => edit.clone(),
        };
        let what = format!("modules for {} stay unsigned: {reason}", facts.target.kernel);
        doubts.push(Doubt { what, why, command, is_hint: false });
    }
    doubts
}

/// A key that the settings name and that does not exist. Where keys are made, the next build makes one there,
/// and nobody knows that key yet; where none are, modules stay unsigned.
fn named_key_is_missing(
    settings: &Settings,
    facts: &KernelFacts,
    distribution: &Distribution,
    environment: &Environment,
    edit: &str,
) -> Option<Doubt> {
    let places = KeyPlaces::of(settings, facts, distribution, environment);
    let usual = settings.layout.at(dkms_conf::keys::OWN.0);
    let is_meant = KeyPlaces::is_named(settings) && !places.is_token() && places.key != usual;
    if !is_meant || fs::exists(&places.key) || wanted(settings, facts, || false).is_err() {
        return None;
    }
    let is_wanted_here = wanted(settings, facts, || chroot::in_chroot(environment)).is_ok();
    if is_wanted_here && fs::exists(&places.certificate) {
        // The pair is incomplete, which is another fault.
        return None;
    }
    let named =
        format!("the signing key `{}`, which `mok_signing_key` names, does not exist", places.key.display());
    Some(if is_wanted_here && matches!(making(settings, environment), Making::Allowed) {
        Doubt {
            what: named,
            why: Some("the next build makes a new key there, which has to be enrolled".to_owned()),
            command: edit.to_owned(),
            is_hint: true,
        }
    } else {
        Doubt {
            what: format!("modules for {} stay unsigned: {named}", facts.target.kernel),
            why: Some("no key is made in an image or a chroot".to_owned()),
            command: edit.to_owned(),
            is_hint: false,
        }
    })
}

/// What is certainly wrong with a pair that is there, or half of it.
fn broken(
    places: &KeyPlaces,
    facts: &KernelFacts,
    settings: &Settings,
    environment: &Environment,
) -> Option<SignError> {
    if places.is_token() {
        return None;
    }
    if let Some(half) = super::keys::is_half(&places.key, &places.certificate) {
        return Some(half);
    }
    for path in [&places.key, &places.certificate] {
        let meta = fs::stat(path).ok()??;
        if meta.len() == 0 || !meta.is_file() {
            let why = if meta.is_file() { "it is empty" } else { "it is no file" }.to_owned();
            let path = path.clone();
            return Some(if path == places.key {
                SignError::Key { key: path, why }
            } else {
                SignError::Certificate { certificate: path, why }
            });
        }
    }
    let passphrases = PassphrasePlaces::of(settings, &facts.target.kernel, environment);
    // The kernel's program may know other kinds of keys.
    OwnSigner::load(places, "sha256", &passphrases).err().filter(|error| !error.is_beyond_us())
}

/// The one command that helps.
fn mend(error: &SignError, settings: &Settings, places: &KeyPlaces, edit: &str) -> String {
    let is_named = settings.mok_signing_key.is_some() || settings.mok_certificate.is_some();
    let aside = |path: &std::path::Path| {
        let path = quote(&path.display().to_string());
        format!("mv {path} {path}.old")
    };
    match error {
        SignError::NoPassphrase { .. } | SignError::WrongPassphrase { .. } | SignError::Passphrase { .. } => {
            edit.to_owned()
        }
        _ if is_named || places.maker != Maker::Ourselves => edit.to_owned(),
        SignError::HalfPair { there, .. } => format!("{} && dkms generate_mok", aside(there)),
        _ => format!("{} && {} && dkms generate_mok", aside(&places.key), aside(&places.certificate)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate;
    use dkms_base::id::Target;
    use dkms_base::layout::Layout;
    use dkms_kernel::Overrides;

    fn told(settings: &Settings) -> Vec<Doubt> {
        let target = Target::parse("6.1.0-56-amd64", "x86_64").unwrap();
        let config = settings.layout.at("/lib/modules/6.1.0-56-amd64/build/.config");
        fs::create_dir_all(config.parent().unwrap()).unwrap();
        fs::write_whole(&config, b"CONFIG_MODULE_SIG_HASH=\"sha512\"\n", 0o644).unwrap();
        let facts = KernelFacts::look(&target, &settings.layout, &Overrides::default()).unwrap();
        let environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
        doubts(settings, &facts, &Distribution::parse("ID=debian"), &environment)
    }

    #[test]
    fn each_fault_of_keys_and_programs_has_its_command() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::defaults(Layout::under(dir.path()));
        settings.try_sign_modules = dkms_conf::settings::TrySign::Always;
        assert_eq!(told(&settings), [], "it will be made");
        let (key, certificate) =
            (settings.layout.at("/var/lib/dkms/mok.key"), settings.layout.at("/var/lib/dkms/mok.pub"));
        fs::create_dir_all(key.parent().unwrap()).unwrap();
        let (pair, other) = (certificate::make(0).unwrap(), certificate::make(0).unwrap());
        let put = |key_text: &str, certificate_bytes: &[u8]| {
            fs::write_whole(&key, key_text.as_bytes(), 0o600).unwrap();
            fs::write_whole(&certificate, certificate_bytes, 0o644).unwrap();
        };
        put(&pair.key, &pair.certificate);
        assert_eq!(told(&settings), []);
        for (key_text, certificate_bytes, what) in [
            ("", &pair.certificate[..], "it is empty"),
            (&pair.key, &b""[..], "it is empty"),
            (&pair.key, &other.certificate, "is not that of the certificate"),
        ] {
            put(key_text, certificate_bytes);
            let [doubt] = &told(&settings)[..] else { panic!("{what}") };
            assert!(doubt.what.contains(what) && doubt.what.contains("mok."), "{doubt:?}");
            assert!(
                doubt.command.contains("mok.key.old") && doubt.command.contains("generate_mok"),
                "{doubt:?}"
            );
        }
        put(&pair.key, &pair.certificate);
        let program = settings.layout.at("/opt/sign");
        settings.sign_file = Some("/opt/sign".to_owned());
        assert!(told(&settings)[0].what.contains("is no file"), "{:?}", told(&settings));
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write_whole(&program, b"#!/bin/sh\n", 0o644).unwrap();
        let [doubt] = &told(&settings)[..] else { panic!() };
        assert!(doubt.what.contains("not executable") && doubt.command.starts_with("chmod +x "), "{doubt:?}");
        fs::set_mode(&program, 0o755).unwrap();
        assert_eq!(told(&settings), []);
        settings.try_sign_modules = dkms_conf::settings::TrySign::Never;
        put("", b"");
        assert_eq!(told(&settings), []);
    }

    #[test]
    fn a_key_that_is_named_and_does_not_exist_is_told_in_images_too() {
        use dkms_conf::settings::TrySign;
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::defaults(Layout::under(dir.path()));
        settings.mok_signing_key = Some("/etc/keys/dkms.key".to_owned());
        settings.try_sign_modules = TrySign::Always;
        let [doubt] = &told(&settings)[..] else { panic!("{:?}", told(&settings)) };
        assert!(doubt.is_hint && doubt.what.contains("/etc/keys/dkms.key"), "it will be made: {doubt:?}");
        settings.try_sign_modules = TrySign::NotInChroot;
        fs::write_whole(&settings.layout.at("/.dockerenv"), b"", 0o644).unwrap();
        let [doubt] = &told(&settings)[..] else { panic!("{:?}", told(&settings)) };
        assert!(!doubt.is_hint && doubt.what.contains("stay unsigned"), "{doubt:?}");
        settings.try_sign_modules = TrySign::Never;
        assert_eq!(told(&settings), []);
        settings.try_sign_modules = TrySign::Always;
        settings.mok_signing_key = Some(dkms_conf::keys::OWN.0.to_owned());
        assert_eq!(told(&settings), [], "the usual place");
    }
}
