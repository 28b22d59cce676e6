//! Making the key and the certificate that modules are signed with: RSA 2048, self-signed, for code signing only.

use std::path::Path;
use std::time::Duration;

use pkcs8::{EncodePrivateKey, LineEnding};
use rand::rngs::OsRng;
use rsa::RsaPrivateKey;
use rsa::pkcs1v15::SigningKey;
use rsa::signature::Keypair;
use sha2::Sha256;
use x509_cert::builder::{Builder, CertificateBuilder, Profile};
use x509_cert::der::Encode;
use x509_cert::der::asn1::{GeneralizedTime, UtcTime};
use x509_cert::der::oid::db::rfc5280::ID_KP_CODE_SIGNING;
use x509_cert::ext::pkix::ExtendedKeyUsage;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{EncodePublicKey, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

use super::SignError;
use crate::host::{clock, fs};

/// The certificate's subject and issuer.
const NAME: &str = "CN=DKMS module signing key";
/// A hundred years: a key that runs out would take the machine's modules with it.
const LIFE: Duration = Duration::from_secs(36_500 * 24 * 3_600);
/// The last second that RFC 5280 wants written as UTCTime: the end of 2049.
const LAST_UTC_TIME: u64 = 2_524_607_999;

/// What became of a key pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    /// It was there.
    Kept,
    /// It was made.
    Made,
}

/// Sees to it that there is a key pair: makes one where neither half exists.
///
/// Half a pair is somebody's whose other half is elsewhere, and never overwritten.
///
/// # Errors
/// [`SignError::HalfAPair`]; [`SignError::Key`] and [`SignError::Fs`] where it can't be made.
pub fn ensure_pair(key: &Path, certificate: &Path) -> Result<Pair, SignError> {
    match (fs::exists(key), fs::exists(certificate)) {
        (true, true) => Ok(Pair::Kept),
        (false, false) => make_pair(key, certificate).map(|()| Pair::Made),
        (has_key, _) => {
            let (there, missing) = if has_key { (key, certificate) } else { (certificate, key) };
            Err(SignError::HalfAPair { there: there.to_owned(), missing: missing.to_owned() })
        }
    }
}

fn make_pair(key: &Path, certificate: &Path) -> Result<(), SignError> {
    let failed = |why: String| SignError::Key { path: key.to_owned(), why };
    let private = RsaPrivateKey::new(&mut OsRng, 2_048).map_err(|error| failed(error.to_string()))?;
    let pem = private.to_pkcs8_pem(LineEnding::LF).map_err(|error| failed(error.to_string()))?;
    let der = self_signed(private, clock::unix_seconds()).map_err(|error| failed(error.to_string()))?;
    for path in [key, certificate] {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
    }
    fs::write_whole(certificate, &der, 0o644)?;
    // A pair is never left half done by a failure that we live to see.
    fs::write_whole(key, pem.as_bytes(), 0o600).inspect_err(|_| drop(fs::remove_file(certificate)))?;
    Ok(())
}

/// The certificate in DER, valid from `now` (seconds since 1970).
fn self_signed(private: RsaPrivateKey, now: u64) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    use rand::RngCore;
    let signer = SigningKey::<Sha256>::new(private);
    let public = signer.verifying_key().to_public_key_der()?;
    let spki = SubjectPublicKeyInfoOwned::try_from(public.as_bytes())?;
    let mut serial = [0_u8; 19];
    OsRng.fill_bytes(&mut serial);
    // Positive and of full length, as RFC 5280 (4.1.2.2) wants it.
    serial[0] = serial[0] & 0x7f | 0x40;
    let name: Name = NAME.parse()?;
    let validity = Validity {
        not_before: time(Duration::from_secs(now))?,
        not_after: time(Duration::from_secs(now) + LIFE)?,
    };
    let mut builder = CertificateBuilder::new(
        Profile::Leaf { issuer: name.clone(), enable_key_agreement: false, enable_key_encipherment: false },
        SerialNumber::new(&serial)?,
        validity,
        name,
        spki,
        &signer,
    )?;
    builder.add_extension(&ExtendedKeyUsage(vec![ID_KP_CODE_SIGNING]))?;
    Ok(builder.build::<rsa::pkcs1v15::Signature>()?.to_der()?)
}

/// As RFC 5280 (4.1.2.5) wants it: UTCTime through 2049, GeneralizedTime from then on.
fn time(since_1970: Duration) -> Result<Time, x509_cert::der::Error> {
    if since_1970.as_secs() <= LAST_UTC_TIME {
        UtcTime::from_unix_duration(since_1970).map(Time::UtcTime)
    } else {
        GeneralizedTime::from_unix_duration(since_1970).map(Time::GeneralTime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use x509_cert::Certificate;
    use x509_cert::der::Decode;

    #[test]
    fn a_pair_is_made_once_and_fits() {
        use pkcs8::DecodePrivateKey;
        let dir = tempfile::tempdir().unwrap();
        let (key, certificate) = (dir.path().join("sub/mok.key"), dir.path().join("mok.pub"));
        assert_eq!(ensure_pair(&key, &certificate).unwrap(), Pair::Made);
        assert_eq!(fs::stat(&key).unwrap().unwrap().mode() & 0o777, 0o600);
        let pem = fs::read_lossy(&key).unwrap();
        let private = RsaPrivateKey::from_pkcs8_pem(&pem).unwrap();
        let parsed = Certificate::from_der(&fs::read(&certificate).unwrap()).unwrap();
        let public = private.to_public_key().to_public_key_der().unwrap();
        assert_eq!(parsed.tbs_certificate.subject_public_key_info.to_der().unwrap(), public.as_bytes());
        assert_eq!(parsed.tbs_certificate.subject.to_string(), NAME);
        assert_eq!(parsed.tbs_certificate.issuer, parsed.tbs_certificate.subject);
        assert_eq!(ensure_pair(&key, &certificate).unwrap(), Pair::Kept);
        assert_eq!(fs::read_lossy(&key).unwrap(), pem);
    }

    #[test]
    fn half_a_pair_is_an_error_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (key, certificate) = (dir.path().join("mok.key"), dir.path().join("mok.pub"));
        fs::write_whole(&key, b"mine", 0o600).unwrap();
        let error = ensure_pair(&key, &certificate).unwrap_err();
        assert!(matches!(&error, SignError::HalfAPair { missing, .. } if *missing == certificate), "{error}");
        assert_eq!(fs::read(&key).unwrap(), b"mine");
        assert!(!fs::exists(&certificate));
    }

    #[test]
    fn years_after_2049_are_written_in_full() {
        assert!(matches!(time(Duration::from_secs(LAST_UTC_TIME)), Ok(Time::UtcTime(_))));
        assert!(matches!(time(Duration::from_secs(LAST_UTC_TIME + 1)), Ok(Time::GeneralTime(_))));
    }
}
