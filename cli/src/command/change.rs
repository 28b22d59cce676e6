//! `add`, `build`, `install`, `autoinstall`, `match`, `kernel_postinst`: what brings modules in.

use dkms_base::exit::ExitCode;
use dkms_base::id::{KernelRelease, ModuleId, Target};
use dkms_core::plan::{NewSource, Work};
use dkms_core::tree::rpm_upgrade;

use super::source::{self, Source};
use super::{headers, matrix, tarball};
use crate::failure::Failure;
use crate::session::Session;

/// `dkms add`
pub(super) fn add(session: &Session<'_>) -> Result<(), Failure> {
    match source::of(session)? {
        Source::InPlace => {
            let id = session.invocation.module()?;
            add_module(session, &id, None)
        }
        Source::Folder { id, folder } => add_module(session, &id, Some(NewSource { folder })),
        Source::Archive(staged) => tarball::publish(session, &staged, ExitCode::NOT_IN_TREE),
        Source::Rpm(package) => source::install_rpm(session, &package),
    }
}

fn add_module(session: &Session<'_>, id: &ModuleId, source: Option<NewSource>) -> Result<(), Failure> {
    put_in_noted(session, id, Work::Add { id: id.clone(), source })
}

/// Carries out the request; then, where the module is in the tree (it may have been there before, or its
/// build may have failed), notes for `--rpm_safe_upgrade` that this rpm wants it there.
fn put_in_noted(session: &Session<'_>, id: &ModuleId, work: Work) -> Result<(), Failure> {
    let result = session.carry_out(&work);
    if !session.args().rpm_safe_upgrade || session.args().dry_run {
        return result;
    }
    let noted = session.snapshot().and_then(|snapshot| match snapshot.get(id) {
        Some(_) => Ok(rpm_upgrade::leave_note(&session.settings.layout, id)?),
        None => Ok(()),
    });
    result.and(noted)
}

/// `dkms build`
pub(super) fn build(session: &Session<'_>) -> Result<(), Failure> {
    if let Some(file) = &session.args().matrix {
        return matrix::build(session, file.as_ref());
    }
    if session.args().fetch_headers && headers::build_in_layer(session, &session.targets()?)? {
        return Ok(());
    }
    put_in(session, |id, targets, source| Work::Build { id, targets, source })
}

/// `dkms install`
pub(super) fn install(session: &Session<'_>) -> Result<(), Failure> {
    put_in(session, |id, targets, source| Work::Install { id, targets, source })
}

fn put_in(
    session: &Session<'_>,
    work: impl FnOnce(ModuleId, Vec<Target>, Option<NewSource>) -> Work,
) -> Result<(), Failure> {
    match source::of(session)? {
        Source::InPlace => {
            let id = session.invocation.module()?;
            put_in_noted(session, &id, work(id.clone(), session.targets()?, None))
        }
        Source::Folder { id, folder } => {
            let source = Some(NewSource { folder });
            put_in_noted(session, &id, work(id.clone(), session.targets()?, source))
        }
        Source::Archive(staged) if staged.has_only_source() => {
            let source = staged.folder().map(|folder| NewSource { folder });
            session.carry_out(&work(staged.id.clone(), session.targets()?, source))
        }
        Source::Archive(staged) => {
            tarball::publish(session, &staged, ExitCode::NOT_IN_TREE)?;
            if session.args().dry_run {
                // What would be done to a module that isn't there yet can't be planned; that it is
                // loaded has been said.
                return Ok(());
            }
            session.carry_out(&work(staged.id.clone(), session.targets()?, None))
        }
        Source::Rpm(package) => source::install_rpm(session, &package),
    }
}

/// `dkms autoinstall` and `dkms kernel_postinst`
pub(super) fn autoinstall(session: &Session<'_>) -> Result<(), Failure> {
    session.carry_out(&Work::Autoinstall { targets: session.targets()? })
}

/// `dkms match`
pub(super) fn match_kernel(session: &Session<'_>) -> Result<(), Failure> {
    let Some(template) = session.args().templatekernel.as_deref().filter(|text| !text.is_empty()) else {
        return Err(Failure::new(ExitCode::USAGE_OR_RIGHTS, "`match` needs the kernel to match")
            .hint("dkms match --templatekernel K -k K2"));
    };
    let release = KernelRelease::new(template.split_once('/').map_or(template, |(release, _)| release))?;
    let is_named = !session.invocation.kernels.is_empty();
    // All kernels of an image are meant, and the template is one of them.
    for target in session.targets()?.into_iter().filter(|target| is_named || target.kernel != release) {
        let template = Target::new(release.clone(), target.arch.clone());
        session.carry_out(&Work::Match { template, target, only: session.invocation.name.clone() })?;
    }
    Ok(())
}
