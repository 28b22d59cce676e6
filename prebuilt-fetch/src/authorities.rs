//! The certificate authorities that this system trusts.

use ureq::tls::{Certificate, PemItem, parse_pem};

/// Where distributions keep them, as one file: Debian, Arch and Alpine; Fedora and its relatives; SUSE; what
/// most have as a link.
const FILES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Those of the first file that has any. Without any, no server is trusted.
#[must_use]
pub fn of_system() -> Vec<Certificate<'static>> {
    FILES.iter().map(|file| of_file(file)).find(|found| !found.is_empty()).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "this program knows nothing of dkms, and reads nothing else")]
fn of_file(path: &str) -> Vec<Certificate<'static>> {
    std::fs::read(path).map(|bytes| of_pem(&bytes)).unwrap_or_default()
}

fn of_pem(bytes: &[u8]) -> Vec<Certificate<'static>> {
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    parse_pem(bytes).filter_map(certificate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_found_among_other_things() {
        let one = "# Some authority\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        assert_eq!(of_pem(format!("{one}{key}{one}garbage").as_bytes()).len(), 2);
        assert!(of_pem(b"\xff\0").is_empty() && of_file("/nonexistent").is_empty());
    }
}
