//! The images that the kernel boots with hold these very files, if they hold or need them.

use super::super::facts::{Facts, Holds, Image};
use super::super::proof::{Link, LinkProof};
use super::as_root;

pub(super) fn judge(facts: &Facts) -> LinkProof {
    let link = Link::Boot;
    if facts.images.is_empty() {
        return LinkProof::proven(link).because("the kernel has no initramfs");
    }
    let anew = || facts.images_command.clone();
    let find = |holds: fn(&Holds) -> bool| facts.images.iter().find(|image| holds(&image.holds));
    if let Some(Image { path, holds: Holds::Others(names) }) = find(|holds| matches!(holds, Holds::Others(_)))
    {
        let reason = format!(
            "`{}` holds another build of {} than is installed; the one in it is loaded at boot",
            path.display(),
            names.join(", ")
        );
        return LinkProof::refuted(link, reason).maybe(anew());
    }
    if let Some(image) = find(|holds| *holds == Holds::Older) {
        let before = format!("`{}` was made before the module was installed", image.path.display());
        if facts.is_needed_at_boot {
            return LinkProof::refuted(link, format!("{before}, which needs to be in it (REMAKE_INITRD)"))
                .maybe(anew());
        }
        if facts.made_without_modules {
            return LinkProof::unknown(link, format!("{before}; whether it should hold it is not known"))
                .maybe(anew());
        }
    }
    if let Some(Image { path, holds: Holds::Unreadable { why, is_denied } }) =
        find(|holds| matches!(holds, Holds::Unreadable { .. }))
    {
        let unknown = LinkProof::unknown(link, format!("`{}` cannot be read: {why}", path.display()));
        return if *is_denied { unknown.remedy(as_root(facts)) } else { unknown.maybe(anew()) };
    }
    LinkProof::proven(link)
}
