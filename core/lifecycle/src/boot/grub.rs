//! GRUB: `GRUB_TOP_LEVEL` of Debian and Ubuntu (2.12 and newer), and its saved entry.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::journal::Hold;
use super::loaders::{Loader, Menu, named};
use super::machine::Machine;
use crate::host::fs::{self, FsError};
use crate::host::leftovers::sweep_folder;
use crate::host::process::Process;
use crate::host::{Environment, programs};
use crate::id::KernelRelease;
use crate::layout::Layout;
use crate::version;

/// The file of ours.
const SNIPPET: &str = "/etc/default/grub.d/zz-dkms-boot-guard.cfg";
/// GRUB's block of variables.
const BLOCK: usize = 1024;
const LIMIT: u64 = 16 << 20;

/// A saved entry that we have saved, and what was saved before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnEntry {
    pub(super) before: Option<String>,
}

/// Whether what is saved now was saved by us.
pub(super) fn saved_by_us(layout: &Layout, holds: &[(KernelRelease, Hold)]) -> Option<OwnEntry> {
    let saved = saved_entry(layout);
    let is_ours =
        |hold: &&Hold| hold.layer == Loader::GrubSaved.word() && saved.as_ref() == Some(&hold.after);
    let hold = holds.iter().map(|(_, hold)| hold).find(is_ours)?;
    Some(OwnEntry { before: hold.before.clone() })
}

/// Whether the entries are those of the Boot Loader Specification, and kernel-install saves each kernel that
/// comes (Fedora, RHEL).
pub(super) fn is_of_fedora(layout: &Layout) -> bool {
    fs::is_file(&layout.at("/boot/grub2/grub.cfg"))
}

/// What it offers; `None`: it is not this system's boot loader. `ours`: what is saved was saved by us.
pub(super) fn menu(layout: &Layout, kernels: &[KernelRelease], ours: Option<OwnEntry>) -> Option<Menu> {
    let of_debian = fs::is_file(&layout.at("/boot/grub/grub.cfg"));
    let of_fedora = is_of_fedora(layout);
    if !of_debian && !of_fedora {
        return None;
    }
    let mut entries: BTreeMap<KernelRelease, Vec<PathBuf>> = BTreeMap::new();
    for kernel in kernels {
        if let Some(id) = entry_id(layout, kernel) {
            entries.entry(kernel.clone()).or_default().push(id.into());
        } else if of_debian && fs::exists(&layout.at(&format!("/boot/vmlinuz-{kernel}"))) {
            entries.entry(kernel.clone()).or_default().push(format!("/boot/vmlinuz-{kernel}").into());
        }
    }
    let default = setting(layout, "GRUB_DEFAULT").unwrap_or_else(|| "0".to_owned());
    let knows_top = read(layout, "/etc/grub.d/10_linux").contains("GRUB_TOP_LEVEL");
    let loader = match default.as_str() {
        _ if of_fedora => Loader::GrubSaved,
        "saved" => Loader::GrubSaved,
        "0" | "" if knows_top => Loader::GrubTopLevel,
        _ => Loader::GrubFixed,
    };
    let mut explicit = BTreeSet::new();
    let mut unclear = None;
    let newest = entries.keys().max_by(|a, b| version::compare(a.as_str(), b.as_str())).cloned();
    let of_saved = |saved: Option<String>| match saved.filter(|text| !text.is_empty()) {
        Some(saved) => named(&saved, kernels),
        None => newest.clone(),
    };
    let next = match loader {
        Loader::GrubSaved => {
            let saved = saved_entry(layout);
            let chosen = ours.map_or_else(|| saved.clone(), |ours| ours.before);
            // On Fedora kernel-install saves each kernel that comes.
            if !of_fedora && chosen.as_ref().is_some_and(|text| !text.is_empty()) {
                explicit.extend(of_saved(chosen));
            }
            of_saved(saved)
        }
        _ if !["0", ""].contains(&default.as_str()) => {
            explicit.extend(named(&default, kernels));
            if explicit.is_empty() {
                unclear = Some(format!("`GRUB_DEFAULT={default}` names no kernel that is known"));
            }
            explicit.first().cloned()
        }
        _ => {
            let top = setting(layout, "GRUB_TOP_LEVEL").filter(|text| !text.is_empty());
            explicit.extend(top.and_then(|top| named(&top, kernels)));
            explicit.first().cloned().or_else(|| first_of_menu(layout, kernels, newest))
        }
    };
    Some(Menu { loader, entries, explicit, choice: BTreeSet::new(), unclear, next })
}

/// The kernel of the first entry that the menu has. A menu that does not have the newest kernel yet is made
/// again in the same transaction: hooks of kernels run in the order of their names, and GRUB's is the last.
fn first_of_menu(
    layout: &Layout,
    kernels: &[KernelRelease],
    newest: Option<KernelRelease>,
) -> Option<KernelRelease> {
    let text = read(layout, "/boot/grub/grub.cfg");
    let mut lines = text.lines().filter(|line| line.trim_start().starts_with("linux"));
    let is_new =
        |newest: &KernelRelease| lines.clone().all(|line| named(line, kernels).as_ref() != Some(newest));
    if newest.as_ref().is_some_and(is_new) {
        let ours = snippet(layout).unwrap_or_default();
        let images = ours.split('"').filter(|part| part.starts_with("/boot/vmlinuz-"));
        let mut there = images.filter(|image| fs::exists(&layout.at(image)));
        return there.find_map(|image| named(image, kernels)).or(newest);
    }
    lines.find_map(|line| named(line, kernels)).or(newest)
}

fn read(layout: &Layout, path: &str) -> String {
    let bytes = fs::read_limited(&layout.at(path), LIMIT).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What the admin's files assign last; ours is not read.
fn setting(layout: &Layout, name: &str) -> Option<String> {
    let folder = layout.at("/etc/default/grub.d");
    let names = fs::list(&folder).unwrap_or_default().into_iter();
    let names = names.filter_map(|entry| entry.name.into_string().ok()).filter(|name| name.ends_with(".cfg"));
    let others = names.map(|name| format!("/etc/default/grub.d/{name}")).filter(|path| path != SNIPPET);
    let value = |path: String| {
        let text = read(layout, &path);
        let values = text.lines().filter_map(|line| {
            let line = line.trim().trim_start_matches("export ");
            line.strip_prefix(name)?
                .strip_prefix('=')
                .map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
        });
        values.collect::<Vec<_>>().pop()
    };
    std::iter::once("/etc/default/grub".to_owned()).chain(others).filter_map(value).next_back()
}

/// The name by which the saved entry means a kernel.
pub(super) fn entry_id(layout: &Layout, kernel: &KernelRelease) -> Option<String> {
    let machine = Machine::of(layout);
    for entry in fs::list(&layout.at("/boot/loader/entries")).unwrap_or_default() {
        let name = entry.name.to_string_lossy().into_owned();
        if let Some(stem) = name.strip_suffix(".conf")
            && !machine.is_others(stem, None)
            && stem.strip_suffix(kernel.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('-'))
        {
            return Some(stem.to_owned());
        }
    }
    let text = read(layout, "/boot/grub/grub.cfg");
    let ids: Vec<&str> = text.split('\'').filter(|part| part.starts_with("gnulinux-")).collect();
    let own = ids.iter().find(|id| id.starts_with(&format!("gnulinux-{kernel}-advanced-")))?;
    let menu = ids.iter().find(|id| id.starts_with("gnulinux-advanced-"));
    Some(menu.map_or_else(|| (*own).to_owned(), |menu| format!("{menu}>{own}")))
}

fn environment_block(layout: &Layout) -> PathBuf {
    let places = ["/boot/grub2/grubenv", "/boot/grub/grubenv"].map(|place| layout.at(place));
    let found = places.iter().find(|place| fs::is_file(place)).unwrap_or(&places[1]);
    fs::canonical(found).unwrap_or_else(|_| found.clone())
}

/// The saved entry.
pub(super) fn saved_entry(layout: &Layout) -> Option<String> {
    let bytes = fs::read_limited(&environment_block(layout), LIMIT).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines().find_map(|line| line.strip_prefix("saved_entry=")).map(str::to_owned)
}

/// A block with another saved entry, or none; `None`: it is no block, or has no room.
fn with_saved(block: &[u8], entry: Option<&str>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(block).ok()?;
    // A line break would begin another variable; a backslash stands for what follows it.
    if entry.is_some_and(|entry| entry.contains(|c: char| c.is_control() || c == '\\')) {
        return None;
    }
    if block.len() != BLOCK || !text.starts_with("# GRUB Environment Block\n") {
        return None;
    }
    let body = text.trim_end_matches('#');
    let mut lines: Vec<String> = body.lines().map(str::to_owned).collect();
    let at = lines.iter().position(|line| line.starts_with("saved_entry="));
    match (at, entry) {
        (Some(at), Some(entry)) => lines[at] = format!("saved_entry={entry}"),
        (Some(at), None) => drop(lines.remove(at)),
        (None, Some(entry)) => lines.push(format!("saved_entry={entry}")),
        (None, None) => {}
    }
    let mut bytes = lines.join("\n").into_bytes();
    bytes.push(b'\n');
    if bytes.len() > BLOCK {
        return None;
    }
    bytes.resize(BLOCK, b'#');
    Some(bytes)
}

/// Sets the saved entry; `false`: the block is not one of GRUB's.
pub(super) fn save(layout: &Layout, entry: Option<&str>) -> Result<bool, FsError> {
    let place = environment_block(layout);
    let block = fs::read_limited(&place, LIMIT)?;
    match with_saved(&block, entry) {
        Some(bytes) => fs::write_whole(&place, &bytes, 0o644).map(|()| true),
        None => Ok(false),
    }
}

fn snippet(layout: &Layout) -> Option<String> {
    fs::read_lossy(&layout.at(SNIPPET)).ok()
}

/// The file that makes the first of these kernels that is there the first entry, unless the admin has chosen
/// one; none for no kernels.
pub(super) fn snippet_for(kernels: &[KernelRelease]) -> Option<String> {
    let images: Vec<String> = kernels.iter().map(|kernel| format!("\"/boot/vmlinuz-{kernel}\"")).collect();
    (!images.is_empty()).then(|| {
        format!(
            "# Written by the boot guard of dkms: `dkms boot` says why, `dkms boot release all` removes it.\n\
             if [ -z \"${{GRUB_TOP_LEVEL:-}}\" ]; then\n    \
             for image in {}; do\n        \
             if [ -e \"$image\" ]; then\n            GRUB_TOP_LEVEL=$image\n            break\n        fi\n    \
             done\nfi\n",
            images.join(" ")
        )
    })
}

/// Whether that file is as it should be.
pub(super) fn has_snippet(layout: &Layout, text: Option<&str>) -> bool {
    snippet(layout).as_deref() == text
}

/// Writes that file, or removes it, and has the menu remade. If that fails the file is as it was, and what
/// went wrong comes back in words.
pub(super) fn write_snippet(
    layout: &Layout,
    text: Option<&str>,
    environment: &Environment,
) -> Result<Result<(), String>, FsError> {
    let before = snippet(layout);
    put_snippet(layout, text)?;
    let made = remake(layout, environment);
    if made.is_err() && text.is_some() {
        put_snippet(layout, before.as_deref())?;
    }
    Ok(made)
}

fn put_snippet(layout: &Layout, text: Option<&str>) -> Result<(), FsError> {
    let place = layout.at(SNIPPET);
    match text {
        Some(text) => {
            fs::create_dir_all(&layout.at("/etc/default/grub.d"))?;
            fs::write_whole(&place, text.as_bytes(), 0o644)
        }
        None => fs::optional(fs::remove_file(&place)).map(drop),
    }
}

/// Has the menu remade. Below another root nothing is run.
fn remake(layout: &Layout, environment: &Environment) -> Result<(), String> {
    if layout.root() != Path::new("/") || programs::find("update-grub", environment).is_none() {
        return Err("`update-grub` is not there".to_owned());
    }
    let none: [String; 0] = [];
    match Process::new("update-grub", none, environment).capture() {
        Ok(ended) if ended.code() == 0 => Ok(()),
        Ok(ended) => {
            let output = String::from_utf8_lossy(&ended.output);
            let last = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            Err(format!("`update-grub` ended with exit code {}: {}", ended.code(), last.trim()))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// What a killed command has left beside our file and GRUB's block.
pub(super) fn sweep(layout: &Layout) -> Result<(), FsError> {
    let block = environment_block(layout);
    let folders = block.parent().map(Path::to_owned).into_iter().chain([layout.at("/etc/default/grub.d")]);
    folders.filter(|folder| fs::is_dir(folder)).try_for_each(|folder| sweep_folder(&folder, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_entry_is_taken_back_to_the_byte() {
        for body in ["", "saved_entry=old\n", "kernelopts=a\nsaved_entry=old\nx=1\n"] {
            let mut block = format!("# GRUB Environment Block\n{body}").into_bytes();
            block.resize(BLOCK, b'#');
            let changed = with_saved(&block, Some("gnulinux-6.1")).unwrap();
            assert!(changed != block && changed.len() == BLOCK);
            let old = body.contains("old").then_some("old");
            assert_eq!(with_saved(&changed, old).unwrap(), block);
            assert_eq!(with_saved(&block, Some(&"x".repeat(BLOCK))), None);
        }
        assert_eq!(with_saved(b"other", Some("x")), None);
        let mut block = b"# GRUB Environment Block\n".to_vec();
        block.resize(BLOCK, b'#');
        for entry in ["a\nb=c", "a\r", "a\\"] {
            assert_eq!(with_saved(&block, Some(entry)), None, "{entry:?}");
        }
    }

    #[test]
    fn a_menu_without_the_newest_kernel_is_about_to_be_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let write = |path: &str, text: &str| {
            fs::create_dir_all(layout.at(path).parent().unwrap()).unwrap();
            fs::write_whole(&layout.at(path), text.as_bytes(), 0o644).unwrap();
        };
        let kernels = ["6.1.0-1-amd64", "6.1.0-2-amd64"].map(|one| KernelRelease::new(one).unwrap());
        let line = |kernel: &KernelRelease| format!("\tlinux\t/vmlinuz-{kernel} root=/dev/sda ro\n");
        let next = || menu(&layout, &kernels, None).unwrap().next;
        kernels.iter().for_each(|kernel| write(&format!("/boot/vmlinuz-{kernel}"), ""));
        write("/etc/grub.d/10_linux", "GRUB_TOP_LEVEL");
        write("/boot/grub/grub.cfg", &line(&kernels[0]));
        assert_eq!(next().as_ref(), Some(&kernels[1]));
        // Our file is what GRUB's script will go by.
        write(SNIPPET, &snippet_for(&kernels[..1]).unwrap());
        assert_eq!(next().as_ref(), Some(&kernels[0]));
        fs::remove_file(&layout.at(SNIPPET)).unwrap();
        write("/boot/grub/grub.cfg", &format!("{}{}", line(&kernels[0]), line(&kernels[1])));
        assert_eq!(next().as_ref(), Some(&kernels[0]));
    }
}
