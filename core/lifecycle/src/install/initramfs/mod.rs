//! Making a kernel's initramfs again, with what the system has: it may hold a module that
//! was installed just now.
//!
//! - `places`: which images a kernel boots with; `maker`: what makes them; `debian`: who does at the
//!   end of dpkg's run

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::host::fs;
use crate::host::process::{Process, ProcessError};
use crate::host::{Environment, programs};
use crate::id::KernelRelease;
use crate::kernel::initramfs::{self as image, Build};
use crate::kernel::module_tree::ModuleTree;
use crate::layout::Layout;
use crate::modfile::{ModuleFile, canonical_name};
use crate::report::{Event, Reporter};

mod debian;
mod maker;
mod places;

/// Whether a kernel has an image to boot with.
#[must_use]
pub fn has_image(kernel: &KernelRelease, layout: &Layout) -> bool {
    !places::Images::of(kernel, layout).files.is_empty()
}

/// The images that a kernel boots with.
#[must_use]
pub fn boot_images(kernel: &KernelRelease, layout: &Layout) -> Vec<PathBuf> {
    places::Images::of(kernel, layout).files
}

/// Makes it again, where this kernel has one; a kernel that is only coming gets its first from its own
/// package, after us. A failure is warned of: the old initramfs is still there, and boots.
///
/// # Errors
/// [`ProcessError`] only where we were interrupted.
pub fn remake(
    kernel: &KernelRelease,
    layout: &Layout,
    environment: &Environment,
    reporter: &dyn Reporter,
) -> Result<Remade, ProcessError> {
    if places::Images::of(kernel, layout).files.is_empty() {
        reporter.report(Event::note(format!("kernel {kernel} has no initramfs yet, so none is remade")));
        return Ok(Remade::NoImage);
    }
    let is_there = |program: &str| programs::find(program, environment).is_some();
    let Some(maker) = maker::maker(kernel, layout, &is_there) else {
        let text = format!(
            "the initramfs of kernel {kernel} should be remade, but no program for it is installed (update-initramfs, mkinitcpio, booster, dracut, kernel-install)"
        );
        reporter.report(Event::warning(text, []));
        return Ok(Remade::Not("no program for it is installed".to_owned()));
    };
    if maker.program == "update-initramfs" {
        if debian::updates(layout) == debian::Updates::No {
            let why = "`update_initramfs=no` in /etc/initramfs-tools/update-initramfs.conf keeps it as it is";
            return Ok(Remade::Kept(why.to_owned()));
        }
        if is_inside_dpkg(environment) && debian::covers(kernel, layout) && activate(environment) {
            let text = format!("the initramfs of kernel {kernel} is made by dpkg's trigger update-initramfs");
            reporter.report(Event::note(text));
            return Ok(Remade::Left);
        }
    }
    let process = Process::new(maker.program, maker.arguments, environment);
    let line = process.line();
    reporter.report(Event::note(format!("the initramfs of kernel {kernel} is remade: `{line}`")));
    reporter.report(Event::Command { line: line.clone() });
    let (why, output) = match process.capture() {
        Ok(ended) if ended.code() == 0 => return Ok(Remade::Made),
        Ok(ended) => (format!("it ended with exit code {}", ended.code()), ended.text()),
        Err(error @ ProcessError::Interrupted { .. }) => return Err(error),
        Err(error) => (error.to_string(), String::new()),
    };
    let mut hints: Vec<String> = output.lines().rev().take(3).map(str::to_owned).collect();
    hints.reverse();
    hints.push(format!("when this is fixed, run `{line}`"));
    reporter.report(Event::warning(format!("the initramfs of kernel {kernel} was not remade: {why}"), hints));
    Ok(Remade::Not(format!("`{line}` failed")))
}

/// What became of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remade {
    /// It was made.
    Made,
    /// Another hook makes it before the package manager's run ends.
    Left,
    /// The kernel has none yet.
    NoImage,
    /// It stays as it is, because the system's settings want that: which.
    Kept(String),
    /// It was not made: why not.
    Not(String),
}

/// Whether a maintainer script of dpkg's runs us.
#[must_use]
pub fn is_inside_dpkg(environment: &Environment) -> bool {
    environment.get_filled("DPKG_MAINTSCRIPT_PACKAGE").is_some()
}

/// Activates Debian's trigger; whether dpkg has taken it.
fn activate(environment: &Environment) -> bool {
    let ended = Process::new("dpkg-trigger", ["--no-await", debian::TRIGGER], environment).capture();
    ended.is_ok_and(|ended| ended.code() == 0)
}

/// Whether all images of a kernel are newer than a file.
#[must_use]
pub fn was_image_made_since(kernel: &KernelRelease, layout: &Layout, file: &Path) -> bool {
    let changed = |path: &Path| {
        let meta = fs::stat(path).ok().flatten()?;
        Some((meta.ctime(), meta.ctime_nsec()))
    };
    let since = changed(file);
    places::Images::of(kernel, layout).files.iter().all(|image| changed(image) > since)
}

/// The images of a kernel that hold one of these modules, as the kernel names them, in a build that its
/// folder doesn't have: they were taken out. An image that can't be read is left alone.
#[must_use]
pub fn holds_removed(
    kernel: &KernelRelease,
    names: &BTreeSet<String>,
    layout: &Layout,
    environment: &Environment,
) -> Vec<OutOfDate> {
    if names.is_empty() {
        return Vec::new();
    }
    let images = places::Images::of(kernel, layout).files;
    if images.is_empty() {
        return Vec::new();
    }
    let tree = ModuleTree::walk(&layout.kernel_dir(kernel)).unwrap_or_default();
    let is_on_disk = |name: &str, held: &[Build]| {
        let mut builds = tree.paths(name).iter().filter_map(|path| Build::read(fs::open(path).ok()?).ok());
        builds.any(|build| held.iter().any(|held| held.is_same(&build)))
    };
    let command = command(kernel, layout, environment);
    let judge = |image: PathBuf| {
        let held = image::builds(&image, names).ok()?;
        let gone =
            held.iter().filter(|(name, builds)| !is_on_disk(name, builds)).map(|(name, _)| name.clone());
        let modules: Vec<String> = gone.collect();
        (!modules.is_empty()).then(|| OutOfDate { image, modules, command: command.clone() })
    };
    images.into_iter().filter_map(judge).collect()
}

/// The images of a kernel that are older than one of these modules, which were installed on it since; an
/// image that was made by hand afterwards is not one of them.
#[must_use]
pub fn made_before(
    kernel: &KernelRelease,
    files: &[PathBuf],
    layout: &Layout,
    environment: &Environment,
) -> Vec<OutOfDate> {
    let since = |image: &Path| -> Vec<String> {
        let made = changed(image);
        let newer = files.iter().filter(|file| made.is_some() && changed(file) > made);
        newer.filter_map(|file| Some(canonical_name(&ModuleFile::from_path(file)?.stem))).collect()
    };
    let images = places::Images::of(kernel, layout).files.into_iter();
    let found = images.map(|image| (since(&image), image)).filter(|(modules, _)| !modules.is_empty());
    let command = command(kernel, layout, environment);
    found.map(|(modules, image)| OutOfDate { image, modules, command: command.clone() }).collect()
}

/// The command that makes a kernel's images again.
fn command(kernel: &KernelRelease, layout: &Layout, environment: &Environment) -> Option<String> {
    let is_there = |program: &str| programs::find(program, environment).is_some();
    maker::maker(kernel, layout, &is_there)
        .map(|maker| Process::new(maker.program, maker.arguments, environment).line())
}

/// An image that holds another state of modules than the kernel's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfDate {
    /// The image.
    pub image: PathBuf,
    /// The modules, as the kernel names them.
    pub modules: Vec<String>,
    /// The command that makes it again, if something here does.
    pub command: Option<String>,
}

/// What an image that a kernel boots with holds.
#[derive(Debug)]
pub struct HeldImage {
    /// The image.
    pub path: PathBuf,
    /// Only root can read it.
    pub is_denied: bool,
    /// What it holds of the files that were asked for, or why it can't be read.
    pub content: Result<Held, std::io::Error>,
}

/// What an image holds of some module files.
#[derive(Debug, Default)]
pub struct Held {
    /// Files that are in it as they are.
    pub same: BTreeSet<PathBuf>,
    /// Files of which it holds another build, with the names of the modules.
    pub others: BTreeMap<PathBuf, String>,
    /// Files that were installed after it was made.
    pub newer: BTreeSet<PathBuf>,
}

/// What the images of a kernel hold of these files, and the command that remakes them.
#[must_use]
pub fn held(
    kernel: &KernelRelease,
    files: &[PathBuf],
    layout: &Layout,
    environment: &Environment,
) -> (Vec<HeldImage>, Option<String>) {
    let images = places::Images::of(kernel, layout).files;
    if images.is_empty() {
        return (Vec::new(), None);
    }
    let build = |path: &PathBuf| {
        let name = canonical_name(&ModuleFile::from_path(path)?.stem);
        Some((path.clone(), name, fs::open(path).ok().and_then(|file| Build::read(file).ok())?))
    };
    let on_disk: Vec<(PathBuf, String, Build)> = files.iter().filter_map(build).collect();
    let wanted: BTreeSet<String> = on_disk.iter().map(|(_, name, _)| name.clone()).collect();
    let examine = |path: PathBuf| {
        let is_denied = fs::open(&path).is_err_and(|error| error.is_permission());
        let made = changed(&path);
        let content = image::builds(&path, &wanted).map(|builds| {
            let mut held = Held::default();
            for (file, name, build) in &on_disk {
                match builds.get(name) {
                    Some(builds) if builds.iter().any(|one| one.is_same(build)) => {
                        held.same.insert(file.clone());
                    }
                    Some(_) => {
                        held.others.insert(file.clone(), name.clone());
                    }
                    None => {}
                }
                if made.is_some() && changed(file) > made {
                    held.newer.insert(file.clone());
                }
            }
            held
        });
        HeldImage { path, is_denied, content }
    };
    (images.into_iter().map(examine).collect(), command(kernel, layout, environment))
}

/// When a file was last changed, its rights and names included.
fn changed(path: &Path) -> Option<(i64, i64)> {
    let meta = fs::stat(path).ok().flatten()?;
    Some((meta.ctime(), meta.ctime_nsec()))
}

/// The images of a kernel that hold another build of one of these modules than the file that is installed. An
/// image that doesn't hold a module needn't; one that can't be read is left alone.
#[must_use]
pub fn out_of_date(
    kernel: &KernelRelease,
    files: &[PathBuf],
    layout: &Layout,
    environment: &Environment,
) -> Vec<OutOfDate> {
    let images = places::Images::of(kernel, layout).files;
    if images.is_empty() {
        return Vec::new();
    }
    let named =
        files.iter().filter_map(|path| Some((canonical_name(&ModuleFile::from_path(path)?.stem), path)));
    let mut on_disk: BTreeMap<String, Build> = BTreeMap::new();
    for (name, path) in named {
        let build = fs::open(path).ok().and_then(|file| Build::read(file).ok());
        on_disk.extend(build.map(|build| (name, build)));
    }
    let wanted: BTreeSet<String> = on_disk.keys().cloned().collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let command = command(kernel, layout, environment);
    let judge = |image: PathBuf| {
        let held = image::builds(&image, &wanted).ok()?;
        let differs = |(name, builds): (&String, &Vec<Build>)| {
            let disk = &on_disk[name];
            (!builds.iter().any(|build| build.is_same(disk))).then(|| name.clone())
        };
        let modules: Vec<String> = held.iter().filter_map(differs).collect();
        (!modules.is_empty()).then(|| OutOfDate { image, modules, command: command.clone() })
    };
    images.into_iter().filter_map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Recorder;

    fn world() -> (tempfile::TempDir, Layout, KernelRelease) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.at("/boot")).unwrap();
        (dir, layout, KernelRelease::new("6.1.0-1-amd64").unwrap())
    }

    #[test]
    fn it_is_made_where_there_is_one_and_a_failure_is_a_warning() {
        let (dir, layout, kernel) = world();
        let tool = dir.path().join("update-initramfs");
        fs::write_whole(&tool, b"#!/bin/sh\necho oh; exit $CODE\n", 0o755).unwrap();
        let path = format!("{}:/usr/bin:/bin", dir.path().display());
        let remade = |code: &str| {
            let environment = [("PATH", path.as_str()), ("CODE", code)].into_iter().collect();
            let recorder = Recorder::default();
            let made = remake(&kernel, &layout, &environment, &recorder).unwrap();
            (
                made == Remade::Made,
                recorder.events().iter().any(|event| matches!(event, Event::Warning { .. })),
            )
        };
        assert_eq!(remade("0"), (false, false));
        fs::write_whole(&layout.at("/boot/initrd.img-6.1.0-1-amd64"), b"", 0o644).unwrap();
        assert_eq!(remade("0"), (true, false));
        assert_eq!(remade("1"), (false, true));
    }

    #[test]
    fn an_image_with_another_build_is_out_of_date() {
        let (dir, layout, kernel) = world();
        let environment = [("PATH", dir.path().to_str().unwrap())].into_iter().collect();
        let file = layout.kernel_dir(&kernel).join("updates/dkms/foo-x.ko");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write_whole(&file, b"one", 0o644).unwrap();
        let write = |data: &[u8]| {
            let bytes = image::testing::archive(&[("lib/modules/k/foo-x.ko", data), ("bar.ko", b"1")]);
            fs::write_whole(&layout.at("/boot/initrd.img-6.1.0-1-amd64"), &bytes, 0o644).unwrap();
            let found = out_of_date(&kernel, std::slice::from_ref(&file), &layout, &environment);
            found.into_iter().flat_map(|one| one.modules).collect::<Vec<_>>()
        };
        assert_eq!(write(b"two"), ["foo_x"]);
        assert!(write(b"one").is_empty());
        fs::write_whole(&layout.at("/boot/initrd.img-6.1.0-1-amd64"), b"nonsense", 0o644).unwrap();
        assert!(out_of_date(&kernel, &[file], &layout, &environment).is_empty());
    }

    #[test]
    fn an_image_that_holds_a_module_that_is_gone_is_out_of_date() {
        let (dir, layout, kernel) = world();
        let environment = [("PATH", dir.path().to_str().unwrap())].into_iter().collect();
        let bytes = image::testing::archive(&[("lib/modules/k/foo-x.ko", b"ours"), ("bar.ko", b"1")]);
        fs::write_whole(&layout.at("/boot/initrd.img-6.1.0-1-amd64"), &bytes, 0o644).unwrap();
        let held = |names: &[&str]| -> Vec<String> {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let found = holds_removed(&kernel, &names, &layout, &environment);
            found.into_iter().flat_map(|one| one.modules).collect()
        };
        assert_eq!(held(&["foo_x", "baz"]), ["foo_x"]);
        assert!(held(&["baz"]).is_empty() && held(&[]).is_empty());
        // The kernel has a module of its own of that name, which the image is to hold.
        let own = layout.kernel_dir(&kernel).join("kernel/foo-x.ko");
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        fs::write_whole(&own, b"theirs", 0o644).unwrap();
        assert_eq!(held(&["foo_x"]), ["foo_x"]);
        fs::write_whole(&own, b"ours", 0o644).unwrap();
        assert!(held(&["foo_x"]).is_empty());
    }

    #[test]
    fn within_dpkgs_run_its_trigger_makes_it() {
        let (dir, layout, kernel) = world();
        let write = |path: &str, text: &str| {
            let path = layout.at(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, text.as_bytes(), 0o755).unwrap();
        };
        for tool in ["update-initramfs", "dpkg-trigger"] {
            let log = layout.at("/log");
            let line = format!("#!/bin/sh\necho {tool} \"$*\" >>{}\n", log.display());
            write(&format!("/bin/{tool}"), &line);
        }
        write("/boot/vmlinuz-6.1.0-1-amd64", "");
        write("/boot/initrd.img-6.1.0-1-amd64", "");
        let path = format!("{}:/usr/bin:/bin", dir.path().join("bin").display());
        let remade = |inside: &str| {
            let environment =
                [("PATH", path.as_str()), ("DPKG_MAINTSCRIPT_PACKAGE", inside)].into_iter().collect();
            let made = remake(&kernel, &layout, &environment, &Recorder::default()).unwrap();
            let log = fs::read_lossy(&layout.at("/log")).unwrap_or_default();
            drop(fs::remove_file(&layout.at("/log")));
            (made, log)
        };
        let direct = "update-initramfs -u -k 6.1.0-1-amd64\n".to_owned();
        assert_eq!(remade("foo-dkms"), (Remade::Made, direct.clone()), "nobody is interested");
        write("/var/lib/dpkg/triggers/update-initramfs", "initramfs-tools\n");
        assert_eq!(remade(""), (Remade::Made, direct));
        let asked = "dpkg-trigger --no-await update-initramfs\n".to_owned();
        assert_eq!(remade("foo-dkms"), (Remade::Left, asked));
        write("/etc/initramfs-tools/update-initramfs.conf", "update_initramfs=no\n");
        assert!(matches!(remade("").0, Remade::Kept(_)));
    }

    #[test]
    fn an_image_that_is_older_than_a_module_was_made_before_it() {
        let (dir, layout, kernel) = world();
        let environment = [("PATH", dir.path().to_str().unwrap())].into_iter().collect();
        let file = layout.kernel_dir(&kernel).join("updates/dkms/foo-x.ko");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let names = || -> Vec<String> {
            let found = made_before(&kernel, std::slice::from_ref(&file), &layout, &environment);
            found.into_iter().flat_map(|one| one.modules).collect()
        };
        let write = |path: &Path| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            fs::write_whole(path, b"x", 0o644).unwrap();
        };
        let image = layout.at("/boot/initrd.img-6.1.0-1-amd64");
        write(&file);
        assert!(names().is_empty(), "there is no image");
        write(&image);
        assert!(names().is_empty());
        write(&file);
        assert_eq!(names(), ["foo_x"]);
        write(&image);
        assert!(names().is_empty());
    }
}
