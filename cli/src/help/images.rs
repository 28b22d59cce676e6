//! The actions that make images.

use super::{BUILDING, CHANGING, Entry, KERNELS, MODULE};
use crate::action::Action;

/// Their entries.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    action: Action::Bake,
    forms: &["[M…]"],
    summary: "make modules part of an image: all of them on every kernel of it, or none",
    about: "The step of an image build that puts modules in. For every kernel of that system, or each of `-k`, every AUTOINSTALL module, \
            or those that are named, is built, installed and proven; the initramfs of a kernel that has one is remade. If a module is \
            missing for a kernel, what was done is taken out again and the command fails. Then `/usr/lib/sysimage/dkms/manifest.json` \
            says what there is; the dkms tree with its logs and keys does not stay.",
    options: &[
        MODULE,
        KERNELS,
        &["allow_missing", "keep_tree", "mok_key", "mok_certificate"],
        BUILDING,
        CHANGING,
    ],
    examples: &[
        ("dkms bake", "in a container build or a chroot"),
        ("dkms bake --root /mnt/image --mok-key ~/mok.pem", "signs with a key that the image does not have"),
        ("dkms bake foo/1.0 bar --allow-missing bar", "only these; without `bar`, if that does not build"),
    ],
    exits: &[1, 8, 11, 12, 16, 21, 30],
}];
