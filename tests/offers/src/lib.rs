//! Chooses kernels by what apt can give, and says what to try when a download fails. No input or output:
//! text in, choice out.
//!
//! - [`kernels`] reads the answer to [`QUESTION`] and lists the kernels that have headers and an
//!   image, the newest first
//! - [`newest_that_works`] is how everything is fetched: the newest, once more after an
//!   update, then the next older

mod attempts;
mod kernel;
mod record;
mod version;

pub use attempts::{Failure, newest_that_works};
pub use kernel::{Kernel, Line, Numbers, image, kernels};
pub use record::candidate;

/// Words for `apt-cache`. It answers with one record for each package that has a candidate,
/// so preferences count.
pub const QUESTION: [&str; 3] = ["show", "--no-all-versions", "?name(^linux-)"];

/// Words for `dpkg-query`. Its answer belongs after apt's: an installed package may have no candidate, and
/// others can depend on it.
pub const INSTALLED: [&str; 4] = [
    "-W",
    "-f",
    "\nPackage: ${Package}\nVersion: ${Version}\nDepends: ${Depends}\nOnly-Installed: ${db:Status-Status}\n",
    "linux-*",
];
