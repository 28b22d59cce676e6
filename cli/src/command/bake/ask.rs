//! What a bake is about: modules by name, or all of them; kernels by name, or every one of the system.

use std::collections::BTreeSet;

use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_base::id::{ModuleId, ModuleName, ModuleVersion, Target};
use dkms_base::layout::Layout;
use dkms_base::version;
use dkms_core::bake::Manifest;
use dkms_core::tree::Snapshot;

use crate::failure::Failure;
use crate::session::Session;

/// The request.
pub(super) struct Asked {
    /// Modules by name; without any on the line those of an earlier bake whose source is still there.
    pub(super) named: Vec<ModuleId>,
    /// And every module that is installed by itself.
    pub(super) all: bool,
    /// On these kernels.
    pub(super) targets: Vec<Target>,
    /// What may be missing.
    pub(super) allowed: BTreeSet<ModuleName>,
    /// What an earlier bake has left.
    pub(super) before: Manifest,
}

impl Asked {
    pub(super) fn by(session: &Session<'_>) -> Result<Self, Failure> {
        let layout = &session.settings.layout;
        let before = Manifest::read(layout)
            .map_err(|error| Failure::new(ExitCode::USAGE_OR_RIGHTS, error.to_string()))?;
        let allowed = allowed(session)?;
        let snapshot = session.snapshot()?;
        let modules = &session.invocation.modules;
        let mut named = Vec::new();
        for (name, version) in modules {
            let version = match version {
                Some(version) => Some(version.clone()),
                None => newest(name, &snapshot, layout)?,
            };
            match version {
                Some(version) => named.push(ModuleId::new(name.clone(), version)),
                None if allowed.contains(name) => {}
                None => {
                    let text = format!(
                        "module `{name}` is neither in the dkms tree nor below `{}`",
                        layout.source_tree.display()
                    );
                    return Err(Failure::new(ExitCode::AUTOINSTALL_FAILED, text));
                }
            }
        }
        if modules.is_empty() {
            let is_gone =
                |id: &&ModuleId| snapshot.versions(&id.name).is_empty() && fs::is_dir(&layout.source_dir(id));
            named.extend(before.modules.keys().map(|(id, _)| id).filter(is_gone).cloned());
            named.dedup();
        }
        Ok(Self { named, all: modules.is_empty(), targets: targets(session)?, allowed, before })
    }
}

/// The modules of `--allow-missing`, with or without a version.
fn allowed(session: &Session<'_>) -> Result<BTreeSet<ModuleName>, Failure> {
    let name = |text: &String| Ok(ModuleName::new(text.split('/').next().unwrap_or_default())?);
    session.args().allow_missing.iter().map(name).collect()
}

/// The newest version of a module: in the tree, or else in `/usr/src`.
fn newest(name: &ModuleName, snapshot: &Snapshot, layout: &Layout) -> Result<Option<ModuleVersion>, Failure> {
    let known = snapshot.versions(name).into_iter().map(|id| id.version.clone());
    let mut versions: Vec<ModuleVersion> = known.collect();
    if versions.is_empty() {
        let of_folder = |entry: fs::Entry| {
            let version = entry.name.to_str()?.strip_prefix(name.as_str())?.strip_prefix('-')?;
            let has_conf = fs::is_file(&layout.source_tree.join(&entry.name).join("dkms.conf"));
            ModuleVersion::new(version).ok().filter(|_| has_conf)
        };
        versions.extend(fs::list(&layout.source_tree)?.into_iter().filter_map(of_folder));
    }
    Ok(versions.into_iter().max_by(|a, b| version::compare(a.as_str(), b.as_str())))
}

/// The kernels of the line, or every kernel of the system.
fn targets(session: &Session<'_>) -> Result<Vec<Target>, Failure> {
    let named = &session.invocation.kernels;
    if !named.is_empty() {
        return session.with_arches(named);
    }
    let layout = &session.settings.layout;
    let mut kernels = Vec::new();
    for kernel in dkms_kernel::installed_kernels(layout)? {
        if !dkms_kernel::is_left_over(&kernel, layout)? {
            kernels.push((kernel, None));
        }
    }
    if kernels.is_empty() {
        let text =
            format!("this system has no kernel: there is none below `{}`", layout.install_tree.display());
        return Err(Failure::new(ExitCode::NO_HEADERS, text).hint(
            "install the kernel that this system will run, and its headers; or name a kernel with `-k`",
        ));
    }
    session.with_arches(&kernels)
}
