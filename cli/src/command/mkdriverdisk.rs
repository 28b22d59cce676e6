//! `dkms mkdriverdisk`

use dkms_base::exit::ExitCode;
use dkms_packaging::driver_disk::{Distribution, DriverDisk, Media};

use super::package::{Subject, only_said, wrote};
use crate::args;
use crate::failure::Failure;
use crate::session::Session;

/// Writes a disk with the modules that were built for the kernels that are named, or for the one that runs.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let args = session.args();
    let refused = |message: &str, hint: &str| Err(Failure::new(ExitCode::BAD_OPTION, message).hint(hint));
    let distribution = match (args.distro, &args.release) {
        (None, _) => {
            return refused(
                "`mkdriverdisk` doesn't know whose installer is meant",
                "name it with `-d redhat`, `-d suse` or `-d ubuntu`",
            );
        }
        (Some(args::Distro::Suse), Some(release)) => Distribution::Suse { release: release.clone() },
        (Some(args::Distro::Suse), None) => {
            return refused(
                "a disk for SUSE's installer is for one product, which isn't named",
                "name it with `-r` as the installer calls it: `15.6`, `sle15`, `tw`",
            );
        }
        (Some(args::Distro::Redhat), _) => Distribution::RedHat,
        (Some(args::Distro::Ubuntu), _) => Distribution::Ubuntu,
    };
    let subject = Subject::find(session, "driver_disk")?;
    let targets = subject.targets(session)?;
    let module = subject.module(session);
    let media = match args.media {
        args::Media::Iso => Media::Iso,
        args::Media::Tar => Media::Tar,
    };
    let environment = session.environment;
    let disk = DriverDisk { module: &module, targets: &targets, distribution, media, environment };
    disk.check()?;
    if !only_said(session, &disk.path()) {
        wrote(session, &disk.write()?);
    }
    Ok(())
}
