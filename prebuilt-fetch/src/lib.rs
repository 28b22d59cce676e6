//! `dkms-fetch`: what a place of prebuilt modules has, and one file of it, over HTTP.
//!
//! dkms starts it without rights, and nothing in it is trusted: dkms reads what it writes within limits, and
//! judges each file by the signature inside. It knows no module, no key and no setting.
//!
//! ```text
//! dkms-fetch list URL         `SIZE NAME` for each file that is named as a bundle is; `-`: unknown size
//! dkms-fetch get URL NAME     the bytes of one
//! ```
//!
//! `URL` is `http://…` or `https://…`, a folder, or `oci:REGISTRY/REPOSITORY[:TAG]`, an image of a registry
//! (`oci+http:` without TLS). With `--login` before it the first line of standard input is `USER:PASSWORD`:
//! a command line can be read by all users.
//!
//! Exit code 0: done. 1: the place cannot be used. 2: usage. 3: only this file cannot be fetched. The reason
//! is one line on standard error.
//!
//! - [`request`]: the command line; [`url`], [`place`]: addresses; [`name`]: which files count
//! - [`index`]: names in an index page; [`registry`]: manifests and tokens of registries
//! - [`proxy`]: which proxy an address has; [`forward`]: how plain HTTP passes through one
//! - [`client`]: requests, redirects, TLS with the [`authorities`] of the system
//! - [`watch`]: time limits; [`work`]: both commands

pub mod authorities;
pub mod client;
pub mod fault;
pub mod forward;
pub mod index;
pub mod name;
pub mod place;
pub mod proxy;
pub mod registry;
pub mod request;
pub mod url;
pub mod watch;
pub mod work;

use std::io::{BufRead, Read, Write};
use std::process::ExitCode;

use fault::Fault;
use proxy::Proxies;
use request::Request;

/// A login is shorter.
const LONGEST_LOGIN: u64 = 4096;

/// Runs the program; returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let result = Request::parse(std::env::args_os().skip(1)).and_then(|request| {
        let login = if request.has_login { Some(login()?) } else { None };
        work::run(request, login, Proxies::of(variable))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // If standard error is closed, nobody reads the reason.
            let _ = writeln!(std::io::stderr(), "{fault}");
            ExitCode::from(fault.code())
        }
    }
}

fn login() -> Result<String, Fault> {
    let mut line = String::new();
    let read = std::io::stdin().lock().take(LONGEST_LOGIN).read_line(&mut line);
    read.map_err(|error| Fault::Usage(format!("the login cannot be read: {error}")))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

#[expect(clippy::disallowed_methods, reason = "this program knows nothing of dkms; here it reads proxies")]
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok().filter(|value| !value.is_empty())
}
