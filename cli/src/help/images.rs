//! The actions that make images.

use super::{BUILDING, CHANGING, Entry, KERNELS, MODULE};
use crate::action::Action;

/// Their entries.
pub(super) const ENTRIES: &[Entry] = &[Entry {
    action: Action::Bake,
    forms: &["[M…]"],
    summary: "add modules to a system image: all of them for each of its kernels, or none",
    about: "The step of an image build that adds modules to the image. Builds and installs every AUTOINSTALL module, or those that are \
            named, for every kernel of the image, or for each kernel of `-k`. It checks that the kernels will load them, and remakes \
            each existing initramfs; with `remake_initrd=no` in framework.conf an initramfs stays as it is. If a module is missing for a \
            kernel, or a kernel would not load it, everything is undone and the command fails. In the end \
            `/usr/lib/sysimage/dkms/manifest.json` lists the modules, and the dkms tree with its logs and keys is deleted.",
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
        (
            "dkms bake foo/1.0 bar --allow-missing bar",
            "only these two; goes on without `bar` if that cannot be built",
        ),
    ],
    exits: &[1, 8, 11, 12, 16, 21, 30],
}];
