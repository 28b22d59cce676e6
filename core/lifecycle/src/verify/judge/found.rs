//! modprobe finds the files, and all that they depend on.

use crate::host::process::quote;

use super::super::facts::{Facts, Index, State};
use super::super::proof::{Link, LinkProof};

pub(super) fn judge(facts: &Facts) -> LinkProof {
    let link = Link::Found;
    let kernel = &facts.target.kernel;
    let depmod = format!("depmod {kernel}");
    match facts.index {
        Index::There => {}
        Index::Missing => {
            return LinkProof::refuted(link, format!("kernel {kernel} has no modules.dep")).remedy(depmod);
        }
        Index::Coming => {
            let reason = format!("kernel {kernel} has no modules.dep yet: only its headers are installed");
            return LinkProof::unknown(link, reason);
        }
    }
    let files = || facts.files.iter().filter(|file| file.state != State::Missing);
    if let Some((file, other)) = files().find_map(|file| Some((file, file.shadowed_by.as_ref()?))) {
        let reason =
            format!("`{}` is never loaded: depmod prefers `{}`", file.path.display(), other.display());
        let this = quote(&other.display().to_string());
        return LinkProof::refuted(link, reason).remedy(format!("mv {this} {this}.shadowing && {depmod}"));
    }
    if let Some(file) = files().find(|file| !file.is_indexed) {
        let reason = format!("modules.dep of kernel {kernel} does not know `{}`", file.path.display());
        return LinkProof::refuted(link, reason).remedy(depmod);
    }
    if let Some((file, lost)) = files().find_map(|file| Some((file, file.lost.first()?))) {
        let reason = format!(
            "`{}` depends on `{lost}`, which modules.dep of kernel {kernel} does not lead to",
            file.path.display()
        );
        return LinkProof::refuted(link, reason).remedy(depmod);
    }
    LinkProof::proven(link)
}
