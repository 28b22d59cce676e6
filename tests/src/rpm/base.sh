# Runs in a fresh Debian root: makes of it what rpm and dnf take for a Fedora-like system, and a repository in /srv/repo with two
# kernels (packaged as Fedora packages them, from Debian's cloud kernels), their headers, and modules.
mkdir -p /usr/lib/python3/dist-packages/dnf-plugins /etc/rpm /srv/repo /srv/making /var/lib/dkms
echo '%_dbpath /var/lib/rpm' >/etc/rpm/macros
rm -rf /root/.rpmdb
printf 'ID=fedora\nVERSION_ID=1\nNAME=Test\n' >/etc/os-release.new
rm -f /etc/os-release
mv /etc/os-release.new /etc/os-release
cat >/etc/dnf/dnf.conf <<'END'
[main]
gpgcheck=0
installonly_limit=3
clean_requirements_on_remove=1
zchunk=0
[t]
name=t
baseurl=file:///srv/repo
END
mkdir -p /etc/dnf/vars
echo 1 >/etc/dnf/vars/releasever
rm -f /etc/yum.repos.d/*
cd /srv/making
# take RELEASE HEADERS IMAGE: downloads a kernel, with what its headers share.
take() {
    mkdir -p "/srv/making/got/$1" && cd "/srv/making/got/$1" && apt download "$2" "$3" || return
    for d in $(dpkg-deb -f "$2"_*.deb Depends | tr ',' '\n' | sed 's/ *(.*//; s/ //g' |
        grep -E '^linux-(headers-.*-common|kbuild-.*)$'); do
        apt download "$d" || return
    done
}
offers cloud-amd64 | newest 2 take >found
enough 1 cloud-amd64 found
while read -r k headers image; do
    cd "/srv/making/got/$k"
    for file in linux-*-common_*.deb linux-kbuild-*.deb; do
        # The parts that kernels share stay files of the system.
        [ ! -e "$file" ] || dpkg-deb -x "$file" /
    done
    cd /srv/making
    mkdir -p tree/boot
    mv "got/$k/$headers"_*.deb "got/$k/$image"_*.deb .
    dpkg-deb -x "$headers"_*.deb /srv/making/tree
    dpkg-deb -x "$image"_*.deb /srv/making/tree
    # Newer ones are in parts.
    for d in $(dpkg-deb -f "$image"_*.deb Depends | tr ',' '\n' | sed 's/ *(.*//; s/ //g' |
        grep -E "^linux-(base|binary|modules)-.*cloud"); do
        apt download "$d"
        dpkg-deb -x "$d"_*.deb /srv/making/tree
    done
    find tree -type f -path "*lib/modules/$k/vmlinuz" -exec cp {} "tree/boot/vmlinuz-$k" \;
    for f in config System.map; do
        find tree -type f -path "*lib/modules/$k/$f" -exec cp {} "tree/boot/$f-$k" \;
    done
    echo "$k" >>releases
done <found
if [ "$(wc -l <releases)" = 1 ]; then
    # A second kernel of the same headers, which calls itself otherwise.
    read -r k <releases
    k2=$(printf '%s' "$k" | sed 's/-cloud/-second/')
    cp -a "tree/usr/src/linux-headers-$k" "tree/usr/src/linux-headers-$k2"
    find tree -maxdepth 4 -name "$k" -path '*lib/modules*' | while read -r d; do cp -a "$d" "${d%/*}/$k2"; done
    for f in vmlinuz System.map config; do cp "tree/boot/$f-$k" "tree/boot/$f-$k2"; done
    grep -rlF "$k" "tree/usr/src/linux-headers-$k2" | xargs -r sed -i "s/$k/$k2/g"
    echo "$k2" >>releases
fi
sort -V releases >/srv/kernels
n=0
while read -r k; do
    n=$((n + 1))
    modules=$(find /srv/making/tree -maxdepth 4 -type d -path "*lib/modules/$k")
    headers=/srv/making/tree/usr/src/linux-headers-$k
    {
        cat <<END
%global debug_package %{nil}
%global __os_install_post %{nil}
%define _build_id_links none
%define _binary_payload w1.gzdio
AutoReqProv: no
Name: kernel-core
Version: 6.$n.0
Release: 1
Summary: A kernel
License: GPL-2.0-only
Provides: installonlypkg(kernel)
%description
Debian's $k.
%package -n kernel-devel
Summary: Headers of a kernel
AutoReqProv: no
Provides: installonlypkg(kernel)
%description -n kernel-devel
Debian's $k.
%install
m=%{buildroot}/lib/modules/$k
mkdir -p \$m/kernel/fs %{buildroot}/usr/src/kernels %{buildroot}/boot
cp $modules/modules.builtin* $modules/modules.order \$m/
cp -r $modules/kernel/fs/fat \$m/kernel/fs/
cp tree/boot/System.map-$k tree/boot/config-$k %{buildroot}/boot/
cp tree/boot/vmlinuz-$k \$m/vmlinuz
ln -s /usr/src/kernels/$k \$m/build
cp -a $headers %{buildroot}/usr/src/kernels/$k
for link in \$(find %{buildroot}/usr/src/kernels/$k -maxdepth 1 -type l); do
    ln -sfn "\$(realpath -m /usr/src/linux-headers-$k/"\$(readlink "\$link")")" "\$link"
done
%posttrans
[ ! -x /usr/bin/kernel-install ] || /usr/bin/kernel-install add $k /lib/modules/$k/vmlinuz || exit \$?
%post
depmod -a $k
%preun
[ ! -x /usr/bin/kernel-install ] || /usr/bin/kernel-install remove $k || exit \$?
%postun
for f in dep alias symbols softdep devname builtin; do rm -f /lib/modules/$k/modules.\$f*; done
rmdir /lib/modules/$k 2>/dev/null || :
%files
%dir /lib/modules/$k
/lib/modules/$k/vmlinuz
/lib/modules/$k/modules.*
/lib/modules/$k/build
/lib/modules/$k/kernel
/boot/*-$k
%files -n kernel-devel
/usr/src/kernels/$k
END
    } >kernel.spec
    rpmbuild --quiet -bb --define "_topdir /srv/making/rpm" --define "_rpmdir /srv/repo" --build-in-place kernel.spec \
        --define '_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' --target x86_64
done </srv/kernels
# Modules that are built already, for tests that are about something else.
while read -r k; do
    for version in 1.0 2.0; do
        mkdir -p "/srv/ready/$k/$version" /srv/making/ready
        cd /srv/making/ready
        rm -rf ./*
        for name in one two three; do
            printf '#include <linux/module.h>\nMODULE_LICENSE("GPL");\nMODULE_VERSION("%s");\n' "$version" >$name.c
            printf 'int %s_n(void);\nint %s_n(void) { return 1; }\n' "$name" "$name" >>$name.c
        done
        echo 'obj-m := one.o two.o three.o' >Makefile
        [ -d "/usr/src/linux-headers-$k" ] || cp -a "/srv/making/tree/usr/src/linux-headers-$k" /usr/src/
        make -s -C "/usr/src/linux-headers-$k" M="$PWD" modules
        cp ./*.ko "/srv/ready/$k/$version/"
    done
    rm -rf "/usr/src/linux-headers-$k"
done </srv/kernels
cd /srv/making
# What the system has as Debian's packages, rpm is to take for given.
{
    cat <<'END'
Name: base
Version: 1
Release: 1
Summary: What Debian's packages have
License: MIT
BuildArch: noarch
Provides: bash /bin/sh /usr/bin/sh /usr/bin/bash make gcc kmod patch elfutils-libelf-devel binutils coreutils rpm diffutils gzip xz findutils
Provides: /usr/bin/rpm /usr/sbin/depmod systemd
END
    for library in libc.so.6 libm.so.6 libgcc_s.so.1 ld-linux-x86-64.so.2; do
        echo "/lib/x86_64-linux-gnu/$library" | /usr/lib/rpm/elfdeps --provides | sed 's/^/Provides: /'
    done
    printf '%%description\nNothing.\n%%files\n'
} >base.spec
rpmbuild --quiet -bb --define '_topdir /srv/making/rpm' --define '_rpmdir /srv/making/base' base.spec
rpm --initdb
rpm -i /srv/making/base/noarch/base-1-1.noarch.rpm
cp /srv/making/base/noarch/base-1-1.noarch.rpm /srv/base.rpm
rm -rf /srv/making
createrepo_c -q /srv/repo
apt-get clean
