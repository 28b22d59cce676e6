//! Facts → the verdict on each link. Pure; a file for each link, the three that are read from the module
//! file itself in one.

mod boot;
mod file;
mod found;
mod there;
mod trusted;

use super::facts::{Facts, State};
use super::proof::{Link, LinkProof, Proof};

/// Judges a module on a kernel.
#[must_use]
pub fn judge(facts: &Facts) -> Proof {
    let mut links = vec![there::judge(facts)];
    let has_files = facts.files.iter().any(|file| file.state != State::Missing);
    if has_files {
        links.extend([Link::Whole, Link::Kernel, Link::Linked].map(|link| file::judge(facts, link)));
        links.extend([trusted::judge(facts), found::judge(facts), boot::judge(facts)]);
    } else {
        let rest = Link::ALL.into_iter().skip(1);
        links.extend(rest.map(LinkProof::of_absent));
    }
    Proof { id: facts.id.clone(), target: facts.target.clone(), links }
}

/// `-k K/A`
fn on(facts: &Facts) -> String {
    format!("-k {}/{}", facts.target.kernel, facts.target.arch)
}

/// Installs what is built, or builds and installs.
fn install(facts: &Facts) -> String {
    format!("dkms install {} {}", facts.id, on(facts))
}

/// Installs again what is built.
fn reinstall(facts: &Facts) -> String {
    format!("{} --force", install(facts))
}

/// Builds and installs again. Without headers they come first.
fn rebuild(facts: &Facts) -> String {
    if facts.is_weak {
        return install(facts);
    }
    let build = format!("dkms build {} {} --force && {}", facts.id, on(facts), reinstall(facts));
    facts.headers_remedy.as_ref().map_or(build, |headers| command_in(headers).to_owned())
}

/// The command in a sentence like ``install the package `x`: `apt-get install x` ``; the sentence
/// where there is none.
fn command_in(remedy: &str) -> &str {
    let quoted = remedy.strip_suffix('`').and_then(|text| text.rsplit_once('`'));
    quoted.map_or(remedy, |(_, command)| command)
}

/// What root would see.
fn as_root(facts: &Facts) -> String {
    format!("sudo dkms verify {} {}", facts.id, on(facts))
}

#[cfg(test)]
mod tests;
