//! Who signs for a kernel, with which key: what the kernel's configuration, framework.conf and the distribution say.

use std::path::{Path, PathBuf};

use super::chroot::in_chroot;
use super::key::{Pair, ensure_pair};
use super::program::SignFile;
use super::{SignError, Signer};
use crate::conf::Settings;
use crate::conf::settings::TrySign;
use crate::host::process::{Process, ProcessError};
use crate::host::{Environment, fs};
use crate::kernel::distribution::assigned;
use crate::kernel::{Distribution, Family, KernelFacts};
use crate::layout::Layout;

/// Whether modules of a kernel are signed.
#[derive(Debug)]
pub enum Signing {
    /// By this signer.
    By(Box<dyn Signer>),
    /// They aren't, and nobody expects it.
    NotWanted,
    /// They should be and can't; why, and what would help.
    Impossible {
        /// Half a sentence.
        reason: String,
        /// What to do about it.
        hint: String,
    },
}

/// Where key and certificate are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// A file, or a `pkcs11:` URI.
    pub key: String,
    /// The certificate.
    pub certificate: PathBuf,
}

/// Chooses a signer; makes the key pair on first use.
///
/// # Errors
/// [`SignError`] where the key pair is half there, or can't be made.
pub fn choose(
    settings: &Settings,
    kernel: &KernelFacts,
    distribution: &Distribution,
    environment: &Environment,
) -> Result<Signing, SignError> {
    let Some(hash) = kernel.config.get("CONFIG_MODULE_SIG_HASH").filter(|hash| !hash.is_empty()) else {
        return Ok(Signing::NotWanted);
    };
    let wanted = match settings.try_sign_modules {
        TrySign::Always => true,
        TrySign::Never => false,
        TrySign::NotInChroot => !in_chroot(environment),
    };
    if !wanted {
        return Ok(Signing::NotWanted);
    }
    let program = match find_program(settings, kernel, distribution) {
        Ok(program) => program,
        Err(tried) => {
            return Ok(Signing::Impossible {
                reason: format!("there is no program to sign with (looked for {tried})"),
                hint: "install the headers of the kernel whole, or name the program in `sign_file` of \
                       `/etc/dkms/framework.conf`"
                    .to_owned(),
            });
        }
    };
    let pair = key_pair(settings, kernel, distribution, environment);
    provide(&pair, distribution, environment)?;
    Ok(Signing::By(Box::new(SignFile {
        program,
        hash: hash.to_owned(),
        key: pair.key,
        certificate: pair.certificate,
        environment: environment.clone(),
    })))
}

/// Sees to it that the pair exists.
///
/// # Errors
/// As [`choose`].
pub fn provide(
    pair: &KeyPair,
    distribution: &Distribution,
    environment: &Environment,
) -> Result<Pair, SignError> {
    if pair.key.starts_with("pkcs11:") {
        // The key is in a token; only its certificate is ours to have.
        return match fs::exists(&pair.certificate) {
            true => Ok(Pair::Kept),
            false => Err(SignError::HalfAPair {
                there: pair.key.clone().into(),
                missing: pair.certificate.clone(),
            }),
        };
    }
    let key = Path::new(&pair.key);
    if distribution.family == Family::Ubuntu && !fs::exists(key) && !fs::exists(&pair.certificate) {
        make_ubuntus(environment)?;
    }
    ensure_pair(key, &pair.certificate)
}

/// Ubuntu's own program makes the pair that shim's tools there know; where it isn't installed, we do.
fn make_ubuntus(environment: &Environment) -> Result<(), SignError> {
    let program = "update-secureboot-policy";
    match Process::new(program, ["--new-key"], environment).capture() {
        Ok(_) | Err(ProcessError::Start { .. }) => Ok(()),
        Err(interrupted) => Err(interrupted.into()),
    }
}

/// Which key and certificate are meant.
#[must_use]
pub fn key_pair(
    settings: &Settings,
    kernel: &KernelFacts,
    distribution: &Distribution,
    environment: &Environment,
) -> KeyPair {
    let layout = &settings.layout;
    let (key, certificate) = match distribution.family {
        Family::Ubuntu => {
            (layout.at("/var/lib/shim-signed/mok/MOK.priv"), layout.at("/var/lib/shim-signed/mok/MOK.der"))
        }
        Family::Gentoo => gentoos(layout, kernel, environment),
        _ => (layout.at("/var/lib/dkms/mok.key"), layout.at("/var/lib/dkms/mok.pub")),
    };
    let set = |setting: &Option<String>| {
        setting
            .as_deref()
            .filter(|text| !text.is_empty())
            .map(|text| Settings::for_kernel(text, &kernel.target.kernel))
    };
    KeyPair {
        key: set(&settings.mok_signing_key).unwrap_or_else(|| key.to_string_lossy().into_owned()),
        certificate: set(&settings.mok_certificate).map_or(certificate, PathBuf::from),
    }
}

/// Portage's `MODULES_SIGN_KEY` and `MODULES_SIGN_CERT` (make.conf(5)); else the key that the kernel was built with.
fn gentoos(layout: &Layout, kernel: &KernelFacts, environment: &Environment) -> (PathBuf, PathBuf) {
    let make_conf = fs::read_lossy(&layout.at("/etc/portage/make.conf")).unwrap_or_default();
    let named = |name: &str| {
        let given = environment.get_filled(name).map(str::to_owned);
        given.or_else(|| assigned(&make_conf, name)).filter(|text| !text.is_empty()).map(PathBuf::from)
    };
    let key = named("MODULES_SIGN_KEY");
    let certificate = named("MODULES_SIGN_CERT").or_else(|| key.clone());
    (
        key.unwrap_or_else(|| kernel.headers.join("certs/signing_key.pem")),
        certificate.unwrap_or_else(|| kernel.headers.join("certs/signing_key.x509")),
    )
}

/// The program that signs: the admin's, the distribution's, the kernel's. `Err`: what was looked for.
fn find_program(
    settings: &Settings,
    kernel: &KernelFacts,
    distribution: &Distribution,
) -> Result<PathBuf, String> {
    let layout = &settings.layout;
    let release = &kernel.target.kernel;
    let candidates = match settings.sign_file.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => vec![PathBuf::from(Settings::for_kernel(text, release))],
        None => {
            let mut places = match distribution.family {
                Family::Ubuntu => vec![layout.at("/usr/bin/kmodsign")],
                Family::Debian => vec![
                    layout
                        .at(&format!("/usr/lib/linux-kbuild-{}/scripts/sign-file", series(release.as_str()))),
                ],
                _ => Vec::new(),
            };
            places.push(kernel.headers.join("scripts/sign-file"));
            places
        }
    };
    match candidates.iter().find(|path| fs::is_executable(path)) {
        Some(path) => Ok(path.clone()),
        None => {
            Err(candidates.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", "))
        }
    }
}

/// The `X.Y` of a release.
fn series(release: &str) -> &str {
    let mut dots = release.char_indices().filter(|(_, c)| !c.is_ascii_digit()).map(|(place, _)| place);
    let end = dots.nth(1).unwrap_or(release.len());
    &release[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Target;
    use crate::kernel::{Compression, KernelConfig};

    fn facts(dir: &Path, hash: Option<&str>) -> KernelFacts {
        let options = hash.map(|hash| ("CONFIG_MODULE_SIG_HASH".to_owned(), hash.to_owned()));
        KernelFacts {
            target: Target::parse("6.1.0-9-amd64", "x86_64").unwrap(),
            module_dir: dir.join("lib/modules/6.1.0-9-amd64"),
            module_dir_exists: true,
            headers: dir.join("headers"),
            headers_usable: true,
            config: KernelConfig { path: None, options: options.into_iter().collect() },
            compression: Compression::None,
            running: false,
        }
    }

    fn family(family: Family) -> Distribution {
        Distribution { id: "x".to_owned(), family }
    }

    fn settings(dir: &Path) -> Settings {
        let mut settings = Settings::defaults(Layout::under(dir));
        settings.try_sign_modules = TrySign::Always;
        settings
    }

    #[test]
    fn a_release_has_a_series() {
        assert_eq!(series("6.1.0-9-amd64"), "6.1");
        assert_eq!(series("6.12-rt"), "6.12");
        assert_eq!(series("7.2"), "7.2");
    }

    #[test]
    fn only_kernels_that_know_signatures_want_them() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        let choose = |hash, settings: &Settings| {
            choose(settings, &facts(dir.path(), hash), &family(Family::Debian), &Environment::default())
                .unwrap()
        };
        assert!(matches!(choose(None, &settings), Signing::NotWanted));
        let never = Settings { try_sign_modules: TrySign::Never, ..settings.clone() };
        assert!(matches!(choose(Some("sha256"), &never), Signing::NotWanted));
        let Signing::Impossible { reason, .. } = choose(Some("sha256"), &settings) else {
            panic!("a signer")
        };
        assert!(reason.contains("linux-kbuild-6.1/scripts/sign-file"), "{reason}");
        assert!(!fs::exists(&dir.path().join("var/lib/dkms/mok.key")), "no key is made for nobody");
    }

    #[test]
    fn a_signer_comes_with_its_key_pair() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("headers/scripts/sign-file");
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write_whole(&program, b"", 0o755).unwrap();
        let kernel = facts(dir.path(), Some("sha512"));
        let signing =
            choose(&settings(dir.path()), &kernel, &family(Family::Debian), &Environment::default()).unwrap();
        let Signing::By(signer) = signing else { panic!("{signing:?}") };
        assert!(signer.describe().contains("sha512"), "{}", signer.describe());
        assert!(fs::exists(&dir.path().join("var/lib/dkms/mok.key")));
    }

    #[test]
    fn key_and_certificate_are_those_of_settings_and_distribution() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = facts(dir.path(), None);
        let mut settings = settings(dir.path());
        let none = Environment::default();
        let pair = |settings: &Settings, distribution, environment: &Environment| {
            key_pair(settings, &kernel, &family(distribution), environment)
        };
        assert!(pair(&settings, Family::Ubuntu, &none).key.ends_with("shim-signed/mok/MOK.priv"));
        let gentoo: Environment = [("MODULES_SIGN_KEY", "/k.pem")].into_iter().collect();
        assert_eq!(pair(&settings, Family::Gentoo, &gentoo).certificate, Path::new("/k.pem"));
        assert!(pair(&settings, Family::Gentoo, &none).certificate.ends_with("certs/signing_key.x509"));
        settings.mok_signing_key = Some("/keys/$kernelver.key".to_owned());
        assert_eq!(pair(&settings, Family::Ubuntu, &none).key, "/keys/6.1.0-9-amd64.key");
    }
}
