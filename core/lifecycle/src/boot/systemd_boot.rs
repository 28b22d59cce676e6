//! systemd-boot: entries of type 1 and unified kernel images, on the ESP and XBOOTLDR.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::loaders::{Loader, Menu};
use super::machine::Machine;
use crate::host::fs::{self, FsError};
use crate::id::KernelRelease;
use crate::layout::Layout;
use crate::version;

/// Where boot partitions are mounted.
const PARTITIONS: [&str; 3] = ["/boot", "/efi", "/boot/efi"];
/// Variables of boot loaders: `bootctl set-oneshot`, `set-default`, and what has booted this system.
const VARIABLES: &str = "/sys/firmware/efi/efivars";
const VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// No entry is larger.
const LIMIT: u64 = 1 << 20;

/// What it offers; `None`: it is not this system's boot loader.
pub(super) fn menu(layout: &Layout, kernels: &[KernelRelease]) -> Option<Menu> {
    let partitions: Vec<PathBuf> = PARTITIONS.iter().map(|place| layout.at(place)).collect();
    let is_here = |partition: &PathBuf| {
        fs::is_file(&partition.join("loader/loader.conf"))
            || fs::is_file(&partition.join("loader/entries.srel"))
            || fs::list(&partition.join("EFI/systemd")).is_ok_and(|files| !files.is_empty())
    };
    if !partitions.iter().any(is_here) {
        return None;
    }
    let machine = Machine::of(layout);
    let mut entries: BTreeMap<KernelRelease, Vec<PathBuf>> = BTreeMap::new();
    let mut offered: Vec<(PathBuf, KernelRelease)> = Vec::new();
    for partition in &partitions {
        for (folder, suffix) in [("loader/entries", ".conf"), ("EFI/Linux", ".efi")] {
            let folder = partition.join(folder);
            for entry in fs::list(&folder).unwrap_or_default() {
                let Some(name) = entry.name.to_str().filter(|name| name.ends_with(suffix)) else { continue };
                let path = folder.join(name);
                let kernel = match suffix {
                    ".conf" => of_type_1(&path, kernels, &machine),
                    _ => of_name(name, kernels).filter(|_| !machine.is_others(name, None)),
                };
                if let Some(kernel) = kernel {
                    offered.push((path.clone(), kernel.clone()));
                    entries.entry(kernel).or_default().push(path);
                }
            }
        }
    }
    let rank = |(path, kernel): &(PathBuf, KernelRelease)| (tries(path) != Some(0), kernel.clone());
    let first = |entries: &[&(PathBuf, KernelRelease)]| {
        let mut ranked: Vec<_> = entries.iter().map(|entry| rank(entry)).collect();
        ranked.sort_by(|a, b| (a.0).cmp(&b.0).then_with(|| version::compare(a.1.as_str(), b.1.as_str())));
        ranked.pop().map(|(_, kernel)| kernel)
    };
    let (mut explicit, mut choice) = (BTreeSet::new(), BTreeSet::new());
    let (mut next, mut unclear) = (None, None);
    for pattern in patterns(layout, &partitions) {
        if pattern.starts_with('@') {
            unclear.get_or_insert(format!("the default `{pattern}` is what was booted or chosen last"));
            continue;
        }
        let takes = |path: &Path| {
            let id = without_tries(&name_of(path));
            crate::critical::matches(&pattern, &id)
                || crate::critical::matches(&pattern, &name_of(path))
                || crate::critical::matches(&pattern, id.trim_end_matches(".conf"))
        };
        let named: Vec<&(PathBuf, KernelRelease)> = offered.iter().filter(|(path, _)| takes(path)).collect();
        let kernels: BTreeSet<KernelRelease> = named.iter().map(|(_, kernel)| kernel.clone()).collect();
        // The strongest default comes first.
        next = next.or_else(|| first(&named));
        // A default that takes several picks the best of them, as without a default.
        match kernels.len() {
            1 => explicit.extend(kernels),
            _ if choice.is_empty() => choice = kernels,
            _ => {}
        }
    }
    let next = next.or_else(|| first(&offered.iter().collect::<Vec<_>>()));
    Some(Menu { loader: Loader::SystemdBoot, entries, explicit, choice, unclear, next })
}

/// A variable of the boot loader, empty if there is none.
fn variable(layout: &Layout, name: &str) -> String {
    let path = layout.at(&format!("{VARIABLES}/{name}-{VENDOR}"));
    let bytes = fs::read_limited(&path, LIMIT).unwrap_or_default();
    // Four bytes of attributes, then UTF-16.
    let units = bytes.get(4..).unwrap_or_default().chunks_exact(2);
    let units: Vec<u16> = units.map(|two| u16::from_le_bytes([two[0], two[1]])).collect();
    String::from_utf16_lossy(&units).trim_end_matches('\0').to_owned()
}

/// The boot loader that has booted this system, by its own word: `systemd-boot 257.9`, `GRUB 2.12`.
pub(super) fn booted_by(layout: &Layout) -> String {
    variable(layout, "LoaderInfo")
}

/// The defaults that the admin has set, the strongest first.
fn patterns(layout: &Layout, partitions: &[PathBuf]) -> Vec<String> {
    let variables = ["LoaderEntryOneShot", "LoaderEntryDefault"].map(|name| variable(layout, name));
    let mut patterns: Vec<String> = variables.into_iter().filter(|text| !text.is_empty()).collect();
    for partition in partitions {
        let text = fs::read_limited(&partition.join("loader/loader.conf"), LIMIT).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let values = text.lines().filter_map(|line| line.trim().strip_prefix("default"));
        let values = values.filter(|rest| rest.starts_with([' ', '\t'])).map(|rest| rest.trim().to_owned());
        patterns.extend(values.filter(|value| !value.is_empty()));
    }
    patterns
}

/// The kernel of an entry of ours: its version, or that in the path of its image.
fn of_type_1(path: &Path, kernels: &[KernelRelease], machine: &Machine) -> Option<KernelRelease> {
    let text = fs::read_limited(path, LIMIT).ok()?;
    let text = String::from_utf8_lossy(&text);
    let value = |key: &str| {
        let rest = text.lines().find_map(|line| line.trim().strip_prefix(key))?;
        rest.starts_with([' ', '\t']).then(|| rest.trim())
    };
    if machine.is_others(&name_of(path), value("machine-id")) {
        return None;
    }
    let named = value("version").and_then(|version| kernels.iter().find(|kernel| kernel.as_str() == version));
    let of_image = || {
        let image = value("linux").or_else(|| value("efi"))?;
        kernels
            .iter()
            .find(|kernel| image.split('/').any(|part| part == kernel.as_str() || is_image(part, kernel)))
    };
    named.or_else(of_image).cloned()
}

fn is_image(name: &str, kernel: &KernelRelease) -> bool {
    name.strip_suffix(kernel.as_str()).is_some_and(|rest| rest.ends_with('-'))
}

/// The kernel of a unified image, by its name: `TOKEN-K.efi`, `linux-K-….efi`.
fn of_name(name: &str, kernels: &[KernelRelease]) -> Option<KernelRelease> {
    let stem = without_tries(name);
    let stem = stem.trim_end_matches(".efi");
    let fits = |kernel: &&KernelRelease| {
        let found = stem.find(kernel.as_str()).map(|at| (&stem[..at], &stem[at + kernel.as_str().len()..]));
        found.is_some_and(|(before, after)| {
            (before.is_empty() || before.ends_with('-')) && (after.is_empty() || after.starts_with('-'))
        })
    };
    kernels.iter().filter(fits).max_by_key(|kernel| kernel.as_str().len()).cloned()
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A name in three: stem, the counter with its `+`, suffix.
fn parts(name: &str) -> (&str, &str, &str) {
    let (stem, suffix) = name.split_at(name.rfind('.').unwrap_or(name.len()));
    let counter = stem.rfind('+').filter(|at| {
        let mut numbers = stem[at + 1..].splitn(2, '-');
        numbers.all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let (stem, counter) = stem.split_at(counter.unwrap_or(stem.len()));
    (stem, counter, suffix)
}

/// The tries that are left; `None`: they are not counted.
fn tries(path: &Path) -> Option<u32> {
    let name = name_of(path);
    let (_, counter, _) = parts(&name);
    counter.strip_prefix('+')?.split('-').next()?.parse().ok()
}

fn without_tries(name: &str) -> String {
    let (stem, _, suffix) = parts(name);
    format!("{stem}{suffix}")
}

/// The name under which an entry is sorted last.
pub(super) fn held_name(path: &Path) -> PathBuf {
    let name = name_of(path);
    let (stem, _, suffix) = parts(&name);
    path.with_file_name(format!("{stem}+0{suffix}"))
}

/// Whether an entry is sorted last already.
pub(super) fn is_last(path: &Path) -> bool {
    tries(path) == Some(0)
}

/// Renames what is to be held; done again it changes nothing. An entry that was written again beside its
/// held name replaces that.
pub(super) fn hold(renames: &[(PathBuf, PathBuf)]) -> Result<(), FsError> {
    for (before, after) in renames {
        if fs::exists(before) {
            fs::rename(before, after)?;
        }
    }
    Ok(())
}

/// Gives the entries their names back. What was written again meanwhile stays, and the held one goes. The
/// boot loader itself renames `X+0.conf` to `X+0-1.conf` when that entry is booted.
pub(super) fn release(renames: &[(PathBuf, PathBuf)]) -> Result<(), FsError> {
    for (before, after) in renames {
        let folder = after.parent().unwrap_or(Path::new("/"));
        let id = without_tries(&name_of(after));
        let names = fs::list(folder)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|entry| entry.name.into_string().ok());
        let same: Vec<PathBuf> =
            names.filter(|name| without_tries(name) == id).map(|name| folder.join(name)).collect();
        let (held, live): (Vec<&PathBuf>, Vec<&PathBuf>) =
            same.iter().partition(|path| *path != before && is_last(path));
        let mut held = held.into_iter();
        if live.is_empty()
            && let Some(one) = held.next()
        {
            fs::rename(one, before)?;
        }
        held.try_for_each(|stale| fs::remove_file(stale))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_no_part_of_a_name() {
        for (name, held) in [
            ("a-6.1.conf", "a-6.1+0.conf"),
            ("a-6.1+3.conf", "a-6.1+0.conf"),
            ("a-6.1+3-1.efi", "a-6.1+0.efi"),
            ("a+b-6.1.conf", "a+b-6.1+0.conf"),
        ] {
            assert_eq!(held_name(Path::new(name)), Path::new(held));
        }
        assert!(is_last(Path::new("x+0-3.conf")) && !is_last(Path::new("x+1.conf")));
        assert_eq!(without_tries("x+3-1.conf"), "x.conf");
    }

    #[test]
    fn a_unified_image_is_of_the_longest_release_in_its_name() {
        let kernels = ["6.1.0-1", "6.1.0-1-amd64"].map(|one| KernelRelease::new(one).unwrap());
        assert_eq!(of_name("debian-6.1.0-1-amd64+3.efi", &kernels).as_ref(), Some(&kernels[1]));
        assert_eq!(of_name("debian-6.1.0-1.efi", &kernels).as_ref(), Some(&kernels[0]));
        assert_eq!(of_name("debian-6.1.0-11.efi", &kernels), None);
    }
}
