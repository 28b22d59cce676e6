//! `dkms build --fetch-headers`: a build for a kernel whose headers aren't installed. The package manager
//! downloads them; this command then runs again in a mount namespace in which they lie where they would be
//! installed, over the system as it is. Nothing of it stays.

use std::ffi::OsString;

use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_base::host::process::Process;
use dkms_base::id::Target;
use dkms_kernel::fetched::{FetchError, fetch, layers, look_up};
use dkms_kernel::manager::ManagerError;
use dkms_kernel::{HeadersPackage, Owner};

use crate::failure::Failure;
use crate::render::say;
use crate::session::Session;

/// Runs this command again where the headers of these kernels are. Says whether that was
/// needed, and has been done.
pub(super) fn build_in_layer(session: &Session<'_>, targets: &[Target]) -> Result<bool, Failure> {
    let survey = session.survey();
    let mut missing = Vec::new();
    for target in targets {
        if !survey.kernel(target)?.headers_usable {
            missing.push(target);
        }
    }
    if missing.is_empty() {
        return Ok(false);
    }
    if session.args().dry_run {
        for target in &missing {
            session.terminal.only_step(&format!("download the headers of kernel {}", target.kernel));
        }
        return Ok(false);
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new(
            ExitCode::USAGE_OR_RIGHTS,
            "`--fetch-headers` needs root: it mounts a layer for the build",
        ));
    }
    let folder = session.staging("dkms-headers.")?;
    // What a build runs as nobody must be able to go in.
    fs::set_mode(folder.path(), 0o755)?;
    for target in &missing {
        let layout = &session.settings.layout;
        let owner = Owner::of(&target.kernel, session.distribution, layout, session.environment);
        let package = HeadersPackage::of(&target.kernel, session.distribution, layout, owner.as_ref());
        look_up(&target.kernel, session.distribution, &package, session.environment)?;
        say(session.terminal, format!("Downloading the headers of kernel {}", target.kernel));
        fetch(&target.kernel, session.distribution, &package, folder.path(), session.environment)?;
    }
    let ended = again(session, folder.path())?.interact()?;
    match u8::try_from(ended.code()) {
        Ok(0) => Ok(true),
        Ok(code) => Err(Failure::new(
            ExitCode(code),
            "the build with headers that were fetched failed, as told above",
        )),
        Err(_) => {
            Err(Failure::new(ExitCode::INTERRUPTED, "the build with headers that were fetched was ended"))
        }
    }
}

/// This command, in the layer.
fn again(session: &Session<'_>, layer: &std::path::Path) -> Result<Process, Failure> {
    let own = fs::link_target(std::path::Path::new("/proc/self/exe"))?.unwrap_or_else(|| "dkms".into());
    let words: Vec<OsString> = std::env::args_os().skip(1).filter(|word| word != "--fetch-headers").collect();
    Ok(layers(layer).seen_by(Process::new(own, words, &session.environment.whole())))
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Manager(ManagerError::Process(error)) => error.into(),
            FetchError::Fs(error) => error.into(),
            FetchError::Unknown { .. } => Self::new(ExitCode::NO_HEADERS, error.to_string())
                .hint("bring the package manager's lists up to date; `dkms kernels --available` shows what they have"),
            FetchError::None { .. } | FetchError::Manager(ManagerError::Failed { .. }) => Self::new(ExitCode::NO_HEADERS, error.to_string()),
        }
    }
}
