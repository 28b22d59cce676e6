//! The commands, one file each; here, which is meant.

mod bake;
mod boot;
mod change;
mod completions;
mod critical;
mod doctor;
mod forecast;
mod generate_mok;
mod headers;
mod kernels;
mod layout;
mod left_out;
mod log;
mod ltdk;
mod matrix;
mod mkbmdeb;
mod mkdeb;
mod mkdriverdisk;
mod mkdsc;
mod mkkmp;
mod mkoci;
mod mkrpm;
mod mksysext;
mod mktree;
mod mok;
mod package;
mod plan;
mod preflight;
mod rebuild;
mod remove;
mod sign;
mod source;
mod status;
mod tarball;
mod trial;
mod verify;

use crate::action::Action;
use crate::failure::Failure;
use crate::package_script;
use crate::session::Session;

/// Runs the command of a session.
///
/// # Errors
/// [`Failure`].
pub fn run(session: &Session<'_>) -> Result<(), Failure> {
    if matches!(session.invocation.action, Action::Add | Action::Build | Action::Install) {
        package_script::taken_up(session);
    }
    let ended = run_action(session);
    let changes_modules = matches!(
        session.invocation.action,
        Action::Install
            | Action::Uninstall
            | Action::Unbuild
            | Action::Remove
            | Action::Autoinstall
            | Action::Match
    );
    if changes_modules {
        boot::after_change(session);
    }
    ended
}

fn run_action(session: &Session<'_>) -> Result<(), Failure> {
    match session.invocation.action {
        Action::Add => change::add(session),
        Action::Build => change::build(session),
        Action::Install => change::install(session),
        Action::Uninstall => remove::uninstall(session),
        Action::Unbuild => remove::unbuild(session),
        Action::Remove => remove::remove(session),
        Action::Autoinstall | Action::KernelPostinst => change::autoinstall(session),
        Action::Bake => bake::run(session),
        Action::Match => change::match_kernel(session),
        Action::KernelPreinst => remove::kernel_preinst(session),
        Action::KernelPrerm => remove::kernel_prerm(session),
        Action::Mktarball => tarball::write(session),
        Action::Ldtarball => tarball::load(session),
        Action::Mkdeb => mkdeb::run(session),
        Action::Mkbmdeb => mkbmdeb::run(session),
        Action::Mkdsc => mkdsc::run(session),
        Action::Mkrpm => mkrpm::run(session),
        Action::Mkkmp => mkkmp::run(session),
        Action::Mkdriverdisk => mkdriverdisk::run(session),
        Action::Kernels => kernels::run(session),
        Action::Mkoci => mkoci::run(session),
        Action::Mksysext => mksysext::run(session),
        Action::Sign => sign::run(session),
        Action::Mktree => mktree::make(session),
        Action::Unmktree => mktree::remove(session),
        Action::Ltdk => ltdk::run(session),
        Action::Status => status::run(session),
        Action::Log => log::run(session),
        Action::GenerateMok => generate_mok::run(session),
        Action::Mok => mok::run(session),
        Action::Plan => plan::run(session),
        Action::Preflight => preflight::run(session),
        Action::Verify => verify::run(session),
        Action::Boot => boot::run(session),
        Action::Critical => critical::run(session),
        Action::Forecast => forecast::run(session),
        Action::Doctor => doctor::run(session),
        Action::Completions => completions::run(session),
    }
}
