# Two trees with a kernel each, baked and deployed side by side; then each as it runs. Stands after images.sh.
OS=/tmp/sysroot
mkdir $OS
ostree admin init-fs $OS
ostree admin os-init --sysroot=$OS farm
ostree --repo=$OS/ostree/repo config set sysroot.bootloader none
for which in 1 2; do
    tree=deployed$which
    image $tree foo
    keep=$(ls $tree/usr/lib/modules | sed -n ${which}p)
    for kernel in $(ls $tree/usr/lib/modules); do [ $kernel = $keep ] || rm -r $tree/usr/lib/modules/$kernel; done
    dkms bake --root $tree --mok-key keys/mok.pem
    proven $tree
    cp $tree/boot/vmlinuz-$keep $tree/usr/lib/modules/$keep/vmlinuz
    # What ostree wants of a tree.
    mv $tree/etc $tree/usr/etc
    rm -rf $tree/var $tree/boot $tree/dev; mkdir $tree/var $tree/boot $tree/dev $tree/sysroot
    ostree --repo=$OS/ostree/repo commit --branch=farm/$which --subject=$keep --tree=dir=$tree >/dev/null
    ostree admin deploy --sysroot=$OS --os=farm --retain --karg=root=none farm/$which
done
[ $(ls -d $OS/ostree/deploy/farm/deploy/*.0 | wc -l) = 2 ]
for deployment in $OS/ostree/deploy/farm/deploy/*.0; do
    # As when it is booted: a /var that both share.
    mount --bind $OS/ostree/deploy/farm/var $deployment/var
    hosted $deployment
done
# No module is in what they share; `.state` is what commands remember.
[ -z "$(ls $OS/ostree/deploy/farm/var/lib/dkms)" ]
