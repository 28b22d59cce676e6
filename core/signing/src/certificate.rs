//! A new key and its certificate, as bytes: RSA 2048, self-signed, for signing code. Touches no file.
//!
//! The certificate has the fields that the original gives it by way of openssl, so that one made
//! by either serves both.

use std::time::Duration;

use rsa::RsaPrivateKey;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use rsa::rand_core::{OsRng, RngCore};
use rsa::signature::{Keypair, SignatureEncoding, Signer};
use sha2::{Digest, Sha256};
use x509_cert::certificate::{Certificate, TbsCertificate, Version};
use x509_cert::der::asn1::{BitString, GeneralizedTime, OctetString, UtcTime};
use x509_cert::der::oid::db::rfc5280::ID_KP_CODE_SIGNING;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, SubjectKeyIdentifier,
};
use x509_cert::ext::{AsExtension, Extension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{DynSignatureAlgorithmIdentifier, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

/// How it is named, by us and by the original: people look for it in `mokutil --list-enrolled`.
pub const COMMON_NAME: &str = "DKMS module signing key";
const KEY_BITS: usize = 2048;
const LIFETIME: Duration = Duration::from_secs(36_500 * 86_400);
/// From here on X.509 wants years with four digits.
const YEAR_2050: Duration = Duration::from_secs(2_524_608_000);

/// A key and its certificate.
#[derive(Debug)]
pub struct KeyPair {
    /// PKCS#8 in PEM.
    pub key: String,
    /// DER.
    pub certificate: Vec<u8>,
    /// The name that key and certificate have in common: a sum over the public key.
    pub fingerprint: String,
}

/// What the libraries may say; none of it can happen with our own input and a working
/// random number generator.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Makes a new pair that is valid from `now` (seconds since 1970) for a hundred years.
///
/// # Errors
/// Where the system has no random numbers, or the clock stands where X.509 can't say it.
pub fn make(now: u64) -> Result<KeyPair, Error> {
    let private = RsaPrivateKey::new(&mut OsRng, KEY_BITS)?;
    let key = private.to_pkcs8_pem(LineEnding::LF)?.to_string();
    let signer = SigningKey::<Sha256>::new(private);
    let public = SubjectPublicKeyInfoOwned::from_key(signer.verifying_key())?;
    let fingerprint = fingerprint_of(&public);
    let subject: Name = format!("CN={COMMON_NAME}").parse()?;
    let extensions = {
        let id = OctetString::new(key_id(&public))?;
        let authority = AuthorityKeyIdentifier { key_identifier: Some(id.clone()), ..Default::default() };
        vec![
            SubjectKeyIdentifier(id).to_extension(&subject, &[])?,
            authority.to_extension(&subject, &[])?,
            BasicConstraints { ca: true, path_len_constraint: None }.to_extension(&subject, &[])?,
            // Not critical, as openssl has it.
            Extension {
                critical: false,
                ..ExtendedKeyUsage(vec![ID_KP_CODE_SIGNING]).to_extension(&subject, &[])?
            },
        ]
    };
    let begin = Duration::from_secs(now);
    let body = TbsCertificate {
        version: Version::V3,
        serial_number: serial_number()?,
        signature: signer.signature_algorithm_identifier()?,
        issuer: subject.clone(),
        validity: Validity { not_before: time(begin)?, not_after: time(begin + LIFETIME)? },
        subject,
        subject_public_key_info: public,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions),
    };
    let signature = signer.try_sign(&body.to_der()?)?;
    let certificate = Certificate {
        signature_algorithm: body.signature.clone(),
        signature: BitString::from_bytes(&signature.to_vec())?,
        tbs_certificate: body,
    };
    Ok(KeyPair { key, certificate: certificate.to_der()?, fingerprint })
}

/// The fingerprint of a certificate in DER; `None` where it is none.
#[must_use]
pub fn fingerprint_of_certificate(der: &[u8]) -> Option<String> {
    let certificate = Certificate::from_der(der).ok()?;
    Some(fingerprint_of(&certificate.tbs_certificate.subject_public_key_info))
}

/// The fingerprint of a private key in PEM; `None` where it is none of ours.
#[must_use]
pub fn fingerprint_of_key(pem: &str) -> Option<String> {
    let private = RsaPrivateKey::from_pkcs8_pem(pem).ok()?;
    let public = SubjectPublicKeyInfoOwned::from_key(SigningKey::<Sha256>::new(private).verifying_key());
    public.ok().as_ref().map(fingerprint_of)
}

fn key_digest(public: &SubjectPublicKeyInfoOwned) -> [u8; 32] {
    Sha256::digest(public.subject_public_key.raw_bytes()).into()
}

fn fingerprint_of(public: &SubjectPublicKeyInfoOwned) -> String {
    key_digest(public)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key's name within certificates: the leftmost 160 bits of SHA-256 over the public key
/// (RFC 7093, method 1).
fn key_id(public: &SubjectPublicKeyInfoOwned) -> Vec<u8> {
    key_digest(public)[..20].to_vec()
}

/// A positive number of 20 bytes at most.
fn serial_number() -> Result<SerialNumber, Error> {
    let mut bytes = [0; 20];
    OsRng.try_fill_bytes(&mut bytes)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::new(&bytes)?)
}

fn time(since_1970: Duration) -> Result<Time, Error> {
    Ok(if since_1970 < YEAR_2050 {
        Time::UtcTime(UtcTime::from_unix_duration(since_1970)?)
    } else {
        Time::GeneralTime(GeneralizedTime::from_unix_duration(since_1970)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_base::host::process::Process;
    use dkms_base::host::{Environment, fs};

    fn openssl(dir: &std::path::Path, line: &str) -> String {
        let environment: Environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
        let ended = Process::shell(&format!("openssl {line}"), &environment).dir(dir).capture().unwrap();
        assert!(ended.status.success(), "{}", ended.text());
        ended.text()
    }

    #[test]
    fn openssl_reads_and_verifies_it() {
        let pair = make(1_795_204_580).unwrap();
        assert_eq!(fingerprint_of_certificate(&pair.certificate).as_ref(), Some(&pair.fingerprint));
        assert_eq!(fingerprint_of_key(&pair.key).as_ref(), Some(&pair.fingerprint));
        assert_eq!(fingerprint_of_certificate(b"junk"), None);
        assert_eq!(fingerprint_of_key("junk"), None);
        let dir = tempfile::tempdir().unwrap();
        fs::write_whole(&dir.path().join("key"), pair.key.as_bytes(), 0o600).unwrap();
        fs::write_whole(&dir.path().join("der"), &pair.certificate, 0o644).unwrap();
        let text = openssl(dir.path(), "x509 -inform der -in der -noout -text");
        for expected in [
            "Version: 3",
            "Signature Algorithm: sha256WithRSAEncryption",
            "Issuer: CN = DKMS module signing key",
            "Subject: CN = DKMS module signing key",
            "Not Before: Nov 20 19:56:20 2026 GMT",
            "Not After : Oct 27 19:56:20 2126 GMT",
            "Public-Key: (2048 bit)",
            "X509v3 Subject Key Identifier: \n",
            "X509v3 Authority Key Identifier: \n",
            "X509v3 Basic Constraints: critical\n                CA:TRUE\n",
            "X509v3 Extended Key Usage: \n                Code Signing\n",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        assert!(!text.contains("X509v3 Key Usage"), "{text}");
        let public = openssl(dir.path(), "x509 -inform der -in der -noout -pubkey");
        assert_eq!(public, openssl(dir.path(), "pkey -in key -pubout"));
        openssl(dir.path(), "x509 -inform der -in der -out pem");
        assert_eq!(openssl(dir.path(), "verify -CAfile pem pem"), "pem: OK\n");
    }
}
