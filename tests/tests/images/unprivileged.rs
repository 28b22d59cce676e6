//! A user without rights builds an image of their own in a user namespace that maps them to root, and
//! nobody else.

use super::{builder, run};

#[test]
#[ignore = "full tier"]
fn a_user_bakes_in_a_namespace_in_which_only_they_are_mapped() {
    let root = builder();
    run(
        &root,
        "image image foo
         image broken broken
         chown -R nobody:nogroup /srv/image /srv/broken /srv/keys
         chmod 755 /srv
         user() { setpriv --reuid=nobody --regid=nogroup --clear-groups --no-new-privs env HOME=/tmp \"$@\"; }
         user unshare --user --map-root-user dkms bake --root /srv/image --mok-key /srv/keys/mok.pem
         proven image
         # Root refuses the tree as long as its files belong to another user.
         chown -R root:root image; hosted image
         fails 11 'no such thing' user unshare --user --map-root-user dkms bake --root /srv/broken
         [ -z \"$(find broken/usr/lib/modules broken/usr/lib/sysimage -name 'foo.ko*' -o -name manifest.json)\" ]",
    );
}

#[test]
#[ignore = "full tier"]
fn two_images_of_the_same_input_are_the_same_whoever_makes_them() {
    let root = builder();
    run(
        &root,
        "image one foo; image two foo
         chown -R nobody:nogroup /srv/two /srv/keys; chmod 755 /srv
         dkms bake --root one --mok-key keys/mok.pem
         hostname elsewhere; sleep 1; touch two/usr/src/foo-1.0/*
         setpriv --reuid=nobody --regid=nogroup --clear-groups unshare --user --map-root-user dkms bake --root two --mok-key /srv/keys/mok.pem -j1
         contents() { (cd $1; find usr/lib/modules usr/lib/sysimage usr/src/foo-1.0 etc/dkms -type f ! -path '*/kernel/*' | sort | xargs sha256sum); }
         contents one >first; contents two >second; grep -c foo.ko first | grep -x 2
         cmp first second",
    );
}
