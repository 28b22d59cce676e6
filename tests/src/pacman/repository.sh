# Makes the packages of the pacman tests, with makepkg, in /srv/repo/{one,two}: two generations. Runs in a Debian system.
# /srv/kernels names the kernels: those of `linux` 1 and 2, and of `linux-lts`. All of it ends up below /export, so that it
# can be laid over other systems.
mkdir -p /srv/debs /srv/make /srv/packages /srv/repo/one /srv/repo/two /export/usr/src /export/usr/lib
cd /srv/debs

# take RELEASE HEADERS IMAGE: downloads the headers of a kernel of Debian, and what they share with others.
take() {
    apt download "$2" || return
    apt-cache depends "$2" | sed -n 's/^ *Depends: \(linux-headers-.*\|linux-kbuild-.*\)$/\1/p' >"$1.shared"
    # shellcheck disable=SC2046
    apt download $(cat "$1.shared")
}
take_all() { take "$@" && apt download "$3"; }
# fetch FLAVOUR TAKE: unpacks a kernel's headers to /srv/kernels.d/RELEASE, what they share where Debian has it.
fetch() {
    offers "$1" "$OWN" | newest 1 "$2" >found
    read -r release headers _ <found || return 0
    mkdir -p "/srv/kernels.d/$release"
    dpkg-deb --fsys-tarfile "${headers}_"*.deb | tar -xC "/srv/kernels.d/$release"
    while read -r package; do
        dpkg-deb --fsys-tarfile "${package}_"*.deb | tar -xC / --keep-directory-symlink
    done <"$release.shared"
    echo "$release" >>/srv/kernels
}
: >/srv/kernels
# One image is enough: nobody looks into it.
fetch cloud-amd64 take_all
image=$release
fetch amd64 take
enough 2 "cloud-amd64 and amd64" /srv/kernels
fetch rt-amd64 take
mkdir /srv/image
dpkg-deb --fsys-tarfile linux-image-*.deb | tar -xC /srv/image
rm -r /srv/debs

# make NAME VERSION: the package of what is in the folder /srv/packages/root.
make() {
    dir=/srv/make/$1-$2
    mkdir -p "$dir"
    cat >"$dir/PKGBUILD" <<EOF
pkgname=$1
pkgver=${2%-*}
pkgrel=${2#*-}
pkgdesc='A package of the tests'
arch=(any)
license=(GPL)
options=(!strip !debug !zipman emptydirs)
depends=($3)
conflicts=($4)
package() { cp -r --no-preserve=ownership /srv/packages/root/. "\$pkgdir"; }
EOF
    chown -R nobody "$dir"
    (cd "$dir" && runuser -u nobody -- env HOME=/tmp PKGDEST="$dir" PKGEXT=.pkg.tar.zst SRCDEST=/tmp SOURCE_DATE_EPOCH="$(date +%s)" \
        makepkg -d -f >/tmp/makepkg.log 2>&1) || { cat /tmp/makepkg.log; exit 1; }
    rm -r "$dir/pkg" "$dir/src" /srv/packages/root
    mkdir /srv/packages/root
    mv "$dir"/*.pkg.tar.zst /srv/packages
}

# kernel NAME VERSION RELEASE: as Arch lays it out.
kernel() {
    folder=/srv/packages/root/usr/lib/modules/$3
    mkdir -p "$folder"
    cp "/srv/image/boot/vmlinuz-$image" "$folder/vmlinuz"
    echo "$1" >"$folder/pkgbase"
    from=$(echo /srv/image/lib/modules/* /srv/image/usr/lib/modules/* | tr ' ' '\n' | grep "/$image\$")
    cp "$from/modules.order" "$from/modules.builtin" "$from/modules.builtin.modinfo" "$folder"
    mkdir -p "$folder/kernel"
    cp -r "$from/kernel/lib" "$folder/kernel"
    make "$1" "$2"
    folder=/srv/packages/root/usr/lib/modules/$3
    mkdir -p "$folder"
    cp -r "/srv/kernels.d/$3/usr/src/linux-headers-$3" "$folder/build"
    # These would lead out of the folder: Debian's own have them beside.
    for link in scripts tools; do
        shared=$(readlink -m "/usr/src/x/$(readlink "$folder/build/$link")")
        rm "$folder/build/$link"
        ln -s "$shared" "$folder/build/$link"
    done
    rm -f "$folder/build/.kernelvariables"
    make "$1-headers" "$2"
}

# module NAME VERSION [LINE-OF-CONF...]: a source tree; `pack` makes the package.
module() {
    name=$1 version=$2
    folder=/srv/packages/root/usr/src/$name-$version
    shift 2
    mkdir -p "$folder"
    {
        echo "PACKAGE_NAME=\"$name\""
        echo "PACKAGE_VERSION=\"$version\""
        echo "BUILT_MODULE_NAME[0]=\"$name\""
        echo 'DEST_MODULE_LOCATION[0]="/kernel/drivers/misc"'
        echo 'AUTOINSTALL="yes"'
        for line; do echo "$line"; done
    } >"$folder/dkms.conf"
    word=$(echo "$name" | tr - _)
    cat >"$folder/$name.c" <<EOF
#include <linux/module.h>
MODULE_LICENSE("GPL");
MODULE_VERSION("$version");
int ${word}_number(void);
int ${word}_number(void) { return 1; }
EOF
    echo "obj-m := $name.o" >"$folder/Makefile"
}
needs_aa() {
    module "$1" "$2" BUILD_DEPENDS=aa PRE_BUILD=see.sh
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nls /lib/modules/$kernelver/updates/dkms/aa.ko*\n' >"/srv/packages/root/usr/src/$1-$2/see.sh"
    chmod 755 "/srv/packages/root/usr/src/$1-$2/see.sh"
}

mkdir -p /srv/packages/root
kernel linux 1.0-1 "$(sed -n 1p /srv/kernels)"
kernel linux 2.0-1 "$(sed -n 2p /srv/kernels)"
lts=$(sed -n 3p /srv/kernels)
[ -z "$lts" ] || kernel linux-lts 1.0-1 "$lts"
module aa 1.0; make aa-dkms 1.0-1
module aa 2.0; make aa-dkms 2.0-1
needs_aa bb 1.0; make bb-dkms 1.0-1 aa-dkms
needs_aa bb 2.0; make bb-dkms 2.0-1 aa-dkms
module cc 1.0; make cc-dkms 1.0-1
module cc 1.0; echo 'int cc_more;' >>"/srv/packages/root/usr/src/cc-1.0/cc.c"; make cc-dkms 1.0-2
module cc 3.0 'MAKE="false"'; make cc-dkms 3.0-1
module bad 1.0; echo '#error "not for this kernel"' >>/srv/packages/root/usr/src/bad-1.0/bad.c; make bad-dkms 1.0-1
module ex-kernel 1.0 'BUILD_EXCLUSIVE_KERNEL="^2\.4"'
module ex-min 1.0 BUILD_EXCLUSIVE_KERNEL_MIN=99.0
module ex-max 1.0 BUILD_EXCLUSIVE_KERNEL_MAX=3.0
module ex-arch 1.0 BUILD_EXCLUSIVE_ARCH=s390x
module ex-config 1.0 BUILD_EXCLUSIVE_CONFIG=CONFIG_OF_NOBODY
make ex-dkms 1.0-1
module onlycloud 1.0 'BUILD_EXCLUSIVE_KERNEL="-cloud-"'; make onlycloud-dkms 1.0-1
module dd 1.0; make dd-dkms 1.0-1 '' cc-dkms
mkdir -p /srv/packages/root/usr/share/hello; echo hello >/srv/packages/root/usr/share/hello/hello; make hello 1.0-1
mkdir -p /srv/packages/root/usr/src/hello; echo hello >/srv/packages/root/usr/src/hello/hello; make hello 2.0-1

cd /srv/packages
rmdir root
for file in *.pkg.tar.zst; do
    case $file in
    aa-dkms-2* | bb-dkms-2* | cc-dkms-1.0-2* | cc-dkms-3* | linux-2* | linux-headers-2* | hello-2*) ;;
    *) ln "$file" /srv/repo/one ;;
    esac
    case $file in
    aa-dkms-1* | bb-dkms-1* | cc-dkms-1* | linux-1* | linux-headers-1* | hello-1*) ;;
    *) ln "$file" /srv/repo/two ;;
    esac
done
for repository in one two; do
    cd /srv/repo/$repository
    repo-add -q repo.db.tar.gz ./*.pkg.tar.zst >/tmp/repo-add.log 2>&1 || { cat /tmp/repo-add.log; exit 1; }
done
rm -rf /srv/make /srv/image /srv/kernels.d /var/lib/apt/lists/* /tmp/*
mv /srv /export
mv /usr/src/linux-headers-* /export/usr/src
mv /usr/lib/linux-kbuild-* /export/usr/lib
