//! The modules of a conf: `BUILT_MODULE_…`, `DEST_MODULE_…`, `STRIP`, index by index.

use std::collections::BTreeSet;

use super::exclusion::Rules;
use super::problem::Problem;
use crate::directive::Directive;
use crate::module::ModuleRecord;
use crate::raw::RawConf;
use dkms_base::visible::is_hidden;
use dkms_kernel::without_steps_up;

/// The directives whose highest index says how many modules there are.
const COUNTED: [Directive; 4] = [
    Directive::BuiltModuleName,
    Directive::BuiltModuleLocation,
    Directive::DestModuleName,
    Directive::DestModuleLocation,
];

/// More modules than any package has: an index beyond it is a slip.
const MOST: usize = 1000;

/// All records; those with a fault are left out, and their faults told.
pub(super) fn records(
    raw: &RawConf,
    package: &str,
    rules: &Rules,
    problems: &mut Vec<Problem>,
) -> Vec<ModuleRecord> {
    let last = |directive: &Directive| Some((raw.all(*directive).next_back()?.0, *directive));
    let Some((highest, directive)) = COUNTED.iter().filter_map(last).max_by_key(|(index, _)| *index) else {
        return Vec::new();
    };
    if highest >= MOST {
        problems.push(Problem::at(
            directive,
            highest,
            format!("is beyond the {MOST} modules that a package may have"),
        ));
        return Vec::new();
    }
    let only = highest == 0;
    (0..=highest).filter_map(|index| record(raw, only.then_some(package), index, rules, problems)).collect()
}

fn record(
    raw: &RawConf,
    default_name: Option<&str>,
    index: usize,
    rules: &Rules,
    problems: &mut Vec<Problem>,
) -> Option<ModuleRecord> {
    let before = problems.len();
    let mut fault = |directive, fault: &str| problems.push(Problem::at(directive, index, fault));
    let text = |directive| raw.filled(directive, index);
    let built_name = text(Directive::BuiltModuleName).or(default_name).unwrap_or_default();
    let dest_name = text(Directive::DestModuleName).unwrap_or(built_name);
    if built_name.is_empty() {
        fault(Directive::BuiltModuleName, "is missing");
    } else if let Some(wrong) = name_fault(built_name) {
        fault(Directive::BuiltModuleName, wrong);
    }
    // One that is only inherited was complained of above.
    if text(Directive::DestModuleName).is_some()
        && let Some(wrong) = name_fault(dest_name)
    {
        fault(Directive::DestModuleName, wrong);
    }
    let built_location = text(Directive::BuiltModuleLocation).unwrap_or_default();
    if built_location.starts_with('/') {
        fault(Directive::BuiltModuleLocation, "is absolute, and must be relative to the source");
    } else if inside(built_location).is_none() {
        fault(Directive::BuiltModuleLocation, "leads out of the source by `..`");
    }
    let dest_location = text(Directive::DestModuleLocation).unwrap_or_default();
    if dest_location.is_empty() {
        fault(Directive::DestModuleLocation, "is missing");
    } else if !["/kernel", "/updates", "/extra"].iter().any(|start| dest_location.starts_with(start)) {
        fault(Directive::DestModuleLocation, "does not begin with `/kernel`, `/updates` or `/extra`");
    } else if inside(dest_location).is_none() {
        fault(Directive::DestModuleLocation, "leads out of the kernel's folder by `..`");
    }
    if problems.len() > before {
        return None;
    }
    Some(ModuleRecord {
        index,
        built_name: built_name.to_owned(),
        built_location: match &*inside(built_location)? {
            "" => String::new(),
            location => format!("{}/", location.trim_end_matches('/')),
        },
        dest_name: dest_name.to_owned(),
        dest_location: inside(dest_location)?.trim_end_matches('/').to_owned(),
        strip: strip(raw, index),
        excluded: rules.module(index),
    })
}

/// What is wrong with a module's file name.
fn name_fault(name: &str) -> Option<&'static str> {
    let has = |suffix: &str| name.ends_with(suffix);
    if has(".o") || has(".ko") {
        Some("ends in `.o` or `.ko`, which is added to it")
    } else if name.contains('/') {
        Some("holds a `/`: folders belong into `BUILT_MODULE_LOCATION`")
    } else if name.starts_with(['.', '-']) {
        Some("begins with `.` or `-`")
    } else if name.chars().any(|c| c.is_whitespace() || is_hidden(c)) {
        Some("holds a blank or a control character")
    } else if name.len() > 120 {
        // NAME_MAX, less what the suffix and our temporary names add to it.
        Some("is longer than 120 bytes")
    } else {
        None
    }
}

/// A location without steps upwards, where it has any; `None` where it leads out of its folder or holds what
/// no path needs. Debian's mstflint-dkms has `/kernel/../misc/`.
fn inside(path: &str) -> Option<String> {
    if path.chars().any(|c| c.is_control() || is_hidden(c)) {
        return None;
    }
    let resolved = without_steps_up(path)?;
    let is_plain = !path.split('/').any(|step| step == "..");
    Some(if is_plain {
        path.to_owned()
    } else if path.starts_with('/') {
        format!("/{resolved}")
    } else {
        resolved
    })
}

/// `STRIP[i]`, else `STRIP[0]`, else yes.
fn strip(raw: &RawConf, index: usize) -> bool {
    let value = raw.filled(Directive::Strip, index).or_else(|| raw.filled(Directive::Strip, 0));
    !value.is_some_and(|value| value.starts_with(['n', 'N']))
}

/// Two modules with one built path, or one installed name. Those that are ruled out for
/// this kernel don't count.
pub(super) fn duplicates(modules: &[ModuleRecord], problems: &mut Vec<Problem>) {
    let mut built = BTreeSet::new();
    let mut installed = BTreeSet::new();
    for module in modules.iter().filter(|module| module.excluded.is_none()) {
        if !built.insert((module.built_location.as_str(), module.built_name.as_str())) {
            let fault = format!("names `{}{}` once more", module.built_location, module.built_name);
            problems.push(Problem::at(Directive::BuiltModuleName, module.index, fault));
        }
        if !installed.insert(module.dest_name.as_str()) {
            let fault = format!("installs `{}` once more", module.dest_name);
            problems.push(Problem::at(Directive::DestModuleName, module.index, fault));
        }
    }
}
