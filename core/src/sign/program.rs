//! Signing with the kernel's own program, `scripts/sign-file`, or Ubuntu's `kmodsign`, which takes the same arguments.

use std::path::{Path, PathBuf};

use super::{SignError, Signer};
use crate::host::process::Process;
use crate::host::{Environment, fs};
use crate::modfile::signature;

/// `sign-file HASH KEY CERTIFICATE MODULE`.
#[derive(Debug, Clone)]
pub struct SignFile {
    /// The program.
    pub program: PathBuf,
    /// As `CONFIG_MODULE_SIG_HASH` names it: `sha256`.
    pub hash: String,
    /// A file, or a `pkcs11:` URI.
    pub key: String,
    /// The certificate (DER).
    pub certificate: PathBuf,
    /// What the program sees.
    pub environment: Environment,
}

impl Signer for SignFile {
    /// The program writes a copy and renames it, so that a failure leaves the module as it was; the trailer is read back.
    fn sign(&self, module: &Path) -> Result<(), SignError> {
        let arguments =
            [self.hash.clone().into(), self.key.clone().into(), self.certificate.clone(), module.to_owned()];
        let process = Process::new(&self.program, arguments, &self.environment);
        let ended = process.capture()?;
        if !ended.status.success() {
            let output = ended.text().trim().to_owned();
            return Err(SignError::Program { line: process.line(), code: ended.code(), output });
        }
        match signature::signature_of(&fs::read(module)?) {
            Some(_) => Ok(()),
            None => Err(SignError::NotSigned { line: process.line(), module: module.to_owned() }),
        }
    }

    fn describe(&self) -> String {
        format!("{} {} {} {}", self.program.display(), self.hash, self.key, self.certificate.display())
    }
}
