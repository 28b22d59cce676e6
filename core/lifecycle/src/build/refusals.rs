//! What the sandbox refused: looked up in the log of a build that went well, and, for one that
//! failed, in what is there.

use std::path::{Path, PathBuf};

use super::BuildSpec;
use crate::host::{Environment, fs, programs, sandbox};
use crate::report::Event;
use dkms_base::diagnose::{Cause, Diagnosis, Refusal, exempt_hint, refusals};
use dkms_conf::mentioned;

/// No script is longer, that is read for what it names.
const LONGEST: u64 = 1 << 20;

/// No source is deeper.
const DEEPEST: usize = 8;

/// A warning for what was refused to a build that went well all the same: what came out
/// may be another module.
pub(super) fn after_success(spec: &BuildSpec<'_>, log: &str) -> Option<Event> {
    let found = refusals(log);
    let mut lines: Vec<String> = found.iter().map(Refusal::to_string).collect();
    lines.extend(kernel_addresses(spec));
    lines.extend(fs::canonical(&spec.layout.source_link(spec.id)).ok().as_deref().and_then(git_elsewhere));
    let first = (!lines.is_empty()).then(|| lines.remove(0))?;
    lines.push(exempt_hint(spec.id.name.as_str()));
    Some(Event::warning(format!("{} was built, but {first}", spec.id), lines))
}

/// What is only known by looking: whether what seems to be missing is there. `unread`: what the build could
/// not read of its inputs.
pub(super) fn refine(
    diagnosis: &mut Diagnosis,
    spec: &BuildSpec<'_>,
    folder: &Path,
    environment: &Environment,
    unread: &[PathBuf],
) {
    let hidden_file = |path: PathBuf| Cause::HiddenFile { path: path.to_string_lossy().into_owned() };
    let refined = match &diagnosis.cause {
        Some(Cause::NotExecutable) => fs::is_noexec(folder)
            .then(|| Cause::NoExec { folder: spec.layout.dkms_tree.to_string_lossy().into_owned() }),
        Some(Cause::MissingTool { tool }) => {
            let found = programs::find(tool, environment).filter(|path| path.is_absolute());
            found.map(|path| Cause::HiddenTool { path: path.to_string_lossy().into_owned() })
        }
        Some(Cause::MissingHeader { header }) => {
            let file = diagnosis.first_error.as_ref().and_then(|error| error.file.as_deref());
            hidden_target(folder, &spec.layout.build_dir(spec.id), header, file)
                .or_else(|| hidden_header(spec, header))
                .or_else(|| unread.first().cloned())
                .map(hidden_file)
        }
        Some(Cause::NoMakefile | Cause::Unreadable | Cause::Certificate) if diagnosis.module.is_some() => {
            hidden_path(diagnosis).or_else(|| unread.first().cloned()).map(hidden_file)
        }
        None if diagnosis.module.is_some() => hidden_path(diagnosis).map(hidden_file),
        _ => None,
    };
    diagnosis.cause = refined.or(diagnosis.cause.take());
    if diagnosis.module.is_some() {
        diagnosis.addresses = kernel_addresses(spec);
    }
}

/// Where a header's name is a link of the build folder, and that leads to something outside of it.
fn hidden_target(folder: &Path, seen: &Path, header: &str, file: Option<&str>) -> Option<PathBuf> {
    let beside = file.and_then(|file| Path::new(file).strip_prefix(seen).ok()).and_then(Path::parent);
    let places = [Some(folder.to_owned()), beside.map(|beside| folder.join(beside))];
    places.into_iter().flatten().map(|place| place.join(header)).find_map(|path| {
        let target = fs::canonical(&path).ok()?;
        (fs::link_target(&path).ok()?.is_some() && !target.starts_with(folder)).then_some(target)
    })
}

/// What the first error names, and what is there in a hidden folder: a file that a Makefile includes, symbols
/// of another module, a target of make.
fn hidden_path(diagnosis: &Diagnosis) -> Option<PathBuf> {
    let error = diagnosis.first_error.as_ref()?;
    let named = mentioned::in_text(&error.to_string());
    named.into_iter().find(|path| sandbox::hides(path) && fs::exists(path))
}

/// A header that is there, in a hidden folder: named by its path, or looked up in a folder that the source's
/// Makefiles and scripts name.
fn hidden_header(spec: &BuildSpec<'_>, header: &str) -> Option<PathBuf> {
    let is_hidden = |path: &PathBuf| sandbox::hides(path) && fs::is_file(path);
    let named = Path::new(header);
    if named.is_absolute() {
        return Some(named.to_owned()).filter(is_hidden);
    }
    let source = fs::canonical(&spec.layout.source_link(spec.id)).ok()?;
    scripts(&source, DEEPEST).iter().find_map(|script| {
        let text = fs::read_limited(script, LONGEST).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).replace("-I/", " /");
        mentioned::in_text(&text).into_iter().map(|folder| folder.join(header)).find(is_hidden)
    })
}

/// Where scripts of the source read a file of `/proc` that shows addresses to root, and zeros to all others
/// and so to a build in a sandbox.
fn kernel_addresses(spec: &BuildSpec<'_>) -> Option<String> {
    let source = fs::canonical(&spec.layout.source_link(spec.id)).ok()?;
    ["/proc/kallsyms", "/proc/iomem", "/proc/ioports"].into_iter().find_map(|name| {
        let file = if root_sees_addresses(name) { script_with(&source, name)? } else { return None };
        Some(format!("`{}` reads `{name}`, which has no addresses in the sandbox", file.display()))
    })
}

/// If scripts of the source ask git, and git has its data of that checkout (a worktree, a clone that borrows
/// objects) in a folder that is hidden from builds: their fallback becomes part of the module.
fn git_elsewhere(source: &Path) -> Option<String> {
    let file = source.join(".git");
    let (named, prefix) = match fs::is_file(&file) {
        true => (file, "gitdir:"),
        false => (file.join("objects/info/alternates"), ""),
    };
    let text = fs::read_limited(&named, LONGEST).ok()?;
    let text = String::from_utf8_lossy(&text);
    let paths = text.lines().filter_map(|line| Some(Path::new(line.strip_prefix(prefix)?.trim())));
    let hidden = paths.into_iter().find(|path| sandbox::hides(path))?;
    let script = script_with(source, "git ")?;
    Some(format!(
        "`{}` asks git, whose data is in `{}`, which is hidden in the sandbox: the module may have another version \
         in it",
        script.display(),
        hidden.display()
    ))
}

/// A script of a source that contains a text.
fn script_with(source: &Path, text: &str) -> Option<PathBuf> {
    scripts(source, DEEPEST).into_iter().find(|path| {
        let bytes = fs::read_limited(path, LONGEST).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

fn root_sees_addresses(name: &str) -> bool {
    use std::io::Read;
    let mut head = [0; 4096];
    let read = fs::open(Path::new(name)).ok().and_then(|mut file| file.read(&mut head).ok());
    let text = String::from_utf8_lossy(&head[..read.unwrap_or(0)]).into_owned();
    let mut addresses = text.lines().filter_map(|line| line.trim_start().split(' ').next());
    rustix::process::geteuid().is_root()
        && addresses.any(|address| address.bytes().any(|byte| !b"0-".contains(&byte)))
}

/// The files of a source that run during a build: scripts and Makefiles, not the code of the module.
fn scripts(folder: &Path, depth: usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::list(folder).unwrap_or_default() {
        let path = folder.join(&entry.name);
        if entry.kind.is_dir() && depth > 0 && entry.name != ".git" {
            found.extend(scripts(&path, depth - 1));
        } else if entry.kind.is_file() && is_script(&path) {
            found.push(path);
        }
    }
    found
}

fn is_script(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let of_make = ["Makefile", "makefile", "GNUmakefile", "Kbuild", "configure", "dkms.conf"];
    let extensions = ["sh", "bash", "py", "pl", "awk", "mk", "mak", "in", "ac", "m4"];
    of_make.iter().any(|known| name.starts_with(known))
        || path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known))
        || fs::is_executable(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_whose_data_is_in_a_hidden_folder() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, text.as_bytes(), 0o644).unwrap();
        };
        put("Makefile", "V := $(shell git describe 2>/dev/null || echo unknown)\n");
        assert_eq!(git_elsewhere(dir.path()), None);
        for (name, text, is_hidden) in [
            (".git", "gitdir: /srv/foo/.git/worktrees/x\n", false),
            (".git", "gitdir: ../.git/modules/foo\n", false),
            (".git", "gitdir: /root/foo/.git/worktrees/x\n", true),
            (".git/objects/info/alternates", "/srv/foo/.git/objects\n", false),
            (".git/objects/info/alternates", "/home/dev/foo/.git/objects\n", true),
        ] {
            fs::remove_any(&dir.path().join(".git")).unwrap();
            put(name, text);
            let told = git_elsewhere(dir.path());
            assert_eq!(told.is_some(), is_hidden, "{text}: {told:?}");
        }
        put("Makefile", "obj-m := foo.o\n");
        assert_eq!(git_elsewhere(dir.path()), None, "nobody asks");
    }
}
