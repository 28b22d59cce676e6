//! Reading the files of a conf in their order, through the tier that is certain of them.
//!
//! Knows where confs lie and which comes over which; not how they are read, nor what they mean.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::bash::Bash;
use crate::confined::Confined;
use crate::directive::Directive;
use crate::error::ConfError;
use crate::file::{self, ConfFile};
use crate::found::{Found, Given};
use crate::raw::{RawConf, Tier};
use crate::{second_pass, special, syntax, trust};
use dkms_base::host::Environment;
use dkms_base::host::fs;
use dkms_base::host::processors::nproc;
use dkms_base::id::{ModuleId, Target};
use dkms_base::layout::Layout;

/// What a conf may know of what it is read for.
#[derive(Debug, Clone)]
pub struct Variables {
    /// `kernelver` and `arch`.
    pub target: Target,
    /// `kernel_source_dir`; the default is [`Layout::headers_dir`].
    pub kernel_source_dir: PathBuf,
    /// `kernel_config`, where `--config` names a file or the headers have one.
    pub kernel_config: Option<PathBuf>,
    /// `parallel_jobs`; 0 is no limit, and an empty variable.
    pub parallel_jobs: u32,
    /// Where this distribution puts modules whatever a conf says, such as `/updates/dkms`; `None`:
    /// where the conf says.
    pub dest_override: Option<String>,
}

/// Which conf is read.
#[derive(Debug, Clone)]
pub struct ConfSource<'a> {
    /// The module that it belongs to, where that is known yet: `module`, `module_version`, and which files of
    /// `/etc/dkms` come over it.
    pub id: Option<&'a ModuleId>,
    /// The module's dkms.conf, or that of `-c`.
    pub file: PathBuf,
}

/// Reads confs, each file once.
#[derive(Debug)]
pub struct Reader {
    layout: Layout,
    environment: Environment,
    /// What a module's own conf sees of it.
    seen: OnceLock<Environment>,
    /// Files by path, as they were when we looked.
    files: Mutex<HashMap<OsString, Cached>>,
    /// What confs say on every kernel, by path.
    shared: Mutex<HashMap<OsString, Arc<RawConf>>>,
    /// The names in `/etc/dkms`.
    overrides: OnceLock<BTreeSet<String>>,
    /// What `nproc` would print, if we know.
    processors: OnceLock<Option<usize>>,
    /// What bash runs in.
    confined: Option<Confined>,
    /// `false`: everything goes through bash.
    static_allowed: bool,
    /// Files are taken to stay as they were when they were read.
    once: bool,
}

#[derive(Debug, Clone)]
struct Cached {
    /// Device, inode, size and time of change; `None`: it is not looked at again.
    seen: Option<(u64, u64, u64, i64, i64)>,
    file: Arc<ConfFile>,
}

impl Reader {
    /// A reader of confs below `layout`, who see `environment`.
    #[must_use]
    pub fn new(layout: &Layout, environment: &Environment) -> Self {
        Self {
            layout: layout.clone(),
            environment: environment.clone(),
            seen: OnceLock::new(),
            files: Mutex::default(),
            shared: Mutex::default(),
            overrides: OnceLock::new(),
            processors: OnceLock::new(),
            confined: None,
            static_allowed: true,
            once: false,
        }
    }

    /// The same, but a file that was read is not looked at again: for what changes nothing.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// The same; what goes through bash is confined so.
    #[must_use]
    pub fn confined(mut self, confined: Option<Confined>) -> Self {
        self.confined = confined;
        self
    }

    /// The same, but everything goes through bash: for comparing the tiers.
    #[must_use]
    pub fn through_bash(mut self) -> Self {
        self.static_allowed = false;
        self
    }

    /// What the files of a conf say, those of `/etc/dkms`, `DKMS_DIRECTIVE…` and `--directive` over the
    /// module's own. `directives` are the values of `--directive`; one that sets no directive is ignored.
    ///
    /// # Errors
    /// [`ConfError`].
    pub fn read(
        &self,
        source: &ConfSource<'_>,
        variables: &Variables,
        directives: &[String],
    ) -> Result<RawConf, ConfError> {
        self.expanded(source, variables, directives, Expansions::Both)
    }

    /// The same for looking at what a module has installed. A reader that takes files to stay as they are
    /// reads a conf once for all kernels, if nothing differs between them but how the module is built; what
    /// differs is left out then.
    ///
    /// # Errors
    /// [`ConfError`].
    pub fn read_for_looking(
        &self,
        source: &ConfSource<'_>,
        variables: &Variables,
        directives: &[String],
    ) -> Result<Arc<RawConf>, ConfError> {
        let shared = || self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let may_share = self.once && self.overrides_of(source.id, &variables.target).is_empty();
        if let Some(raw) = shared().get(source.file.as_os_str()).filter(|_| may_share) {
            return Ok(Arc::clone(raw));
        }
        let mut raw = self.read(source, variables, directives)?;
        if !may_share || !raw.of_kernel.iter().all(|directive| directive.is_of_work()) {
            return Ok(Arc::new(raw));
        }
        let differing = std::mem::take(&mut raw.of_kernel);
        raw.values.retain(|directive, _| !differing.contains(directive));
        let raw = Arc::new(raw);
        shared().insert(source.file.clone().into(), Arc::clone(&raw));
        Ok(raw)
    }

    /// What the files alone say, before the second expansion: for explaining what that does.
    ///
    /// # Errors
    /// [`ConfError`].
    pub fn read_once(&self, source: &ConfSource<'_>, variables: &Variables) -> Result<RawConf, ConfError> {
        self.expanded(source, variables, &[], Expansions::First)
    }

    /// What the files of `/etc/dkms`, `DKMS_DIRECTIVE…` and `--directive` say by themselves, without the
    /// module's own conf.
    ///
    /// # Errors
    /// [`ConfError`].
    pub fn read_admins(
        &self,
        source: &ConfSource<'_>,
        variables: &Variables,
        directives: &[String],
    ) -> Result<RawConf, ConfError> {
        self.expanded(source, variables, directives, Expansions::OfAdmins)
    }

    fn expanded(
        &self,
        source: &ConfSource<'_>,
        variables: &Variables,
        directives: &[String],
        expansions: Expansions,
    ) -> Result<RawConf, ConfError> {
        let is_admins = expansions == Expansions::OfAdmins;
        let mut own = self.own_variables(source, variables);
        if let (true, Some(id)) = (is_admins, source.id) {
            own.push(("PACKAGE_NAME".to_owned(), id.name.to_string()));
            own.push(("PACKAGE_VERSION".to_owned(), id.version.to_string()));
        }
        // Those that aren't known yet mustn't come from the environment either.
        let hidden = own.iter().map(|(name, _)| name.as_str()).chain(["module", "module_version"]);
        let seen = || special::for_confs(&self.environment, hidden);
        let of_admins;
        let environment = if is_admins {
            of_admins = seen();
            &of_admins
        } else {
            // The names that are hidden are always the same.
            self.seen.get_or_init(seen)
        };
        let main = std::path::absolute(&source.file).unwrap_or_else(|_| source.file.clone());
        let dir = main.parent().unwrap_or(Path::new("/")).to_owned();
        let mut files = if is_admins { Vec::new() } else { vec![self.file(&main)?] };
        for path in self.overrides_of(source.id, &variables.target) {
            files.push(self.file(&path)?);
        }
        let wanted: Vec<&'static str> = Directive::ALL.iter().map(|directive| directive.as_str()).collect();
        let processors = *self.processors.get_or_init(|| nproc(&self.environment));
        let given = Given { variables: &own, environment, processors };
        let dest_override = variables.dest_override.as_deref();
        let confined = self.confined.as_ref().filter(|confined| confined.holds_for(source.id, &main));
        let bash = Bash { dir: &dir, given: &given, dest_override, wanted: &wanted, confined };
        let (found, tier) = self.found(&files, &bash)?;
        let mut by_name = texts_that_set(environment);
        let mut raw = raw_of(found, tier, &mut by_name);
        raw.file.clone_from(&main);
        if expansions != Expansions::First {
            second_pass::apply(&mut raw, &bash, &main, self.static_allowed)?;
            by_name.values().chain(directives).for_each(|text| set_directive(&mut raw, text));
        }
        drop_carriage_returns(&mut raw);
        Ok(raw)
    }

    /// Through the static tier where it is certain of every file, otherwise through bash.
    fn found(&self, files: &[Arc<ConfFile>], bash: &Bash<'_>) -> Result<(Found, Tier), ConfError> {
        if self.static_allowed
            && let Some(scripts) =
                files.iter().map(|file| file.script.as_ref().ok()).collect::<Option<Vec<_>>>()
            && let Ok(found) = syntax::run(&scripts, bash.given, bash.wanted)
        {
            return Ok((found, Tier::Static));
        }
        file::through_bash(files, bash).map(|found| (found, Tier::Bash))
    }

    /// The variables of ours that a conf sees.
    fn own_variables(&self, source: &ConfSource<'_>, variables: &Variables) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let jobs = variables.parallel_jobs;
        let mut own = vec![
            ("kernelver", variables.target.kernel.to_string()),
            ("arch", variables.target.arch.to_string()),
            ("kernel_source_dir", text(&variables.kernel_source_dir)),
            ("kernel_config", variables.kernel_config.as_deref().map(text).unwrap_or_default()),
            ("dkms_tree", text(&self.layout.dkms_tree)),
            ("source_tree", text(&self.layout.source_tree)),
            ("install_tree", text(&self.layout.install_tree)),
            ("parallel_jobs", if jobs == 0 { String::new() } else { jobs.to_string() }),
        ];
        if let Some(id) = source.id {
            own.push(("module", id.name.to_string()));
            own.push(("module_version", id.version.to_string()));
        }
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The files of `/etc/dkms` that come over a module's conf, each over the one before.
    fn overrides_of(&self, id: Option<&ModuleId>, target: &Target) -> Vec<PathBuf> {
        let Some(id) = id else { return Vec::new() };
        let there = self.overrides.get_or_init(|| {
            let entries = fs::list(&self.layout.etc_dkms()).unwrap_or_default();
            entries.into_iter().filter_map(|entry| entry.name.into_string().ok()).collect()
        });
        if there.is_empty() {
            return Vec::new();
        }
        let is_there = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| there.contains(name))
        };
        let paths = self.layout.conf_overrides(id, target).into_iter().filter(is_there);
        // A link that leads nowhere is as good as no file.
        paths.filter(|path| !matches!(fs::stat(path), Ok(None))).collect()
    }

    /// A file, read and parsed again only where it has changed.
    fn file(&self, path: &Path) -> Result<Arc<ConfFile>, ConfError> {
        let files = || self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let (true, Some(cached)) = (self.once, files().get(path.as_os_str())) {
            return Ok(Arc::clone(&cached.file));
        }
        let missing = || ConfError::Missing { path: path.to_owned() };
        let seen_of = |meta: Metadata| (meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec());
        let seen = match self.once {
            true => None,
            false => Some(seen_of(fs::stat(path).map_err(ConfError::Unreadable)?.ok_or_else(missing)?)),
        };
        if let Some(cached) = files().get(path.as_os_str()).filter(|cached| cached.seen == seen) {
            return Ok(Arc::clone(&cached.file));
        }
        // What the admin wrote is not confined, so it must be the admin's.
        if let Some(fault) = path.starts_with(self.layout.etc_dkms()).then(|| trust::fault(path)).flatten() {
            return Err(ConfError::Untrusted { fault });
        }
        let file = Arc::new(ConfFile::read(path)?);
        files().insert(path.into(), Cached { seen, file: Arc::clone(&file) });
        Ok(file)
    }
}

/// How often values are expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expansions {
    First,
    Both,
    /// Both, of what comes over the module's own conf.
    OfAdmins,
}

/// The variables `DKMS_DIRECTIVE…` of the environment.
fn texts_that_set(environment: &Environment) -> BTreeMap<String, String> {
    let named = environment.iter().filter(|(name, _)| name.starts_with("DKMS_DIRECTIVE"));
    named.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

/// The directives among what was found; what the conf set of `DKMS_DIRECTIVE…` goes to `texts`.
pub(super) fn raw_of(found: Found, tier: Tier, texts: &mut BTreeMap<String, String>) -> RawConf {
    let mut raw = RawConf {
        tier,
        unreadable: found.unreadable,
        refused: found.refused,
        complaints: found.complaints,
        ..RawConf::default()
    };
    // What sets others by name is not followed.
    let is_all = tier == Tier::Bash
        || found.decided
        || found.of_kernel.iter().any(|name| name.starts_with("DKMS_DIRECTIVE"));
    let differs = |directive: &&Directive| is_all || found.of_kernel.contains(directive.as_str());
    raw.of_kernel = Directive::ALL.iter().filter(differs).copied().collect();
    for (name, values) in found.values {
        if let Ok(directive) = name.parse::<Directive>() {
            raw.values.insert(directive, values);
        } else if let Some(text) = values.get(&0) {
            texts.insert(name, text.trim_end_matches('\r').to_owned());
        }
    }
    raw.other_names = found.names;
    raw.other_names.retain(|name| name.parse::<Directive>().is_err() && !name.starts_with("DKMS_DIRECTIVE"));
    raw
}

/// `NAME=value` or `NAME[index]=value`, the value as it stands.
fn set_directive(raw: &mut RawConf, text: &str) {
    let Some((name, value)) = text.split_once('=') else { return };
    let (name, index) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        Some((name, index)) => (name, index.parse()),
        None => (name, Ok(0)),
    };
    if let (Ok(directive), Ok(index)) = (name.trim().parse::<Directive>(), index) {
        raw.set(directive, index, value);
    } else {
        raw.other_names.insert(name.to_owned());
    }
}

/// Confs written on another system end their lines with CR LF: one CR at the end of a value is theirs.
fn drop_carriage_returns(raw: &mut RawConf) {
    for value in raw.values.values_mut().flat_map(|values| values.values_mut()) {
        if value.ends_with('\r') {
            value.pop();
        }
    }
}

#[cfg(test)]
mod tests;
