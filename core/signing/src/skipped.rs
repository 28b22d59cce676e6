//! Programs that could sign and are not run, since another user may write them: they would get the key's path
//! and its passphrase.

use std::path::{Path, PathBuf};

use super::{SignError, Signer, Unsigned};
use dkms_base::host::fs;
use dkms_base::host::trusted::Fault;
use dkms_conf::trust;

/// What is wrong with each of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Skipped(Vec<Fault>);

impl Skipped {
    /// The first program that is there and sound, and those before it that are not sound.
    pub(super) fn among(tried: &[PathBuf]) -> (Option<PathBuf>, Self) {
        let mut skipped = Self::default();
        for path in tried.iter().filter(|path| fs::is_executable(path)) {
            match trust::fault(path) {
                Some(fault) => skipped.0.push(fault),
                None => return (Some(path.clone()), skipped),
            }
        }
        (None, skipped)
    }

    /// Why nothing signs what only a program can, if one is there.
    pub(super) fn reason(&self, why: &SignError) -> Option<Unsigned> {
        let first = self.0.first()?;
        let hint = Some(format!("fix it with `{}`", first.mend()));
        Some(Unsigned::Unusable { why: format!("{why}; {}", self.texts().join("; ")), hint })
    }

    /// The signer that is used instead, which says so.
    pub(super) fn told_by(&self, signer: Box<dyn Signer>) -> Box<dyn Signer> {
        if self.0.is_empty() { signer } else { Box::new(Instead { signer, skipped: self.texts() }) }
    }

    fn texts(&self) -> Vec<String> {
        let text = |fault: &Fault| format!("`{}` is not run to sign: {fault}", fault.path.display());
        self.0.iter().map(text).collect()
    }
}

/// A signer in the place of others.
#[derive(Debug)]
struct Instead {
    signer: Box<dyn Signer>,
    skipped: Vec<String>,
}

impl Signer for Instead {
    fn sign(&self, module: &Path, variables: &[(&str, &str)]) -> Result<(), SignError> {
        self.signer.sign(module, variables)
    }

    fn describe(&self) -> String {
        self.signer.describe()
    }

    fn warnings(&self) -> Vec<String> {
        self.skipped.iter().cloned().chain(self.signer.warnings()).collect()
    }
}
