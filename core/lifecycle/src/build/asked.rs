//! What the scripts of a build ask for, by their text: files that it may not read, variables that it does not
//! get. A script that asks quietly (`[ -r FILE ] && …`, `-include`, `ifdef`) goes on with another answer than
//! root's, and its log says nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{BuildSpec, environment};
use crate::host::{Environment, fs};
use crate::report::Event;
use crate::script::Hook;
use dkms_conf::mentioned;

/// No script is longer, that is read for what it asks.
const LONGEST: u64 = 1 << 20;

/// What make reads in a folder.
const OF_MAKE: [&str; 4] = ["GNUmakefile", "makefile", "Makefile", "Kbuild"];

/// Absolute paths that a build asks for. What is below these is no input of a module: state of the system,
/// and devices.
pub(super) fn paths(spec: &BuildSpec<'_>) -> Vec<PathBuf> {
    const NOT: [&str; 4] = ["/dev", "/proc", "/sys", "/lib/modules"];
    let mut found = BTreeSet::new();
    for text in texts(&scripts(spec)) {
        let named = mentioned::in_text(&text).into_iter();
        found.extend(named.filter(|path| !NOT.iter().any(|folder| path.starts_with(folder))));
    }
    found.into_iter().collect()
}

/// The warning for variables of the caller's that a build asks for and that are not passed on.
pub(super) fn variables(spec: &BuildSpec<'_>, passed: &Environment) -> Option<Event> {
    let mut candidates: Vec<&str> = spec.environment.names().collect();
    let is_kept_back = |name: &str| {
        passed.get(name).is_none()
            && spec.environment.get_filled(name).is_some()
            && !environment::DROPPED.contains(&name)
    };
    candidates.retain(|name| is_kept_back(name));
    if candidates.is_empty() {
        return None;
    }
    let mut files = scripts(spec);
    files.push(spec.layout.source_link(spec.id).join("dkms.conf"));
    let texts = texts(&files);
    candidates.retain(|name| texts.iter().any(|text| mentioned::asks_for(text, name)));
    let first = *candidates.first()?;
    let names = candidates.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let text = format!("{} asks for {names}, which the caller has set and builds are not given", spec.id);
    let words = candidates.join(" ");
    let hint = format!(
        "pass_environment=\"{words}\" in framework.conf passes it on; `MAKE=\"make {first}=…\"` in {} does so for this module alone",
        spec.layout.etc_dkms().join(format!("{}.conf", spec.id.name)).display()
    );
    Some(Event::warning(text, [hint]))
}

/// The files of the source that run in every build: scripts that the conf names, and what make reads in
/// the top folder.
fn scripts(spec: &BuildSpec<'_>) -> Vec<PathBuf> {
    let Ok(source) = fs::canonical(&spec.layout.source_link(spec.id)) else { return Vec::new() };
    let make = spec.conf.make.as_deref().unwrap_or_default();
    let hooks = [Hook::PreBuild, Hook::PostBuild].map(|hook| hook.value(spec.conf).unwrap_or_default());
    let words = hooks.into_iter().filter_map(|value| value.split_whitespace().next());
    let words = words.chain(make.split(|c: char| c.is_whitespace() || "'\";&|()".contains(c)));
    let names = words.filter(|word| !word.is_empty()).map(Path::new).filter(|name| name.is_relative());
    let files = OF_MAKE.into_iter().map(Path::new).chain(names).map(|name| source.join(name));
    files.filter(|path| fs::is_file(path)).collect::<BTreeSet<_>>().into_iter().collect()
}

fn texts(files: &[PathBuf]) -> Vec<String> {
    let read = |path: &PathBuf| fs::read_limited(path, LONGEST).ok();
    files.iter().filter_map(read).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}
