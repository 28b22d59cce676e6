//! What a crash left of an install or uninstall: temporary files beside what it was about to change. The next one of the same
//! module removes them first.

use std::path::Path;

use super::changes::STAGED;
use super::{Place, originals};
use crate::host::fs;
use crate::layout::TEMPORARY_PREFIX;

/// Sweeps every folder that an install or uninstall of this module on this kernel changes.
///
/// Whoever holds the module's lock may call it. Nothing that goes wrong here matters: what stays is invisible to all.
pub(super) fn sweep<'a>(place: &Place<'_>, destinations: impl IntoIterator<Item = (&'a Path, &'a str)>) {
    for (folder, name) in destinations {
        sweep_folder(folder, |file| file.strip_prefix(name).is_some_and(|rest| rest.starts_with(".ko")));
    }
    for path in [place.link(), place.layout.modprobe_conf(&place.id.name)] {
        if let (Some(folder), Some(name)) = (path.parent(), path.file_name()) {
            sweep_folder(folder, |file| *name == *file);
        }
    }
    let archive = place.layout.originals_dir(&place.id.name, place.target());
    sweep_folder(&archive, |_| true);
    sweep_folder(&archive.join("collisions"), |_| true);
    for original in originals::archived(place).unwrap_or_default() {
        if let Some(folder) = original.origin.as_deref().and_then(Path::parent) {
            sweep_folder(folder, |file| file == original.file);
        }
    }
}

fn sweep_folder(dir: &Path, is_ours: impl Fn(&str) -> bool) {
    for entry in fs::list(dir).unwrap_or_default() {
        let of = entry.name.to_str().and_then(|name| leftover_of(name, std::process::id()));
        if of.is_some_and(&is_ours) {
            drop(fs::remove_any(&dir.join(&entry.name)));
        }
    }
}

/// The file that `name` is a temporary one of, left by another process than `own` (what we have staged ourselves is needed).
fn leftover_of(name: &str, own: u32) -> Option<&str> {
    let mut rest = name.strip_suffix(STAGED).filter(|name| name.starts_with(TEMPORARY_PREFIX))?;
    // More than one prefix where the temporary file itself was being written.
    while let Some(inner) = rest.strip_prefix(TEMPORARY_PREFIX) {
        let (pid, inner) = inner.split_once('_')?;
        let (_, inner) = inner.split_once('_')?;
        if pid == own.to_string() {
            return None;
        }
        rest = inner;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_leftovers_of_others_are_taken_for_such() {
        for (name, expected) in [
            (".tmp_7_0_8812au.ko.new", Some("8812au.ko")),
            (".tmp_7_1_.tmp_7_0_8812au.ko.xz.new", Some("8812au.ko.xz")),
            (".tmp_1_0_8812au.ko.new", None),
            (".tmp_7_0_8812au.ko", None),
            (".tmp_build.new", None),
            ("8812au.ko.new", None),
            ("8812au.ko", None),
        ] {
            assert_eq!(leftover_of(name, 1), expected, "{name}");
        }
    }
}
