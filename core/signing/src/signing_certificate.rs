//! What a signature takes from the signer's certificate: issuer and serial number as they are written
//! there, and the public key.
//!
//! It is read more leniently than `x509-cert` would: what names the certificate must be the same bytes, also
//! where another maker's certificate isn't as the standards want it, and the rest of it doesn't matter here.

use der::asn1::{Any, BitString};
use der::{Decode, Document, Sequence, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::pem;
use super::public_key::PublicKey;

/// A signer's certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct SigningCertificate {
    pub(super) issuer: Any,
    pub(super) serial: Any,
    pub(super) public: PublicKey,
}

#[derive(Sequence)]
struct Certificate {
    body: Body,
    algorithm: Any,
    signature: Any,
}

#[derive(Sequence)]
struct Body {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    version: Option<u8>,
    serial: Any,
    algorithm: Any,
    issuer: Any,
    validity: Any,
    subject: Any,
    public: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    issuer_id: Option<BitString>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    subject_id: Option<BitString>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Any>,
}

impl SigningCertificate {
    /// Reads one from DER, or the first one in PEM.
    ///
    /// # Errors
    /// A sentence about why it is none, or its key none that kernels of all ages verify with.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let der = der_of(bytes)?;
        // As OpenSSL does: what follows it is not looked at.
        let read = || Ok(Certificate::decode(&mut SliceReader::new(&der)?)?.body);
        let body: der::Result<Body> = read();
        let body = body.map_err(|error| format!("it can't be read: {error}"))?;
        Ok(Self { issuer: body.issuer, serial: body.serial, public: PublicKey::parse(&body.public)? })
    }
}

/// A certificate's DER, of DER itself or of the first one in PEM.
///
/// # Errors
/// A sentence about why there is none.
pub fn der_of(bytes: &[u8]) -> Result<Vec<u8>, String> {
    // A sequence of more than 127 bytes, as every certificate is; no text begins like this.
    if matches!(bytes, [0x30, 0x81..=0x84, ..]) {
        return Ok(bytes.to_owned());
    }
    let text = String::from_utf8_lossy(bytes);
    let known = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];
    let (_, block) = pem::blocks(&text)
        .find(|(label, _)| known.contains(label))
        .ok_or("there is no certificate in it, neither in DER nor in PEM")?;
    let (_, document) = Document::from_pem(block).map_err(|error| format!("it can't be read: {error}"))?;
    Ok(document.as_bytes().to_owned())
}
