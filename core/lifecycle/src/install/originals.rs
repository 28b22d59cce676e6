//! Modules of the kernel that ours replace: archived in `original_module/K/A` on the first install,
//! put back on uninstall.
//!
//! `X.ko` there is the module, `X.ko.origin` one line: the path it came from. `collisions/` holds what can't
//! be put back: further modules of one name, and files that are no module of this kernel.

use std::path::{Component, Path, PathBuf};

use super::Place;
use super::changes::Changes;
use super::find::file_name;
use super::identity::is_module_of;
use crate::host::fs::{self, FsError};
use crate::modfile::ModuleFile;
use crate::report::{Event, Reporter};

/// What becomes of the modules of one name that were found in the kernel's folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Archived with its origin, and put back one day.
    pub(super) original: Option<PathBuf>,
    /// Kept in `collisions/`.
    pub(super) collisions: Vec<PathBuf>,
}

impl Choice {
    /// All that is archived, and so leaves its place.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.original.iter().chain(&self.collisions)
    }
}

/// Picks the original among `found`: the first in `extra`, then `updates`, then the destination, else
/// the only one. Where there are several and none of these, all are collisions. Files elsewhere stay
/// where one was picked.
fn pick(found: &[PathBuf], kernel_dir: &Path, destination: &Path) -> Choice {
    let places = [kernel_dir.join("extra"), kernel_dir.join("updates"), destination.to_owned()];
    let picked = places.iter().find_map(|place| found.iter().find(|path| path.starts_with(place)));
    match (picked, found) {
        (Some(path), _) | (None, [path]) => {
            // It would be overwritten.
            let in_the_way = |other: &&PathBuf| *other != path && other.parent() == Some(destination);
            Choice {
                original: Some(path.clone()),
                collisions: found.iter().filter(in_the_way).cloned().collect(),
            }
        }
        (None, _) => Choice { original: None, collisions: found.to_vec() },
    }
}

/// Decides what becomes of `found`, and says what won't be put back. Only a readable module of this kernel
/// can be an original; what isn't one (cut by a full disk, say) is kept aside.
pub(super) fn choose(
    found: Vec<PathBuf>,
    place: &Place<'_>,
    destination: &Path,
    reporter: &dyn Reporter,
) -> Choice {
    let kernel = place.target().kernel.as_str();
    let aside = place.layout.originals_dir(&place.id.name, place.target()).join("collisions");
    let (good, bad): (Vec<_>, Vec<_>) = found.into_iter().partition(|path| is_module_of(path, kernel));
    for path in &bad {
        let text = format!(
            "`{}` is not a readable module for {kernel}; it is kept in `{}`, and uninstall does not restore it",
            path.display(),
            aside.display()
        );
        reporter.report(Event::warning(text, []));
    }
    let mut choice = pick(&good, place.kernel_dir(), destination);
    for path in &choice.collisions {
        let text = format!(
            "`{}` is not the only module of its name; it is kept in `{}`, and uninstall does not restore it",
            path.display(),
            aside.display()
        );
        reporter.report(Event::warning(text, []));
    }
    choice.collisions.extend(bad);
    choice
}

/// Copies what was chosen into the archive. The files themselves are still where they were: the caller takes
/// them away, or puts ours over them.
pub(super) fn archive(
    place: &Place<'_>,
    choice: &Choice,
    changes: &mut Changes,
    reporter: &dyn Reporter,
) -> Result<(), FsError> {
    let dir = place.layout.originals_dir(&place.id.name, place.target());
    if let Some(path) = &choice.original {
        let text = format!("archiving the original module `{}`, which uninstall restores", path.display());
        reporter.report(Event::note(text));
        copy_into(&dir, path, changes)?;
        let origin = dir.join(format!("{}.origin", file_name(path)));
        let staged = changes.stage_bytes(format!("{}\n", path.display()).as_bytes(), &origin)?;
        changes.publish(&staged, &origin)?;
    }
    choice.collisions.iter().try_for_each(|path| copy_into(&dir.join("collisions"), path, changes))
}

fn copy_into(dir: &Path, from: &Path, changes: &mut Changes) -> Result<(), FsError> {
    changes.folder(dir)?;
    let name = file_name(from);
    // The second of one name is `foo.ko.1`.
    let numbered = (1..).map(|n| dir.join(format!("{name}.{n}")));
    let free = |path: &PathBuf| !dir.ends_with("collisions") || !(fs::exists(path) || changes.is_taken(path));
    let to = std::iter::once(dir.join(name)).chain(numbered).find(free).unwrap_or_else(|| dir.join(name));
    let staged = changes.stage_copy(from, &to)?;
    changes.publish(&staged, &to)
}

/// Where an archived module goes back to, by what its `.origin` says. That counts only if it lies below this
/// kernel's folder, under one of its `names`, has no `..` and is a file of the same module.
fn way_back(origin: &str, file: &str, names: &[PathBuf]) -> Option<PathBuf> {
    let origin = Path::new(origin.trim_end_matches('\n'));
    let relative = names.iter().find_map(|name| origin.strip_prefix(name).ok())?;
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    let named = ModuleFile::from_name(file)?.stem == ModuleFile::from_path(relative)?.stem;
    names.first().filter(|_| plain && named).map(|name| name.join(relative))
}

/// The names of the kernel's folder: the one we use, then others that lead there (`/lib` may be `/usr/lib`).
fn names_of(kernel_dir: &Path, kernel: &str) -> Vec<PathBuf> {
    let usual = ["/lib/modules", "/usr/lib/modules"].map(|tree| Path::new(tree).join(kernel));
    let resolved = fs::canonical(kernel_dir).ok();
    let same = |name: &PathBuf| resolved.is_some() && fs::canonical(name).ok() == resolved;
    std::iter::once(kernel_dir.to_owned()).chain(usual.into_iter().filter(same)).collect()
}

/// Whether the folder that `path` would be in is, all links resolved, the kernel's or below it.
fn stays_inside(path: &Path, kernel_dir: &Path) -> bool {
    let nearest = path.ancestors().skip(1).find(|above| fs::exists(above));
    match (nearest.map(fs::canonical), fs::canonical(kernel_dir)) {
        (Some(Ok(nearest)), Ok(kernel_dir)) => nearest.starts_with(kernel_dir),
        _ => false,
    }
}

/// A module in the archive.
#[derive(Debug)]
pub(super) struct Archived {
    /// Its file's name.
    pub(super) file: String,
    /// Where its `.origin` says that it came from, as far as that can be believed.
    pub(super) origin: Option<PathBuf>,
}

/// What is in the archive, collisions left out.
pub(super) fn archived(place: &Place<'_>) -> Result<Vec<Archived>, FsError> {
    let dir = place.layout.originals_dir(&place.id.name, place.target());
    let names = names_of(place.kernel_dir(), place.target().kernel.as_str());
    let one = |entry: fs::Entry| {
        let file = entry.name.into_string().ok().filter(|_| !entry.kind.is_dir())?;
        ModuleFile::from_name(&file)?;
        let text = fs::read_limited(&dir.join(format!("{file}.origin")), 8192).ok();
        let text = text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let origin = text.and_then(|text| way_back(&text, &file, &names));
        Some(Archived { origin: origin.filter(|origin| stays_inside(origin, place.kernel_dir())), file })
    };
    Ok(fs::list(&dir)?.into_iter().filter_map(one).collect())
}

/// A module that is back in its place.
#[derive(Debug)]
pub(super) struct Restored {
    /// Its name in the archive.
    pub(super) file: String,
    /// Its place.
    pub(super) to: PathBuf,
}

/// Puts every archived module of the package back; the archive stays until it is [forgotten](forget).
/// `fallback`: the folder for a module (by name) whose origin isn't known. What can't go back stays
/// in the archive, said.
pub(super) fn restore(
    place: &Place<'_>,
    fallback: impl Fn(&str) -> Option<PathBuf>,
    changes: &mut Changes,
    reporter: &dyn Reporter,
) -> Result<Vec<Restored>, FsError> {
    let dir = place.layout.originals_dir(&place.id.name, place.target());
    let kernel_dir = place.kernel_dir();
    let mut restored = Vec::new();
    for Archived { file, origin } in archived(place)? {
        let path = dir.join(&file);
        let origin_path = dir.join(format!("{file}.origin"));
        let elsewhere = || Some(fallback(&ModuleFile::from_name(&file)?.stem)?.join(&file));
        let Some(to) = origin.or_else(elsewhere).filter(|to| stays_inside(to, kernel_dir)) else {
            let text = format!(
                "cannot tell where the original module `{}` came from; it stays there",
                path.display()
            );
            let hint =
                format!("`{}` should name a path in `{}`", origin_path.display(), kernel_dir.display());
            reporter.report(Event::warning(text, [hint]));
            continue;
        };
        reporter.report(Event::note(format!("restoring the original module `{}`", to.display())));
        if let Some(folder) = to.parent() {
            changes.folder(folder)?;
        }
        let staged = changes.stage_copy(&path, &to)?;
        changes.publish(&staged, &to)?;
        restored.push(Restored { file, to });
    }
    Ok(restored)
}

/// Takes modules that are back in their place out of the archive.
pub(super) fn forget<'a>(
    place: &Place<'_>,
    files: impl IntoIterator<Item = &'a str>,
    changes: &mut Changes,
) -> Result<(), FsError> {
    let dir = place.layout.originals_dir(&place.id.name, place.target());
    for file in files {
        for path in [dir.join(file), dir.join(format!("{file}.origin"))] {
            if fs::exists(&path) {
                changes.take(&path)?;
            }
        }
    }
    if fs::is_dir(&dir) {
        changes.prune_when_kept(&dir.join("collisions"), &place.layout.module_dir(&place.id.name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(list: &[&str]) -> Vec<PathBuf> {
        list.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn the_original_is_the_one_that_depmod_would_prefer() {
        let kernel_dir = Path::new("/lib/modules/6.1");
        let destination = kernel_dir.join("kernel/drivers");
        for (found, original, collisions) in [
            (&["kernel/a/x.ko"][..], Some("kernel/a/x.ko"), &[][..]),
            (&["kernel/a/x.ko", "updates/z/x.ko"], Some("updates/z/x.ko"), &[]),
            (&["extra/x.ko", "updates/x.ko"], Some("extra/x.ko"), &[]),
            (&["kernel/a/x.ko", "kernel/drivers/x.ko"], Some("kernel/drivers/x.ko"), &[]),
            (&["extra/x.ko", "kernel/drivers/x.ko"], Some("extra/x.ko"), &["kernel/drivers/x.ko"]),
            (&["kernel/a/x.ko", "kernel/b/x.ko"], None, &["kernel/a/x.ko", "kernel/b/x.ko"]),
            (&[], None, &[]),
        ] {
            let at = |list: &[&str]| list.iter().map(|path| kernel_dir.join(path)).collect::<Vec<_>>();
            let choice = pick(&at(found), kernel_dir, &destination);
            let expected =
                Choice { original: original.map(|path| kernel_dir.join(path)), collisions: at(collisions) };
            assert_eq!(choice, expected, "{found:?}");
        }
    }

    #[test]
    fn a_hostile_origin_leads_nowhere() {
        let names = paths(&["/r/lib/modules/6.1", "/lib/modules/6.1"]);
        let to = |origin: &str| way_back(origin, "x.ko", &names);
        let kept = Some(PathBuf::from("/r/lib/modules/6.1/extra/x.ko"));
        assert_eq!(to("/r/lib/modules/6.1/extra/x.ko\n"), kept);
        assert_eq!(to("/lib/modules/6.1/extra/x.ko"), kept);
        for hostile in [
            "/etc/x.ko",
            "/lib/modules/6.1/../../../etc/x.ko",
            "/lib/modules/6.1/extra/y.ko",
            "/lib/modules/6.1/extra/x.ko/passwd",
            "/lib/modules/6.1",
            "/lib/modules/6.12/extra/x.ko",
            "extra/x.ko",
            "",
        ] {
            assert_eq!(to(hostile), None, "{hostile:?}");
        }
    }

    #[test]
    fn a_folder_that_is_a_link_does_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let kernel_dir = dir.path().join("k");
        fs::create_dir_all(&kernel_dir.join("a")).unwrap();
        fs::create_dir_all(&dir.path().join("out")).unwrap();
        fs::symlink(Path::new("../out"), &kernel_dir.join("build")).unwrap();
        assert!(stays_inside(&kernel_dir.join("a/b/c/x.ko"), &kernel_dir));
        assert!(!stays_inside(&kernel_dir.join("build/x.ko"), &kernel_dir));
        assert!(!stays_inside(&kernel_dir.join("build/b/x.ko"), &kernel_dir));
    }
}
