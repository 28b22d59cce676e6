//! Keys and signers.
//!
//! - [`choose()`]: whether modules of a kernel are signed, and by what
//! - [`places`]: where key, certificate and program are, by settings and distribution
//! - [`keys`]: a key pair made on first use; [`certificate`]: what its certificate says
//! - [`OwnSigner`]: signs as the kernel's program does, to the byte; `passphrase`: what
//!   opens an encrypted key; [`GivenKey`]: one that the caller opened, outside of the root
//! - [`KernelSignFile`]: the kernel's own program as a signer
//! - [`Asked`]: who signs if a signature is asked for; [`SignedModule`]: files signed where they lie
//! - [`BlobKey`]: signatures over any bytes; [`TrustedKey`]: whose are trusted
//! - [`verify()`]: whether a module's signature holds
//! - [`doubts`]: what is wrong with keys and programs, for doctor
//! - [`chroot`]: whether this is one, or an image

mod asked;
mod blob;
pub mod certificate;
mod choose;
pub mod chroot;
pub mod doubts;
mod given;
mod hash;
mod in_place;
pub mod keys;
mod message;
mod own;
#[cfg(test)]
mod own_tests;
mod passphrase;
mod pem;
pub mod places;
mod private_key;
mod program;
mod public_key;
mod signing_certificate;
mod skipped;
#[cfg(test)]
mod testing;
pub mod trust;
mod verify;

pub use asked::{Asked, is_module_name};
pub use blob::{BlobKey, TrustedKey, certificate_pem, trusted};
pub use choose::{Generated, Signing, Unsigned, choose, fault, generate_mok};
pub use given::{GivenKey, fingerprint_of_signer};
pub use hash::ModuleHash;
pub use in_place::SignedModule;
pub use own::OwnSigner;
pub use passphrase::PassphrasePlaces;
pub use places::KeyPlaces;
pub use program::KernelSignFile;
pub use public_key::PublicKey;
pub use signing_certificate::{SigningCertificate, der_of};
pub use verify::{Signature, Unverified, verify};

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dkms_base::host::process::quote;

/// Signs module files in place.
///
/// A signer must append the kernel's trailer (`~Module signature appended~`) to the uncompressed `.ko`, or
/// leave the file as it was and return an error.
pub trait Signer: Send + Sync + std::fmt::Debug {
    /// Signs one file with the hash that it was made for. `variables` tell a program what it signs for.
    ///
    /// # Errors
    /// [`SignError`]; then the file is as it was.
    fn sign(&self, module: &Path, variables: &[(&str, &str)]) -> Result<(), SignError>;

    /// A line for the log: which program, key and hash.
    fn describe(&self) -> String;

    /// What the user should know of the key before it is used.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Whether every user may read a file, or even write it.
fn is_open_to_all(path: &Path) -> bool {
    const OTHERS: u32 = 0o006;
    dkms_base::host::fs::stat(path).is_ok_and(|meta| meta.is_some_and(|meta| meta.mode() & OTHERS != 0))
}

/// A module, or a key, that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] dkms_base::host::fs::FsError),
    /// The signing program failed.
    #[error("`{line}` failed with exit code {code}{}{output}", if output.is_empty() { "" } else { ": " })]
    Program {
        /// Its command line.
        line: String,
        /// Its exit code.
        code: i32,
        /// The end of its output.
        output: String,
    },
    /// It could not be run.
    #[error(transparent)]
    Process(#[from] dkms_base::host::process::ProcessError),
    /// The signing program ended well, but the module has no signature with that hash.
    #[error("`{line}` ended with exit code 0, but put no {hash} signature on the module")]
    NotSigned {
        /// The command line.
        line: String,
        /// The hash.
        hash: String,
    },
    /// One half of a key pair is there. It may be in use, so it is not overwritten.
    #[error("the signing key pair is incomplete: `{}` is there, but `{}` is not", there.display(), missing.display())]
    HalfPair {
        /// The half that is there.
        there: PathBuf,
        /// The other one.
        missing: PathBuf,
    },
    /// A key or certificate could not be made.
    #[error("cannot make the signing key `{}`: {why}", key.display())]
    Making {
        /// Where it was to be.
        key: PathBuf,
        /// Why.
        why: String,
    },
    /// The kernel wants a digest that we don't have.
    #[error("only the kernel's program can sign with `{hash}`")]
    Hash {
        /// `CONFIG_MODULE_SIG_HASH`.
        hash: String,
    },
    /// We can't sign with such a key.
    #[error("cannot sign with the key `{}`: {why}", key.display())]
    Key {
        /// The key.
        key: PathBuf,
        /// A sentence about it.
        why: String,
    },
    /// We can't sign for such a certificate.
    #[error("cannot sign with the certificate `{}`: {why}", certificate.display())]
    Certificate {
        /// The certificate.
        certificate: PathBuf,
        /// A sentence about it.
        why: String,
    },
    /// Modules are signed in the name of a certificate.
    #[error("the key `{}` has no certificate: there is none beside it or in it", key.display())]
    NoCertificate {
        /// The key.
        key: PathBuf,
    },
    /// Kernels would refuse what this key signs in the name of this certificate.
    #[error("the key `{}` is not that of the certificate `{}`", key.display(), certificate.display())]
    OtherCertificate {
        /// The key.
        key: PathBuf,
        /// The certificate.
        certificate: PathBuf,
    },
    /// A place that should have the passphrase doesn't give it.
    #[error("cannot read the passphrase of the signing key from {from}: {why}")]
    Passphrase {
        /// The place.
        from: String,
        /// Why.
        why: String,
    },
    /// Nobody gave a passphrase.
    #[error("the key `{}` is encrypted, and no passphrase is given (looked for in {places})", key.display())]
    NoPassphrase {
        /// The key.
        key: PathBuf,
        /// Where one could be.
        places: String,
    },
    /// Another one was given.
    #[error("the passphrase from {from} does not open the key `{}` (the first counts of {places})", key.display())]
    WrongPassphrase {
        /// The key.
        key: PathBuf,
        /// Where it came from.
        from: String,
        /// Where one could be.
        places: String,
    },
    /// What we made is no signature; the module is as it was.
    #[error("cannot sign `{}`: {why}", module.display())]
    Failed {
        /// The module.
        module: PathBuf,
        /// Why.
        why: String,
    },
}

impl SignError {
    /// Whether it is only that we can't do it: the kernel's program knows more kinds of keys and digests.
    #[must_use]
    pub fn is_beyond_us(&self) -> bool {
        matches!(self, Self::Hash { .. } | Self::Key { .. } | Self::Certificate { .. })
    }

    /// What to do about it, where that is plain.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::HalfPair { there, missing } => {
                let there = quote(&there.display().to_string());
                Some(format!(
                    "put `{}` back if there is a copy; else make a new pair, which has to be enrolled: \
                     `mv {there} {there}.old && dkms generate_mok`",
                    missing.display()
                ))
            }
            Self::NoCertificate { key } => Some(format!(
                "put it at `{}` (DER or PEM), or name it with `--certificate`",
                key.with_extension("pub").display()
            )),
            Self::OtherCertificate { .. } => {
                Some("compare `mok_signing_key` and `mok_certificate` in framework.conf".to_owned())
            }
            _ => None,
        }
    }
}
