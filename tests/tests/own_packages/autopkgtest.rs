//! `dkms-autopkgtest`, with real packages: what passes, what is ruled out, what fails, and
//! what can't be tested.

use dkms_base::host::fs;
use dkms_tests::cache::{Cache, Oracle};
use dkms_tests::debs;
use dkms_tests::fixture::Module;
use dkms_tests::root::User;

#[test]
fn modules_of_packages_are_built_for_each_kernel() {
    let cache = Cache::open().unwrap();
    let root = debs::debian(&cache, Oracle::Bookworm).unwrap();
    debs::ours(&cache, env!("CARGO_BIN_EXE_dkms-under-test")).unwrap().put_into(&root).unwrap();
    root.must("dpkg -i /srv/ours/*.deb 2>&1").unwrap();
    // v4l2loopback rules cloud kernels out.
    for package in ["lime-forensics-dkms", "bbswitch-dkms", "v4l2loopback-dkms"] {
        let folder = cache.package("bookworm", package);
        let entries = fs::list(&folder).unwrap();
        let deb = entries.iter().find(|entry| entry.name.to_string_lossy().ends_with(".deb")).unwrap();
        let bytes = fs::read(&folder.join(&deb.name)).unwrap();
        fs::create_dir_all(&root.view("/srv/modules")).unwrap();
        fs::write_whole(&root.view(&format!("/srv/modules/{package}.deb")), &bytes, 0o644).unwrap();
        root.must(&format!("dpkg -i --force-depends /srv/modules/{package}.deb 2>&1; rm -r /srv/modules"))
            .unwrap();
    }
    let test = |words: &str| {
        root.shell(&format!("/usr/lib/dkms/dkms-autopkgtest {words}"), User::Root, "/").unwrap()
    };
    let run = test("dm-writeboost-dkms lime-forensics-dkms bbswitch-dkms");
    assert_eq!((run.code, run.stdout.matches("PASS: ").count()), (0, 3), "{run:?}");
    let run = test("v4l2loopback-dkms");
    assert!(run.code == 77 && run.stdout.contains("SKIP: v4l2loopback/"), "{run:?}");
    let run = test("no-such-dkms coreutils");
    assert!(run.code == 77 && run.stdout.contains("SKIP"), "{run:?}");
    // As autopkgtest calls it: in the source's folder, without names.
    root.must("mkdir -p /srv/src/debian; printf 'Source: x\\n\\nPackage: lime-forensics-dkms\\n' >/srv/src/debian/control").unwrap();
    let run = root.shell("/usr/lib/dkms/dkms-autopkgtest", User::Root, "/srv/src").unwrap();
    assert!(run.code == 0 && run.stdout.contains("PASS: lime-forensics/"), "{run:?}");

    Module::new("bad", "1.0").write_below(&root, "/srv/pkg/usr/src/bad-1.0").unwrap();
    root.must(
        "cd /srv/pkg; echo '#error no good' >>usr/src/bad-1.0/bad.c; mkdir DEBIAN
         printf '%s\\n' 'Package: bad-dkms' 'Version: 1' 'Architecture: all' 'Maintainer: a <a@b.c>' 'Description: x' >DEBIAN/control
         dpkg-deb -b . ../bad.deb; dpkg -i ../bad.deb",
    )
    .unwrap();
    let run = test("lime-forensics-dkms bad-dkms");
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.contains("FAIL: bad/1.0") && run.stdout.contains("no good"), "{run:?}");
    assert!(run.stdout.contains("PASS: lime-forensics/"), "{run:?}");
    root.must("rm /lib/modules/*/build").unwrap();
    let run = test("lime-forensics-dkms");
    assert!(run.code == 77 && run.stdout.contains("headers"), "{run:?}");
}
