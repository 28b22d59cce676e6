//! Public keys that kernels verify modules with: RSA, and ECDSA on P-256 and P-384.

use der::Encode;
use der::asn1::ObjectIdentifier;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::RsaPublicKey;
use rsa::pkcs8::DecodePublicKey;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::hash::ModuleHash;

/// `rsaEncryption`: kind of key, and name of the signature with any digest.
pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// `id-ecPublicKey`.
pub(super) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// P-256.
pub(super) const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// P-384.
pub(super) const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// A public key.
#[derive(Debug, Clone, PartialEq)]
pub enum PublicKey {
    /// RSA up to 4096 bits.
    Rsa(RsaPublicKey),
    /// ECDSA on P-256.
    P256(p256::ecdsa::VerifyingKey),
    /// ECDSA on P-384.
    P384(p384::ecdsa::VerifyingKey),
}

impl PublicKey {
    /// The key that a certificate holds; else a sentence about why not.
    pub(super) fn parse(info: &SubjectPublicKeyInfoOwned) -> Result<Self, String> {
        let bytes = info.to_der().map_err(|error| error.to_string())?;
        let broken = |error: rsa::pkcs8::spki::Error| format!("its public key is broken: {error}");
        let curve = info.algorithm.parameters.as_ref().and_then(|any| any.decode_as().ok());
        match (info.algorithm.oid, curve) {
            (RSA, _) => RsaPublicKey::from_public_key_der(&bytes).map(Self::Rsa).map_err(broken),
            (EC, Some(P256)) => {
                p256::ecdsa::VerifyingKey::from_public_key_der(&bytes).map(Self::P256).map_err(broken)
            }
            (EC, Some(P384)) => {
                p384::ecdsa::VerifyingKey::from_public_key_der(&bytes).map(Self::P384).map_err(broken)
            }
            (oid, curve) => Err(unknown_kind(oid, curve)),
        }
    }

    /// What a signature of this key with some digest is called; RSA's has a (null) parameter, ECDSA's none.
    pub(super) fn signature_oid(&self, hash: ModuleHash) -> ObjectIdentifier {
        match self {
            Self::Rsa(_) => RSA,
            Self::P256(_) | Self::P384(_) => hash.ecdsa_oid(),
        }
    }

    /// Whether a signature is of this key over this digest.
    pub(super) fn accepts(&self, hash: ModuleHash, digest: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa(key) => key.verify(hash.padding(), digest, signature).is_ok(),
            Self::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&filled::<32>(digest), &signature).is_ok()),
            Self::P384(key) => p384::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&filled::<48>(digest), &signature).is_ok()),
        }
    }
}

/// A sentence about a kind of key that is none of ours.
pub(super) fn unknown_kind(oid: ObjectIdentifier, curve: Option<ObjectIdentifier>) -> String {
    match curve {
        Some(curve) if oid == EC => format!("its elliptic curve ({curve}) is neither P-256 nor P-384"),
        _ => format!("it is neither an RSA nor an ECDSA key, but {oid}"),
    }
}

/// A digest as ECDSA takes it: zeros before a short one don't change its number, but our library
/// refuses very short ones.
pub(super) fn filled<const LENGTH: usize>(digest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; LENGTH.saturating_sub(digest.len())];
    bytes.extend(digest);
    bytes
}
