//! A signing key that the caller opened, outside of the root that the command works in: it is read before
//! that root is entered, is only in memory, and no path of the root leads to it.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use dkms_base::host::{Environment, fs, secrecy};
use dkms_conf::Settings;
use dkms_kernel::KernelFacts;

use super::certificate::fingerprint_of_certificate;
use super::choose::{Signing, Unsigned, wanted};
use super::own::{FILE_LIMIT, OwnSigner};
use super::places::Maker;
use super::{KeyPlaces, PassphrasePlaces, SignError, Signature, Signer, SigningCertificate, der_of};

/// The names of the key and of its certificate in a folder of secrets.
const NAMES: (&str, &str) = ("mok.key", "mok.pub");
/// Where container builds mount secrets.
const SECRETS: &str = "/run/secrets";
/// Where systemd has the credentials of a service.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// A key and its certificate, read.
#[derive(Clone)]
pub struct GivenKey {
    places: KeyPlaces,
    key: Zeroizing<Vec<u8>>,
    certificate: Vec<u8>,
}

impl std::fmt::Debug for GivenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GivenKey").field("places", &self.places).finish_non_exhaustive()
    }
}

impl GivenKey {
    /// Reads a key; its certificate is `certificate`, else the key's path with the suffix `.pub`, else one
    /// that the key's own file holds.
    ///
    /// # Errors
    /// [`SignError`] if one of the two can't be read.
    pub fn read(key: &Path, certificate: Option<&Path>) -> Result<Self, SignError> {
        secrecy::begin();
        let bytes = Zeroizing::new(fs::read_limited(key, FILE_LIMIT)?);
        let beside = certificate.map_or_else(|| key.with_extension("pub"), Path::to_path_buf);
        let (place, certificate) = match fs::read_limited(&beside, FILE_LIMIT) {
            Ok(read) => (beside, read),
            Err(error) if certificate.is_none() && error.is_not_found() => match der_of(&bytes) {
                Ok(der) => (key.to_owned(), der),
                Err(_) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        };
        let places = KeyPlaces { key: key.to_owned(), certificate: place, maker: Maker::Nobody };
        Ok(Self { places, key: bytes, certificate })
    }

    /// The key of the first of the usual places that has one: the credential `mok.key` of a service, then
    /// `/run/secrets/mok.key` of a container build, each with its certificate `mok.pub` beside it.
    ///
    /// # Errors
    /// [`SignError`] if there is one that can't be read.
    pub fn of_caller(environment: &Environment) -> Result<Option<Self>, SignError> {
        let credentials = environment.get_filled(CREDENTIALS).map(PathBuf::from);
        for folder in credentials.into_iter().chain([PathBuf::from(SECRETS)]) {
            let key = folder.join(NAMES.0);
            // A credential of that name may hold the passphrase of another key.
            if fs::is_file(&key) && is_private_key(&fs::read_limited(&key, FILE_LIMIT)?) {
                return Self::read(&key, Some(&folder.join(NAMES.1))).map(Some);
            }
        }
        Ok(None)
    }

    /// Where the caller has it.
    #[must_use]
    pub fn places(&self) -> &KeyPlaces {
        &self.places
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The fingerprint of its certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Option<String> {
        fingerprint_of_certificate(&der_of(&self.certificate).ok()?)
    }

    /// What signs with it, by a digest of the kernel's name.
    ///
    /// # Errors
    /// [`SignError`] if it can't be opened, or is not the key of its certificate.
    pub fn signer(&self, hash: &str, passphrases: &PassphrasePlaces) -> Result<OwnSigner, SignError> {
        OwnSigner::of_bytes(&self.places, &self.key, &self.certificate, hash, passphrases)
    }

    /// Decides for a kernel: what signs its modules, or why nothing does.
    #[must_use]
    pub fn signing(&self, settings: &Settings, facts: &KernelFacts, environment: &Environment) -> Signing {
        let passphrases = PassphrasePlaces::of(settings, &facts.target.kernel, environment);
        let signer = || -> Result<Box<dyn Signer>, Unsigned> {
            let own = self.signer(wanted(settings, facts, || false)?, &passphrases)?;
            Ok(Box::new(own.for_kernel(&facts.target.kernel, &facts.config)))
        };
        signer().map_or_else(Signing::Unsigned, Signing::Signer)
    }
}

/// The fingerprint of a certificate, if it is that of the key which signed a module file.
#[must_use]
pub fn fingerprint_of_signer(module: &Path, certificate: &[u8]) -> Option<String> {
    let signature = Signature::of_file(module).ok()??;
    signature.verify(&SigningCertificate::parse(certificate).ok()?).ok()?;
    fingerprint_of_certificate(&der_of(certificate).ok()?)
}

/// Whether a text has a private key in PEM.
fn is_private_key(bytes: &[u8]) -> bool {
    let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    super::pem::blocks(&text).any(|(label, _)| label.ends_with("PRIVATE KEY"))
}

#[cfg(test)]
mod tests {
    use super::super::certificate;
    use super::*;

    fn pair(dir: &Path) -> PathBuf {
        let pair = certificate::make(0).unwrap();
        fs::write_whole(&dir.join("mok.key"), pair.key.as_bytes(), 0o600).unwrap();
        fs::write_whole(&dir.join("mok.pub"), &pair.certificate, 0o644).unwrap();
        dir.join("mok.key")
    }

    #[test]
    fn the_certificate_lies_beside_the_key_or_is_named_or_in_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let key = pair(dir.path());
        let given = GivenKey::read(&key, None).unwrap();
        given.signer("sha256", &PassphrasePlaces::default()).unwrap();
        assert_eq!(given.places().certificate, dir.path().join("mok.pub"));
        let other = dir.path().join("other.der");
        fs::rename(&dir.path().join("mok.pub"), &other).unwrap();
        assert!(GivenKey::read(&key, None).is_err());
        let named = GivenKey::read(&key, Some(&other)).unwrap();
        assert_eq!(named.fingerprint(), given.fingerprint());
        assert_eq!(given.fingerprint().unwrap().len(), 16);
        assert!(!format!("{named:?}").contains("BEGIN"));
    }

    #[test]
    fn another_certificate_is_refused_before_anything_is_signed() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (key, _) = (pair(dir.path()), pair(other.path()));
        let given = GivenKey::read(&key, Some(&other.path().join("mok.pub"))).unwrap();
        let error = given.signer("sha256", &PassphrasePlaces::default()).unwrap_err();
        assert!(matches!(error, SignError::OtherCertificate { .. }), "{error}");
    }

    #[test]
    fn a_credential_is_a_key_only_where_it_holds_one() {
        let dir = tempfile::tempdir().unwrap();
        let environment: Environment =
            [("CREDENTIALS_DIRECTORY", dir.path().to_str().unwrap())].into_iter().collect();
        fs::write_whole(&dir.path().join("mok.key"), b"a passphrase\n", 0o600).unwrap();
        assert!(GivenKey::of_caller(&environment).unwrap().is_none());
        pair(dir.path());
        let found = GivenKey::of_caller(&environment).unwrap().unwrap();
        assert_eq!(found.places().key, dir.path().join("mok.key"));
    }
}
