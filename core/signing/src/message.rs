//! The signature as kernels want it: a PKCS#7 message without content, certificates and attributes, by one
//! signer. Knows no key.
//!
//! The `cms` crate would do, but decodes the issuer's name and encodes it again; here it stays the
//! bytes of the certificate.

use der::asn1::{Any, AnyRef, ObjectIdentifier, OctetStringRef, SetOfVec};
use der::{Decode, Encode, Sequence, ValueOrd};

use super::hash::ModuleHash;
use super::public_key::RSA;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
/// Of the message and of the signer alike, where the certificate is named by issuer and serial number.
const VERSION: u8 = 1;

#[derive(Sequence)]
struct ContentInfo<'a> {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: SignedData<'a>,
}

#[derive(Sequence)]
struct SignedData<'a> {
    version: u8,
    digests: SetOfVec<Algorithm<'a>>,
    content: Detached,
    signers: SetOfVec<SignerInfo<'a>>,
}

/// What was signed is data, which is elsewhere.
#[derive(Sequence)]
struct Detached {
    kind: ObjectIdentifier,
}

#[derive(Clone, Sequence, ValueOrd)]
struct Algorithm<'a> {
    oid: ObjectIdentifier,
    parameters: Option<AnyRef<'a>>,
}

#[derive(Sequence, ValueOrd)]
struct SignerInfo<'a> {
    version: u8,
    certificate: CertificateName<'a>,
    digest: Algorithm<'a>,
    algorithm: Algorithm<'a>,
    signature: OctetStringRef<'a>,
}

#[derive(Sequence, ValueOrd)]
struct CertificateName<'a> {
    issuer: AnyRef<'a>,
    serial: AnyRef<'a>,
}

/// A signature and what it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Issuer and serial number of the signer's certificate.
    pub(super) certificate: (Any, Any),
    /// The digest.
    pub(super) hash: ModuleHash,
    /// Which kind of signature it is.
    pub(super) algorithm: ObjectIdentifier,
    /// The signature itself.
    pub(super) signature: Vec<u8>,
}

impl Message {
    pub(super) fn encode(&self) -> der::Result<Vec<u8>> {
        let digest = Algorithm { oid: self.hash.oid(), parameters: None };
        let parameters = (self.algorithm == RSA).then_some(AnyRef::NULL);
        let (issuer, serial) = (AnyRef::from(&self.certificate.0), AnyRef::from(&self.certificate.1));
        let signer = SignerInfo {
            version: VERSION,
            certificate: CertificateName { issuer, serial },
            digest: digest.clone(),
            algorithm: Algorithm { oid: self.algorithm, parameters },
            signature: OctetStringRef::new(&self.signature)?,
        };
        let content = SignedData {
            version: VERSION,
            digests: SetOfVec::try_from(vec![digest])?,
            content: Detached { kind: DATA },
            signers: SetOfVec::try_from(vec![signer])?,
        };
        ContentInfo { kind: SIGNED_DATA, content }.to_der()
    }

    /// Reads a message of just this form; else a sentence about why it is none.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let info = ContentInfo::from_der(bytes).map_err(|error| error.to_string())?;
        if info.kind != SIGNED_DATA || info.content.content.kind != DATA {
            return Err("it signs no data".to_owned());
        }
        let [signer] = info.content.signers.as_slice() else {
            return Err("it is not by one signer".to_owned());
        };
        if info.content.version != VERSION || signer.version != VERSION {
            return Err("its version is another one".to_owned());
        }
        // Some versions of OpenSSL write a null, others nothing.
        let is_plain = |algorithm: &Algorithm<'_>| algorithm.parameters.is_none_or(|any| any == AnyRef::NULL);
        if ![&signer.digest, &signer.algorithm].into_iter().chain(info.content.digests.iter()).all(is_plain) {
            return Err("its algorithms have parameters".to_owned());
        }
        let hash = ModuleHash::ALL
            .into_iter()
            .find(|hash| hash.oid() == signer.digest.oid)
            .ok_or_else(|| format!("its digest {} is not supported", signer.digest.oid))?;
        if info.content.digests.iter().all(|digest| digest.oid != signer.digest.oid) {
            return Err("it does not name its digest".to_owned());
        }
        Ok(Self {
            certificate: (signer.certificate.issuer.into(), signer.certificate.serial.into()),
            hash,
            algorithm: signer.algorithm.oid,
            signature: signer.signature.as_bytes().to_vec(),
        })
    }
}
