//! `--check`: what is wrong with a conf that would only be seen when the package is installed.

use std::path::Path;

use dkms_base::host::fs;
use dkms_base::id::Target;
use dkms_base::report::Event;
use dkms_conf::{Check, Directive, notices, resolve};
use dkms_kernel::KernelConfig;

use crate::module::Conf;

/// Directives whose first word is a program of the source.
const SCRIPTS: [Directive; 6] = [
    Directive::PostAdd,
    Directive::PostBuild,
    Directive::PostInstall,
    Directive::PostRemove,
    Directive::PreBuild,
    Directive::PreInstall,
];

/// Everything that is wrong with a conf, `source` being the folder that it will lie in.
#[must_use]
pub fn faults(conf: &Conf, target: &Target, source: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    let config = KernelConfig { path: None, options: Default::default() };
    if let Err(invalid) = resolve(&conf.raw, target, &config, Check::Whole) {
        faults.extend(invalid.problems.iter().map(ToString::to_string));
    }
    if let Some(other) = conf.other_version() {
        faults.push(format!("`PACKAGE_VERSION` is {other}, and not {}", conf.id.version));
    }
    for event in notices::on_add(&conf.raw) {
        if let Event::Warning { text, hints } = event {
            faults.push(std::iter::once(text).chain(hints).collect::<Vec<_>>().join(": "));
        }
    }
    for (index, patch) in conf.raw.all(Directive::Patch).filter(|(_, patch)| !patch.is_empty()) {
        let file = Path::new("patches").join(patch);
        if !fs::is_file(&source.join(&file)) {
            faults
                .push(format!("`PATCH[{index}]`: there is no `{}` in the package's source", file.display()));
        }
    }
    for directive in SCRIPTS {
        let Some(program) = conf.raw.filled(directive, 0).and_then(|line| line.split_whitespace().next())
        else {
            continue;
        };
        // A program of the system is none of ours to check, nor is what a shell makes of a line.
        if program.starts_with('/') || program.contains(['$', '(', '=', ';', '&', '|']) {
            continue;
        }
        let file = source.join(program);
        if !fs::is_file(&file) {
            faults.push(format!("`{directive}`: there is no `{program}` in the package's source"));
        } else if !fs::is_executable(&file) {
            faults.push(format!("`{directive}`: `{program}` is not executable"));
        }
    }
    faults
}
