//! `dkms mkbmdeb`

use dkms_base::exit::ExitCode;
use dkms_base::id::{KernelRelease, Target};
use dkms_kernel::available::flavour_of;
use dkms_kernel::published;
use dkms_packaging::debian::gate::Gate;
use dkms_packaging::debian::mkbmdeb::BuiltModules;

use super::package::{Subject, gate, only_said, wrote};
use crate::failure::Failure;
use crate::render::warn;
use crate::session::Session;

/// Writes a package of the built modules for each kernel that is named, or for the one that runs; with
/// `--meta` one that follows that kernel's metapackage too.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let args = session.args();
    if args.source_only {
        return Err(Failure::new(
            ExitCode::INVALID_CONF,
            "`mkbmdeb` packs what was built, and `--source-only` leaves nothing of it",
        ));
    }
    let subject = Subject::find(session, "bmdeb")?;
    let targets = subject.targets(session)?;
    if args.archive.is_some() && targets.len() > 1 {
        return Err(Failure::new(
            ExitCode::BAD_OPTION,
            format!(
                "{} packages, one for each kernel, can't all be the one file of `--archive`",
                targets.len()
            ),
        )
        .hint("name one kernel with `-k`"));
    }
    let module = subject.module(session);
    let demands: Vec<_> =
        targets.iter().map(|target| subject.demands(session, target)).collect::<Result<_, _>>()?;
    let package = |(target, demands)| BuiltModules { module: &module, target, demands };
    let packages: Vec<_> = targets.iter().zip(&demands).map(package).collect();
    let meta = gate(session, &targets)?;
    let kernel_version = meta.map(|(flavour, target)| published(session, flavour, target)).transpose()?;
    let gate = meta.zip(kernel_version.as_deref()).map(|((flavour, target), kernel_version)| Gate {
        module: &module,
        target,
        flavour,
        kernel_version,
    });
    // All or, where one is not available, none that wasn't there before.
    packages.iter().try_for_each(|package| package.check())?;
    let gate_path = gate.map(|gate| gate.path()).transpose()?;
    for package in packages {
        if !only_said(session, &package.path()?) {
            wrote(session, &package.write()?);
        }
    }
    if let Some((gate, path)) = gate.zip(gate_path)
        && !only_said(session, &path)
    {
        wrote(session, &gate.write()?);
    }
    Ok(())
}

/// The warning for a metapackage that brings other kernels, as far as can be known.
fn of_another_flavour(flavour: &str, kernel: &KernelRelease) -> String {
    format!(
        "nothing says that `linux-image-{flavour}` brings kernel {kernel}, whose flavour is `{own}`: was `--meta {own}` meant?",
        own = flavour_of(kernel)
    )
}

/// In which version `linux-image-FLAVOUR` brings the kernel.
fn published(session: &Session<'_>, flavour: &str, target: &Target) -> Result<String, Failure> {
    let headers = session.survey().kernel(target)?.headers.clone();
    let found = published::of_debian(flavour, &target.kernel, &headers, session.environment);
    if found.as_ref().is_some_and(|found| !found.is_known) {
        warn(session.terminal, of_another_flavour(flavour, &target.kernel));
    }
    found.map(|found| found.version).ok_or_else(|| {
        let kernel = &target.kernel;
        Failure::new(
            ExitCode::NO_HEADERS,
            format!("which version of `linux-image-{flavour}` brings kernel {kernel} is not known"),
        )
        .hint(format!(
            "neither apt nor the headers at `{}` say it: install `linux-headers-{kernel}`",
            headers.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flavour_of_the_kernel_is_proposed() {
        let kernel = KernelRelease::new("6.1.0-57-cloud-amd64").unwrap();
        let text = of_another_flavour("amd64", &kernel);
        assert!(text.ends_with("whose flavour is `cloud-amd64`: was `--meta cloud-amd64` meant?"), "{text}");
    }
}
