//! What the scripts of a build ask for, by their text: files that it may not read, variables that it does not
//! get. A script that asks quietly (`[ -r FILE ] && …`, `-include`, `ifdef`) goes on with another answer than
//! root's, and its log says nothing.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::{BuildSpec, environment};
use crate::host::{Environment, fs, trusted};
use crate::report::Event;
use crate::script::Hook;
use dkms_conf::mentioned;

/// No script is longer, that is read for what it asks.
const LONGEST: u64 = 256 << 10;

/// No more of them are read.
const MOST: usize = 16;

/// What make reads in a folder.
const OF_MAKE: [&str; 4] = ["GNUmakefile", "makefile", "Makefile", "Kbuild"];

/// Absolute paths that a build asks for. What is below these is no input of a module: state of the system,
/// and devices.
pub(super) fn paths(spec: &BuildSpec<'_>) -> Vec<PathBuf> {
    const NOT: [&str; 4] = ["/dev", "/proc", "/sys", "/lib/modules"];
    let mut found = BTreeSet::new();
    for text in scripts(spec).iter().filter_map(text) {
        let named = mentioned::in_text(&text).into_iter();
        found.extend(named.filter(|path| !NOT.iter().any(|folder| path.starts_with(folder))));
    }
    found.into_iter().collect()
}

/// The warning for variables of the caller's that a build asks for and that are not passed on.
pub(super) fn variables(spec: &BuildSpec<'_>, passed: &Environment) -> Option<Event> {
    let is_kept_back = |name: &&str| {
        passed.get(name).is_none()
            && spec.environment.get_filled(name).is_some()
            && !environment::DROPPED.contains(name)
    };
    let candidates: BTreeSet<&str> = spec.environment.names().filter(is_kept_back).collect();
    if candidates.is_empty() {
        return None;
    }
    let mut files = scripts(spec);
    files.extend(source(spec).and_then(|source| of_source(&source, Path::new("dkms.conf"))));
    let mut asked = BTreeSet::new();
    for text in files.iter().filter_map(text) {
        let variables = mentioned::variables(&text);
        asked.extend(candidates.iter().copied().filter(|name| variables.contains(name)));
    }
    let first = *asked.first()?;
    let names = asked.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let text = format!("{} asks for {names}, which the caller has set and builds are not given", spec.id);
    let words = asked.into_iter().collect::<Vec<_>>().join(" ");
    let hint = format!(
        "pass_environment=\"{words}\" in framework.conf passes it on; `MAKE=\"make {first}=…\"` in {} does so for this module alone",
        spec.layout.etc_dkms().join(format!("{}.conf", spec.id.name)).display()
    );
    Some(Event::warning(text, [hint]))
}

/// The files of the source that run in every build: scripts that the conf names, and what make reads in
/// the top folder.
fn scripts(spec: &BuildSpec<'_>) -> BTreeSet<PathBuf> {
    let Some(source) = source(spec) else { return BTreeSet::new() };
    let make = spec.conf.make.as_deref().unwrap_or_default();
    let hooks = [Hook::PreBuild, Hook::PostBuild].map(|hook| hook.value(spec.conf).unwrap_or_default());
    let words = hooks.into_iter().filter_map(|value| value.split_whitespace().next());
    let words = words.chain(make.split(|c: char| c.is_whitespace() || "'\";&|()".contains(c)));
    let names = words.filter(|word| !word.is_empty()).take(MOST * 4).map(Path::new);
    let files = OF_MAKE.into_iter().map(Path::new).chain(names).filter_map(|name| of_source(&source, name));
    files.take(MOST).collect()
}

fn source(spec: &BuildSpec<'_>) -> Option<PathBuf> {
    fs::canonical(&spec.layout.source_link(spec.id)).ok()
}

/// A file of the source by its path there. What another user than root may change is none, and neither is
/// what a link leads to outside: root would read it for them, and name what is in it.
fn of_source(source: &Path, name: &Path) -> Option<PathBuf> {
    let is_plain = name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let path = fs::canonical(&source.join(name)).ok().filter(|path| is_plain && path.starts_with(source))?;
    (fs::is_file(&path) && trusted::fault_for_root(&path).is_none()).then_some(path)
}

fn text(file: impl AsRef<Path>) -> Option<String> {
    let bytes = fs::read_limited(file.as_ref(), LONGEST).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
