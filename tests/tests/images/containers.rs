//! Containers that buildah builds, isolated by a chroot, as on builders that may not make namespaces.

use super::{builder, run};

/// `bud FOO`: builds the image `out` with this package; the key is a secret of the build.
const BUILD: &str = "
    cat >/tmp/Containerfile <<'Y'
FROM scratch
ADD system /
ADD ours /debs
ARG FOO
RUN mkdir -p /etc/dkms && touch /etc/dkms/no-autoinstall && dpkg --force-unsafe-io -i /debs/dkms.deb /debs/$FOO.deb >/dev/null && rm -r /debs
RUN --mount=type=secret,id=mok.key --mount=type=secret,id=mok.pub dkms bake
Y
    buildah() { command buildah --root /tmp/storage --runroot /tmp/storage-run --storage-driver overlay \"$@\"; }
    LIMITS='--ulimit nofile=20000:20000 --ulimit nproc=90000:90000'
    bud() {
        buildah bud --isolation chroot --network host $LIMITS --build-arg FOO=$1 \\
            --secret id=mok.key,src=keys/mok.pem --secret id=mok.pub,src=keys/mok.pub -t out -f /tmp/Containerfile /srv
    }";

#[test]
#[ignore = "full tier"]
fn buildah_bakes_with_a_key_that_is_a_secret_of_the_build() {
    let root = builder();
    run(
        &root,
        &format!(
            "{BUILD}
             bud foo
             container=$(buildah from $LIMITS out)
             image=$(buildah mount $container)
             proven $image
             # In a container of that image its modules are known, and there is nothing to do.
             inside() {{ buildah run --isolation chroot $container \"$@\"; }}
             inside dkms status | grep -c ': installed$' | grep -x 2
             cp $image/usr/lib/sysimage/dkms/manifest.json first
             inside dkms bake
             cmp first $image/usr/lib/sysimage/dkms/manifest.json
             hosted $image"
        ),
    );
}

#[test]
#[ignore = "full tier"]
fn buildah_ends_with_the_code_of_a_bake_that_fails() {
    let root = builder();
    run(
        &root,
        &format!(
            "{BUILD}
             fails 11 'no such thing' bud broken
             fails 30 nobody_has bud lost
             [ -z \"$(buildah images -q out 2>/dev/null)\" ]"
        ),
    );
}
