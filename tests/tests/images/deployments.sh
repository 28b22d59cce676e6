# shellcheck shell=dash
# Two trees with a kernel each, baked and deployed side by side; then each as it runs. Stands after images.sh.
OS=/tmp/sysroot
mkdir $OS
ostree admin init-fs $OS
ostree admin os-init --sysroot=$OS debian
ostree --repo=$OS/ostree/repo config set sysroot.bootloader none
for which in 1 2; do
    tree=deployed$which
    image $tree foo
    keep=$(find $tree/usr/lib/modules -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | sed -n ${which}p)
    find $tree/usr/lib/modules -mindepth 1 -maxdepth 1 ! -name "$keep" -exec rm -r {} +
    dkms bake --root $tree --mok-key keys/mok.pem
    proven $tree
    cp "$tree/boot/vmlinuz-$keep" "$tree/usr/lib/modules/$keep/vmlinuz"
    # What ostree wants of a tree.
    mv $tree/etc $tree/usr/etc
    rm -rf "${tree:?}/var" "${tree:?}/boot" "${tree:?}/dev"
    mkdir $tree/var $tree/boot $tree/dev $tree/sysroot
    ostree --repo=$OS/ostree/repo commit --branch=debian/$which --subject="$keep" --tree=dir=$tree >/dev/null
    ostree admin deploy --sysroot=$OS --os=debian --retain --karg=root=none debian/$which
done
[ "$(find $OS/ostree/deploy/debian/deploy -maxdepth 1 -name '*.0' | wc -l)" = 2 ]
for deployment in "$OS"/ostree/deploy/debian/deploy/*.0; do
    # As when it is booted: a /var that both share.
    mount --bind $OS/ostree/deploy/debian/var "$deployment/var"
    hosted "$deployment"
done
# No module is in what they share; `.state` is what commands remember.
[ -z "$(ls $OS/ostree/deploy/debian/var/lib/dkms)" ]
