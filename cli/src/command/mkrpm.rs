//! `dkms mkrpm`

use dkms_base::exit::ExitCode;
use dkms_kernel::published;
use dkms_packaging::mkrpm::Wrapper;
use dkms_packaging::mkrpm::gate::Gate;
use dkms_packaging::mkrpm::kmod::Kmod;

use super::package::{Subject, gate, only_said, wrote};
use crate::failure::Failure;
use crate::session::Session;

/// Writes an rpm package of the source and its source package, and one of the built modules for each
/// kernel that is named; with `--meta` the package `kmod-M` too.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let args = session.args();
    if args.binaries_only && args.source_only {
        return Err(Failure::new(
            ExitCode::INVALID_CONF,
            "`--binaries-only` and `--source-only` leave nothing to put into a package",
        ));
    }
    let subject = Subject::find(session, "rpm")?;
    let mut targets = subject.named_targets(session)?;
    if args.source_only {
        targets.clear();
    } else if args.binaries_only && targets.is_empty() {
        targets = subject.default_targets(session)?;
    }
    // The name tells which of the two packages of the source is meant.
    let packages = targets.len() + usize::from(!args.binaries_only);
    if args.archive.is_some() && packages > 1 {
        return Err(Failure::new(
            ExitCode::BAD_OPTION,
            format!("{packages} packages can't all be the one file of `--archive`"),
        )
        .hint("`--source-only`, or `--binaries-only` and one kernel"));
    }
    let module = subject.module(session);
    let wrapper = if args.binaries_only { None } else { Some(Wrapper::new(&module)?) };
    let demands: Vec<_> =
        targets.iter().map(|target| subject.demands(session, target)).collect::<Result<_, _>>()?;
    let kmod = |(target, demands)| Kmod { module: &module, target, demands };
    let kmods: Vec<_> = targets.iter().zip(&demands).map(kmod).collect();
    let meta = gate(session, &targets)?;
    let kernel_version =
        meta.map(|(flavour, target)| published::of_rpm(flavour, target, session.environment));
    let gate = meta.zip(kernel_version.as_deref()).map(|((flavour, target), kernel_version)| Gate {
        module: &module,
        target,
        flavour,
        kernel_version,
    });
    // All or, where one is not available, none that wasn't there before.
    let places = kmods.iter().map(Kmod::path).collect::<Result<Vec<_>, _>>()?;
    let gate_path = gate.map(|gate| gate.path()).transpose()?;
    if let Some(wrapper) = wrapper {
        subject.warn_of_left_out(session);
        for path in wrapper.paths() {
            if !only_said(session, &path) {
                wrapper.write(&path)?;
                wrote(session, &path);
            }
        }
    }
    for (kmod, place) in kmods.iter().zip(places) {
        if !only_said(session, &place) {
            wrote(session, &kmod.write()?);
        }
    }
    if let Some((gate, path)) = gate.zip(gate_path)
        && !only_said(session, &path)
    {
        wrote(session, &gate.write()?);
    }
    Ok(())
}
