//! Who signs if a signature is asked for: a key that is named, or else that of the settings. Nothing
//! is made, and what can't be done is an error.

use std::path::{Path, PathBuf};

use dkms_base::host::{Environment, fs};
use dkms_conf::Settings;
use dkms_kernel::{Distribution, KernelFacts};

use super::places::{self, Maker};
use super::skipped::Skipped;
use super::{
    KernelSignFile, KeyPlaces, OwnSigner, PassphrasePlaces, SignError, Signer, SigningCertificate, passphrase,
};

/// The digest where nothing says which one the kernel uses: every kernel that verifies has it.
const HASH: &str = "sha256";

/// What a command line names.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// A file, or a token's URI; `None`: as the settings say.
    pub key: Option<PathBuf>,
    /// The certificate; `None`: beside the key, or in its file.
    pub certificate: Option<PathBuf>,
}

/// Suffixes of certificates beside keys; the first is ours.
const SUFFIXES: [&str; 6] = ["pub", "der", "x509", "crt", "cer", "pem"];

impl Asked {
    /// The key and its certificate; the certificate is `None` where a key is named that has none.
    #[must_use]
    pub fn places(
        &self,
        settings: &Settings,
        facts: &KernelFacts,
        distribution: &Distribution,
        environment: &Environment,
    ) -> (PathBuf, Option<PathBuf>) {
        let usual = || KeyPlaces::of(settings, facts, distribution, environment);
        let key = self.key.clone().or_else(|| passphrase::key_credential(environment));
        let Some(key) = key else {
            let KeyPlaces { key, certificate, .. } = usual();
            return (key, Some(self.certificate.clone().unwrap_or(certificate)));
        };
        let is_certificate = |path: &PathBuf| {
            fs::read_limited(path, super::own::FILE_LIMIT)
                .is_ok_and(|bytes| SigningCertificate::parse(&bytes).is_ok())
        };
        let beside = || {
            SUFFIXES.iter().map(|suffix| key.with_extension(suffix)).chain([key.clone()]).find(is_certificate)
        };
        let of_settings =
            || settings.mok_certificate.is_some().then(|| usual().certificate).filter(is_certificate);
        let certificate = self.certificate.clone().or_else(beside).or_else(of_settings);
        (key, certificate)
    }

    /// What signs modules of a kernel; `hash`: its digest, where nothing here says it.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn signer(
        &self,
        hash: Option<&str>,
        settings: &Settings,
        facts: &KernelFacts,
        distribution: &Distribution,
        environment: &Environment,
    ) -> Result<Box<dyn Signer>, SignError> {
        let (key, certificate) = self.places(settings, facts, distribution, environment);
        if !key.to_string_lossy().starts_with("pkcs11:") && !fs::exists(&key) {
            return Err(SignError::Key { key, why: "it does not exist".to_owned() });
        }
        let certificate = certificate.ok_or_else(|| SignError::NoCertificate { key: key.clone() })?;
        let places = KeyPlaces { key, certificate, maker: Maker::Nobody };
        let of_kernel = facts.config.get("CONFIG_MODULE_SIG_HASH").filter(|hash| !hash.is_empty());
        let hash = of_kernel.or(hash).unwrap_or(HASH);
        let passphrases = PassphrasePlaces::of(settings, &facts.target.kernel, environment);
        match OwnSigner::load(&places, hash, &passphrases) {
            Ok(own) => Ok(Box::new(own.for_kernel(&facts.target.kernel, &facts.config))),
            Err(error) if error.is_beyond_us() => {
                let tried = places::programs(settings, facts, distribution);
                let (Some(program), _) = Skipped::among(&tried) else { return Err(error) };
                let (hash, environment) = (hash.to_owned(), passphrases.for_program()?);
                Ok(Box::new(KernelSignFile { program, hash, places, environment }))
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether a name is that of a module file.
#[must_use]
pub fn is_module_name(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| dkms_kernel::modfile::ModuleFile::from_name(name).is_some())
}
