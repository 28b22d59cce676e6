//! Judges what is on disk: whole modules, links that lead to builds, originals that aren't lost, an
//! index that is right.
//!
//! Each judgement is a list of what is wrong, empty where all is well.

use std::collections::BTreeSet;

use anyhow::Result;

use super::state::{Stage, States};
use super::world::{Seen, World};
use crate::capture::Listing;

/// The digests of all modules that are anywhere in these states.
#[must_use]
pub fn known(states: &[&Seen]) -> BTreeSet<String> {
    let modules = states.iter().flat_map(|seen| seen.listing.iter()).filter(|(path, _)| is_module(path));
    modules.map(|(_, node)| node.detail.clone()).collect()
}

fn is_module(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    [".ko", ".ko.gz", ".ko.xz", ".ko.zst"].iter().any(|end| name.ends_with(end))
}

fn is_temporary(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with(".tmp_"))
}

/// Modules that can be loaded, and are none of those known.
#[must_use]
pub fn strange_modules(listing: &Listing, known: &BTreeSet<String>) -> Vec<String> {
    let modules = listing.iter().filter(|(path, _)| path.starts_with("/lib/modules/") && is_module(path));
    let strange = modules.filter(|(path, node)| !is_temporary(path) && !known.contains(&node.detail));
    strange.map(|(path, node)| format!("`{path}` is no whole module: {node}")).collect()
}

/// Originals (paths below `/lib/modules` before anything of ours was installed) that are neither in
/// their place nor archived.
#[must_use]
pub fn lost_originals(listing: &Listing, originals: &[(String, String)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, digest) in originals {
        let in_place = listing.get(path).is_some_and(|node| node.detail == *digest);
        let archived = listing.iter().any(|(at, node)| {
            at.contains("/original_module/")
                && is_module(at)
                && node.detail == *digest
                && listing.contains_key(&format!("{at}.origin"))
        });
        if !in_place && !archived {
            wrong.push(format!("the original `{path}` is lost"));
        }
    }
    wrong
}

/// Temporary files.
#[must_use]
pub fn leftovers(listing: &Listing) -> Vec<String> {
    let left = listing.keys().filter(|path| is_temporary(path));
    left.map(|path| format!("`{path}` is left")).collect()
}

/// Takes out of a listing what means nothing and is not in another: folders that hold nothing (but such
/// folders), and indexes of kernels without modules.
pub fn forget_litter(listing: &mut Listing, other: &Listing) {
    listing.retain(|path, _| {
        let index = path.strip_prefix("/lib/modules/").and_then(|rest| rest.split_once("/modules."));
        other.contains_key(path)
            || index
                .is_none_or(|(kernel, _)| other.contains_key(&format!("/lib/modules/{kernel}/modules.dep")))
    });
    loop {
        let is_empty = |path: &String| {
            let below = format!("{path}/");
            listing.range(below.clone()..).next().is_none_or(|(next, _)| !next.starts_with(&below))
        };
        let folders = listing.iter().filter(|(path, node)| node.kind == 'd' && !other.contains_key(*path));
        let empty: Vec<String> = folders.map(|(path, _)| path.clone()).filter(is_empty).collect();
        if empty.is_empty() {
            break;
        }
        listing.retain(|path, _| !empty.contains(path));
    }
}

/// What in `status`, the links, the built folders and `/lib/modules` does not fit together. Modules are
/// called as their packages.
#[must_use]
pub fn disagreements(seen: &Seen) -> Vec<String> {
    let states = match States::parse(&seen.status) {
        Ok(states) => states,
        Err(line) => return vec![line],
    };
    let mut wrong = Vec::new();
    if let Some(line) = seen.status.lines().find(|line| line.contains("issing") || line.contains("Diff")) {
        wrong.push(format!("status says {line:?}"));
    }
    let mut installed = BTreeSet::new();
    for ((id, kernel), stage) in states.0.iter().filter(|((_, kernel), _)| !kernel.is_empty()) {
        let name = id.split('/').next().unwrap_or_default();
        let built = format!("/var/lib/dkms/{id}/{kernel}/x86_64/module/{name}.ko");
        let Some(node) = seen.listing.get(&built) else {
            wrong.push(format!("`{built}` is missing"));
            continue;
        };
        if *stage == Stage::Installed {
            let place = format!("/lib/modules/{kernel}/updates/dkms/{name}.ko");
            if seen.listing.get(&place).map(|there| &there.detail) != Some(&node.detail) {
                wrong.push(format!("`{place}` is not what was built"));
            }
            let link = format!("/var/lib/dkms/{name}/kernel-{kernel}-x86_64");
            let target = id.split('/').nth(1).map(|version| format!("{version}/{kernel}/x86_64"));
            if seen.listing.get(&link).map(|there| there.detail.clone()) != target {
                wrong.push(format!("`{link}` does not lead to {target:?}"));
            }
            installed.extend([place, link]);
        }
    }
    let ours = seen.listing.iter().filter(|(path, node)| {
        path.contains("/updates/dkms/") && is_module(path) || node.kind == 'l' && path.contains("/kernel-")
    });
    let stray = ours.filter(|(path, _)| !path.starts_with("/usr/src/") && !installed.contains(*path));
    wrong.extend(stray.map(|(path, _)| format!("`{path}` belongs to nothing that is installed")));
    wrong
}

/// Kernels whose modules.dep doesn't name exactly the modules that are there.
///
/// # Errors
/// Where one can't be read.
pub fn stale_indexes(world: &World, listing: &Listing) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let kernels: BTreeSet<&str> = listing
        .keys()
        .filter_map(|path| path.strip_prefix("/lib/modules/"))
        .filter_map(|rest| rest.split('/').next())
        .collect();
    for kernel in kernels {
        let top = format!("/lib/modules/{kernel}/");
        if !listing.contains_key(&format!("{top}modules.dep")) {
            continue;
        }
        let text = world.root.read(&format!("{top}modules.dep"))?;
        let named: BTreeSet<&str> = text.lines().filter_map(|line| line.split(':').next()).collect();
        let there = listing.keys().filter(|path| is_module(path)).filter_map(|path| path.strip_prefix(&top));
        let there: BTreeSet<&str> = there.collect();
        if named != there {
            wrong.push(format!("modules.dep of {kernel} names {named:?}, there are {there:?}"));
        }
    }
    Ok(wrong)
}
