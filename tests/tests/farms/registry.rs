//! Images in a registry: what skopeo pushes comes back unchanged, oras and buildah take the modules out.

use super::{beside_registry, with_image};

#[test]
#[ignore = "full tier"]
fn a_registry_gives_an_image_back_unchanged_under_a_tag_that_it_takes() {
    let root = with_image();
    let said = beside_registry(
        &root,
        "T=$(tag image 0)
         case $T in *[+~]*) echo \"$T is no tag\"; exit 1 ;; esac
         push image $T foo; pull foo $T back
         diff -r image/blobs back/blobs
         cmp image/oci-layout back/oci-layout
         [ $(digest image 0) = $(digest back 0) ]
         # Again, and by another program: the same.
         dkms mkoci foo/1.0~rc1+git -k $K --archive /srv/again.tar
         oras copy --from-oci-layout again.tar:$T --to-plain-http $R/other:$T
         oras manifest fetch --plain-http $R/other:$T >manifest
         cmp manifest $(blob image $(digest image 0))
         jq -r '.annotations | .[\"org.dkms.module\"], .[\"org.dkms.version\"], .[\"org.dkms.kernel\"]' manifest
         oras repo tags --plain-http $R/foo",
    );
    let kernel = root.read("/etc/kernel-of-farm").unwrap();
    let names = format!("foo\n1.0~rc1+git\n{kernel}1.0_rc1_git-{}", kernel.replace(['+', '~'], "_"));
    assert!(said.ends_with(&names), "{said}");
}

#[test]
#[ignore = "full tier"]
fn oras_and_buildah_take_the_modules_out_of_an_image() {
    let root = with_image();
    let said = beside_registry(
        &root,
        "push image $(tag image 0) foo
         cp /var/lib/dkms/foo/*/$K/x86_64/module/foo.ko* built
         in=usr/lib/modules/$K/updates/dkms

         mkdir pulled; oras pull --plain-http -o pulled $R/foo:$(tag image 0)
         ls pulled
         tar xf pulled/foo-1.0~rc1+git.tar.gz -C pulled; cmp built pulled/$in/foo.ko*

         # A layer over a system, and no isolation that needs more than a chroot.
         buildah() { command buildah --root /tmp/storage --storage-driver overlay \"$@\"; }
         mkdir context base base/lib; cp -a /lib/modules base/lib/
         for from in $R/foo:$(tag image 0) oci:/srv/image:$(tag image 0); do
             printf 'FROM scratch\\nADD base /\\nCOPY --from=%s / /\\n' $from >Containerfile
             buildah bud -q --isolation chroot --tls-verify=false --network host --ulimit nofile=20000:20000 --ulimit nproc=90000:90000 -t out -f Containerfile /srv
             root=$(buildah mount $(buildah from out))
             cmp built $root/$in/foo.ko*
             [ \"$(find $root/usr -type f)\" = \"$(echo $root/$in/foo.ko*)\" ]
             buildah rm -a
         done",
    );
    assert!(said.contains("\nfoo-1.0~rc1+git.tar.gz\n"), "{said}");
}

#[test]
#[ignore = "full tier"]
fn an_image_that_was_changed_is_refused_on_its_way_and_by_us() {
    let root = with_image();
    beside_registry(
        &root,
        "openssl ecparam -name prime256v1 -genkey -noout -out p.key
         mkdir /etc/dkms/trusted.d; openssl pkey -in p.key -pubout -out p.pub; cp p.pub /etc/dkms/trusted.d/p.pem
         dkms sign --key p.key image; dkms verify image
         layer=$(jq -r '.layers[0].digest' $(blob image $(digest image 0)))
         flip() { printf x | dd of=$1 bs=1 seek=100 conv=notrunc 2>/dev/null; }
         refute() { code=0; dkms verify image >said 2>&1 || code=$?; cat said; [ $code = 30 ]; grep -q 'other contents' said; }
         flipped() { cp $(blob image $1) whole; flip $(blob image $1); refute; }
         flipped $layer
         refused push image $(tag image 0) foo
         cp whole $(blob image $layer)
         # skopeo takes a manifest as it is: then it has another digest, of which there is no signature.
         flipped $(digest image 0)
         push image $(tag image 0) foo; push image $(tag image 1) foo
         refused checked p.pub $(tag image 0) | grep 'no signatures found'
         cp whole $(blob image $(digest image 0))
         dkms verify image
         push image $(tag image 0) foo
         checked p.pub $(tag image 0)
         # In the registry's own storage.
         flip registry/docker/registry/v2/blobs/sha256/$(echo ${layer#sha256:} | cut -c1-2)/${layer#sha256:}/data
         mkdir got
         refused pull foo $(tag image 0) got/back
         refused oras pull --plain-http -o got $R/foo:$(tag image 0)",
    );
}
