//! The options' definition, which is also the manual's: debhelper's common ones, and our own.

use clap::Parser;

/// Puts a module's dkms.conf, and the maintainer scripts that DKMS needs, into a package.
#[derive(Debug, Clone, Default, Parser)]
#[command(
    name = "dh_dkms",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true,
    version
)]
#[command(override_usage = "dh_dkms [debhelper options] [-V[VERSION]] [-l] [--check] [-- FILE]")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Args {
    /// The dkms.conf of packages that have none in `debian/`, or a file that names it
    #[arg(value_name = "FILE")]
    pub files: Vec<String>,

    /// What `#MODULE_VERSION#` in the conf stands for
    /// [default: the package's version without epoch and Debian revision]
    #[arg(short = 'V', value_name = "VERSION", num_args = 0..=1, default_missing_value = "")]
    pub module_version: Option<String>,
    /// Ship a copy of common.postinst, for systems whose dkms has none, and depend on any dkms
    #[arg(short = 'l', long)]
    pub legacy: bool,
    /// Check the conf strictly: misspelt directives, missing patches, scripts that can't run
    #[arg(long)]
    pub check: bool,

    /// Act on this package, may be repeated
    #[arg(short = 'p', long = "package", value_name = "PACKAGE")]
    pub packages: Vec<String>,
    /// Don't act on this package, may be repeated
    #[arg(short = 'N', long = "no-package", value_name = "PACKAGE")]
    pub no_packages: Vec<String>,
    /// Act on all packages that don't depend on the architecture
    #[arg(short = 'i', long)]
    pub indep: bool,
    /// Act on all packages that depend on the architecture
    #[arg(short = 'a', long)]
    pub arch: bool,
    /// Don't act on packages that this program acted on before
    #[arg(long)]
    pub remaining_packages: bool,
    /// The folder that the package is built in [default: debian/PACKAGE]
    #[arg(short = 'P', long, value_name = "FOLDER")]
    pub tmpdir: Option<String>,
    /// Another folder in which a file that is named is looked for
    #[arg(short = 'D', long, value_name = "FOLDER")]
    pub sourcedirectory: Option<String>,
    /// The package that `debian/dkms` is for [default: the first]
    #[arg(long, value_name = "PACKAGE")]
    pub mainpackage: Option<String>,
    /// Use `debian/PACKAGE.NAME.dkms`
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Show what is done
    #[arg(short = 'v', long)]
    pub verbose: bool,
    /// Change nothing
    #[arg(long)]
    pub no_act: bool,
    /// Take this option if it is one, otherwise ignore it
    #[arg(short = 'O', value_name = "OPTION", allow_hyphen_values = true)]
    pub optional: Vec<String>,
    /// Show how it is used
    #[arg(short = 'h', long)]
    pub help: bool,

    // What other programs of debhelper do something with, and all of them take.
    #[arg(short = 's', long, hide = true)]
    pub(crate) same_arch: bool,
    #[arg(short = 'n', long = "no-scripts", alias = "noscripts", hide = true)]
    no_scripts: bool,
    #[arg(short = 'o', long = "only-scripts", alias = "onlyscripts", hide = true)]
    only_scripts: bool,
    #[arg(short = 'd', hide = true)]
    d_flag: bool,
    #[arg(short = 'A', long = "all", hide = true)]
    all: bool,
    #[arg(short = 'X', long, hide = true)]
    exclude: Vec<String>,
    #[arg(short = 'u', hide = true)]
    u_params: Option<String>,
    #[arg(long, hide = true)]
    dbg_package: Option<String>,
    #[arg(long, hide = true)]
    error_handler: Option<String>,
}
