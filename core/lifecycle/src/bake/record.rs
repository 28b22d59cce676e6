//! What an image keeps of a module: its files by their digests, who signed them, and what made them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dkms_archive::source_digest;

use super::manifest::{BakedFile, BakedModule, digest_of};
use crate::build::inputs::hex;
use crate::engine::Survey;
use crate::host::fs::{self, FsError};
use crate::host::process::{Process, ProcessError};
use crate::id::{ModuleId, Target};
use crate::install;
use crate::kernel::{KernelFacts, toolchain};
use crate::layout::Layout;
use crate::modfile::content::unsigned_digest;
use crate::modfile::{ModfileError, ModuleFile};
use crate::sign::fingerprint_of_signer;

/// What can't be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A module file can't be read.
    #[error(transparent)]
    Module(#[from] ModfileError),
    /// A program could not be asked for its version.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// Records modules.
#[derive(Debug)]
pub struct Recorder<'a> {
    layout: &'a Layout,
    survey: &'a Survey<'a>,
    /// The certificate of the key that signs for a kernel.
    certificates: BTreeMap<Target, Vec<u8>>,
    tools: BTreeMap<Target, BTreeMap<String, String>>,
    sources: BTreeMap<PathBuf, Option<String>>,
}

impl<'a> Recorder<'a> {
    /// One that knows these certificates.
    #[must_use]
    pub fn new(layout: &'a Layout, survey: &'a Survey<'a>, certificates: BTreeMap<Target, Vec<u8>>) -> Self {
        Self { layout, survey, certificates, tools: BTreeMap::new(), sources: BTreeMap::new() }
    }

    /// The files of a module that is installed on a kernel.
    ///
    /// # Errors
    /// [`FsError`] if the kernel can't be looked at.
    pub fn files(&self, id: &ModuleId, target: &Target) -> Result<Vec<PathBuf>, FsError> {
        let conf = self.survey.lenient_conf(id, target)?;
        let kernel_dir = self.layout.kernel_dir(&target.kernel);
        Ok(install::installed_files(&kernel_dir, &conf, self.survey.module_folder.as_deref()))
    }

    /// The files that the tree has of a module for a kernel.
    #[must_use]
    pub fn built(&self, id: &ModuleId, target: &Target) -> Vec<PathBuf> {
        let folder = self.layout.built_dir(id, target);
        let is_module = |entry: &fs::Entry| entry.name.to_str().and_then(ModuleFile::from_name).is_some();
        let entries = fs::list(&folder).unwrap_or_default().into_iter().filter(is_module);
        entries.map(|entry| folder.join(entry.name)).collect()
    }

    /// The fingerprint of the known key that signed a file.
    #[must_use]
    pub fn key_of(&self, file: &Path, target: &Target) -> Option<String> {
        fingerprint_of_signer(file, self.certificates.get(target)?)
    }

    /// What the image keeps of a module.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn record(&mut self, id: &ModuleId, target: &Target) -> Result<BakedModule, RecordError> {
        let mut files = Vec::new();
        let mut key = None;
        for path in self.files(id, target)? {
            self.make_own(&path)?;
            key = key.or(self.key_of(&path, target));
            let unsigned_sha256 = hex(&unsigned_digest(&path)?);
            files.push(BakedFile {
                sha256: digest_of(&path)?,
                path: self.layout.in_root(&path),
                unsigned_sha256,
            });
        }
        let source = fs::canonical(&self.layout.source_link(id)).unwrap_or(self.layout.source_dir(id));
        let source_sha256 = self
            .sources
            .entry(source)
            .or_insert_with_key(|source| fs::is_dir(source).then(|| source_digest(source).ok()).flatten())
            .clone();
        let tools = match self.tools.get(target) {
            Some(tools) => tools.clone(),
            None => {
                let tools = self.tools(&*self.survey.kernel(target)?)?;
                self.tools.insert(target.clone(), tools.clone());
                tools
            }
        };
        Ok(BakedModule { source_sha256, key, tools, files })
    }

    /// A link into the tree (`symlink_modules`) becomes a file of its own: the tree does not stay.
    fn make_own(&self, path: &Path) -> Result<(), FsError> {
        if fs::link_target(path)?.is_none() {
            return Ok(());
        }
        let real = fs::canonical(path)?;
        let temporary = fs::temporary_beside(path);
        fs::copy_content(&real, &temporary, 0o644)
            .and_then(|()| fs::rename(&temporary, path))
            .inspect_err(|_| drop(fs::remove_file(&temporary)))
    }

    /// The first line of what the programs say of their versions.
    fn tools(&self, kernel: &KernelFacts) -> Result<BTreeMap<String, String>, ProcessError> {
        let environment = self.survey.environment();
        let chain = toolchain::look(&kernel.headers, &kernel.config, environment)?;
        let compiler = chain.cc.unwrap_or_else(|| "gcc".to_owned());
        let linker = if chain.lld { "ld.lld" } else { "ld" };
        let mut tools = BTreeMap::from([("dkms".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
        for (name, program) in
            [("compiler", compiler.as_str()), ("linker", linker), ("make", "make"), ("depmod", "depmod")]
        {
            let mut words = program.split_whitespace().map(str::to_owned);
            let Some(first) = words.next() else { continue };
            let process = Process::new(&first, words.chain(["--version".to_owned()]), environment);
            match process.capture_stdout() {
                Ok(ended) if ended.code() == 0 => {
                    let line = ended.text().lines().next().unwrap_or_default().trim().to_owned();
                    tools.insert(name.to_owned(), line);
                }
                Err(error @ ProcessError::Interrupted { .. }) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(tools)
    }
}
