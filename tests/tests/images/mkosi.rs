//! mkosi, with the recipe's script.

use super::{builder, run};

/// `mkosi_of FOO NAME`: a folder NAME, of a tree in which dkms and this package are installed. mkosi
/// reads all that is in a tree, devices too.
const BUILD: &str = "
    mkdir /tmp/build; cd /tmp/build
    printf '#!/bin/sh\\ndkms bake --mok-key \"$SRCDIR/keys/mok.pem\"\\n' >mkosi.postinst.chroot
    chmod 755 mkosi.postinst.chroot
    mkosi_of() {
        (cd /srv; image tree-$2 $1); rm -r /srv/tree-$2/dev; mkdir /srv/tree-$2/dev
        mkosi --force --workspace-dir /tmp --distribution debian --release trixie --format directory --output $2 \\
            --base-tree /srv/tree-$2 --local-mirror file:///srv/mirror/trixie --repository-key-check=no --bootable=no \\
            --build-sources /srv/keys:keys build
    }";

#[test]
#[ignore = "full tier"]
fn mkosi_bakes_in_a_script_of_the_image() {
    let root = builder();
    run(
        &root,
        &format!(
            "{BUILD}
             mkosi_of foo image; proven image; hosted image
             fails 11 'no such thing' mkosi_of broken other
             [ ! -e other ]"
        ),
    );
}
