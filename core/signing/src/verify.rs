//! Whether a module's signature holds, as the kernel would see it.

use std::path::Path;

use dkms_kernel::modfile::ModfileError;
use dkms_kernel::modfile::content::each_unsigned;
use dkms_kernel::modfile::signature::{MAGIC, SignatureInfo, signature_of, without_signature};

use super::hash::ModuleHash;
use super::message::Message;
use super::signing_certificate::SigningCertificate;

/// `PKEY_ID_PKCS7` of the kernel.
pub(super) const PKCS7: u8 = 2;
/// `struct module_signature` of the kernel, and the magic line behind it.
const TRAILER_LENGTH: usize = 12 + MAGIC.len();

/// Why a signature doesn't hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// There is none.
    #[error("it has no signature")]
    NoSignature,
    /// The kernel's form is another one.
    #[error("kernels do not accept its signature: {0}")]
    Malformed(String),
    /// It names another certificate.
    #[error("its signature names another certificate")]
    OtherCertificate,
    /// The module or the signature was changed, or another key signed.
    #[error("its signature is not by the certificate's key, or is over other content")]
    Wrong,
}

/// A module's signature, and the digest of what it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// What its trailer says.
    pub info: SignatureInfo,
    /// `Err`: it is none that kernels accept.
    read: Result<(Message, Vec<u8>), String>,
}

impl Signature {
    /// Of a module's (unpacked) bytes; `None`: they have none.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (content, appended) = bytes.split_at(without_signature(bytes).len());
        let digested = |hash: ModuleHash| {
            let mut sum = hash.sum();
            sum.update(content);
            Ok(sum.finalize().into_vec())
        };
        Self::new(appended, digested).ok().flatten()
    }

    /// Of a module file, packed or not. Little of it is in memory at a time.
    ///
    /// # Errors
    /// [`ModfileError`] if it can't be read or unpacked.
    pub fn of_file(path: &Path) -> Result<Option<Self>, ModfileError> {
        let appended = each_unsigned(path, &mut |_| {})?;
        Self::new(&appended, |hash| {
            let mut sum = hash.sum();
            each_unsigned(path, &mut |bytes| sum.update(bytes))?;
            Ok(sum.finalize().into_vec())
        })
    }

    fn new(
        appended: &[u8],
        digested: impl FnOnce(ModuleHash) -> Result<Vec<u8>, ModfileError>,
    ) -> Result<Option<Self>, ModfileError> {
        let Some(info) = signature_of(appended) else { return Ok(None) };
        let read = if info.id_type != PKCS7 || info.signer_length != 0 || info.key_id_length != 0 {
            Err("it is no PKCS#7 message".to_owned())
        } else {
            match Message::decode(&appended[..appended.len() - TRAILER_LENGTH]) {
                Ok(message) => {
                    let digest = digested(message.hash)?;
                    Ok((message, digest))
                }
                Err(why) => Err(why),
            }
        };
        Ok(Some(Self { info, read }))
    }

    /// Verifies it with a certificate; says which digest was signed.
    ///
    /// # Errors
    /// [`Unverified`].
    pub fn verify(&self, certificate: &SigningCertificate) -> Result<ModuleHash, Unverified> {
        let (message, digest) = self.read.as_ref().map_err(|why| Unverified::Malformed(why.clone()))?;
        if message.certificate != (certificate.issuer.clone(), certificate.serial.clone()) {
            return Err(Unverified::OtherCertificate);
        }
        let (hash, key) = (message.hash, &certificate.public);
        if message.algorithm != key.signature_oid(hash) || !key.accepts(hash, digest, &message.signature) {
            return Err(Unverified::Wrong);
        }
        Ok(hash)
    }
}

/// Verifies a module's (unpacked) bytes with a certificate; says which digest was signed.
///
/// # Errors
/// [`Unverified`].
pub fn verify(bytes: &[u8], certificate: &SigningCertificate) -> Result<ModuleHash, Unverified> {
    Signature::of_bytes(bytes).ok_or(Unverified::NoSignature)?.verify(certificate)
}
