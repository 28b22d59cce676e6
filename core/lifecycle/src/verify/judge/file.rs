//! What is read from the module files: whole, for this kernel, linked.

use super::super::facts::{Facts, File, State};
use super::super::proof::{Link, LinkProof};
use super::super::{Doubt, Fault};
use super::{as_root, command_in, rebuild};

pub(super) fn judge(facts: &Facts, link: Link) -> LinkProof {
    let files = || facts.files.iter().filter(|file| file.state != State::Missing);
    let name = |file: &File| file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let faults = files().flat_map(|file| file.faults.iter().map(move |fault| (file, fault)));
    if let Some((file, fault)) = faults.clone().find(|(_, fault)| fault.link() == link) {
        let mut reason = format!("`{}` {fault}", name(file));
        // That a kernel lends its build is nothing that the module's author could change.
        let (hints, asks) = match facts.is_weak {
            true => (vec!["another kernel's build is linked there (weak-updates)".to_owned()], None),
            false => (fault.hints(), facts.asks_for_running.as_ref()),
        };
        for hint in hints {
            reason.push_str("; ");
            reason.push_str(&hint);
        }
        if let Some(place) = asks.filter(|_| fault.is_for_another_release()) {
            reason.push_str(&format!("; {place} asks for the kernel that runs"));
        }
        let refuted = LinkProof::refuted(link, reason);
        return refuted.maybe(remedy(facts, fault));
    }
    // What is not whole tells nothing of the rest.
    if let Some((file, _)) = faults.clone().find(|(_, fault)| fault.link() == Link::Whole) {
        return LinkProof::unknown(link, format!("`{}` is not whole", name(file)));
    }
    let doubts = files().flat_map(|file| file.doubts.iter().map(move |doubt| (file, doubt)));
    let concerns = |doubt: &Doubt| doubt.link().is_none_or(|of| of == link);
    if let Some((file, doubt)) = doubts.into_iter().find(|(_, doubt)| concerns(doubt)) {
        let unknown = LinkProof::unknown(
            link,
            match doubt {
                Doubt::Unreadable(_) | Doubt::NoSums(_) | Doubt::NoKernel | Doubt::Namespaces { .. } => {
                    format!("`{}` {doubt}", name(file))
                }
                _ => doubt.to_string(),
            },
        );
        return unknown.maybe(match doubt {
            _ if doubt.is_for_root() => Some(as_root(facts)),
            Doubt::Unreadable(_) => Some(as_root(facts)),
            Doubt::NoSums(_) | Doubt::NoKernel => Some(rebuild(facts)),
            Doubt::Machine => None,
            Doubt::Vermagic | Doubt::Exports(_) | Doubt::Namespaces { .. } => {
                facts.headers_remedy.as_ref().map(|remedy| command_in(remedy).to_owned())
            }
        });
    }
    LinkProof::proven(link)
}

/// The command that helps, if building again does.
fn remedy(facts: &Facts, fault: &Fault) -> Option<String> {
    match fault {
        Fault::GplOnly { .. } | Fault::Namespaces { .. } => None,
        Fault::UnknownSymbols { exporters, .. } => match exporters.first() {
            Some((_, exporter)) => Some(format!("dkms install {exporter} {}", super::on(facts))),
            None => Some(format!("dkms log {} {}", facts.id, super::on(facts))),
        },
        _ => Some(rebuild(facts)),
    }
}
