//! `dkms kernels`: which kernels there are, or which ones the package manager could bring headers of.

use dkms_base::exit::ExitCode;
use dkms_base::id::{Arch, Target};
use dkms_kernel::available::{Available, AvailableError, available, flavour_of};
use dkms_kernel::manager::ManagerError;
use serde_json::json;

use crate::failure::Failure;
use crate::render::JSON_VERSION;
use crate::session::Session;

/// A kernel, as it is printed.
struct Told {
    target: Target,
    flavour: String,
    is_installed: bool,
    has_headers: bool,
    /// Its own package has put something into its folder.
    has_package: bool,
    is_running: bool,
    /// What would bring its headers.
    available: Option<Available>,
}

/// Prints them, in the order of their releases.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let installed = session.installed_targets()?;
    let mut told = Vec::new();
    if session.args().available {
        let arch = arch(session)?;
        for kernel in available(session.distribution, &arch, session.environment)? {
            let target = Target::new(kernel.kernel.clone(), arch.clone());
            let is_installed = installed.contains(&target);
            told.push(told_of(session, target, is_installed, Some(kernel))?);
        }
    } else {
        for target in installed {
            told.push(told_of(session, target, true, None)?);
        }
    }
    if let Some(flavour) = &session.args().flavour {
        told.retain(|kernel| kernel.flavour == *flavour);
    }
    told.sort_by(|a, b| {
        let order = dkms_base::version::compare(a.target.kernel.as_str(), b.target.kernel.as_str());
        order.then_with(|| a.target.cmp(&b.target))
    });
    if session.args().json {
        session.terminal.print(&document(&told));
    } else {
        told.iter().for_each(|kernel| session.terminal.print(&line(kernel)));
    }
    Ok(())
}

fn told_of(
    session: &Session<'_>,
    target: Target,
    is_installed: bool,
    available: Option<Available>,
) -> Result<Told, Failure> {
    let facts = session.survey().kernel(&target)?;
    let flavour =
        available.as_ref().map_or_else(|| flavour_of(&target.kernel), |kernel| kernel.flavour.clone());
    let (has_headers, is_running) = (facts.headers_usable, facts.running);
    let has_package = dkms_kernel::is_of_this_system(&target.kernel, &session.settings.layout);
    Ok(Told { target, flavour, is_installed, has_headers, has_package, is_running, available })
}

/// The architecture of kernels that aren't there.
fn arch(session: &Session<'_>) -> Result<Arch, Failure> {
    match session.invocation.arches.first() {
        Some(arch) => Ok(arch.clone()),
        None => Ok(Arch::new(rustix::system::uname().machine().to_string_lossy().into_owned())?),
    }
}

fn line(kernel: &Told) -> String {
    let Target { kernel: release, arch } = &kernel.target;
    let mut words = Vec::new();
    // As `verify` says it.
    let has_only_headers = kernel.is_installed && kernel.has_headers && !kernel.has_package;
    for (is_so, word) in [
        (has_only_headers, "only its headers are installed"),
        (kernel.is_installed && !has_only_headers, "installed"),
        (kernel.has_headers && !has_only_headers, "headers"),
        (kernel.is_running, "running"),
    ] {
        if is_so {
            words.push(word.to_owned());
        }
    }
    if let Some(Available { package, .. }) = &kernel.available {
        words.push(format!("{} {}", package.name, package.version));
    }
    format!(
        "{release}, {arch}: {}",
        if words.is_empty() { "no headers".to_owned() } else { words.join(", ") }
    )
}

fn document(told: &[Told]) -> String {
    let kernels: Vec<_> = told
        .iter()
        .map(|kernel| {
            let package = kernel.available.as_ref().map(|available| &available.package);
            json!({
                "kernel": kernel.target.kernel,
                "arch": kernel.target.arch,
                "flavour": kernel.flavour,
                "installed": kernel.is_installed,
                "headers": kernel.has_headers,
                "running": kernel.is_running,
                "package": package.map(|package| &package.name),
                "package_version": package.map(|package| &package.version),
                "sha256": package.and_then(|package| package.sha256.as_ref()),
            })
        })
        .collect();
    json!({"version": JSON_VERSION, "kernels": kernels}).to_string()
}

impl From<AvailableError> for Failure {
    fn from(error: AvailableError) -> Self {
        match error {
            AvailableError::Manager(ManagerError::Process(error)) => error.into(),
            AvailableError::UnknownManager { .. } | AvailableError::Manager(ManagerError::Failed { .. }) => {
                Self::new(ExitCode::USAGE_OR_RIGHTS, error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_there_is_of_a_kernel() {
        let target = Target::parse("6.1", "x86_64").unwrap();
        let told = |is_installed, has_headers, has_package| Told {
            has_package,
            target: target.clone(),
            flavour: String::new(),
            is_installed,
            has_headers,
            is_running: false,
            available: None,
        };
        assert_eq!(line(&told(true, true, true)), "6.1, x86_64: installed, headers");
        assert_eq!(line(&told(true, true, false)), "6.1, x86_64: only its headers are installed");
        assert_eq!(line(&told(true, false, false)), "6.1, x86_64: installed");
        assert_eq!(line(&told(false, false, false)), "6.1, x86_64: no headers");
    }
}
