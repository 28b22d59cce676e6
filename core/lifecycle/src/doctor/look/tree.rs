//! What there is to see in the tree and beside it, whatever the kernel.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::doctor::facts::Dangling;
use crate::engine::Survey;
use crate::host::ancestry::{self, ProcessIdentity};
use crate::host::fs::{self, FsError};
use crate::host::leftovers::{abandoned, is_abandoned};
use crate::id::{KernelRelease, ModuleId, ModuleName, ModuleVersion, Target};
use crate::install;
use crate::layout::Layout;
use crate::tree::{Key, Snapshot, lock};

/// What interrupted commands left beside what they were about to change.
pub(super) fn leftovers(layout: &Layout, installed: &[Target]) -> Result<Vec<PathBuf>, FsError> {
    let mut found = abandoned(&layout.source_tree, 0)?;
    found.extend(abandoned(&layout.dkms_tree, 4)?);
    found.extend(abandoned(&layout.at("/etc/modprobe.d"), 0)?);
    let kernels: BTreeSet<&KernelRelease> = installed.iter().map(|target| &target.kernel).collect();
    for kernel in kernels {
        found.extend(abandoned(&layout.kernel_dir(kernel), 16)?);
    }
    Ok(found)
}

/// Who wrote a journal; the rest of its first line is for who recovers.
#[derive(serde::Deserialize)]
struct Writer {
    pid: u32,
    started: u64,
}

/// Journals whose writer is gone, and those that nobody can read.
pub(super) fn interrupted(layout: &Layout) -> Result<Vec<PathBuf>, FsError> {
    let dir = layout.journal_dir();
    let files = fs::list(&dir)?.into_iter().filter(|entry| entry.kind.is_file());
    let is_at_work = |path: &PathBuf| {
        let Ok(bytes) = fs::read_limited(path, 64 << 20) else { return !fs::exists(path) };
        let first = serde_json::Deserializer::from_slice(&bytes).into_iter::<Writer>().next();
        first.and_then(Result::ok).is_some_and(|Writer { pid, started }| {
            ancestry::identity(pid) == Some(ProcessIdentity { pid, started })
        })
    };
    let paths = files.map(|entry| dir.join(entry.name));
    Ok(paths.filter(|path| !is_abandoned(path) && !is_at_work(path)).collect())
}

/// Kernels that need a depmod, and that nobody works on.
pub(super) fn owed(layout: &Layout, installed: &[Target]) -> BTreeSet<Target> {
    let is_due = |target: &&Target| {
        fs::exists(&layout.owed_depmod(&target.kernel))
            && lock::is_free(layout, &Key::Kernel(target.kernel.clone()))
    };
    installed.iter().filter(is_due).cloned().collect()
}

/// Links that lead to nothing built.
pub(super) fn dangling_links(
    layout: &Layout,
    snapshot: &Snapshot,
) -> Result<Vec<(ModuleName, PathBuf)>, FsError> {
    let mut links = Vec::new();
    for entry in fs::list(&layout.dkms_tree)?.into_iter().filter(|entry| entry.kind.is_dir()) {
        let Some(Ok(name)) = entry.name.to_str().map(ModuleName::new) else { continue };
        let known = snapshot.installed.keys().filter(|(other, _)| *other == name);
        let known: BTreeSet<_> = known.map(|(name, target)| layout.installed_link(name, target)).collect();
        for entry in fs::list(&layout.module_dir(&name))? {
            let link = layout.module_dir(&name).join(&entry.name);
            let is_ours = entry.kind.is_symlink() && entry.name.as_encoded_bytes().starts_with(b"kernel-");
            if is_ours && !known.contains(&link) && leads_nowhere(&link) {
                links.push((name.clone(), link));
            }
        }
    }
    Ok(links)
}

/// Whether an installed link leads to nothing built.
pub(in crate::doctor) fn leads_nowhere(link: &Path) -> bool {
    !fs::is_dir(&link.join("module"))
}

pub(super) fn dangling(
    survey: &Survey<'_>,
    layout: &Layout,
    snapshot: &Snapshot,
    name: ModuleName,
    link: PathBuf,
) -> Result<Dangling, FsError> {
    let text = link.file_name().and_then(|text| text.to_str()?.strip_prefix("kernel-"));
    let target = text.and_then(|text| text.rsplit_once('-')).and_then(|(k, a)| Target::parse(k, a).ok());
    let mut files = Vec::new();
    if let Some(target) = &target {
        let value = fs::link_target(&link)?.unwrap_or_default();
        let version = value.iter().next().and_then(|part| ModuleVersion::new(part.to_str()?).ok());
        let linked = version.map(|version| ModuleId::new(name.clone(), version));
        let id = linked.filter(|id| snapshot.get(id).is_some());
        let id = id.or_else(|| snapshot.versions(&name).last().map(|id| (*id).clone()));
        if let Some(id) = id {
            let conf = survey.lenient_conf(&id, target)?;
            let folder = survey.module_folder.as_deref();
            files = install::installed_files(&layout.kernel_dir(&target.kernel), &conf, folder);
        }
    }
    Ok(Dangling { link, name, target, files })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_a_journal_now_was_not_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.journal_dir()).unwrap();
        let ProcessIdentity { pid, started } = ancestry::identity(std::process::id()).unwrap();
        for (name, text) in [
            ("living", format!("{{\"version\":1,\"pid\":{pid},\"started\":{started},\"x\":[]}}\n{{\"torn")),
            ("reused", format!("{{\"pid\":{pid},\"started\":{}}}\n", started + 1)),
            ("dead", "{\"pid\":4999999,\"started\":1}\n".to_owned()),
            ("garbage", "\0\0".to_owned()),
            (".tmp_4999999_0_x", String::new()),
        ] {
            fs::write_whole(&layout.journal_dir().join(name), text.as_bytes(), 0o644).unwrap();
        }
        let found = interrupted(&layout).unwrap();
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["dead", "garbage", "reused"]);
    }
}
