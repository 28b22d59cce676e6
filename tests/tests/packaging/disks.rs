//! Driver disks, unpacked and held against what installers look for; their repositories read by dnf.

use anyhow::Result;
use dkms_tests::fixture::Module;
use dkms_tests::root::Root;

use super::common::root;

/// A root with foo/1.0 built for two kernels, of two modules of which one needs the other.
fn built() -> Result<Root> {
    let root = root()?;
    let mut module =
        Module::new("foo", "1.0").with("BUILT_MODULE_NAME[1]=abc").with("DEST_MODULE_LOCATION[1]=/updates");
    module.also.push(("abc".to_owned(), "1.0".to_owned()));
    module.write_to(&root)?;
    root.must("cd /usr/src/foo-1.0; echo 'MODULE_ALIAS(\"pci:v00001234d*\"); EXPORT_SYMBOL_GPL(foo_number);' >>foo.c")?;
    root.must("cd /usr/src/foo-1.0; echo 'int foo_number(void); int abc_more(void); int abc_more(void) { return foo_number(); }' >>abc.c")?;
    root.must("dkms add foo/1.0; dkms build foo/1.0 -k $K -k $K2")?;
    Ok(root)
}

/// Makes a disk as image and as archive, unpacks both to `/srv/disk`, and says what is on it. Made again
/// elsewhere, later and under another umask it is the same.
fn unpacked(root: &Root, words: &str) -> Result<String> {
    root.must(&format!(
        "exec 3>&1 >/dev/null; rm -rf /srv/*; dkms mkdriverdisk foo/1.0 {words}; dkms mkdriverdisk foo/1.0 {words} --media tar
         cd /var/lib/dkms/foo/1.0/driver_disk; mkdir /srv/disk /srv/mounted
         sha256sum * >/srv/sums; sleep 1; umask 077
         TZ=Asia/Tokyo dkms mkdriverdisk foo/1.0 {words} --archive /srv/foo-1.0-dd.iso
         dkms mkdriverdisk foo/1.0 {words} --media tar --archive /srv/foo-1.0-dd.tar
         cd /srv; sha256sum --quiet -c sums
         tar -C /srv/disk -xf foo-1.0-dd.tar; xorriso -osirrox on -indev foo-1.0-dd.iso -extract / mounted >/dev/null 2>&1
         blkid -o value -s LABEL foo-1.0-dd.iso | grep -qx OEMDRV
         diff -r disk mounted; ! find mounted -not -user root -o -type f -perm /0222 | grep .
         cd disk; find . -type f | sort >&3"
    ))
}

#[test]
fn a_disk_for_red_hats_installer_has_a_repository_that_dnf_reads() {
    let root = built().unwrap();
    let kernels = root.kernels().clone();
    let listed = unpacked(&root, "-d redhat --all").unwrap();
    let packages = root.must("cd /srv/disk; ls rpms/x86_64/*.rpm | wc -l; cat rhdd3").unwrap();
    assert_eq!(packages, "2\nfoo/1.0\n", "{listed}");
    for name in ["primary.xml.gz", "filelists.xml.gz", "other.xml.gz", "repomd.xml"] {
        assert!(listed.contains(&format!("./rpms/x86_64/repodata/{name}\n")), "{listed}");
    }
    // What Anaconda takes a package by.
    let provided = root.must("rpm -qp --provides /srv/disk/rpms/x86_64/*.rpm").unwrap();
    for kernel in [&kernels.first, &kernels.second] {
        assert!(provided.contains(&format!("kernel-modules = {kernel}\n")), "{provided}");
    }
    let dnf = "dnf -q --installroot=/srv/r --releasever=1 --disablerepo='*' --setopt=reposdir=/nowhere \
               --repofrompath=dd,file:///srv/disk/rpms/x86_64 --nogpgcheck";
    let found = root
        .must(&format!("mkdir -p /srv/r/etc; {dnf} repoquery --whatprovides 'modalias(pci:v00001234d*)'; {dnf} repoquery --requires 'kmod-foo-*'; {dnf} repoquery -l 'kmod-foo-*'"))
        .unwrap();
    for part in [
        format!("kmod-foo-{}-0:1.0-1.x86_64", kernels.first),
        format!("kernel-uname-r = {}", kernels.second),
        format!("/lib/modules/{}/extra/foo.ko", kernels.first),
    ] {
        assert!(found.contains(&part), "{part}: {found}");
    }
    // What dnf reads is what createrepo_c would have written.
    root.must(&format!(
        "cp -r /srv/disk/rpms/x86_64 /srv/theirs; rm -r /srv/theirs/repodata; createrepo_c -q /srv/theirs
         {dnf} repoquery --qf '%{{name}} %{{evr}} %{{arch}} %{{provides}} %{{requires}} %{{files}} %{{summary}} %{{license}} %{{size}} %{{installsize}}' >/srv/a
         {dnf} --repofrompath=dd,file:///srv/theirs --setopt=cachedir=/srv/c repoquery --qf '%{{name}} %{{evr}} %{{arch}} %{{provides}} %{{requires}} %{{files}} %{{summary}} %{{license}} %{{size}} %{{installsize}}' >/srv/b
         test -s /srv/a; diff /srv/a /srv/b"
    ))
    .unwrap();
}

#[test]
fn a_disk_for_suse_has_its_modules_in_order() {
    let root = built().unwrap();
    let listed = unpacked(&root, "-d suse -r 15.6 -k $K").unwrap();
    let kernel = root.kernels().first.clone();
    let package = format!("kmod-foo-{kernel}-1.0-1.x86_64.rpm");
    let place = "./linux/suse/x86_64-15.6";
    assert_eq!(
        listed,
        format!(
            "{place}/dud.config\n{place}/install/{package}\n{place}/modules/abc.ko\n{place}/modules/foo.ko\n{place}/modules/module.order\n"
        )
    );
    let order =
        root.must("cd /srv/disk/linux/suse/x86_64-15.6; cat modules/module.order dud.config").unwrap();
    assert!(order.starts_with("foo\nabc\nUpdateName: foo/1.0 for Linux"), "{order}");
    root.must(
        "cd /srv/disk/linux/suse/x86_64-15.6/modules; cmp foo.ko /var/lib/dkms/foo/1.0/$K/$A/module/foo.ko",
    )
    .unwrap();
}

#[test]
fn a_disk_for_ubuntu_has_packages_for_each_kernel() {
    let root = built().unwrap();
    let listed = unpacked(&root, "-d ubuntu -k $K -k $K2").unwrap();
    let (first, second) = (&root.kernels().first, &root.kernels().second);
    let line = |kernel: &str| format!("./ubuntu-drivers/{kernel}/foo-modules-{kernel}_1.0_amd64.deb\n");
    assert_eq!(listed, line(first) + &line(second));
    root.must("for f in /srv/disk/ubuntu-drivers/*/*.deb; do dpkg-deb -c $f | grep -q foo.ko; done").unwrap();
}

#[test]
fn what_no_disk_can_be_made_of_has_its_code_and_leaves_nothing() {
    let root = built().unwrap();
    root.must("mkdir /srv/small /srv/bin; mount -t tmpfs -o size=8k small /srv/small; head -c 4096 /dev/zero >/srv/small/full").unwrap();
    root.must("for p in sh env; do ln -s /bin/$p /srv/bin/; done").unwrap();
    let state = "find /srv /var/lib/dkms -not -path '*/.state*' | sort; ls -A /tmp";
    let before = root.must(state).unwrap();
    for (words, code) in [
        ("-k $K", 2),
        ("-d suse -k $K", 2),
        ("-d suse -r ../x -k $K", 2),
        ("-d suse -r 15.6 -k $K -k $K2", 2),
        ("-d minix -k $K", 2),
        ("-d redhat -k $K3", 6),
        ("-d redhat -k 9.9.9", 6),
        ("-d redhat -k $K --archive /srv/small/x.iso", 6),
        ("-d ubuntu -k $K --media tar --archive /srv/small/x.tar", 6),
        ("-d redhat -k $K --archive /proc/x.iso", 6),
        ("-d redhat -k $K --dry-run", 0),
    ] {
        let run = root.dkms(&format!("mkdriverdisk foo/1.0 {words}")).unwrap();
        assert_eq!(run.code, code, "{words}: {run:?}");
        assert_eq!(root.must(state).unwrap(), before, "{words} left something");
    }
    let run = root.shell(
        "PATH=/srv/bin $DKMS mkdriverdisk foo/1.0 -d redhat -k $K",
        dkms_tests::root::User::Root,
        "/",
    );
    let run = run.unwrap();
    assert!(run.code == 6 && run.stderr.contains("install the package `xorriso`"), "{run:?}");
    root.must("umount /srv/small").unwrap();
}
