//! `dkms plan`: what autoinstall would do, on as many kernels as are named. (`dkms plan ACTION …` is that
//! action with `--dry-run`, and never comes here.)

use dkms_base::exit::ExitCode;
use dkms_core::plan::Work;

use super::matrix;
use crate::action::Action;
use crate::failure::Failure;
use crate::session::Session;

/// Prints the plan.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    if session.args().matrix.is_some() {
        return matrix::print(session);
    }
    if let Some(name) = &session.invocation.name {
        if let Some(action) = Action::nearest(name.as_str()) {
            let text = format!("unknown action `{name}`");
            return Err(
                Failure::new(ExitCode::BAD_OPTION, text).hint(format!("Did you mean `dkms plan {action}`?"))
            );
        }
        return Err(Failure::new(ExitCode::BAD_OPTION, format!("no action is given for `{name}`"))
            .hint(format!("to plan what is done with a module: `dkms plan install {name}/VERSION`")));
    }
    session.carry_out(&Work::Autoinstall { targets: session.targets()? })
}
