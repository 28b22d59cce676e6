//! Signatures over any bytes, as `cosign sign-blob` and `openssl dgst -sha256 -sign` make them (ECDSA or RSA
//! over SHA-256), and the keys that are trusted with them.

use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding as _};
use der::{Decode, Document, Encode};
use sha2::{Digest as _, Sha256};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use dkms_base::host::fs;

use super::hash::ModuleHash;
use super::own::{FILE_LIMIT, read_key};
use super::pem;
use super::private_key::PrivateKey;
use super::public_key::PublicKey;
use super::{PassphrasePlaces, SignError};

/// A key that signs.
#[derive(Debug, Clone)]
pub struct BlobKey {
    key: PrivateKey,
    warnings: Vec<String>,
}

impl BlobKey {
    /// Reads it from PEM.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn load(path: &Path, passphrases: &PassphrasePlaces) -> Result<Self, SignError> {
        let mut warnings = Vec::new();
        let key = read_key(path, passphrases, &mut warnings)?;
        Ok(Self { key, warnings })
    }

    /// What the user should know of the key before it is used.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Its public half's [id](TrustedKey::id).
    ///
    /// # Errors
    /// A sentence about why it has none.
    pub fn id(&self) -> Result<String, String> {
        Ok(id_of(&self.key.public().to_der()?))
    }

    /// Signs these bytes: the DER of ECDSA, or RSA's number.
    ///
    /// # Errors
    /// A sentence about why it can't.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        self.key.sign(ModuleHash::Sha256, &Sha256::digest(bytes))
    }

    /// The same in base64.
    ///
    /// # Errors
    /// As there.
    pub fn sign_text(&self, bytes: &[u8]) -> Result<String, String> {
        Ok(Base64::encode_string(&self.sign(bytes)?))
    }
}

/// A certificate, in PEM.
///
/// # Errors
/// [`SignError::Certificate`] where the file has none.
pub fn certificate_pem(path: &Path) -> Result<String, SignError> {
    let refuse = |why| SignError::Certificate { certificate: path.to_owned(), why };
    let der = super::der_of(&fs::read_limited(path, FILE_LIMIT)?).map_err(refuse)?;
    der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, &der)
        .map_err(|error| refuse(error.to_string()))
}

/// A public key that is trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustedKey {
    /// The file that it is in.
    pub path: PathBuf,
    /// SHA-256 of its DER (`SubjectPublicKeyInfo`), in hexadecimal.
    pub id: String,
    public: PublicKey,
}

impl TrustedKey {
    /// Whether it signed these bytes.
    #[must_use]
    pub fn accepts(&self, bytes: &[u8], signature: &[u8]) -> bool {
        self.public.accepts(ModuleHash::Sha256, &Sha256::digest(bytes), signature)
    }

    /// The same for a signature in base64.
    #[must_use]
    pub fn accepts_text(&self, bytes: &[u8], signature: &str) -> bool {
        Base64::decode_vec(signature.trim()).is_ok_and(|signature| self.accepts(bytes, &signature))
    }
}

/// The keys of a folder: each public key and certificate in PEM of its files. What is none is passed over,
/// with a sentence about it.
///
/// # Errors
/// [`fs::FsError`] where the folder is there and can't be read.
pub fn trusted(folder: &Path) -> Result<(Vec<TrustedKey>, Vec<String>), fs::FsError> {
    let (mut keys, mut faults) = (Vec::new(), Vec::new());
    for entry in fs::optional(fs::list(folder))?.unwrap_or_default() {
        let path = folder.join(&entry.name);
        if entry.name.to_string_lossy().starts_with('.') || !fs::is_file(&path) {
            continue;
        }
        let found = match fs::read_limited(&path, FILE_LIMIT) {
            Ok(bytes) => public_keys(&String::from_utf8_lossy(&bytes)),
            Err(error) => Err(error.to_string()),
        };
        match found {
            Ok(found) => keys.extend(found.into_iter().map(|(id, public)| TrustedKey {
                path: path.clone(),
                id,
                public,
            })),
            Err(why) => faults.push(format!("`{}` holds no key that can be trusted: {why}", path.display())),
        }
    }
    Ok((keys, faults))
}

/// The public keys in a PEM file, with their ids.
fn public_keys(text: &str) -> Result<Vec<(String, PublicKey)>, String> {
    let mut keys = Vec::new();
    for (label, block) in pem::blocks(text) {
        let read = || Document::from_pem(block).map_err(|error| format!("it can't be read: {error}"));
        let public = match label {
            "PUBLIC KEY" => {
                let (_, document) = read()?;
                let info = SubjectPublicKeyInfoOwned::from_der(document.as_bytes());
                PublicKey::parse(&info.map_err(|error| format!("it can't be read: {error}"))?)?
            }
            "CERTIFICATE" => super::SigningCertificate::parse(block.as_bytes())?.public,
            _ => continue,
        };
        keys.push((id_of(&public.to_der()?), public));
    }
    if keys.is_empty() {
        Err("there is no public key and no certificate in PEM in it".to_owned())
    } else {
        Ok(keys)
    }
}

fn id_of(der: &[u8]) -> String {
    Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl PublicKey {
    /// As `SubjectPublicKeyInfo`.
    fn to_der(&self) -> Result<Vec<u8>, String> {
        use rsa::pkcs8::EncodePublicKey as _;
        let document = match self {
            Self::Rsa(key) => key.to_public_key_der(),
            Self::P256(key) => p256::PublicKey::from(key).to_public_key_der(),
            Self::P384(key) => p384::PublicKey::from(key).to_public_key_der(),
        };
        document.map_err(|error| error.to_string())?.to_der().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Keys, P_256, RSA_2048};
    use super::*;

    #[test]
    fn openssl_takes_ours_and_we_take_openssls() {
        for (name, words) in [("p", P_256), ("r", RSA_2048)] {
            let keys = Keys::new();
            keys.make(name, words);
            keys.shell(&format!("mkdir trusted; openssl pkey -in {name}.key -pubout -out trusted/{name}.pem; printf text >text"));
            let key = BlobKey::load(&keys.at(&format!("{name}.key")), &PassphrasePlaces::default()).unwrap();
            keys.write("ours", &key.sign(b"text").unwrap());
            keys.shell(&format!("openssl dgst -sha256 -verify trusted/{name}.pem -signature ours text"));
            keys.shell(&format!("openssl dgst -sha256 -sign {name}.key -out theirs text"));
            let (trusted, faults) = trusted(&keys.at("trusted")).unwrap();
            assert_eq!((trusted.len(), faults.len()), (1, 0));
            assert_eq!(trusted[0].id, key.id().unwrap());
            let theirs = fs::read(&keys.at("theirs")).unwrap();
            assert!(trusted[0].accepts(b"text", &theirs) && !trusted[0].accepts(b"Text", &theirs));
        }
    }

    #[test]
    fn every_key_of_a_folder_is_trusted_and_what_is_none_is_told() {
        let keys = Keys::new();
        keys.make("a", P_256);
        keys.make("b", P_256);
        keys.shell("mkdir t; openssl pkey -in a.key -pubout >t/both.pem; openssl x509 -inform der -in b.der >>t/both.pem; echo x >t/note; cp a.key t/private.pem");
        let (found, faults) = trusted(&keys.at("t")).unwrap();
        assert_eq!((found.len(), faults.len()), (2, 2), "{faults:?}");
        assert_eq!(trusted(&keys.at("absent")).unwrap(), (Vec::new(), Vec::new()));
    }
}
