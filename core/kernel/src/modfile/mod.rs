//! Module files: what a `.ko` says of itself, and how it is compressed, stripped, compared.
//!
//! - [`ModuleFile`]: what a file's name says
//! - [`info`]: `.modinfo`, read from the ELF file itself, however it is compressed ([`mod@content`])
//! - [`object`]: what its ELF object shows besides: machine, symbols
//! - [`mod@compare`]: which of two modules is newer, whether they are the same
//! - [`signature`]: the kernel's trailer behind a signed module
//! - [`mod@compress`], [`mod@strip`]: what a build does to its modules, with the system's programs
//!   on copies ([`tool`])
//! - [`whole`]: whether a file is a whole ELF object

mod budget;
pub mod compare;
pub mod compress;
pub mod content;
mod exported;
mod gzip;
pub mod info;
pub mod name;
pub mod object;
mod sections;
pub mod signature;
pub mod strip;
mod sums;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tool;
pub mod whole;

pub use budget::{Budget, TooManyNames};
pub use compare::{Standing, compare, same_module};
pub use compress::{CompressError, CompressOptions, DEFAULT_XZ_OPTS, DEFAULT_ZSTD_OPTS, compress};
pub use content::content;
pub use exported::exported;
pub use info::{ModuleInfo, read_info};
pub use name::{ModuleFile, canonical_name};
pub use object::{Machine, ModuleObject, NotAModule};
pub use signature::{SignatureInfo, signature_of, without_signature};
pub use strip::{StripError, strip};
pub use tool::{Beside, ToolError, ToolRunner};
pub use whole::{damage, is_whole_file, is_whole_module, is_whole_object};

use std::io;
use std::path::PathBuf;

use dkms_base::host::fs::FsError;

/// A module file that can't be read as one.
#[derive(Debug, thiserror::Error)]
pub enum ModfileError {
    /// It can't be read at all.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Its compression is broken, or it is larger than any module when unpacked.
    #[error("cannot unpack the module `{}`: {source}", path.display())]
    Unpack {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no module: no ELF file, a cut one, or one without `.modinfo`.
    #[error("`{}` is no kernel module: {why}", path.display())]
    NoModule {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}
