//! What the signer's tests have in common: openssl, the kernel's program, keys of every kind.

use std::path::{Path, PathBuf};

use dkms_base::host::process::{Ended, Process};
use dkms_base::host::{Environment, fs};

use super::places::Maker;
use super::{KeyPlaces, OwnSigner, PassphrasePlaces, SignError};

/// The kernel's program of this machine.
pub(super) fn sign_file() -> PathBuf {
    fs::list(Path::new("/usr/lib"))
        .unwrap()
        .iter()
        .filter(|entry| entry.name.to_string_lossy().starts_with("linux-kbuild-"))
        .map(|entry| Path::new("/usr/lib").join(&entry.name).join("scripts/sign-file"))
        .find(|path| fs::is_executable(path))
        .expect("this test needs a package linux-kbuild-* (`apt-get install linux-headers-amd64`)")
}

/// A folder with keys.
pub(super) struct Keys(tempfile::TempDir);

impl Keys {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn try_shell(&self, line: &str) -> Ended {
        let environment: Environment = [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")].into_iter().collect();
        Process::shell(line, &environment).dir(self.0.path()).capture().unwrap()
    }

    pub(super) fn shell(&self, line: &str) -> String {
        let ended = self.try_shell(line);
        assert!(ended.status.success(), "{line}: {}", ended.text());
        ended.text()
    }

    /// A key `NAME.key` (PKCS#8) as openssl's `genpkey` makes it of these words, and its
    /// certificate `NAME.der`.
    pub(super) fn make(&self, name: &str, words: &str) {
        self.make_for(name, words, &format!("/CN=Test {name}"));
    }

    pub(super) fn make_for(&self, name: &str, words: &str, subject: &str) {
        self.shell(&format!("openssl genpkey {words} -out {name}.key"));
        self.shell(&format!(
            "openssl req -new -x509 -utf8 -key {name}.key -subj '{subject}' -days 9 -outform DER -out {name}.der"
        ));
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write_whole(&self.at(name), bytes, 0o600).unwrap();
        self.at(name)
    }

    pub(super) fn places(&self, key: &str, certificate: &str) -> KeyPlaces {
        KeyPlaces { key: self.at(key), certificate: self.at(certificate), maker: Maker::Ourselves }
    }

    pub(super) fn load(&self, key: &str, certificate: &str, hash: &str) -> Result<OwnSigner, SignError> {
        OwnSigner::load(&self.places(key, certificate), hash, &PassphrasePlaces::default())
    }
}

pub(super) const RSA_2048: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
pub(super) const RSA_4096: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:4096";
pub(super) const P_256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
pub(super) const P_384: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-384";
