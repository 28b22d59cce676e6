//! Our own signer: it writes what the kernel's `sign-file` would, with RSA keys to the byte.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use dkms_base::host::fs::{self, FsError};
use dkms_base::host::secrecy;
use dkms_base::id::KernelRelease;
use dkms_kernel::KernelConfig;
use dkms_kernel::modfile::content::SIZE_LIMIT;
use dkms_kernel::modfile::signature::MAGIC;

use super::hash::ModuleHash;
use super::message::Message;
use super::passphrase::{self, PassphrasePlaces};
use super::private_key::{KeyFault, PrivateKey, Stored};
use super::public_key::PublicKey;
use super::signing_certificate::SigningCertificate;
use super::verify::{PKCS7, Signature, Unverified};
use super::{KeyPlaces, SignError, Signer};

/// Larger than any key or certificate.
pub(super) const FILE_LIMIT: u64 = 1 << 20;

/// Signs in memory with a key that was read from a file.
#[derive(Debug, Clone)]
pub struct OwnSigner {
    hash: ModuleHash,
    key: PrivateKey,
    certificate: SigningCertificate,
    places: KeyPlaces,
    warnings: Vec<String>,
}

impl OwnSigner {
    /// Reads key and certificate, for modules of a kernel with this `CONFIG_MODULE_SIG_HASH`.
    ///
    /// # Errors
    /// [`SignError::is_beyond_us`] where the kernel's program may do what we can't. Else the key is not to be
    /// opened, or isn't the certificate's.
    pub fn load(places: &KeyPlaces, hash: &str, passphrases: &PassphrasePlaces) -> Result<Self, SignError> {
        ModuleHash::parse(hash).ok_or_else(|| SignError::Hash { hash: hash.to_owned() })?;
        if places.is_token() {
            let why = "it is in a token, for which the kernel's program is needed".to_owned();
            return Err(SignError::Key { key: places.key.clone(), why });
        }
        secrecy::begin();
        let key = Zeroizing::new(fs::read_limited(&places.key, FILE_LIMIT)?);
        // What is wrong with the key is reported first.
        let certificate = fs::read_limited(&places.certificate, FILE_LIMIT);
        let mut own = Self::of_bytes_or(places, &key, certificate, hash, passphrases)?;
        own.warnings.splice(0..0, places.warning());
        Ok(own)
    }

    /// The same for a key and a certificate that were read already.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(super) fn of_bytes(
        places: &KeyPlaces,
        key: &[u8],
        certificate: &[u8],
        hash: &str,
        passphrases: &PassphrasePlaces,
    ) -> Result<Self, SignError> {
        Self::of_bytes_or(places, key, Ok(certificate.to_owned()), hash, passphrases)
    }

    fn of_bytes_or(
        places: &KeyPlaces,
        key: &[u8],
        certificate: Result<Vec<u8>, FsError>,
        hash: &str,
        passphrases: &PassphrasePlaces,
    ) -> Result<Self, SignError> {
        let hash = ModuleHash::parse(hash).ok_or_else(|| SignError::Hash { hash: hash.to_owned() })?;
        let mut warnings = Vec::new();
        let key = open_key(&places.key, key, passphrases, &mut warnings)?;
        let certificate = SigningCertificate::parse(&certificate?)
            .map_err(|why| SignError::Certificate { certificate: places.certificate.clone(), why })?;
        if certificate.public != key.public() {
            let (key, certificate) = (places.key.clone(), places.certificate.clone());
            return Err(SignError::OtherCertificate { key, certificate });
        }
        Ok(Self { hash, key, certificate, places: places.clone(), warnings })
    }

    /// Warns where a kernel with this configuration can't verify such signatures, whatever keys are enrolled.
    #[must_use]
    pub fn for_kernel(mut self, kernel: &KernelRelease, config: &KernelConfig) -> Self {
        let is_ecdsa = !matches!(self.certificate.public, PublicKey::Rsa(_));
        if is_ecdsa && config.get("CONFIG_CRYPTO_ECDSA").is_none() {
            self.warnings.push(format!(
                "kernel {kernel} can't verify what the ECDSA key `{}` signs: it has no CONFIG_CRYPTO_ECDSA",
                self.places.key.display()
            ));
        }
        self
    }

    /// What is to be appended to a module file.
    fn signature_of(&self, module: &Path) -> Result<Vec<u8>, SignError> {
        let mut sum = self.hash.sum();
        fs::each_piece(module, SIZE_LIMIT, &mut |bytes| sum.update(bytes))?;
        let signed = || -> Result<Vec<u8>, String> {
            let message = Message {
                certificate: (self.certificate.issuer.clone(), self.certificate.serial.clone()),
                hash: self.hash,
                algorithm: self.certificate.public.signature_oid(self.hash),
                signature: self.key.sign(self.hash, &sum.finalize())?,
            };
            let mut appended = message.encode().map_err(|error| error.to_string())?;
            let length = u32::try_from(appended.len()).map_err(|error| error.to_string())?;
            appended.extend([0, 0, PKCS7, 0, 0, 0, 0, 0]);
            appended.extend(length.to_be_bytes());
            appended.extend(MAGIC);
            Ok(appended)
        };
        signed().map_err(|why| SignError::Failed { module: module.to_owned(), why })
    }

    /// Whether a file is signed as we do it.
    fn check(&self, signed: &Path) -> Result<(), String> {
        let signature = Signature::of_file(signed).map_err(|error| error.to_string())?;
        match signature.ok_or(Unverified::NoSignature).and_then(|found| found.verify(&self.certificate)) {
            Ok(hash) if hash == self.hash => Ok(()),
            Ok(hash) => Err(format!("its signature is with {}", hash.name())),
            Err(why) => Err(why.to_string()),
        }
    }
}

impl Signer for OwnSigner {
    fn sign(&self, module: &Path, _: &[(&str, &str)]) -> Result<(), SignError> {
        let mode = fs::stat(module)?.map_or(0o644, |meta| meta.mode() & 0o777);
        let appended = self.signature_of(module)?;
        let whole = fs::temporary_beside(module);
        let signed = || -> Result<(), SignError> {
            fs::copy_with_end(module, &whole, &appended, mode)?;
            self.check(&whole).map_err(|why| SignError::Failed { module: module.to_owned(), why })?;
            Ok(fs::rename(&whole, module)?)
        };
        signed().inspect_err(|_| drop(fs::remove_file(&whole)))
    }

    fn describe(&self) -> String {
        let places = [&self.places.key, &self.places.certificate].map(|path| path.display());
        format!("dkms itself with {}, key `{}`, certificate `{}`", self.hash.name(), places[0], places[1])
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

/// Reads a private key.
pub(super) fn read_key(
    path: &Path,
    passphrases: &PassphrasePlaces,
    warnings: &mut Vec<String>,
) -> Result<PrivateKey, SignError> {
    secrecy::begin();
    let bytes = Zeroizing::new(fs::read_limited(path, FILE_LIMIT)?);
    open_key(path, &bytes, passphrases, warnings)
}

/// The same of what was read already.
fn open_key(
    path: &Path,
    bytes: &[u8],
    passphrases: &PassphrasePlaces,
    warnings: &mut Vec<String>,
) -> Result<PrivateKey, SignError> {
    let key = || -> PathBuf { path.to_owned() };
    let unknown = |why| SignError::Key { key: key(), why };
    let text =
        std::str::from_utf8(bytes).map_err(|_| unknown("there is no private key in PEM in it".to_owned()))?;
    let no_key = |fault| match fault {
        KeyFault::Unknown(why) => unknown(why),
        KeyFault::WrongPassphrase => unknown("it can't be read".to_owned()),
    };
    let document = match Stored::parse(text).map_err(no_key)? {
        Stored::Plain(key) => return Ok(key),
        Stored::Encrypted(document) => document,
    };
    let Some(passphrase) = passphrases.get()? else {
        return Err(SignError::NoPassphrase { key: key(), places: passphrase::where_looked_for() });
    };
    warnings.extend(passphrases.warning());
    Stored::open(&document, &passphrase.text).map_err(|fault| match fault {
        KeyFault::Unknown(why) => unknown(why),
        KeyFault::WrongPassphrase => SignError::WrongPassphrase {
            key: key(),
            from: passphrase.from,
            places: passphrase::where_looked_for(),
        },
    })
}
