//! Every module file that dkms.conf names is in the kernel's folder, and is the one that was built.

use super::super::facts::{Facts, File, State};
use super::super::proof::{Link, LinkProof};
use super::{command_in, install, reinstall};

pub(super) fn judge(facts: &Facts) -> LinkProof {
    let link = Link::There;
    if facts.kernel_is_gone {
        return LinkProof::refuted(link, format!("kernel {} is not installed", facts.target.kernel));
    }
    if let Some(fault) = &facts.conf_fault {
        return LinkProof::unknown(link, fault);
    }
    let in_state = |state: State| facts.files.iter().filter(move |file| file.state == state);
    let missing: Vec<&File> = in_state(State::Missing).collect();
    if let (Some(directive), true) = (&facts.excluded, missing.len() == facts.files.len()) {
        return LinkProof::refuted(link, format!("dkms.conf excludes this kernel ({directive})"));
    }
    let other = facts.installed.as_ref().filter(|version| **version != facts.id.version);
    if let Some(version) = other {
        return LinkProof::refuted(link, format!("version {version} is installed")).remedy(install(facts));
    }
    if let Some(first) = missing.first() {
        let is_installed = facts.installed.is_some() || missing.len() < facts.files.len();
        let reason = match missing.len() {
            1 => format!("`{}` is not there", first.path.display()),
            more => format!("`{}` and {} more are not there", first.path.display(), more - 1),
        };
        let refuted = LinkProof::refuted(link, reason);
        return match &facts.headers_remedy {
            Some(remedy) if !is_installed => refuted.remedy(command_in(remedy)),
            _ if is_installed => refuted.remedy(reinstall(facts)),
            _ => refuted.remedy(install(facts)),
        };
    }
    if let Some(file) = in_state(State::Different).next() {
        let reason = format!("`{}` is not the file that was built", file.path.display());
        return LinkProof::refuted(link, reason).remedy(reinstall(facts));
    }
    if let Some(file) = in_state(State::Alone).next() {
        let reason =
            format!("`{}` is there, and what was built is gone: it cannot be compared", file.path.display());
        return LinkProof::unknown(link, reason).remedy(reinstall(facts));
    }
    let proven = LinkProof::proven(link);
    if facts.is_weak {
        proven.because("another kernel's build is linked there (weak-updates)")
    } else {
        proven
    }
}
