//! What a [`RawConf`] means for one kernel: defaults filled in, everything checked, all faults found at once.
//!
//! Pure: knows neither files nor who asks.

mod exclusion;
mod problem;
mod records;

use crate::directive::Directive;
use crate::ere;
use crate::module::{ModuleConf, Scripts};
use crate::raw::{RawConf, Tier};
use dkms_base::id::{ModuleId, ModuleName, ModuleVersion, Target};
use dkms_kernel::KernelConfig;

pub use problem::{InvalidConf, Problem};

/// How much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// For add, build and install: also that no two modules have the same place.
    Whole,
    /// For everything else that needs a valid conf.
    Basic,
}

/// Resolves a conf for a kernel.
///
/// ```
/// use dkms_base::id::Target;
/// use dkms_conf::{Check, Directive, RawConf, resolve};
/// use dkms_kernel::KernelConfig;
///
/// let mut raw = RawConf::default();
/// raw.set(Directive::PackageName, 0, "foo");
/// raw.set(Directive::PackageVersion, 0, "1.0");
/// raw.set(Directive::BuiltModuleName, 0, "foo");
/// let target = Target::parse("6.1.0-9-amd64", "x86_64")?;
/// let invalid = resolve(&raw, &target, &KernelConfig::default(), Check::Basic).unwrap_err();
/// assert!(invalid.to_string().contains("DEST_MODULE_LOCATION"));
///
/// raw.set(Directive::DestModuleLocation, 0, "/updates");
/// let conf = resolve(&raw, &target, &KernelConfig::default(), Check::Basic)?;
/// assert_eq!(conf.modules[0].dest_name, "foo");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`InvalidConf`] with everything that is wrong.
pub fn resolve(
    raw: &RawConf,
    target: &Target,
    config: &KernelConfig,
    check: Check,
) -> Result<ModuleConf, InvalidConf> {
    let mut problems = Vec::new();
    let id = id(raw, &mut problems);
    let package = raw.get(Directive::PackageName).unwrap_or_default();
    let conf_of = conf(raw, package, target, config, &mut problems);
    let invalid = |problems| InvalidConf { file: raw.file.clone(), problems };
    let Some(id) = id else { return Err(invalid(problems)) };
    let conf = conf_of(id);
    if check == Check::Whole {
        records::duplicates(&conf.modules, &mut problems);
    }
    if problems.is_empty() { Ok(conf) } else { Err(invalid(problems)) }
}

/// As much of a conf as is sound, for commands that must work whatever the conf says: `id` is what the
/// tree calls the module. A module whose name or place is unsound is left out; [`RawConf::default`] gives
/// a conf without modules.
#[must_use]
pub fn leniently(raw: &RawConf, id: &ModuleId, target: &Target, config: &KernelConfig) -> ModuleConf {
    conf(raw, id.name.as_str(), target, config, &mut Vec::new())(id.clone())
}

/// `PACKAGE_NAME` and `PACKAGE_VERSION`.
fn id(raw: &RawConf, problems: &mut Vec<Problem>) -> Option<ModuleId> {
    let mut text = |directive: Directive| {
        let text = raw.filled(directive, 0);
        if text.is_none() {
            problems.push(Problem::scalar(directive, "is missing"));
        }
        text
    };
    let (name, version) = (text(Directive::PackageName), text(Directive::PackageVersion));
    let name = name.map(ModuleName::new).transpose().map_err(|error| (Directive::PackageName, error));
    let version =
        version.map(ModuleVersion::new).transpose().map_err(|error| (Directive::PackageVersion, error));
    let faults = [name.as_ref().err(), version.as_ref().err()];
    for (directive, error) in faults.into_iter().flatten() {
        problems.push(Problem::scalar(*directive, error.to_string()));
    }
    Some(ModuleId::new(name.ok()??, version.ok()??))
}

/// Everything but the id.
fn conf(
    raw: &RawConf,
    package: &str,
    target: &Target,
    config: &KernelConfig,
    problems: &mut Vec<Problem>,
) -> impl FnOnce(ModuleId) -> ModuleConf + use<> {
    let kernel = target.kernel.as_str();
    let rules = exclusion::Rules::new(raw, target, config);
    let modules = records::records(raw, package, &rules, problems);
    let autoinstall = yes_or_no(raw, Directive::Autoinstall, problems);
    let build_depends_rebuild = yes_or_no(raw, Directive::BuildDependsRebuild, problems);
    let no_weak_modules = yes_or_no(raw, Directive::NoWeakModules, problems);
    let build_depends = build_depends(raw, problems);
    let script = |directive| raw.filled(directive, 0).map(str::to_owned);
    let scripts = Scripts {
        post_add: script(Directive::PostAdd),
        pre_build: script(Directive::PreBuild),
        post_build: script(Directive::PostBuild),
        pre_install: script(Directive::PreInstall),
        post_install: script(Directive::PostInstall),
        post_remove: script(Directive::PostRemove),
    };
    let modules_conf = raw.all(Directive::ModulesConf).map(|(_, line)| line).filter(|line| !line.is_empty());
    let modules_conf = modules_conf.map(str::to_owned).collect();
    let remake_initrd = raw.get(Directive::RemakeInitrd).is_some_and(|value| value.starts_with(['y', 'Y']));
    let is_computed = Tier::Bash == raw.tier || Tier::Bash == raw.second_tier;
    let critical = match raw.get(Directive::Critical).map(str::to_ascii_lowercase).as_deref() {
        Some("yes") => Some(true),
        Some("no") => Some(false),
        Some(_) | None => None,
    };
    let (make, clean, patches) = (make(raw, kernel), clean(raw), patches(raw, kernel));
    move |id| ModuleConf {
        id,
        excluded: rules.package(&modules),
        modules,
        make,
        clean,
        patches,
        scripts,
        autoinstall,
        build_depends,
        build_depends_rebuild,
        is_computed,
        no_weak_modules,
        remake_initrd,
        modules_conf,
        critical,
    }
}

/// The last `MAKE[i]` whose `MAKE_MATCH[i]` matches; else `MAKE[0]`, if it has no match of its own.
fn make(raw: &RawConf, kernel: &str) -> Option<String> {
    let matched = raw
        .all(Directive::MakeMatch)
        .filter(|(_, pattern)| !pattern.is_empty() && ere::matches(pattern, kernel))
        .filter_map(|(index, _)| raw.filled(Directive::Make, index))
        .next_back();
    let unconditional =
        raw.filled(Directive::Make, 0).filter(|_| raw.filled(Directive::MakeMatch, 0).is_none());
    matched.or(unconditional).map(str::to_owned)
}

fn patches(raw: &RawConf, kernel: &str) -> Vec<String> {
    let applies =
        |index| raw.filled(Directive::PatchMatch, index).is_none_or(|pattern| ere::matches(pattern, kernel));
    raw.all(Directive::Patch)
        .filter(|(index, patch)| !patch.is_empty() && applies(*index))
        .map(|(_, patch)| patch.to_owned())
        .collect()
}

/// `CLEAN`, unless it says to do nothing.
pub(super) fn clean(raw: &RawConf) -> Option<String> {
    let command = raw.filled(Directive::Clean, 0)?;
    let program = command.trim().rsplit('/').next();
    (program != Some("true")).then(|| command.to_owned())
}

fn build_depends(raw: &RawConf, problems: &mut Vec<Problem>) -> Vec<ModuleName> {
    let mut names = Vec::new();
    for (index, value) in raw.all(Directive::BuildDepends) {
        for word in value.split_whitespace() {
            match ModuleName::new(word) {
                Ok(name) => names.push(name),
                Err(error) => problems.push(Problem::at(Directive::BuildDepends, index, error.to_string())),
            }
        }
    }
    names
}

fn yes_or_no(raw: &RawConf, directive: Directive, problems: &mut Vec<Problem>) -> bool {
    let value = raw.get(directive).unwrap_or_default();
    let yes = value.eq_ignore_ascii_case("yes");
    if !(yes || value.is_empty() || value.eq_ignore_ascii_case("no")) {
        problems.push(Problem::scalar(directive, format!("is neither `yes` nor `no`, but `{value}`")));
    }
    yes
}

#[cfg(test)]
mod tests;
