//! Examines module files for one kernel: reads them, and lists of symbols only as far as a symbol is
//! still looked for. Starts no process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::doubt::{Doubt, Tried};
use super::known::{Known, LIST, LIST_LIMIT};
use super::symbols;
use super::{Fault, KernelView};
use crate::host::fs;
use crate::id::{KernelRelease, ModuleId, Target};
use crate::kernel::exports::{Exports, symvers};
use crate::kernel::{KernelFacts, ModuleTree, installed_kernels, running_kernel, vermagic};
use crate::layout::Layout;
use crate::modfile::{self, content};
use crate::modfile::{ModfileError, ModuleFile, ModuleObject, NotAModule};
use crate::tree::Snapshot;

/// The symbol whose CRC stands for the layout of the kernel's own structures.
const LAYOUT: &str = "module_layout";

/// Examines modules for one kernel.
#[derive(Debug)]
pub struct Examiner<'a> {
    layout: &'a Layout,
    kernel: &'a KernelFacts,
    view: KernelView,
    /// The most bytes of a module, unpacked.
    limit: u64,
    /// What the kernel and its own modules export, or the files that would tell.
    known: OnceLock<Result<Known, Vec<Tried>>>,
    snapshot: OnceLock<Option<Snapshot>>,
}

/// What a file shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examination {
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    /// What can't be known of it.
    pub doubts: Vec<Doubt>,
    /// The modules that it depends on, as it says.
    pub depends: Vec<String>,
}

impl<'a> Examiner<'a> {
    /// For a kernel.
    #[must_use]
    pub fn new(layout: &'a Layout, kernel: &'a KernelFacts) -> Self {
        let Target { kernel: release, arch } = &kernel.target;
        let headers = fs::read_limited(&kernel.headers.join("include/generated/utsrelease.h"), 1 << 16);
        let headers = headers.ok().and_then(|bytes| release_in(&String::from_utf8_lossy(&bytes)));
        let words = vermagic::words(kernel);
        let config = &kernel.config;
        let view = KernelView {
            release: release.clone(),
            machine: KernelView::machine_of(config, arch),
            has_versions: match &words {
                Some(words) => Some(words.split(' ').any(|word| word == "modversions")),
                None => config.is_known().then(|| config.is_enabled("CONFIG_MODVERSIONS")),
            },
            words,
            may_be_forced: config.is_enabled("CONFIG_MODULE_FORCE_LOAD"),
            headers: headers.filter(|headers| headers != release.as_str()),
            running: running_kernel().ok().map(|running| running.to_string()),
        };
        let (known, snapshot) = (OnceLock::new(), OnceLock::new());
        Self { layout, kernel, view, limit: content::SIZE_LIMIT, known, snapshot }
    }

    /// One that reads no more than so many bytes of a module, unpacked.
    #[must_use]
    pub fn limited_to(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    /// The faults of each of these files, which belong together: one may export what another needs.
    #[must_use]
    pub fn examine(&self, files: &[PathBuf]) -> Vec<Vec<Fault>> {
        self.examinations(files).into_iter().map(|examined| examined.faults).collect()
    }

    /// The same, with what can't be known.
    #[must_use]
    pub fn examinations(&self, files: &[PathBuf]) -> Vec<Examination> {
        let objects: Vec<_> = files.iter().map(|file| read(file, self.limit)).collect();
        let exported: BTreeSet<&String> =
            objects.iter().flatten().flatten().flat_map(|object| &object.exports).collect();
        let examine = |object: &Result<Result<ModuleObject, NotAModule>, String>| match object {
            Err(why) => {
                Examination { doubts: vec![Doubt::Unreadable(why.clone())], ..Examination::default() }
            }
            Ok(Err(why)) => {
                Examination { faults: vec![Fault::NotAModule(why.clone())], ..Examination::default() }
            }
            Ok(Ok(object)) => self.object(object, &exported),
        };
        objects.iter().map(examine).collect()
    }

    /// A module, beside those that export some symbols.
    fn object(&self, object: &ModuleObject, beside: &BTreeSet<&String>) -> Examination {
        let mut faults = self.view.faults(object);
        let mut doubts = Vec::new();
        if faults.iter().any(Fault::is_fatal) {
            return Examination { faults, doubts, depends: Vec::new() };
        }
        doubts.extend(self.view.doubts(object));
        let needed: BTreeSet<String> =
            object.needs.iter().filter(|name| !beside.contains(name)).cloned().collect();
        match self.known() {
            Err(tried) if !object.needs.is_empty() || self.view.has_versions != Some(false) => {
                doubts.push(Doubt::Exports(tried.clone()));
            }
            Err(_) => {}
            Ok(known) => {
                let of_kernel = object.sums.keys().map(String::as_str).chain([LAYOUT]);
                let of_kernel = of_kernel.chain(needed.iter().map(String::as_str));
                let mut exports: Exports =
                    of_kernel.filter_map(|name| Some((name.to_owned(), known.export(name)?))).collect();
                let left: BTreeSet<String> =
                    needed.into_iter().filter(|name| !exports.contains_key(name)).collect();
                faults.extend(self.unknown_symbols(left, &mut exports));
                let (unfit, doubt) = self.view.unfit(object, &exports, self.allows_any_namespace());
                faults.extend(unfit);
                doubts.extend(doubt);
                let names = self.view.without_sums(object);
                if !names.is_empty() {
                    doubts.push(Doubt::NoSums(names));
                }
            }
        }
        Examination { faults, doubts, depends: object.info.depends.clone() }
    }

    /// What is wrong with the files that the tree has of a module for this kernel: names and faults.
    #[must_use]
    pub fn built(&self, id: &ModuleId) -> Vec<(String, Fault)> {
        let folder = self.layout.built_dir(id, &self.kernel.target);
        let names = fs::list(&folder).unwrap_or_default().into_iter().filter_map(|entry| {
            let name = entry.name.to_str()?;
            ModuleFile::from_name(name).map(|_| name.to_owned())
        });
        let names: Vec<String> = names.collect();
        let files: Vec<_> = names.iter().map(|name| folder.join(name)).collect();
        let faults = self.examine(&files);
        let named =
            |(name, faults): (String, Vec<Fault>)| faults.into_iter().map(move |fault| (name.clone(), fault));
        names.into_iter().zip(faults).flat_map(named).collect()
    }

    /// Of the symbols that the kernel does not export those that nothing does. What another module exports
    /// is added to `exports`.
    fn unknown_symbols(&self, mut needed: BTreeSet<String>, exports: &mut Exports) -> Option<Fault> {
        if needed.is_empty() {
            return None;
        }
        let snapshot = self.snapshot()?;
        let target = &self.kernel.target;
        let (installed, others): (Vec<_>, Vec<_>) =
            snapshot.built_on(target).partition(|id| snapshot.is_installed(id, target));
        for id in installed.into_iter().chain(others) {
            self.settle_built(&mut needed, id, target, exports);
        }
        // Modules that neither the kernel nor dkms has brought.
        if !needed.is_empty() {
            let tree = ModuleTree::walk(&self.kernel.module_dir).ok()?;
            let own = self.kernel.module_dir.join("kernel");
            let paths = tree.iter().flat_map(|(_, paths)| paths).filter(|path| !path.starts_with(&own));
            paths.for_each(|path| settle_file(&mut needed, path, self.limit, exports));
        }
        if needed.is_empty() {
            return None;
        }
        let exporters = self.exporters(snapshot, &needed);
        let kernel = self.kernel.target.kernel.clone();
        let elsewhere = self.elsewhere(&needed);
        Some(Fault::UnknownSymbols { names: needed.into_iter().collect(), kernel, exporters, elsewhere })
    }

    /// A kernel may let modules use any namespace. Whether the kernel lets modules use namespaces that they
    /// do not import; `None` without its configuration.
    fn allows_any_namespace(&self) -> Option<bool> {
        let config = &self.kernel.config;
        config.is_known().then(|| config.is_enabled("CONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS"))
    }

    /// What is known of the kernel's exports.
    fn known(&self) -> &Result<Known, Vec<Tried>> {
        self.known.get_or_init(|| Known::read(self.layout, self.kernel, self.view.headers.is_none()))
    }

    fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.get_or_init(|| Snapshot::take(self.layout).ok()).as_ref()
    }

    /// What a module that is built for a target exports: its list says so, or else its files.
    fn settle_built(
        &self,
        needed: &mut BTreeSet<String>,
        id: &ModuleId,
        target: &Target,
        exports: &mut Exports,
    ) {
        if needed.is_empty() {
            return;
        }
        let folder = self.layout.built_dir(id, target);
        // What a broken list has before it breaks counts; the files have the rest.
        if let Ok(list) = content::reader(&folder.join(LIST), LIST_LIMIT) {
            drop(symbols::settle(needed, list, &mut |line: symvers::Line<'_>| {
                exports.insert(line.name.to_owned(), line.export);
            }));
        }
        for entry in fs::list(&folder).unwrap_or_default() {
            if entry.name.to_str().and_then(ModuleFile::from_name).is_some() {
                settle_file(needed, &folder.join(entry.name), self.limit, exports);
            }
        }
    }

    /// Another kernel that exports one of these symbols, by the list of its headers.
    fn elsewhere(&self, needed: &BTreeSet<String>) -> Option<(String, KernelRelease)> {
        let others = installed_kernels(self.layout).ok()?.into_iter();
        others.filter(|other| *other != self.kernel.target.kernel).find_map(|other| {
            let path = self.layout.headers_dir(&other).join(LIST);
            let list = content::reader(&path, LIST_LIMIT).ok()?;
            let (mut left, mut found) = (needed.clone(), None);
            drop(symbols::settle(&mut left, list, &mut |line: symvers::Line<'_>| {
                if line.exporter == symvers::IMAGE || found.is_none() {
                    found = Some(line.name.to_owned());
                }
            }));
            Some((found?, other))
        })
    }

    /// Which other modules export symbols on other kernels.
    fn exporters(&self, snapshot: &Snapshot, needed: &BTreeSet<String>) -> Vec<(String, ModuleId)> {
        let mut found = Vec::new();
        let mut left = needed.clone();
        for (id, registration) in snapshot.modules.iter().rev() {
            for target in registration.built.keys().filter(|target| **target != self.kernel.target) {
                let before = left.clone();
                self.settle_built(&mut left, id, target, &mut Exports::new());
                found.extend(before.difference(&left).map(|name| (name.clone(), id.clone())));
            }
        }
        found.sort();
        found
    }
}

/// The release that modules get which are built with headers. Not `include/config/kernel.release`: on Debian
/// that is the version of the sources.
fn release_in(header: &str) -> Option<String> {
    let value = |line: &str| {
        line.strip_prefix("#define UTS_RELEASE")?
            .trim()
            .strip_prefix('"')?
            .split('"')
            .next()
            .map(str::to_owned)
    };
    header.lines().find_map(value).filter(|release| !release.is_empty())
}

/// A module file; outside, why it can't be read.
fn read(path: &Path, limit: u64) -> Result<Result<ModuleObject, NotAModule>, String> {
    match content::object_within(path, limit) {
        Ok(object) => Ok(object),
        Err(ModfileError::Unpack { source, .. }) => Ok(Err(NotAModule::Packed(source.to_string()))),
        Err(error @ (ModfileError::Fs(_) | ModfileError::NoModule { .. })) => Err(error.to_string()),
    }
}

/// Takes the symbols that a module file exports from those that are needed.
fn settle_file(needed: &mut BTreeSet<String>, path: &Path, limit: u64, exports: &mut Exports) {
    if needed.is_empty() {
        return;
    }
    let Ok(Ok(object)) = read(path, limit) else { return };
    if object.exports.is_disjoint(needed) {
        return;
    }
    let how = modfile::exported(path, limit).unwrap_or_default();
    for name in object.exports.iter().filter(|name| needed.remove(*name)) {
        exports.insert(name.clone(), how.get(name).cloned().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests;
