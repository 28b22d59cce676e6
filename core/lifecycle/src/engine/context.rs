//! What all steps of a run share, besides the world.

use crate::conf::Settings;
use crate::event::LookAhead;
use crate::host::Environment;
use crate::kernel::Distribution;
use crate::sign::GivenKey;

/// What all steps of a run share.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// framework.conf and the command line, resolved.
    pub settings: &'a Settings,
    /// The environment that scripts and make get.
    pub environment: &'a Environment,
    /// The distribution.
    pub distribution: &'a Distribution,
    /// The folder below `/lib/modules/K` that all modules go to; `None`: where each conf says.
    pub module_folder: Option<String>,
    /// `--force`.
    pub force: bool,
    /// `--force-version-override`.
    pub force_version_override: bool,
    /// `--no-depmod`: what is changed here needs none.
    pub no_depmod: bool,
    /// `-jN` for make; 0: no limit.
    pub jobs: u32,
    /// A key that the caller opened, in place of what the settings say.
    pub given_key: Option<&'a GivenKey>,
    /// What is taken out is taken out by a package manager: an image that holds it is kept as long as the
    /// tree has another version that is not installed.
    pub keeps_images: bool,
    /// What arrives before its package is configured.
    pub ahead: LookAhead,
}
