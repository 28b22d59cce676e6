//! Private keys from PEM: PKCS#8 (plain or encrypted), PKCS#1, SEC1. Reads no file and
//! asks for no passphrase.

use std::fmt;

use der::{Decode, SecretDocument};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo};
use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::rand_core::OsRng;
use sec1::{EcParameters, EcPrivateKey};

use super::hash::ModuleHash;
use super::pem;
use super::public_key::{EC, P256, P384, PublicKey, RSA, filled, unknown_kind};

/// A private key.
#[derive(Clone)]
pub(super) enum PrivateKey {
    Rsa(Box<RsaPrivateKey>),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
}

/// A key as it is stored.
pub(super) enum Stored {
    /// Readable.
    Plain(PrivateKey),
    /// Encrypted PKCS#8.
    Encrypted(SecretDocument),
}

/// Why a stored key can't be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyFault {
    /// We don't know this kind or form; a sentence about it. OpenSSL may.
    Unknown(String),
    /// The passphrase is another one.
    WrongPassphrase,
}

impl From<der::Error> for KeyFault {
    fn from(error: der::Error) -> Self {
        broken(error)
    }
}

fn broken(error: impl fmt::Display) -> KeyFault {
    KeyFault::Unknown(format!("it can't be read: {error}"))
}

impl Stored {
    /// The first private key of a PEM file.
    pub(super) fn parse(text: &str) -> Result<Self, KeyFault> {
        let (label, block) = pem::blocks(text)
            .find(|(label, _)| label.ends_with("PRIVATE KEY"))
            .ok_or_else(|| KeyFault::Unknown("there is no private key in PEM in it".to_owned()))?;
        if block.contains("Proc-Type:") {
            return Err(KeyFault::Unknown("it is encrypted in OpenSSL's old way, not as PKCS#8".to_owned()));
        }
        if matches!(label, "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY") {
            return Err(KeyFault::Unknown(
                "it is encrypted in cosign's own way, not as PKCS#8: make one with openssl".to_owned(),
            ));
        }
        let (_, document) = SecretDocument::from_pem(block).map_err(broken)?;
        match label {
            "PRIVATE KEY" => PrivateKey::from_pkcs8(document.as_bytes()).map(Self::Plain),
            "ENCRYPTED PRIVATE KEY" => Ok(Self::Encrypted(document)),
            "RSA PRIVATE KEY" => PrivateKey::from_pkcs1(document.as_bytes()).map(Self::Plain),
            "EC PRIVATE KEY" => PrivateKey::from_sec1(document.as_bytes()).map(Self::Plain),
            _ => Err(KeyFault::Unknown(format!("`{label}` is not a supported kind of key"))),
        }
    }

    /// Opens an encrypted key.
    pub(super) fn open(document: &SecretDocument, passphrase: &[u8]) -> Result<PrivateKey, KeyFault> {
        use pkcs8::pkcs5::Error::{DecryptFailed, EncryptFailed};
        let info = EncryptedPrivateKeyInfo::from_der(document.as_bytes())
            .map_err(|error| KeyFault::Unknown(format!("its encryption is not supported: {error}")))?;
        let opened = info.decrypt(passphrase).map_err(|error| match error {
            // Bytes that are padded well, or even are DER, by chance are no key.
            pkcs8::Error::EncryptedPrivateKey(DecryptFailed | EncryptFailed) | pkcs8::Error::Asn1(_) => {
                KeyFault::WrongPassphrase
            }
            other => KeyFault::Unknown(format!("its encryption is not supported: {other}")),
        })?;
        if PrivateKeyInfo::from_der(opened.as_bytes()).is_err() {
            return Err(KeyFault::WrongPassphrase);
        }
        PrivateKey::from_pkcs8(opened.as_bytes())
    }
}

impl PrivateKey {
    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyFault> {
        let info = PrivateKeyInfo::from_der(der)?;
        let curve = info.algorithm.parameters_oid().ok();
        match (info.algorithm.oid, curve) {
            (RSA, _) => Self::from_pkcs1(info.private_key),
            (EC, Some(curve)) => Self::on_curve(curve, EcPrivateKey::from_der(info.private_key)?.private_key),
            (oid, curve) => Err(KeyFault::Unknown(unknown_kind(oid, curve))),
        }
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self, KeyFault> {
        RsaPrivateKey::from_pkcs1_der(der).map(|key| Self::Rsa(Box::new(key))).map_err(broken)
    }

    fn from_sec1(der: &[u8]) -> Result<Self, KeyFault> {
        let key = EcPrivateKey::from_der(der)?;
        match key.parameters {
            Some(EcParameters::NamedCurve(curve)) => Self::on_curve(curve, key.private_key),
            None => Err(KeyFault::Unknown("it names no elliptic curve".to_owned())),
        }
    }

    fn on_curve(curve: der::asn1::ObjectIdentifier, scalar: &[u8]) -> Result<Self, KeyFault> {
        match curve {
            P256 => p256::ecdsa::SigningKey::from_slice(scalar).map(Self::P256).map_err(broken),
            P384 => p384::ecdsa::SigningKey::from_slice(scalar).map(Self::P384).map_err(broken),
            _ => Err(KeyFault::Unknown(unknown_kind(EC, Some(curve)))),
        }
    }

    pub(super) fn public(&self) -> PublicKey {
        match self {
            Self::Rsa(key) => PublicKey::Rsa(key.to_public_key()),
            Self::P256(key) => PublicKey::P256(*key.verifying_key()),
            Self::P384(key) => PublicKey::P384(*key.verifying_key()),
        }
    }

    /// Signs a digest. The same key and digest give the same signature, also with ECDSA (RFC 6979).
    pub(super) fn sign(&self, hash: ModuleHash, digest: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            // Random numbers only blind the calculation.
            Self::Rsa(key) => {
                key.sign_with_rng(&mut OsRng, hash.padding(), digest).map_err(|error| error.to_string())
            }
            Self::P256(key) => {
                let signed: Result<p256::ecdsa::Signature, _> = key.sign_prehash(&filled::<32>(digest));
                signed.map(|signature| signature.to_der().as_bytes().to_vec()).map_err(|e| e.to_string())
            }
            Self::P384(key) => {
                let signed: Result<p384::ecdsa::Signature, _> = key.sign_prehash(&filled::<48>(digest));
                signed.map(|signature| signature.to_der().as_bytes().to_vec()).map_err(|e| e.to_string())
            }
        }
    }
}

impl fmt::Debug for PrivateKey {
    /// Its kind, and nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa(_) => "RSA",
            Self::P256(_) => "P-256",
            Self::P384(_) => "P-384",
        })
    }
}
