//! `dkms verify --rebuild BUNDLE`: whether the modules of a bundle are what its source gives here. It is
//! built again in a mount namespace with an empty tree and the bundle's source, and compared without
//! signatures. Nothing stays.

use std::ffi::OsString;
use std::path::Path;

use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_base::host::process::Process;
use dkms_base::id::Target;
use dkms_kernel::modfile::content::unsigned_digest;
use dkms_kernel::modfile::{ModfileError, ModuleFile};
use serde_json::json;

use super::source::{self, StagedArchive};
use crate::failure::Failure;
use crate::invocation::SourceWord;
use crate::render::JSON_VERSION;
use crate::session::Session;

/// Builds one module for one kernel in an empty tree, and keeps what came of it.
const BUILD: &str = r#"set -e
tree=$1 sources=$2 source=$3 out=$4 built=$5
shift 5
mount -t tmpfs -o mode=755 tmpfs "$tree"
mount -t overlay -o "ro,lowerdir=$source:$sources" overlay "$sources"
"$@" || exit
cp -r "$built" "$out""#;

/// What unshare says if `/` is a folder in a file system, and not the root of a mount.
const NO_MOUNT_POINT: &str = "cannot change root filesystem propagation";

/// What became of a module.
struct Compared {
    target: Target,
    name: String,
    /// `None`: it is not in the bundle, or nothing of that name was built.
    digests: [Option<String>; 2],
}

impl Compared {
    fn is_equal(&self) -> bool {
        self.digests[0].is_some() && self.digests[0] == self.digests[1]
    }
}

/// Compares, and prints what differs.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let Some(SourceWord::Archive(file)) = &session.invocation.source else {
        let failure = Failure::new(ExitCode::BAD_OPTION, "`--rebuild` needs a tarball of `dkms mktarball`");
        return Err(failure.hint("dkms verify --rebuild M-V-….dkms.tar.gz"));
    };
    let archive = source::stage(session, file)?;
    let Some(source) = archive.folder().filter(|_| !archive.staged.builds.is_empty()) else {
        let text = format!("`{}` has no source, or no modules, to be compared", file.display());
        return Err(Failure::new(ExitCode::UNKNOWN, text));
    };
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new(
            ExitCode::USAGE_OR_RIGHTS,
            "`--rebuild` needs root: it mounts an empty tree for the build",
        ));
    }
    let layer = archive.staged.root.join("rebuilt");
    let sources = layer.join("sources");
    fs::create_dir_all(&sources)?;
    fs::rename(&source, &sources.join(archive.id.dir_name()))?;
    // What a build runs as nobody must be able to go in.
    fs::set_mode(&archive.staged.root, 0o755)?;
    let mut compared = Vec::new();
    for build in &archive.staged.builds {
        let out = layer.join(format!("{}-{}", build.target.kernel, build.target.arch));
        again(session, &archive, &build.target, &sources, &out)?;
        compared.extend(compare(&build.target, &build.dir.join("module"), &out)?);
    }
    tell(session, &compared);
    match compared.iter().find(|module| !module.is_equal()) {
        None => Ok(()),
        Some(module) => {
            let Compared { target, name, .. } = module;
            let text = format!(
                "`{name}` in `{}` is not what its source gives for kernel {}",
                file.display(),
                target.kernel
            );
            Err(Failure::new(ExitCode::REFUTED, text))
        }
    }
}

/// Builds for one kernel.
fn again(
    session: &Session<'_>,
    archive: &StagedArchive,
    target: &Target,
    sources: &Path,
    out: &Path,
) -> Result<(), Failure> {
    let layout = &session.settings.layout;
    fs::create_dir_all(&layout.dkms_tree)?;
    let own = fs::link_target(Path::new("/proc/self/exe"))?.unwrap_or_else(|| "dkms".into());
    let mut words: Vec<OsString> =
        ["--mount", "--propagation", "private", "--", "sh", "-c", BUILD, "sh"].map(OsString::from).into();
    let built = layout.built_dir(&archive.id, target);
    let folders = [layout.dkms_tree.as_path(), &layout.source_tree, sources, out, &built];
    words.extend(folders.map(OsString::from));
    words.push(own.into());
    // Nobody has put this source in place yet.
    words.extend(["build", "--force", "-q", "--exempt-nothing"].map(OsString::from));
    words.push(archive.id.to_string().into());
    words.extend(["-k".into(), format!("{}/{}", target.kernel, target.arch).into()]);
    for (option, folder) in [
        ("--dkmstree", &layout.dkms_tree),
        ("--sourcetree", &layout.source_tree),
        ("--installtree", &layout.install_tree),
    ] {
        words.extend([option.into(), folder.into()]);
    }
    let ended = Process::new("unshare", words, &session.environment.whole()).capture()?;
    if ended.status.success() {
        return Ok(());
    }
    let what = format!("{} for kernel {}", archive.id, target.kernel);
    Err(not_known(&what, ended.code(), &ended.text()))
}

/// The error where a module could not be built again.
fn not_known(what: &str, code: i32, output: &str) -> Failure {
    let failure = |why: &str| {
        let text = format!("whether {what} is what its source gives can't be known: {why}");
        Failure::new(ExitCode::UNKNOWN, text)
    };
    if output.contains(NO_MOUNT_POINT) {
        return failure("the build needs mounts of its own, and `/` is no mount point here, as in a chroot to a plain folder")
            .hint("outside of the chroot: `mount --bind ROOT ROOT`, then enter it again");
    }
    let failure = failure(&format!("building it again ended with code {code}"));
    output.trim().lines().map(str::to_owned).fold(failure, Failure::hint)
}

fn compare(target: &Target, bundled: &Path, built: &Path) -> Result<Vec<Compared>, Failure> {
    let mut names: Vec<String> = Vec::new();
    for folder in [bundled, built] {
        for entry in fs::list(folder)? {
            // The kernel's compression may be another one here.
            let file = entry.name.to_str().and_then(ModuleFile::from_name);
            names.extend(file.map(|file| file.stem));
        }
    }
    names.sort();
    names.dedup();
    let module = |name: String| {
        let digests = [digest(bundled, &name)?, digest(built, &name)?];
        Ok(Compared { target: target.clone(), name, digests })
    };
    names.into_iter().map(module).collect()
}

/// The digest of a module without its signature, packed or not.
fn digest(folder: &Path, stem: &str) -> Result<Option<String>, Failure> {
    let is_it = |entry: &fs::Entry| {
        entry.name.to_str().and_then(ModuleFile::from_name).is_some_and(|file| file.stem == stem)
    };
    let Some(entry) = fs::list(folder)?.into_iter().find(is_it) else { return Ok(None) };
    let broken = |error: ModfileError| Failure::new(ExitCode::REFUTED, error.to_string());
    let digest = unsigned_digest(&folder.join(&entry.name)).map_err(broken)?;
    Ok(Some(digest.iter().map(|byte| format!("{byte:02x}")).collect()))
}

fn tell(session: &Session<'_>, compared: &[Compared]) {
    if session.args().json {
        let modules: Vec<_> = compared
            .iter()
            .map(|module| {
                json!({
                    "file": module.name,
                    "kernel": module.target.kernel,
                    "arch": module.target.arch,
                    "equal": module.is_equal(),
                    "bundled": module.digests[0],
                    "rebuilt": module.digests[1],
                })
            })
            .collect();
        session.terminal.print(&json!({"version": JSON_VERSION, "modules": modules}).to_string());
        return;
    }
    for module in compared {
        let word = if module.is_equal() { "equal" } else { "different" };
        session
            .terminal
            .print(&format!("{}, {}, {}: {word}", module.name, module.target.kernel, module.target.arch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_that_is_no_mount_point_is_named() {
        let said = "unshare: cannot change root filesystem propagation: Invalid argument\n";
        let failure = not_known("foo/1 for kernel 6.1", 1, said);
        assert!(failure.message.contains("`/` is no mount point here"), "{failure:?}");
        assert!(failure.hints[0].contains("`mount --bind ROOT ROOT`"), "{failure:?}");
        let failure = not_known("foo/1 for kernel 6.1", 10, "make failed\n");
        assert!(failure.message.ends_with("ended with code 10") && failure.hints == ["make failed"]);
    }
}
