//! System extensions of built modules, and the index of what they bring.

use dkms_tests::apt;
use dkms_tests::cache::Cache;
use dkms_tests::fixture::Module;
use dkms_tests::ready::{PLACE, Ready};
use dkms_tests::root::Root;
use dkms_tests::setup::base;

use super::common::{hand_over, root};

/// foo/1.0 and bar/1.0, built for `$K`.
fn world() -> Root {
    let root = root().unwrap();
    Ready::compile(&Cache::open().unwrap(), root.kernels()).unwrap().put_into(&root).unwrap();
    for name in ["foo", "bar"] {
        let module = Module::new(name, "1.0").with(&format!("MAKE=\"cp {PLACE} {name}.ko\""));
        module.write_to(&root).unwrap();
        root.must(&format!("dkms build {name}/1.0 -k $K")).unwrap();
    }
    root.must("printf 'ID=debian\\nVERSION_ID=\"13\"\\n' >/etc/os-release").unwrap();
    root
}

#[test]
fn an_extension_has_the_modules_of_one_kernel_and_nothing_of_an_index() {
    let root = world();
    root.must("dkms mksysext -k $K foo; cp -a /var/lib/dkms/foo/1.0/sysext/foo-modules-$K /srv/a; sleep 1; umask 077; dkms mksysext -k $K foo/1.0").unwrap();
    root.must("diff -r /srv/a /var/lib/dkms/foo/1.0/sysext/foo-modules-$K; cd /srv; dkms mksysext -k $K; dkms status | grep -c 'foo\\|bar' | grep -x 2").unwrap();
    let first = &root.kernels().first;
    assert_eq!(
        root.must("cd /srv/dkms-modules-$K; find . -type f | sort; cat usr/lib/extension-release.d/*")
            .unwrap(),
        format!(
            "./usr/lib/extension-release.d/extension-release.dkms-modules-{first}\n./usr/lib/modules/{first}/updates/dkms/bar.ko\n\
             ./usr/lib/modules/{first}/updates/dkms/foo.ko\nID=debian\nVERSION_ID=13\nARCHITECTURE=x86-64\n"
        )
    );
    for (words, code) in [
        ("mksysext -k $K3 foo", 6),
        ("mksysext -k $K3", 6),
        ("mksysext -k $K none", 3),
        ("mksysext -k $K foo --archive /srv/x", 2),
        ("mksysext -k $K -k $K3 foo", 4),
    ] {
        assert_eq!(root.dkms(words).unwrap().code, code, "{words}");
    }
    // The program that would make an image is a stand-in: it shows what it is given.
    root.write(
        "/usr/local/sbin/mksquashfs",
        "#!/bin/sh\n(cd $1; find . -type f; shift 2; echo $*) >$2\n",
        0o755,
    )
    .unwrap();
    let image = root.must("PATH=/usr/local/sbin:$PATH; dkms mksysext -k $K foo --archive /srv/foo-$K.raw; cat /srv/foo-$K.raw").unwrap();
    assert!(
        image.contains(&format!("extension-release.foo-{first}\n")) && image.contains("-mkfs-time"),
        "{image}"
    );
}

#[test]
fn a_damaged_module_is_packed_by_nothing() {
    let root = world();
    root.must("for f in $(find /var/lib/dkms/bar -name 'bar.ko*'); do head -c 100 $f >/srv/cut; cat /srv/cut >$f; done").unwrap();
    let kernel = &root.kernels().first;
    for action in
        ["mksysext", "mkoci", "mktarball", "mkdeb", "mkbmdeb", "mkrpm", "mkdriverdisk --media tar -d redhat"]
    {
        for dry in ["", " --dry-run"] {
            let run = root.dkms(&format!("{action} -k $K bar/1.0{dry}")).unwrap();
            assert_eq!(run.code, 6, "{action}{dry}: {}", run.stderr);
            let names_all =
                format!("cannot pack bar/1.0 for {kernel}/x86_64: the built module `/var/lib/dkms/bar/1.0/");
            assert!(run.stderr.contains(&names_all), "{action}{dry}: {}", run.stderr);
            let hint = format!("build it again: `dkms build --force bar/1.0 -k {kernel}/x86_64`");
            assert!(run.stderr.contains(&hint), "{action}{dry}: {}", run.stderr);
        }
    }
    // The one that is whole is not held back by its neighbour.
    root.must("dkms mkoci -k $K foo/1.0; dkms mktarball --source-only bar/1.0").unwrap();
}

#[test]
fn in_an_image_hints_name_its_kernels() {
    let root = world();
    root.must("dkms unbuild foo/1.0 --all; dkms unbuild bar/1.0 --all; dkms add foo/1.0 || true").unwrap();
    let running = root.must("uname -r").unwrap();
    for action in ["mkoci", "mktarball", "mkbmdeb", "mksysext"] {
        let run = root.dkms(&format!("{action} foo/1.0")).unwrap();
        // An extension is for one kernel, and there are several.
        assert_eq!(run.code, if action == "mksysext" { 4 } else { 6 }, "{action}: {run:?}");
        assert!(!run.stderr.contains(running.trim()), "{action}: {run:?}");
    }
    root.must("rm -r /lib/modules; mkdir /lib/modules").unwrap();
    for action in ["mkoci", "mktarball", "mkbmdeb"] {
        let run = root.dkms(&format!("{action} foo/1.0")).unwrap();
        assert_eq!(run.code, 6, "{action}: {run:?}");
        assert!(run.stderr.contains("`dkms build foo/1.0 -k KERNEL`"), "{action}: {run:?}");
    }
    let run = root.dkms("uninstall foo/1.0").unwrap();
    assert!(run.code == 0 && !run.stdout.contains(running.trim()), "{run:?}");
    root.must("dkms remove foo/1.0; ! dkms status | grep foo").unwrap();
}

/// A small system in memory, with these programs of the big one: systemd's overlay and ours are as many as a
/// kernel stacks.
const SMALL: &str = r#"
mount --make-rshared /
mkdir -p /tmp/s; mount -t tmpfs x /tmp/s; mount --make-shared /tmp/s; R=/tmp/s; cd $R
mkdir -p usr/bin usr/lib proc sys dev run tmp var/tmp etc var/lib/extensions usr/lib/modules/$K/kernel
ln -s usr/bin bin; ln -s usr/bin sbin; ln -s bin usr/sbin; ln -s usr/lib lib; ln -s usr/lib lib64; ln -s lib usr/lib64
for p in sh ls cat mount umount mkdir rm chmod uname systemd-sysext depmod modinfo modprobe grep; do
    b=$(command -v $p); cp -L $b usr/bin/$p
    for l in $(ldd $b | grep -o '/[^ ]*'); do
        d=$(echo $l | sed 's|^/usr||; s|^/lib64/|/lib/|'); mkdir -p usr$(dirname $d); cp -L $l usr$d
    done
done
cp /etc/os-release etc/os-release; cp /etc/os-release usr/lib/os-release
mount -t proc p proc; mount -t sysfs s sys; mount -t tmpfs t run; mount --bind /dev dev
cp /srv/dkms-index usr/bin/; tar xf /srv/extensions.tar -C var/lib/extensions
cp /srv/intree.ko usr/lib/modules/$K/kernel/; touch usr/lib/modules/$K/modules.order usr/lib/modules/$K/modules.builtin usr/lib/modules/$K/modules.builtin.modinfo
chroot . depmod $K
cat >run/test <<'X'
set -eu
found() { for m in "$@"; do modprobe -n -v -S $K $m | grep "/$m.ko"; modinfo -k $K -n $m; done; }
! modprobe -q -n -S $K foo
systemd-sysext merge
! modprobe -q -n -S $K foo
dkms-index start $K
found foo bar intree
# Again is the same, and what was there comes back.
dkms-index start $K; found foo
dkms-index stop $K
! modprobe -q -n -S $K foo
found intree
[ ! -e /run/dkms-index/$K ]
systemd-sysext unmerge
dkms-index start $K
! grep dkms-index /proc/mounts
X
K=$K chroot . sh /run/test
"#;

#[test]
#[ignore = "full tier"]
fn systemd_merges_two_extensions_and_modprobe_finds_their_modules_and_the_kernels() {
    let made = world();
    let first = made.kernels().first.clone();
    made.must(&format!(
        "cd /srv; dkms mksysext -k $K foo; dkms mksysext -k $K bar; cp {PLACE} intree.ko
         tar cf extensions.tar -C /var/lib/dkms/foo/1.0/sysext . -C /var/lib/dkms/bar/1.0/sysext ."
    ))
    .unwrap();
    let cache = Cache::open().unwrap();
    let root = Root::of(&cache, &base(&cache, &apt::TRIXIE).unwrap(), &[]).unwrap();
    hand_over(&made, "/srv/extensions.tar", &root, "extensions.tar").unwrap();
    hand_over(&made, "/srv/intree.ko", &root, "intree.ko").unwrap();
    root.write("/srv/dkms-index", include_str!("../../../packaging/files/dkms-index"), 0o755).unwrap();
    root.write("/srv/small", &format!("set -eu\nK={first}\n{SMALL}"), 0o644).unwrap();
    let said = root.must("unshare -m sh /srv/small 2>&1").unwrap();
    for name in ["foo", "bar", "intree"] {
        assert!(said.contains(&format!("/{name}.ko")), "{said}");
    }
}
