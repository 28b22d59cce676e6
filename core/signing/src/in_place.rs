//! Module files that are signed where they lie, packed or not: all are made beside their places first, then
//! each takes its place by one rename. A signature that is there goes.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dkms_base::host::{Environment, fs, scratch};
use dkms_kernel::Compression;
use dkms_kernel::modfile::content::{each_unsigned, packing};
use dkms_kernel::modfile::{Beside, CompressOptions, compress, is_whole_file};

use super::{SignError, Signer};

/// A signed module beside its place.
#[derive(Debug)]
pub struct SignedModule {
    path: PathBuf,
    folder: PathBuf,
    signed: PathBuf,
}

impl SignedModule {
    /// Makes it.
    ///
    /// # Errors
    /// [`SignError`]; nothing is left.
    pub fn stage(
        path: &Path,
        signer: &dyn Signer,
        options: &CompressOptions,
        environment: &Environment,
    ) -> Result<Self, SignError> {
        let folder = fs::temporary_beside(path);
        scratch::create_private_folder(&folder)?;
        // Dropped with an error it takes its folder away.
        let mut staged = Self { path: path.to_owned(), folder, signed: PathBuf::new() };
        staged.signed = make(path, &staged.folder, signer, options, environment)?;
        Ok(staged)
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// [`fs::FsError`]; then the module is as it was.
    pub fn publish(self) -> Result<(), fs::FsError> {
        fs::rename(&self.signed, &self.path)
    }
}

impl Drop for SignedModule {
    fn drop(&mut self) {
        // What went wrong has its error already.
        drop(fs::remove_any(&self.folder));
    }
}

fn make(
    path: &Path,
    folder: &Path,
    signer: &dyn Signer,
    options: &CompressOptions,
    environment: &Environment,
) -> Result<PathBuf, SignError> {
    let failed = |why: String| SignError::Failed { module: path.to_owned(), why };
    let meta = fs::stat(path)?;
    let (begin, ..) = fs::read_ends(path, 8, 0)?;
    let compression = packing(&begin);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain = name.strip_suffix(compression.suffix()).unwrap_or(&name);
    let module = folder.join(plain);
    let mut file = fs::create_new(&module, 0o600)?;
    let mut written = Ok(());
    each_unsigned(path, &mut |bytes| {
        if written.is_ok() {
            written = file.write_all(bytes);
        }
    })
    .map_err(|error| failed(error.to_string()))?;
    written.map_err(|source| fs::FsError { verb: "write", path: module.clone(), source })?;
    drop(file);
    if !is_whole_file(&module)? {
        return Err(failed("it is not a whole ELF object".to_owned()));
    }
    signer.sign(&module, &[])?;
    let signed = match compression {
        Compression::None => module,
        packed => compress(&module, packed, options, environment, &Beside)
            .map_err(|error| failed(error.to_string()))?,
    };
    if let Some(meta) = meta {
        fs::give_to(&signed, meta.uid(), meta.gid());
        fs::set_mode(&signed, meta.mode() & 0o777)?;
    }
    Ok(signed)
}
