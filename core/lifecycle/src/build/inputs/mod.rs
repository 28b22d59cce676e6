//! The inputs key: one SHA-256 over everything that the result of a build depends on. Two builds with
//! the same key make the same modules; so a cached one may stand for the other, and one that failed
//! need not be tried again.
//!
//! In it, and why:
//! - our own format version, so that a change of what we do with a build asks for new ones
//! - module, kernel release and architecture
//! - every file of the source (`tree`) and of the admin's folder `/etc/dkms/M`, whose patches and scripts win
//! - the conf as resolved for that kernel: `--directive`, `-c` and framework.conf can
//!   change what the file says
//! - the kernel's headers with configuration and `Module.symvers`: all of `/lib/modules/K/build` and
//!   `…/source`, what links in them lead to, and the tree whose Makefile theirs includes
//! - compiler, linker, make and what else a kernel build calls, by content; the compiler also by what it says
//!   of itself (`programs`)
//! - whether it runs in the sandbox
//! - the variables that can reach a build (`variables`)
//! - modules of `BUILD_DEPENDS`: version, source, symbols, and modules as they were before signing
//! - the paths that a build sees (the trees, headers, `M/V/build`): they end up inside modules (`__FILE__`).
//!   So the same source in another tree has another key.
//!
//! Not in it: times (but see `tree`), owners, `-jN`, who asks, and what comes after a build: signing and
//! compression are done again. What a build fetches from elsewhere (a file that its Makefile names outside of
//! all this) is not seen.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sha2::{Digest as _, Sha256};

use super::{BuildSpec, confine, environment};
use crate::conf::ModuleConf;
use crate::conf::confined::Exemption;
use crate::conf::module::{ModuleRecord, Scripts};
use crate::host::Environment;
use crate::host::fs::{self, FsError};
use crate::host::process::ProcessError;
use crate::kernel::{Reach, Toolchain};
use crate::modfile::content::unsigned_digest;
use crate::report::Reporter;

mod programs;
#[cfg(test)]
mod tests;
mod tree;
mod variables;

use tree::Times;

/// Grows when what we do with a build changes its result, or what the key covers changes.
const FORMAT: u32 = 2;

/// A SHA-256.
type Digest = [u8; 32];

/// The key, as 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputsKey(String);

impl InputsKey {
    /// Takes a text that is a key.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 64 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for InputsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why there is no key: something that counts can't be read. Then nothing is cached, and nothing remembered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InputsError {
    /// A file operation failed.
    #[error("{0}")]
    Fs(Arc<FsError>),
    /// A program couldn't be asked.
    #[error("{0}")]
    Process(Arc<ProcessError>),
    /// There is too much to read for every build.
    #[error("`{}` holds too much to be compared", .0.display())]
    TooMuch(PathBuf),
    /// The file `build_environment` can't be used.
    #[error("{0}")]
    Environment(String),
}

impl From<FsError> for InputsError {
    fn from(error: FsError) -> Self {
        Self::Fs(Arc::new(error))
    }
}

impl From<ProcessError> for InputsError {
    fn from(error: ProcessError) -> Self {
        Self::Process(Arc::new(error))
    }
}

/// What many builds of a run share, looked at once: headers and programs. Source and dependencies are looked
/// at each time, since they may change while we run.
#[derive(Debug, Default)]
pub struct Digests {
    look: Look,
    folders: Mutex<BTreeMap<Vec<PathBuf>, Arc<Folders>>>,
    programs: Mutex<BTreeMap<PathBuf, Digest>>,
}

/// How headers and programs are looked at: there is much of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Look {
    /// What is in their files.
    #[default]
    Content,
    /// Which files they are, how large, and when they changed. Such keys stand for a short time on one
    /// machine, and never equal others.
    Stat,
}

/// Written by the first who asks, while others wait.
type Folders = OnceLock<Result<Digest, InputsError>>;

impl Digests {
    /// Compares headers and programs by what the file system says of them: fast, and what is the same now was
    /// not changed in between.
    #[must_use]
    pub fn by_stat() -> Self {
        Self { look: Look::Stat, ..Self::default() }
    }

    fn are_by_stat(&self) -> bool {
        self.look == Look::Stat
    }

    /// Folders by their real paths.
    fn folders(&self, folders: &[PathBuf]) -> Result<Digest, InputsError> {
        let once = {
            let mut known = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(folders.to_vec()).or_default())
        };
        let compute = || {
            let roots = folders.iter().map(|folder| (folder.to_string_lossy().into_owned(), folder.clone()));
            match self.look {
                Look::Content => tree::digest(roots.collect(), Times::Never),
                Look::Stat => tree::digest_of_stat(roots.collect()),
            }
        };
        once.get_or_init(compute).clone()
    }

    /// A program by its real path.
    fn program(&self, path: &Path) -> Result<Digest, InputsError> {
        let known = |digests: &Self| {
            digests.programs.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied()
        };
        if let Some(digest) = known(self) {
            return Ok(digest);
        }
        let digest = match self.look {
            Look::Content => tree::file(path)?,
            Look::Stat => tree::file_stat(path)?,
        };
        self.programs.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), digest);
        Ok(digest)
    }
}

/// Gathers fields, each with its name and length before it, so that no two lists of fields
/// give the same bytes.
struct Hasher(Sha256);

impl Hasher {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn field(&mut self, name: &str, value: impl AsRef<[u8]>) {
        for part in [name.as_bytes(), value.as_ref()] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    fn path(&mut self, name: &str, path: &Path) {
        self.field(name, path.as_os_str().as_encoded_bytes());
    }

    fn finish(self) -> Digest {
        self.0.finalize().into()
    }
}

/// A digest in hexadecimal.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key of a build, its environment worked out first.
///
/// # Errors
/// [`InputsError`].
pub fn key(
    spec: &BuildSpec<'_>,
    digests: &Digests,
    reporter: &dyn Reporter,
) -> Result<InputsKey, InputsError> {
    let environment = environment::of_build(spec, reporter)
        .map_err(|failure| InputsError::Environment(failure.to_string()))?;
    key_in(spec, &environment, digests)
}

/// The key of a build in its environment.
pub(super) fn key_in(
    spec: &BuildSpec<'_>,
    environment: &Environment,
    digests: &Digests,
) -> Result<InputsKey, InputsError> {
    let mut hasher = Hasher::new();
    hasher.field("format", FORMAT.to_le_bytes());
    if digests.are_by_stat() {
        hasher.field("by", "stat");
    }
    hasher.field("module", spec.id.to_string());
    hasher.field("kernel", spec.target.kernel.as_str());
    hasher.field("arch", spec.target.arch.as_str());
    let is_exempt = matches!(confine::exemption(spec), Exemption::Holds(_));
    hasher.field("confined", (!is_exempt).to_string());
    add_paths(&mut hasher, spec);
    add_conf(&mut hasher, spec.conf);
    let source = fs::canonical(&spec.layout.source_link(spec.id))?;
    let overlay = spec.layout.etc_dkms().join(&spec.id.name);
    hasher.field("source", tree::digest(vec![("source".to_owned(), source.clone())], Times::WhereMade)?);
    hasher.field("overlay", overlay_digest(&overlay)?);
    for (option, value) in &spec.kernel.config.options {
        hasher.field(option, value);
    }
    hasher.field("headers", digests.folders(&header_folders(spec)?)?);
    let Toolchain { cc, clang, lld, reach, unasked: _ } = spec.toolchain;
    hasher.field("toolchain", format!("{cc:?} {clang} {lld}"));
    if let Reach::Cross { prefix, arch } = reach {
        hasher.field("cross", format!("{prefix} {arch}"));
    }
    programs::add(&mut hasher, spec.toolchain, environment, digests)?;
    for (name, value) in
        variables::that_count(environment, spec.environment, &[&source, &overlay], spec.conf)?
    {
        hasher.field(&format!("${name}"), value);
    }
    for (name, version) in spec.dependencies {
        let id = crate::id::ModuleId::new(name.clone(), version.clone());
        hasher.field("dependency", id.to_string());
        hasher.field("content", overlay_digest(&spec.layout.source_link(&id))?);
        hasher.field("content", built_digest(&spec.layout.built_dir(&id, spec.target))?);
    }
    Ok(InputsKey(hex(&hasher.finish())))
}

/// The paths that a build can see.
fn add_paths(hasher: &mut Hasher, spec: &BuildSpec<'_>) {
    let layout = spec.layout;
    hasher.path("dkms_tree", &layout.dkms_tree);
    hasher.path("source_tree", &layout.source_tree);
    hasher.path("install_tree", &layout.install_tree);
    hasher.path("build_dir", &layout.build_dir(spec.id));
    hasher.path("etc_dkms", &layout.etc_dkms());
    hasher.path("kernel_source_dir", &spec.kernel.headers);
}

/// What of a conf has to do with building. A new directive has to be sorted in here.
fn add_conf(hasher: &mut Hasher, conf: &ModuleConf) {
    let ModuleConf {
        id: _,
        modules,
        make,
        clean: _,
        patches,
        scripts,
        autoinstall: _,
        build_depends,
        build_depends_rebuild: _,
        excluded: _,
        is_computed: _,
        no_weak_modules: _,
        remake_initrd: _,
        modules_conf: _,
        critical: _,
    } = conf;
    for record in modules {
        let ModuleRecord { index, built_name, built_location, dest_name, dest_location: _, strip, excluded } =
            record;
        hasher.field("record", format!("{index} {strip} {}", excluded.is_some()));
        hasher.field("built", format!("{built_location}{built_name}"));
        hasher.field("kept", dest_name);
    }
    hasher.field("make", format!("{make:?}"));
    patches.iter().for_each(|patch| hasher.field("patch", patch));
    let Scripts { pre_build, post_build, .. } = scripts;
    hasher.field("scripts", format!("{pre_build:?} {post_build:?}"));
    build_depends.iter().for_each(|name| hasher.field("depends", name.as_str()));
}

/// What is in a folder that needn't be there.
fn overlay_digest(folder: &Path) -> Result<Digest, InputsError> {
    match fs::optional(fs::canonical(folder))? {
        Some(real) => tree::digest(vec![(String::new(), real)], Times::Never),
        None => Ok([0; 32]),
    }
}

/// What was built of a module that this one is built against: symbols and modules, however those are packed
/// and signed. A forecast signs nothing.
fn built_digest(folder: &Path) -> Result<Digest, InputsError> {
    let mut hasher = Hasher::new();
    for entry in fs::list(folder)? {
        let path = folder.join(&entry.name);
        let name = entry.name.to_string_lossy();
        match name.split_once(".ko") {
            Some((stem, _)) if fs::is_file(&path) => match unsigned_digest(&path) {
                Ok(digest) => hasher.field(stem, digest),
                Err(_) => hasher.field(&name, tree::file(&path)?),
            },
            _ if fs::is_file(&path) => hasher.field(&name, tree::file(&path)?),
            _ => hasher.field(&name, overlay_digest(&path)?),
        }
    }
    Ok(hasher.finish())
}

/// No kernel's own Makefile fragment is near it.
const MAKEFILE_LIMIT: u64 = 1 << 20;

/// The real folders that a kernel's headers consist of, without those that links in them lead to.
fn header_folders(spec: &BuildSpec<'_>) -> Result<Vec<PathBuf>, InputsError> {
    let mut folders = vec![fs::canonical(&spec.kernel.headers)?];
    let source = spec.layout.kernel_dir(&spec.target.kernel).join("source");
    folders.extend(fs::optional(fs::canonical(&source))?);
    // Debian's is one line: `include /usr/src/linux-headers-K-common/Makefile`.
    let makefile = folders[0].join("Makefile");
    if let Ok(text) = fs::read_limited(&makefile, MAKEFILE_LIMIT) {
        let text = String::from_utf8_lossy(&text).into_owned();
        let included = text.lines().filter_map(|line| line.trim().strip_prefix("include /"));
        for file in included {
            let folder = Path::new("/").join(file.trim()).parent().map(Path::to_owned).unwrap_or_default();
            folders.extend(fs::optional(fs::canonical(&folder))?.filter(|folder| *folder != Path::new("/")));
        }
    }
    folders.retain(|folder| fs::is_dir(folder));
    folders.sort();
    folders.dedup();
    Ok(folders)
}

/// Whether anyone may execute it.
fn is_executable(meta: &std::fs::Metadata) -> bool {
    meta.permissions().mode() & 0o111 != 0
}
