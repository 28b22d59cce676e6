//! What there is to see of the system around the tree: settings, users, isolation layers, disks.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::conf::Settings;
use crate::conf::framework::{self, SettingFault};
use crate::conf::settings::{BUILD_USER, SandboxMode};
use crate::doctor::facts::{Disk, NoBuildUser, Untrusted};
use crate::host::fs::{self, FsError};
use crate::host::process::quote;
use crate::host::sandbox::{Account, FALLBACK, Told, missing_here};
use crate::host::{Environment, programs, root, trusted};
use crate::layout::Layout;
use crate::tree::{Snapshot, Source};

/// Places of ours that another user than root may change, each once, and without those that `faults` name.
/// Other users learn of them as well.
pub(super) fn untrusted(layout: &Layout, faults: &[SettingFault]) -> Vec<Untrusted> {
    let trees = [layout.dkms_tree.clone(), layout.install_tree.clone()].map(|path| (path, false));
    let settings = framework::paths(layout).into_iter().map(|path| (path, true));
    let mut seen: BTreeSet<PathBuf> = faults
        .iter()
        .filter_map(|fault| match fault {
            SettingFault::Untrusted { fault } => Some(fault.place.clone()),
            _ => None,
        })
        .collect();
    let found = settings
        .chain(trees)
        .filter_map(|(path, is_setting)| Some(Untrusted { fault: trusted::fault(&path)?, is_setting }));
    found.filter(|found| seen.insert(found.fault.place.clone())).collect()
}

/// What stands in for a `build_user` that does not exist. No user builds where there is no sandbox.
pub(super) fn no_build_user(settings: &Settings, environment: &Environment) -> Option<NoBuildUser> {
    let name = &settings.build_user;
    if settings.sandbox == SandboxMode::Off || Account::find(name).is_some() {
        return None;
    }
    let declared = settings.layout.at("/usr/lib/sysusers.d/dkms.conf");
    let is_declared = name == BUILD_USER
        && fs::exists(&declared)
        && programs::find("systemd-sysusers", environment).is_some();
    let command = if is_declared {
        format!("systemd-sysusers {}", quote(&declared.display().to_string()))
    } else {
        format!(
            "useradd --system --user-group --no-create-home --home-dir / --shell /usr/sbin/nologin {}",
            quote(name)
        )
    };
    let instead = Account::find(FALLBACK).map(|_| FALLBACK);
    Some(NoBuildUser { name: name.clone(), instead, command })
}

/// Others than root get fewer layers than a build has, and no program of an image is run.
pub(super) fn missing_layers(settings: &Settings, environment: &Environment) -> Vec<Told> {
    let is_asked =
        settings.sandbox != SandboxMode::Off && rustix::process::geteuid().is_root() && !root::is_entered();
    if is_asked { missing_here(&settings.build_user, environment) } else { Vec::new() }
}

/// Free room on each file system that we write to.
pub(super) fn disks(settings: &Settings, snapshot: &Snapshot) -> Result<Vec<Disk>, FsError> {
    let layout = &settings.layout;
    let mut seen = BTreeSet::new();
    let mut disks = Vec::new();
    for path in [&layout.dkms_tree, &layout.install_tree, &settings.tmp_location] {
        let Some(meta) = fs::stat(path)? else { continue };
        if seen.insert(meta.dev()) {
            // Builds run in the tree, on a copy of the source.
            let needed = if path == &layout.dkms_tree { largest_source(snapshot) } else { 0 };
            disks.push(Disk { path: path.clone(), free: fs::free_bytes(path)?, needed });
        }
    }
    Ok(disks)
}

/// The bytes of the largest source folder.
fn largest_source(snapshot: &Snapshot) -> u64 {
    let size = |found: &crate::tree::Registration| match &found.source {
        Source::Present(folder) => {
            let files = walkdir::WalkDir::new(folder).into_iter().flatten();
            files.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
        }
        Source::Dangling(_) | Source::Unlinked(_) => 0,
    };
    snapshot.modules.values().map(size).max().unwrap_or(0)
}
