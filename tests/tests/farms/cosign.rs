//! Signatures of images: cosign accepts ours, we accept cosign's, and both refuse what is changed.

use super::{beside_registry, with_image};

/// Two keys of P-256, neither of which is trusted yet.
const KEYS: &str = "
    for name in p q; do
        openssl ecparam -name prime256v1 -genkey -noout -out $name.key
        openssl pkey -in $name.key -pubout -out $name.pub
    done
    mkdir -p /etc/dkms/trusted.d
    S=$(digest image 0 | tr : -).sig
    T=$(tag image 0)";

#[test]
#[ignore = "full tier"]
fn cosign_accepts_what_dkms_has_signed_and_refuses_what_it_has_not() {
    let root = with_image();
    let said = beside_registry(
        &root,
        &format!(
            "{KEYS}
             push image $T foo
             refused checked p.pub $T | grep 'no signatures found'
             dkms sign --key p.key image
             [ $(tag image 1) = $S ]
             push image $S foo
             checked p.pub $T
             refused checked q.pub $T | grep 'no matching signatures'
             cosign verify --key p.pub --insecure-ignore-tlog --local-image image
             # Both keys, one beside the other.
             dkms sign --key q.key image; push image $S foo
             checked p.pub $T; checked q.pub $T
             # The image of another build under the same tag, with the signatures of the first.
             echo 'MODULE_INFO(other, \"build\");' >>/usr/src/foo-1.0~rc1+git/foo.c
             dkms build --force foo/1.0~rc1+git -k $K; dkms mkoci foo/1.0~rc1+git -k $K --archive /srv/other.tar
             mkdir other; tar xf other.tar -C other
             [ $(digest image 0) != $(digest other 0) ]
             push other $T foo
             refused checked p.pub $T | grep 'no signatures found'
             skopeo copy -q --preserve-digests --dest-tls-verify=false oci:image:$S docker://$R/foo:$(digest other 0 | tr : -).sig
             refused checked p.pub $T | grep 'no matching signatures'"
        ),
    );
    assert!(said.contains("The signatures were verified against the specified public key"), "{said}");
}

#[test]
#[ignore = "full tier"]
fn dkms_accepts_what_cosign_has_signed_and_refuses_what_it_has_not() {
    let root = with_image();
    let said = beside_registry(
        &root,
        &format!(
            "{KEYS}
             cosign generate-key-pair
             code() {{ want=$1; shift; code=0; \"$@\" || code=$?; [ $code = $want ]; }}
             push image $T foo
             cosign sign -y --key cosign.key --tlog-upload=false --allow-insecure-registry $R/foo@$(digest image 0)
             pull foo $T back; cp cosign.pub /etc/dkms/trusted.d/; code 30 dkms verify back
             pull foo $S back; dkms verify back
             # As cosign itself takes it out of a registry.
             cosign save --allow-insecure-registry --dir saved $R/foo:$T; dkms verify saved
             # Ours beside it.
             dkms sign --key p.key back; push back $S foo; checked cosign.pub $T; checked p.pub $T
             # Another key, and a signature of which a byte is another one.
             mv /etc/dkms/trusted.d/cosign.pub .; cp q.pub /etc/dkms/trusted.d/; code 30 dkms verify saved
             mv cosign.pub /etc/dkms/trusted.d/; dkms verify saved
             signatures=$(digest saved 1)
             jq '.layers[0].annotations[\"dev.cosignproject.cosign/signature\"] |= .[:20] + (if .[20:21] == \"A\" then \"B\" else \"A\" end) + .[21:]' $(blob saved $signatures) >changed
             new=$(sha256sum changed | cut -d' ' -f1); mv changed saved/blobs/sha256/$new
             jq \".manifests[1] |= (.digest = \\\"sha256:$new\\\" | .size = $(stat -c %s saved/blobs/sha256/$new))\" saved/index.json >changed; mv changed saved/index.json
             code 30 dkms verify saved
             refused cosign verify --key /etc/dkms/trusted.d/cosign.pub --insecure-ignore-tlog --local-image saved"
        ),
    );
    assert!(said.contains("`/etc/dkms/trusted.d/cosign.pub`"), "{said}");
    assert!(said.contains("saved: sha256:"), "an image without a tag: {said}");
}
