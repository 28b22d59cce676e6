//! A site without network: modules are built in one place, signed in a second one, and carried to machines
//! that build nothing.

use dkms_base::host::fs;
use dkms_tests::cache::Cache;
use dkms_tests::fixture::Module;
use dkms_tests::kernels::Kernels;
use dkms_tests::root::Root;
use dkms_tests::tool::Tool;

/// A machine of three, all with the same kernel.
fn machine() -> Root {
    let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
    Root::new(&cache, &kernels, &[&Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"))]).unwrap()
}

/// Carries the files of a folder to another machine.
fn carry(from: &Root, to: &Root, folder: &str) {
    for name in from.must(&format!("ls {folder}")).unwrap().lines() {
        let path = format!("{folder}/{name}");
        fs::create_dir_all(&to.view(folder)).unwrap();
        fs::write_whole(&to.view(&path), &fs::read(&from.view(&path)).unwrap(), 0o644).unwrap();
    }
}

#[test]
fn modules_are_carried_to_a_site_that_builds_nothing() {
    let (builder, signer, site) = (machine(), machine(), machine());
    for machine in [&builder, &site] {
        Module::new("foo", "1.0").write_to(machine).unwrap();
    }
    builder
        .must(
            "dkms build foo/1.0 -k $K; dkms mktarball foo/1.0 -k $K
             mkdir -p /media/kmods; mv /var/lib/dkms/foo/1.0/tarball/* /media/kmods/",
        )
        .unwrap();
    carry(&builder, &signer, "/media/kmods");
    signer
        .must(
            "dkms verify --rebuild /media/kmods/*
             cd /srv; openssl ecparam -name prime256v1 -genkey -noout -out site.key; mkdir /media/key
             openssl pkey -in site.key -pubout -out /media/key/site.pem
             dkms sign --key /srv/site.key /media/kmods/*",
        )
        .unwrap();
    carry(&signer, &site, "/media/key");
    carry(&builder, &site, "/media/kmods");
    // Without headers, and without the signature, which was made elsewhere.
    site.must(
        "rm /lib/modules/$K/build; mkdir /etc/dkms/trusted.d; cp /media/key/site.pem /etc/dkms/trusted.d/
         printf '%s\\n' 'prebuilt=\"file:/media/kmods\"' prebuilt_only=yes >>/etc/dkms/framework.conf
         dkms add foo/1.0",
    )
    .unwrap();
    let refused = site.dkms("autoinstall -k $K").unwrap();
    assert!(refused.code == 11 && refused.stderr.contains("not signed"), "{refused:?}");
    carry(&signer, &site, "/media/kmods");
    let taken = site.dkms("autoinstall -k $K").unwrap();
    assert!(taken.code == 0 && taken.stdout.contains("is taken from file:/media/kmods"), "{taken:?}");
    assert!(site.must("dkms status foo").unwrap().ends_with(": installed\n"));
    let same = "sha256sum </lib/modules/$K/updates/dkms/foo.ko";
    let built = "sha256sum </var/lib/dkms/foo/1.0/$K/$A/module/foo.ko";
    assert_eq!(site.must(same).unwrap(), builder.must(built).unwrap());
}
