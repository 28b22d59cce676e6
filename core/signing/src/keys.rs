//! A key pair on disk: whether it is there, and making it on first use. Never writes over a file.
//!
//! Key and certificate can't appear in one step, so the certificate's appearance is what counts, and the key
//! waits beside its place under a name that tells which certificate it belongs to:
//!
//! 1. `KEY.staged-FINGERPRINT` is written,
//! 2. the certificate appears, if none is there: from now on this pair has won,
//! 3. the staged key is renamed to `KEY`.
//!
//! A command that finds a certificate without a key, but with its staged key, does step 3. So a crash
//! anywhere leaves either no pair or one that is finished by the next command, and of two processes that make
//! a pair at once both end up with the same one.

use std::path::{Path, PathBuf};

use dkms_base::host::clock;
use dkms_base::host::{fs, leftovers, secrecy};

use super::SignError;
use super::certificate::{self, KeyPair};

/// Whether a pair was already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It was made now.
    Now,
    /// It was there.
    Before,
}

/// Makes sure that a pair is there; makes it where neither half is.
///
/// # Errors
/// [`SignError::HalfPair`] where one half is there; anything else where the pair can't be made.
pub fn ensure(key: &Path, certificate: &Path) -> Result<Made, SignError> {
    if is_complete(key, certificate)? {
        return Ok(Made::Before);
    }
    for path in [key, certificate] {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
    }
    let making = |why: Box<dyn std::error::Error + Send + Sync>| SignError::Making {
        key: key.to_owned(),
        why: why.to_string(),
    };
    secrecy::begin();
    let pair = certificate::make(clock::unix_seconds()).map_err(making)?;
    publish(&pair, key, certificate)?;
    Ok(Made::Now)
}

/// Whether both halves are there; a pair whose making was interrupted is finished first.
///
/// # Errors
/// [`SignError::HalfPair`] where only one is.
pub fn is_complete(key: &Path, certificate: &Path) -> Result<bool, SignError> {
    if !fs::exists(key) && fs::exists(certificate) {
        finish(key, certificate)?;
    }
    is_half(key, certificate).map_or_else(|| Ok(fs::exists(key)), Err)
}

/// That only one half is there, as an error; changes nothing.
#[must_use]
pub fn is_half(key: &Path, certificate: &Path) -> Option<SignError> {
    let half = |there: &Path, missing: &Path| {
        Some(SignError::HalfPair { there: there.to_owned(), missing: missing.to_owned() })
    };
    match (fs::exists(key), fs::exists(certificate)) {
        (true, true) | (false, false) => None,
        (true, false) => half(key, certificate),
        (false, true) => half(certificate, key),
    }
}

fn staged(key: &Path, fingerprint: &str) -> PathBuf {
    key.with_file_name(format!("{}{fingerprint}", staged_prefix(key)))
}

fn staged_prefix(key: &Path) -> String {
    format!("{}.staged-", key.file_name().unwrap_or_default().to_string_lossy())
}

fn publish(pair: &KeyPair, key: &Path, certificate: &Path) -> Result<(), SignError> {
    let own = staged(key, &pair.fingerprint);
    fs::write_whole(&own, pair.key.as_bytes(), 0o600)?;
    let temporary = fs::temporary_beside(certificate);
    let won = fs::write_whole(&temporary, &pair.certificate, 0o644)
        .and_then(|()| fs::rename_new(&temporary, certificate))
        .inspect_err(|_| drop((fs::remove_file(&temporary), fs::remove_file(&own))))?;
    if !won {
        // Another process was faster: its pair counts.
        fs::remove_file(&temporary)?;
        fs::remove_file(&own)?;
    }
    if is_complete(key, certificate)? {
        sweep(key)?;
    }
    Ok(())
}

/// Step 3, for whosever pair the certificate is of.
fn finish(key: &Path, certificate: &Path) -> Result<(), SignError> {
    let Some(fingerprint) = certificate::fingerprint_of_certificate(&fs::read(certificate)?) else {
        return Ok(());
    };
    let waiting = staged(key, &fingerprint);
    let text = fs::optional(fs::read_lossy(&waiting))?.unwrap_or_default();
    if certificate::fingerprint_of_key(&text).as_ref() == Some(&fingerprint) {
        // Where another process has done it in the meantime, the key is there, and that is all we want.
        fs::optional(fs::rename_new(&waiting, key))?;
    }
    Ok(())
}

/// What interrupted attempts have left: keys whose certificates never appeared, and temporary files.
fn sweep(key: &Path) -> Result<(), SignError> {
    let Some(folder) = key.parent() else { return Ok(()) };
    leftovers::sweep_folder(folder, 0)?;
    let prefix = staged_prefix(key);
    for entry in fs::list(folder)? {
        if entry.name.to_string_lossy().starts_with(&prefix) {
            fs::remove_file(&folder.join(entry.name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    struct Place {
        dir: tempfile::TempDir,
        key: PathBuf,
        certificate: PathBuf,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (key, certificate) = (dir.path().join("dkms/mok.key"), dir.path().join("dkms/mok.pub"));
            fs::create_dir_all(&dir.path().join("dkms")).unwrap();
            Self { dir, key, certificate }
        }

        fn ensure(&self) -> Result<Made, SignError> {
            ensure(&self.key, &self.certificate)
        }

        /// Both halves are there, belong together, and nothing else is there.
        fn assert_sound(&self) {
            let certificate = fs::read(&self.certificate).unwrap();
            let key = fs::read_lossy(&self.key).unwrap();
            let fingerprint = certificate::fingerprint_of_certificate(&certificate);
            assert!(fingerprint.is_some());
            assert_eq!(fingerprint, certificate::fingerprint_of_key(&key));
            assert_eq!(fs::list(&self.dir.path().join("dkms")).unwrap().len(), 2);
        }
    }

    #[test]
    fn a_pair_is_made_once_with_its_modes() {
        let place = Place::new();
        assert_eq!(place.ensure().unwrap(), Made::Now);
        place.assert_sound();
        let mode = |path: &Path| fs::lstat(path).unwrap().unwrap().mode() & 0o777;
        assert_eq!((mode(&place.key), mode(&place.certificate)), (0o600, 0o644));
        let before = (fs::read(&place.key).unwrap(), fs::read(&place.certificate).unwrap());
        assert_eq!(place.ensure().unwrap(), Made::Before);
        assert_eq!(before, (fs::read(&place.key).unwrap(), fs::read(&place.certificate).unwrap()));
    }

    #[test]
    fn half_a_pair_is_never_overwritten() {
        for half in ["mok.key", "mok.pub"] {
            let place = Place::new();
            let there = place.dir.path().join("dkms").join(half);
            fs::write_whole(&there, b"precious", 0o644).unwrap();
            let error = place.ensure().unwrap_err();
            assert!(matches!(&error, SignError::HalfPair { there: found, .. } if *found == there), "{error}");
            assert_eq!(fs::read(&there).unwrap(), b"precious");
            assert_eq!(fs::list(&place.dir.path().join("dkms")).unwrap().len(), 1);
        }
    }

    #[test]
    fn a_crash_between_the_steps_is_mended() {
        let (pair, other) = (certificate::make(0).unwrap(), certificate::make(0).unwrap());
        // After step 1: begun again.
        let place = Place::new();
        fs::write_whole(&staged(&place.key, &other.fingerprint), other.key.as_bytes(), 0o600).unwrap();
        assert_eq!(place.ensure().unwrap(), Made::Now);
        place.assert_sound();
        // After step 2: finished.
        let place = Place::new();
        fs::write_whole(&staged(&place.key, &pair.fingerprint), pair.key.as_bytes(), 0o600).unwrap();
        fs::write_whole(&place.certificate, &pair.certificate, 0o644).unwrap();
        assert_eq!(place.ensure().unwrap(), Made::Before);
        place.assert_sound();
        // Another user's staged key doesn't fit.
        let place = Place::new();
        fs::write_whole(&staged(&place.key, &pair.fingerprint), other.key.as_bytes(), 0o600).unwrap();
        fs::write_whole(&place.certificate, &pair.certificate, 0o644).unwrap();
        assert!(matches!(place.ensure(), Err(SignError::HalfPair { .. })));
    }

    #[test]
    fn many_at_once_end_up_with_one_pair() {
        let place = Place::new();
        std::thread::scope(|scope| {
            let makers: Vec<_> = (0..4).map(|_| scope.spawn(|| place.ensure())).collect();
            for maker in makers {
                maker.join().unwrap().unwrap();
            }
        });
        place.assert_sound();
    }
}
