//! What an unpacked archive is: a DKMS tarball of some kind, or a plain one with a dkms.conf somewhere. Pure,
//! but for two small files read by the caller.

use std::path::{Path, PathBuf};

use super::inventory::{Inventory, Item};
use super::read::Kind;
use dkms_base::id::{KernelRelease, Target};

/// Where built modules are.
pub(super) const MAIN_TREE: &str = "dkms_main_tree";
/// Where the source is.
pub(super) const SOURCE_TREE: &str = "dkms_source_tree";
/// What stands for the source in a tarball of built modules alone.
pub(super) const BINARIES_ONLY: &str = "dkms_binaries_only";
const CONF: &str = "dkms.conf";

/// What was found; paths are relative to the archive's root.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) conf: PathBuf,
    pub(super) source: Option<PathBuf>,
    pub(super) builds: Vec<(Target, PathBuf)>,
}

/// Why it is nothing that we can load.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    NoConf,
    Malformed { entry: PathBuf, reason: &'static str },
}

fn malformed<T>(entry: impl Into<PathBuf>, reason: &'static str) -> Result<T, Unusable> {
    Err(Unusable::Malformed { entry: entry.into(), reason })
}

impl Found {
    /// The folders that are published each for itself, so that no link may lead from one into another.
    pub(super) fn roots(&self) -> Vec<PathBuf> {
        let builds = self.builds.iter().map(|(_, dir)| dir.clone());
        self.source.iter().cloned().chain(self.conf.parent().map(Path::to_owned)).chain(builds).collect()
    }
}

/// Says what the archive is.
pub(super) fn classify(inventory: &Inventory) -> Result<Found, Unusable> {
    let (source, binaries) = (Path::new(SOURCE_TREE), Path::new(BINARIES_ONLY));
    match (inventory.is_folder(source), inventory.is_folder(binaries)) {
        (true, true) => malformed(binaries, "stands beside a source tree"),
        (true, false) => {
            let builds = builds(inventory)?;
            let kind = if builds.is_empty() { Kind::SourceOnly } else { Kind::SourceAndBinaries };
            Ok(Found { kind, conf: conf_in(inventory, source)?, source: Some(source.to_owned()), builds })
        }
        (false, true) => {
            let builds = builds(inventory)?;
            if builds.is_empty() {
                return malformed(binaries, "stands alone, without a built module");
            }
            Ok(Found { kind: Kind::BinariesOnly, conf: conf_in(inventory, binaries)?, source: None, builds })
        }
        (false, false) => {
            let conf = shallowest_conf(inventory).ok_or(Unusable::NoConf)?;
            let source = conf.parent().unwrap_or(Path::new("")).to_owned();
            Ok(Found { kind: Kind::Plain, conf, source: Some(source), builds: Vec::new() })
        }
    }
}

fn conf_in(inventory: &Inventory, folder: &Path) -> Result<PathBuf, Unusable> {
    let conf = folder.join(CONF);
    if inventory.leads_to_file(folder, &conf) { Ok(conf) } else { Err(Unusable::NoConf) }
}

/// The dkms.conf with the fewest folders above it, then first by name.
fn shallowest_conf(inventory: &Inventory) -> Option<PathBuf> {
    let is_conf = |path: &Path| {
        path.file_name().is_some_and(|name| name == CONF)
            && inventory.leads_to_file(path.parent().unwrap_or(Path::new("")), path)
    };
    let confs = inventory.items().map(|(path, _)| path).filter(|path| is_conf(path));
    confs.min_by_key(|path| (path.components().count(), path.as_os_str().to_owned())).map(Path::to_owned)
}

/// The folders `dkms_main_tree/K/A`. Files beside the kernels' folders are other versions' notes.
fn builds(inventory: &Inventory) -> Result<Vec<(Target, PathBuf)>, Unusable> {
    let mut builds = Vec::new();
    for (kernel, item) in inventory.children(Path::new(MAIN_TREE)) {
        match item {
            Item::File { .. } | Item::Fifo => continue,
            Item::Link(_) => return malformed(kernel, "is a link where a kernel's folder should be"),
            Item::Folder { .. } => {}
        }
        for (dir, item) in inventory.children(kernel) {
            let (Some(release), Some(arch)) = (last(kernel), last(dir)) else {
                return malformed(dir, "isn't named like a kernel and an architecture");
            };
            if !matches!(item, Item::Folder { .. }) {
                return malformed(dir, "is no folder");
            }
            let target = match Target::parse(release, arch) {
                Ok(target) if KernelRelease::may_name_a_build(release) => target,
                _ => return malformed(dir, "isn't named like a kernel and an architecture"),
            };
            if !inventory.is_folder(&dir.join("module")) {
                return malformed(dir, "has no folder `module`");
            }
            builds.push((target, dir.to_owned()));
        }
    }
    Ok(builds)
}

fn last(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::super::limits::Limits;
    use super::*;

    fn inventory(files: &[&str]) -> Inventory {
        let mut inventory = Inventory::new(Limits::default());
        for path in files {
            inventory.admit(Path::new(path), Item::File { size: 1, digest: [0; 32] }).unwrap();
        }
        inventory
    }

    fn conf_of(files: &[&str]) -> Option<String> {
        classify(&inventory(files)).ok().map(|found| found.conf.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_shallowest_conf_counts_then_the_first_by_name() {
        assert_eq!(conf_of(&["z/dkms.conf", "a/b/dkms.conf"]).unwrap(), "z/dkms.conf");
        assert_eq!(conf_of(&["b/dkms.conf", "a/dkms.conf"]).unwrap(), "a/dkms.conf");
        // By name means the whole name's bytes: `-` comes before `/`.
        assert_eq!(conf_of(&["a/dkms.conf", "a-b/dkms.conf"]).unwrap(), "a-b/dkms.conf");
        assert_eq!(conf_of(&["dkms.conf", "a/dkms.conf"]).unwrap(), "dkms.conf");
        assert_eq!(conf_of(&["a/xdkms.conf", "a/dkms.conf/x"]), None);
    }

    #[test]
    fn the_kinds_are_told_apart() {
        let kind = |files: &[&str]| classify(&inventory(files)).map(|found| found.kind);
        let (source, module) = ("dkms_source_tree/dkms.conf", "dkms_main_tree/6.1.0/x86_64/module/a.ko");
        assert_eq!(kind(&[source]).unwrap(), Kind::SourceOnly);
        assert_eq!(
            kind(&[source, module, "dkms_main_tree/dkms_dbversion"]).unwrap(),
            Kind::SourceAndBinaries
        );
        assert_eq!(kind(&["dkms_binaries_only/dkms.conf", module]).unwrap(), Kind::BinariesOnly);
        assert_eq!(kind(&["x/dkms.conf"]).unwrap(), Kind::Plain);
        assert_eq!(kind(&["dkms_source_tree/sub/dkms.conf"]), Err(Unusable::NoConf));
    }

    #[test]
    fn folders_that_mean_something_else_in_the_tree_are_no_kernels() {
        for kernel in ["source", "build", "original_module", "-rf", "tarball"] {
            let module = format!("dkms_main_tree/{kernel}/x86_64/module/a.ko");
            let found = classify(&inventory(&["dkms_source_tree/dkms.conf", &module]));
            assert!(matches!(found, Err(Unusable::Malformed { .. })), "{kernel}");
        }
        for kernel in ["linux-custom", "6", "v6.1.5+"] {
            let module = format!("dkms_main_tree/{kernel}/x86_64/module/a.ko");
            let found = classify(&inventory(&["dkms_source_tree/dkms.conf", &module])).unwrap();
            assert_eq!(found.builds[0].0.kernel.as_str(), kernel);
        }
        let found = classify(&inventory(&["dkms_source_tree/dkms.conf", "dkms_main_tree/6.1/x86_64/log/x"]));
        assert!(matches!(found, Err(Unusable::Malformed { .. })));
    }
}
