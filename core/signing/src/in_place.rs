//! Module files that are signed where they lie, packed or not: all are made beside their places first, then
//! each takes its place by one rename. A signature that is there goes.
//!
//! In a folder that another user may change they are not made: that user could exchange a folder or a file
//! between two steps, and root would sign, or give away, another file than was meant.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dkms_base::host::replacing::Replacing;
use dkms_base::host::{Environment, fs, scratch, trusted};
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
    /// Where the folder of the module is not ours alone.
    place: Option<Replacing>,
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
        let is_ours = trusted::fault_for_root(path).is_none();
        let place = if is_ours { None } else { Some(Replacing::open(path)?) };
        let folder = match &place {
            None => fs::temporary_beside(path),
            Some(_) => fs::temporary_beside(&trusted::staging_folder().join("sign")),
        };
        scratch::create_private_folder(&folder)?;
        // Dropped with an error it takes its folder away.
        let mut staged = Self { path: path.to_owned(), folder, signed: PathBuf::new(), place };
        staged.signed = make(path, &staged.folder, signer, options, environment)?;
        Ok(staged)
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// [`fs::FsError`]; then the module is as it was.
    pub fn publish(self) -> Result<(), fs::FsError> {
        match &self.place {
            None => fs::rename(&self.signed, &self.path),
            Some(place) => place.replace_with(&self.signed),
        }
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use dkms_base::host::fs;
    use dkms_base::host::process::Process;

    use super::*;

    /// Signs nothing, and exchanges a folder meanwhile.
    #[derive(Debug)]
    struct Exchanging<'a> {
        folder: &'a Path,
        other: &'a Path,
    }

    impl Signer for Exchanging<'_> {
        fn sign(&self, module: &Path, _: &[(&str, &str)]) -> Result<(), SignError> {
            assert!(!module.starts_with(self.folder), "{module:?}");
            fs::rename(self.folder, &self.folder.with_extension("away"))?;
            Ok(fs::symlink(self.other, self.folder)?)
        }

        fn describe(&self) -> String {
            String::new()
        }

        fn warnings(&self) -> Vec<String> {
            Vec::new()
        }
    }

    #[test]
    fn a_user_who_exchanges_the_folder_gets_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, other) = (dir.path().join("of-a-user"), dir.path().join("of-root"));
        let module = dir.path().join("x.o");
        let tools: Environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
        let compiled = Process::shell("echo 'int x;' | cc -c -x c - -o x.o", &tools).dir(dir.path());
        assert_eq!(compiled.capture().unwrap().code(), 0);
        for place in [&folder, &other] {
            fs::create_dir_all(place).unwrap();
            fs::copy_content(&module, &place.join("x.ko"), 0o644).unwrap();
        }
        fs::give_to(&folder, 12345, 12345);
        fs::give_to(&folder.join("x.ko"), 12345, 12345);
        let inode =
            |path: &Path| fs::lstat(path).unwrap().map(|meta| (meta.ino(), meta.uid(), meta.mode() & 0o777));
        let before = inode(&other.join("x.ko"));
        let signer = Exchanging { folder: &folder, other: &other };
        let environment = Environment::default();
        let path = folder.join("x.ko");
        let staged = SignedModule::stage(&path, &signer, &CompressOptions::default(), &environment).unwrap();
        staged.publish().unwrap();
        assert_eq!(inode(&other.join("x.ko")), before);
        let away = folder.with_extension("away");
        assert_eq!(inode(&away.join("x.ko")).map(|(_, owner, mode)| (owner, mode)), Some((12345, 0o644)));
        assert_eq!(fs::list(&away).unwrap().len(), 1);
    }
}
