//! Whether a module's signature holds, as the kernel would see it.

use crate::modfile::signature::{MAGIC, signature_of, without_signature};

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
    #[error("its signature is none that kernels accept: {0}")]
    Malformed(String),
    /// It names another certificate.
    #[error("its signature names another certificate")]
    OtherCertificate,
    /// The module or the signature was changed, or another key signed.
    #[error("its signature is not by the certificate's key, or is over other content")]
    Wrong,
}

/// Verifies a module's (unpacked) bytes with a certificate; says which digest was signed.
///
/// # Errors
/// [`Unverified`].
pub fn verify(bytes: &[u8], certificate: &SigningCertificate) -> Result<ModuleHash, Unverified> {
    let info = signature_of(bytes).ok_or(Unverified::NoSignature)?;
    if info.id_type != PKCS7 || info.signer_length != 0 || info.key_id_length != 0 {
        return Err(Unverified::Malformed("it is no PKCS#7 message".to_owned()));
    }
    let content = without_signature(bytes);
    let message = &bytes[content.len()..bytes.len() - TRAILER_LENGTH];
    let message = Message::decode(message).map_err(Unverified::Malformed)?;
    if message.certificate != (certificate.issuer.clone(), certificate.serial.clone()) {
        return Err(Unverified::OtherCertificate);
    }
    let (hash, key) = (message.hash, &certificate.public);
    if message.algorithm != key.signature_oid(hash)
        || !key.accepts(hash, &hash.digest(content), &message.signature)
    {
        return Err(Unverified::Wrong);
    }
    Ok(hash)
}
