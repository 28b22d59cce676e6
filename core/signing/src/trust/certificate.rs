//! A certificate as firmware, kernel and `mokutil` know it. Pure.

use der::Decode;
use sha1::{Digest, Sha1};
use x509_cert::Certificate as X509;
use x509_cert::der;
use x509_cert::ext::pkix::SubjectKeyIdentifier;

use crate::SigningCertificate;

/// A certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    /// Its bytes: the same ones are the same certificate.
    pub der: Vec<u8>,
    /// Its subject's common name, or all of its subject.
    pub name: String,
    /// Its id within the kernel, see [`super::kernel_keys`]; `None` where we can't tell.
    pub id: Option<String>,
    /// SHA-1 of it, as `mokutil --list-enrolled` shows it.
    pub fingerprint: String,
    /// What signatures by it name, where its key is of a kind that we know.
    pub signer: Option<SigningCertificate>,
}

impl Certificate {
    /// Reads one in DER; of one that isn't as it should be, that it is there is known at least.
    #[must_use]
    pub fn of_der(der: &[u8]) -> Self {
        let parsed = X509::from_der(der).ok();
        Self {
            name: parsed.as_ref().map_or_else(|| "unknown".to_owned(), name),
            id: parsed.as_ref().map(id),
            fingerprint: hex(&Sha1::digest(der), ":"),
            signer: SigningCertificate::parse(der).ok(),
            der: der.to_owned(),
        }
    }
}

fn name(certificate: &X509) -> String {
    let subject = certificate.tbs_certificate.subject.to_string();
    // RFC 4514: `CN=Some name,O=Somebody`, where a comma in a name is escaped.
    let common = subject.split(',').find_map(|part| part.trim().strip_prefix("CN="));
    common.map_or_else(|| subject.clone(), str::to_owned)
}

/// As the kernel describes its keys: the id of the certificate's key, else its serial number.
fn id(certificate: &X509) -> String {
    let body = &certificate.tbs_certificate;
    match body.get::<SubjectKeyIdentifier>() {
        Ok(Some((_, id))) => hex(id.0.as_bytes(), ""),
        _ => hex(body.serial_number.as_bytes(), ""),
    }
}

fn hex(bytes: &[u8], between: &str) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate;

    #[test]
    fn ours_has_a_name_and_an_id() {
        let pair = certificate::make(1_700_000_000).expect("random numbers");
        let read = Certificate::of_der(&pair.certificate);
        assert_eq!(read.name, certificate::COMMON_NAME);
        // The first bytes of the id are the fingerprint that our key pairs have.
        assert!(read.id.as_ref().is_some_and(|id| id.starts_with(&pair.fingerprint) && id.len() == 40));
        assert_eq!(read.fingerprint.len(), 59);
        assert!(read.signer.is_some());
    }

    #[test]
    fn junk_is_still_itself() {
        let read = Certificate::of_der(b"junk");
        assert_eq!((read.name.as_str(), read.id, read.signer), ("unknown", None, None));
    }
}
