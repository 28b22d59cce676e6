//! What interrupted commands left in the tree: temporary names (`.tmp_*`), empty folders that were to become
//! something, records of processes that are gone. Nothing that shows a state is touched.
//!
//! What belongs to a module goes only while nobody else works on that module.

use std::path::PathBuf;

use super::key::{Key, Keys, Mode};
use super::lock::{self, Held};
use super::{owed, registration, running};
use crate::host::fs::{self, FsError, Listed};
use crate::host::leftovers::{has_temporaries, sweep_folder};
use crate::id::{KernelRelease, ModuleName};
use crate::layout::Layout;
use crate::report::{Event, Reporter};

/// Sweeps the whole tree and the source tree; `held`: what we hold already. What can't be removed is warned
/// of: it is no reason for a command about something else to end.
pub fn sweep(layout: &Layout, held: Option<&Held>, reporter: &dyn Reporter) {
    sweep_listed(layout, held, &Listed::default(), reporter);
}

/// The same; who looks at the tree right after it need not list it again.
pub fn sweep_listed(layout: &Layout, held: Option<&Held>, listed: &Listed, reporter: &dyn Reporter) {
    let told = |result: Result<(), FsError>| {
        if let Err(error) = result {
            let hint = "`dkms doctor` shows what is left in the tree".to_owned();
            reporter.report(Event::warning(format!("leftovers stay: {error}"), [hint]));
        }
    };
    told(sweep_folder(&layout.source_tree, 0));
    told(sweep_folder(&layout.dkms_tree, 0));
    // attempts/M/V/K/A is the deepest.
    told(sweep_folder(&layout.state_dir(), 5));
    told(sweep_modules(layout, held, listed, &told));
}

fn sweep_modules(
    layout: &Layout,
    held: Option<&Held>,
    listed: &Listed,
    told: &dyn Fn(Result<(), FsError>),
) -> Result<(), FsError> {
    let dead = running::dead(layout);
    lock::sweep(layout);
    owed::sweep(layout);
    // Their temporaries may be needed to undo what the journal says.
    let journals = fs::list(&layout.journal_dir())?;
    let journaled: Vec<&str> =
        journals.iter().filter_map(|file| file.name.to_str()?.splitn(3, '.').nth(2)).collect();
    let mut left = Vec::new();
    for entry in listed.list(&layout.dkms_tree)?.iter() {
        let Some(Ok(name)) = entry.name.to_str().filter(|_| entry.kind.is_dir()).map(ModuleName::new) else {
            continue;
        };
        if journaled.contains(&name.as_str()) {
            continue;
        }
        // Empty folders do not show who made them: they count where a command died, or could not clean up.
        let swept = (|| -> Result<bool, FsError> {
            let folder = layout.module_dir(&name);
            let has_temporaries = has_temporaries(&folder, 4, listed)?;
            let failed_here = has_temporaries || dead.had(&Key::Module(name.clone()));
            let has_leftovers = has_temporaries || failed_here && has_empty_folders(layout, &name)?;
            if !has_leftovers {
                return Ok(true);
            }
            // The last of its folders may go with it.
            listed.forget_below(&layout.dkms_tree);
            sweep_module(layout, &name, held)
        })();
        if !matches!(swept, Ok(true)) {
            left.push(Key::Module(name));
        }
        told(swept.map(|_| ()));
    }
    dead.forget(&left);
    Ok(())
}

/// `false`: another command works on the module, and it was left alone.
fn sweep_module(layout: &Layout, name: &ModuleName, held: Option<&Held>) -> Result<bool, FsError> {
    let key = Key::Module(name.clone());
    let locked = if held.is_some_and(|held| held.is_ours_alone(&key)) {
        None
    } else {
        match lock::try_acquire(layout, &Keys::default().with(key, Mode::Exclusive)) {
            Ok(Some(locked)) => Some(locked),
            // Another command works on it, and sweeps it one day; or nobody can lock, which
            // the next attempt to lock reports.
            Ok(None) | Err(_) => return Ok(false),
        }
    };
    // M, V, K, A, and what is in an archive of originals: no deeper do our own temporaries stand.
    sweep_folder(&layout.module_dir(name), 4)?;
    for dir in empty_kernel_folders(layout, name)? {
        fs::remove_dir_if_empty(&dir)?;
    }
    registration::forget_module_if_empty(layout, name)?;
    drop(locked);
    Ok(true)
}

/// Whether a module has a folder that holds nothing.
fn has_empty_folders(layout: &Layout, name: &ModuleName) -> Result<bool, FsError> {
    let has_a_version =
        fs::list(&layout.module_dir(name))?.iter().any(|entry| entry.name != "original_module");
    Ok(!has_a_version || !empty_kernel_folders(layout, name)?.is_empty())
}

/// `M/V/K` without any `A`, or with empty ones: a build was about to appear there, or has gone. What is in a
/// folder comes before it.
fn empty_kernel_folders(layout: &Layout, name: &ModuleName) -> Result<Vec<PathBuf>, FsError> {
    let mut empty = Vec::new();
    let dir = layout.module_dir(name);
    for version in fs::list(&dir)?.into_iter().filter(|entry| entry.kind.is_dir()) {
        let dir = dir.join(version.name);
        for kernel in fs::list(&dir)?.into_iter().filter(|entry| entry.kind.is_dir()) {
            let folder = dir.join(&kernel.name);
            if !KernelRelease::may_name_a_build(&kernel.name.to_string_lossy()) {
                continue;
            }
            let below = fs::list(&folder)?;
            let mut empty_below = Vec::new();
            for arch in below.iter().filter(|entry| entry.kind.is_dir()) {
                let arch = folder.join(&arch.name);
                if fs::list(&arch)?.is_empty() {
                    empty_below.push(arch);
                }
            }
            let is_empty = empty_below.len() == below.len();
            empty.extend(empty_below);
            if is_empty {
                empty.push(folder);
            }
        }
    }
    Ok(empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ModuleId;
    use crate::layout::EXPOSED;
    use crate::report::{Recorder, Silent};
    use crate::tree::Snapshot;

    fn world() -> (tempfile::TempDir, Layout, ModuleId) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let id = ModuleId::parse("foo", "1.0").unwrap();
        fs::create_dir_all(&layout.source_dir(&id)).unwrap();
        (dir, layout, id)
    }

    #[test]
    fn only_leftovers_of_dead_processes_are_swept() {
        let (_dir, layout, id) = world();
        registration::add(&layout, &id).unwrap();
        // Process numbers end at 4194304 (PID_MAX_LIMIT).
        let dead = layout.version_dir(&id).join(".tmp_4999999_0_x");
        let living = layout.version_dir(&id).join(".tmp_1_0_x");
        fs::create_dir_all(&dead.join("sub")).unwrap();
        fs::create_dir_all(&living).unwrap();
        let key = Keys::default().with(Key::Module(id.name.clone()), Mode::Exclusive);
        let held = lock::try_acquire(&layout, &key).unwrap().unwrap();
        sweep(&layout, None, &Silent);
        assert!(fs::exists(&dead), "another process works on it");
        sweep(&layout, Some(&held), &Silent);
        assert!(!fs::exists(&dead) && fs::exists(&living));
        assert!(fs::is_dir(&layout.source_link(&id)));
    }

    #[test]
    fn what_stays_is_warned_of_and_keeps_nobody_from_going_on() {
        let (_dir, layout, id) = world();
        registration::add(&layout, &id).unwrap();
        let other = layout.module_dir(&ModuleName::new("other").unwrap());
        let [stays, goes] =
            [other.join("1.0/.tmp_4999999_0_x"), layout.version_dir(&id).join(".tmp_4999999_0_x")];
        [&stays, &goes].into_iter().for_each(|dir| fs::create_dir_all(dir).unwrap());
        let inside = stays.join("in-use");
        fs::create_dir_all(&inside).unwrap();
        // Nobody can remove what something is mounted on.
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", &inside, "tmpfs", flags, None).unwrap();
        let said = Recorder::default();
        sweep(&layout, None, &said);
        rustix::mount::unmount(&inside, rustix::mount::UnmountFlags::DETACH).unwrap();
        let events = said.events();
        assert!(
            matches!(&events[..], [Event::Warning { text, .. }] if text.contains("other/1.0")),
            "{events:?}"
        );
        assert!(fs::exists(&stays) && !fs::exists(&goes));
        sweep(&layout, None, &said);
        assert!(!fs::exists(&stays) && said.events().len() == 1);
    }

    #[test]
    fn a_result_that_was_shown_before_its_time_is_taken_back() {
        for has_earlier in [true, false] {
            let (_dir, layout, id) = world();
            registration::add(&layout, &id).unwrap();
            let private = layout.version_dir(&id).join(".tmp_4999999_0_build");
            let target = layout.target_dir(&id, &target());
            fs::create_dir_all(&target.join("module")).unwrap();
            fs::write_whole(&target.join("half"), b"", 0o644).unwrap();
            fs::create_dir_all(&private).unwrap();
            if has_earlier {
                fs::create_dir_all(&private.join("earlier/module")).unwrap();
            }
            fs::create_link(&target, &private.join(EXPOSED)).unwrap();
            let listed = Listed::default();
            sweep_listed(&layout, None, &listed, &Recorder::default());
            assert!(!fs::exists(&private) && !fs::exists(&target.join("half")));
            let now = Snapshot::take(&layout).unwrap();
            assert_eq!(
                Snapshot::take_listed(&layout, &listed).unwrap(),
                now,
                "what was swept is listed again"
            );
            assert_eq!(fs::exists(&target.join("module")), has_earlier);
            assert!(has_earlier || !fs::exists(target.parent().unwrap()));
        }
    }

    #[test]
    fn folders_that_came_to_nothing_go_where_somebody_died() {
        let (_dir, layout, id) = world();
        registration::add(&layout, &id).unwrap();
        let kernel = layout.version_dir(&id).join("6.1.0");
        fs::create_dir_all(&kernel.join("x86_64")).unwrap();
        let bare = layout.dkms_tree.join("bare");
        let forgotten = layout.dkms_tree.join("forgotten");
        for dir in [&kernel, &bare, &forgotten.join("original_module/6.1.0/x86_64")] {
            fs::create_dir_all(dir).unwrap();
        }
        sweep(&layout, None, &Silent);
        assert!(
            fs::exists(&kernel) && fs::exists(&bare) && fs::exists(&forgotten),
            "nobody knows whose they are"
        );
        for name in ["foo", "bare", "forgotten"] {
            running::somebody_died(&layout, &Key::Module(ModuleName::new(name).unwrap()));
        }
        sweep(&layout, None, &Silent);
        assert!(!fs::exists(&kernel) && !fs::exists(&bare) && !fs::exists(&forgotten));
        assert!(fs::list(&layout.running_dir()).unwrap().is_empty());
        assert!(fs::is_dir(&layout.build_dir(&id)));
    }

    /// Lets an action die before each change that it makes, then sweeps: it is done, or not begun,
    /// and can be done again.
    fn dies_anywhere(prepare: impl Fn(&Layout, &ModuleId), act: impl Fn(&Layout, &ModuleId)) {
        let paths = |layout: &Layout| {
            let walk = walkdir::WalkDir::new(layout.root()).sort_by_file_name();
            let paths = walk.into_iter().map(|entry| entry.unwrap().path().to_owned());
            let paths = paths.filter(|path| !path.starts_with(layout.state_dir()));
            paths.map(|path| path.strip_prefix(layout.root()).unwrap().to_owned()).collect::<Vec<_>>()
        };
        let fresh = || {
            let (dir, layout, id) = world();
            fs::create_dir_all(&layout.dkms_tree).unwrap();
            prepare(&layout, &id);
            (dir, layout, id)
        };
        let (_dir, layout, id) = fresh();
        let before = paths(&layout);
        act(&layout, &id);
        let after = paths(&layout);
        assert_ne!(before, after);
        for changes in 0.. {
            let (_dir, layout, id) = fresh();
            let ended = fs::death::after(changes, || act(&layout, &id));
            running::somebody_died(&layout, &Key::Module(id.name.clone()));
            sweep(&layout, None, &Silent);
            let now = paths(&layout);
            assert!(now == before || now == after, "died after {changes} changes: {now:#?}");
            if now == before {
                act(&layout, &id);
                assert_eq!(paths(&layout), after);
            }
            if ended.is_some() {
                assert!(changes > 3, "{changes}");
                break;
            }
        }
    }

    fn target() -> crate::id::Target {
        crate::id::Target::parse("6.1.0", "x86_64").unwrap()
    }

    fn built(layout: &Layout, id: &ModuleId) {
        registration::add(layout, id).unwrap();
        let dir = layout.built_dir(id, &target());
        fs::create_dir_all(&dir).unwrap();
        fs::write_whole(&dir.join("foo.ko"), b"x", 0o644).unwrap();
    }

    #[test]
    fn registering_may_die_anywhere() {
        dies_anywhere(|_, _| (), |layout, id| registration::add(layout, id).unwrap());
    }

    #[test]
    fn copying_and_registering_may_die_anywhere() {
        let from = tempfile::tempdir().unwrap();
        fs::write_whole(&from.path().join("dkms.conf"), b"new", 0o644).unwrap();
        // The source may be in place before it is registered; that is none of the tree's states.
        let act = |layout: &Layout, id: &ModuleId| {
            registration::add_copy(layout, id, from.path()).unwrap();
        };
        let prepare = |layout: &Layout, id: &ModuleId| {
            fs::write_whole(&layout.source_dir(id).join("dkms.conf"), b"old", 0o644).unwrap();
        };
        dies_anywhere(prepare, act);
    }

    #[test]
    fn forgetting_may_die_anywhere() {
        dies_anywhere(built, |layout, id| registration::forget(layout, id).unwrap());
    }

    #[test]
    fn dropping_a_build_may_die_anywhere() {
        dies_anywhere(built, |layout, id| registration::drop_build(layout, id, &target()).unwrap());
    }
}
