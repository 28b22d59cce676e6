//! `dh_dkms`: puts a module's dkms.conf and the maintainer scripts that DKMS needs into a package
//! that debhelper builds.
//!
//! It keeps debhelper's protocol by itself (options through three ways, packages of `debian/control`,
//! snippets, variables of `debian/*.substvars`), so that no Perl is needed but the one line that `dh` reads.
//!
//! - [`args`]: the options' definition; [`options`]: the ways they come, and which packages they mean
//! - [`control`], [`changelog`], [`substvars`], [`snippet`]: the files of `debian/`, as text
//! - [`config`]: which file of `debian/` is a package's, and the conf that it is or names
//! - [`module`]: the conf's name and version, and what else the package needs to know of it; [`check`]:
//!   what is wrong with it
//! - [`host`]: what this machine says of architectures
//! - [`act`]: what is done to one package; [`messages`]: what is printed

pub mod act;
pub mod args;
pub mod changelog;
pub mod check;
pub mod config;
pub mod control;
pub mod error;
pub mod host;
pub mod messages;
pub mod module;
pub mod options;
pub mod snippet;
pub mod substvars;

use std::path::Path;

use dkms_base::host::{Environment, fs};

use act::{Job, write_log};
use control::{Compat, Control};
use error::Error;
use host::Host;
use messages::Messages;
use options::{Options, Wanted};

/// What debhelper's programs end with when something is wrong.
const FAILED: u8 = 25;
/// What they end with after their usage.
const USAGE: u8 = 1;

/// Up to this level debhelper's programs note that they ran.
const LAST_LOGGED_LEVEL: u32 = 9;

/// Runs the command; returns its exit code.
#[must_use]
pub fn main() -> std::process::ExitCode {
    let environment = Environment::of_this_process();
    let argv: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let mut messages = Messages::default();
    let code = match run(&argv, &environment, &mut messages) {
        Ok(()) => 0,
        Err(Error::Usage(text)) => {
            messages.print(text.trim_end());
            USAGE
        }
        Err(error) => {
            messages.error(&error);
            FAILED
        }
    };
    std::process::ExitCode::from(code)
}

fn run(argv: &[String], environment: &Environment, messages: &mut Messages) -> Result<(), Error> {
    let here = Path::new("debian/control");
    if !fs::is_file(here) {
        return Err(options::without_control(argv));
    }
    let control = Control::parse(&fs::read_lossy(here)?)?;
    let compat = Compat::find(&control, environment)?;
    let options = Options::understand(argv, environment, &control, compat, messages)?;
    messages.verbose = options.args.verbose || environment.get_filled("DH_VERBOSE").is_some();
    let host = Host::new(environment);
    let packages = match options.wanted(&control, &host)? {
        Wanted::These(packages) => packages,
        Wanted::None(why) => {
            messages.warn(&why);
            return Ok(());
        }
    };
    if options.args.tmpdir.is_some() && packages.len() > 1 {
        return Err(Error::OneTmpdir { packages: packages.join(", ") });
    }
    let no_act = options.args.no_act || environment.get_filled("DH_NO_ACT").is_some();
    for package in &packages {
        let job =
            Job { package, options: &options, control: &control, environment, host: &host, compat, no_act };
        job.run(messages)?;
    }
    if !no_act && (compat.0 <= LAST_LOGGED_LEVEL || environment.get_filled("DH_INTERNAL_OVERRIDE").is_some())
    {
        packages.iter().try_for_each(|package| write_log(package))?;
    }
    Ok(())
}
