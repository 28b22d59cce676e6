//! The recipe for mmdebstrap: a hook bakes at the end of the build, or fails it.

use super::{builder, run};

/// `build SUITE FILE`: as docs/images.md has it, with a local repository. `$KERNELS` are packages.
const BUILD: &str = "
    (cd ours; mkdir ../repository; cp dkms.deb foo.deb ../repository; cd ../repository; apt-ftparchive packages . >Packages)
    build() {
        mmdebstrap --quiet --hook-dir=/usr/share/mmdebstrap/hooks/file-mirror-automount --dpkgopt=force-unsafe-io \\
            --variant=minbase --include=$KERNELS,dkms,foo-dkms \\
            --essential-hook='mkdir -p \"$1/etc/dkms\" && touch \"$1/etc/dkms/no-autoinstall\"' \\
            --customize-hook='dkms bake --root \"$1\" --mok-key /srv/keys/mok.pem && rm \"$1/etc/dkms/no-autoinstall\"' $1 $2 \\
            \"deb [trusted=yes] copy:/srv/mirror/$1 $1 main\" 'deb [trusted=yes] copy:/srv/repository ./'
    }
    unpacked() { mkdir $1; tar xf $1.tar -C $1 --exclude='./dev/*'; }";

#[test]
#[ignore = "full tier"]
fn a_hook_of_mmdebstrap_bakes_for_both_kernels_of_debian_13() {
    let root = builder();
    run(
        &root,
        &format!(
            "{BUILD}
             KERNELS=$(cd mirror/trixie/pool; ls | sed -n 's/_.*//; /^linux-image-[0-9].*-cloud-amd64$/p; /^linux-headers-.*-cloud-amd64$/p' | tr '\\n' , | sed 's/,$//')
             build trixie image.tar
             unpacked image; rm image.tar
             [ $(ls image/usr/lib/modules | wc -l) = 2 ]
             proven image; hosted image"
        ),
    );
}

#[test]
#[ignore = "full tier"]
fn a_hook_of_mmdebstrap_bakes_the_same_debian_12_each_time() {
    let root = builder();
    run(
        &root,
        &format!(
            "{BUILD}
             export SOURCE_DATE_EPOCH=1750000000
             KERNELS=linux-image-cloud-amd64,linux-headers-cloud-amd64
             build bookworm image.tar
             build bookworm again.tar
             cmp image.tar again.tar
             rm again.tar; unpacked image; rm image.tar
             proven image; hosted image"
        ),
    );
}

#[test]
#[ignore = "full tier"]
fn a_hook_that_can_not_bake_everything_fails_mmdebstrap_and_says_why() {
    let root = builder();
    // A build whose packages are installed already: what the hook does to the rest is the same.
    run(
        &root,
        "build() {
             image $1 $2
             mmdebstrap --quiet --variant=custom --skip=update,setup --setup-hook=\"cp -a /srv/$1/. \\\"\\$1\\\"/\" \\
                 --customize-hook=\"$3\" --customize-hook='dkms bake --root \"$1\"; code=$?; echo \"bake: $code\"; exit $code' trixie $1.tar
         }
         K=$(ls system/usr/lib/modules | head -n 1)
         fails 25 'foo/1.0' build one broken true; grep 'bake: 11' /tmp/said; grep 'no such thing' /tmp/said
         fails 25 \"$K\" build two foo \"rm \\\"\\$1\\\"/lib/modules/$K/build\"; grep 'bake: 21' /tmp/said; grep headers /tmp/said
         fails 25 'nobody_has' build three lost true; grep 'bake: 30' /tmp/said
         [ ! -s one.tar ] && [ ! -s two.tar ] && [ ! -s three.tar ]",
    );
}
