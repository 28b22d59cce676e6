//! Hosts that take modules which another machine has built: what is taken from a folder, and what is not.

use dkms_tests::fixture::Module;
use dkms_tests::root::{Output, Root};
use serde_json::Value;

use super::common::root;

/// `/srv/made` has foo/1.0 for `$K`; the key p is trusted, the host has no headers, and nothing is built.
fn world() -> Root {
    let root = root().unwrap();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    root.must(
        "dkms build foo/1.0 -k $K; dkms mktarball foo/1.0 -k $K
         mkdir -p /srv/kmods /srv/made /etc/dkms/trusted.d; mv /var/lib/dkms/foo/1.0/tarball/* /srv/made
         cd /srv; for k in p q; do openssl ecparam -name prime256v1 -genkey -noout -out $k.key; openssl pkey -in $k.key -pubout -out $k.pem; done
         cp p.pem /etc/dkms/trusted.d/; dkms unbuild foo/1.0 -k $K; mv /lib/modules/$K/build /srv/build
         echo 'prebuilt=\"file:/srv/kmods\"' >/etc/dkms/framework.conf",
    )
    .unwrap();
    root
}

/// Signs what was made, and puts it into the place.
fn publish(root: &Root, key: &str, when: &str) {
    root.must(&format!(
        "cp /srv/made/* /srv/kmods; for f in /srv/kmods/*; do SOURCE_DATE_EPOCH={when} dkms sign --key /srv/{key}.key $f; done"
    ))
    .unwrap();
}

fn build(root: &Root) -> Output {
    root.dkms("build foo/1.0 -k $K").unwrap()
}

fn is_built(root: &Root) -> bool {
    root.must("dkms status foo").unwrap().contains(": built")
}

#[test]
fn a_host_without_headers_takes_what_a_trusted_key_signed() {
    let root = world();
    let ended = build(&root);
    assert_eq!(ended.code, 21, "{ended:?}");
    publish(&root, "p", "1000");
    let ended = build(&root);
    assert!(ended.code == 0 && is_built(&root), "{ended:?}");
    let key = root.must("openssl pkey -pubin -in /srv/p.pem -outform der | sha256sum | cut -c-64").unwrap();
    let told = format!("is taken from file:/srv/kmods, signed by the key {}", key.trim());
    assert!(ended.stdout.contains(&told), "{ended:?}");
    root.must(
        "mkdir -p /srv/x; tar xf /srv/kmods/* -C /srv/x; cmp /srv/x/dkms_main_tree/$K/x86_64/module/foo.ko* /var/lib/dkms/foo/1.0/$K/x86_64/module/foo.ko*
         head -1 /var/lib/dkms/foo/1.0/$K/x86_64/log/make.log | grep -F 'taken from file:/srv/kmods'
         dkms install foo/1.0 -k $K",
    )
    .unwrap();
    let status: Value = serde_json::from_str(&root.must("dkms status --json").unwrap()).unwrap();
    assert_eq!(status["modules"][0]["taken_from"]["key"], key.trim());
    assert!(root.must("dkms status").unwrap().ends_with(": installed\n"));
    // A key that is not trusted any more is found.
    root.must("mv /srv/q.pem /etc/dkms/trusted.d/p.pem").unwrap();
    let doctor = root.dkms("doctor").unwrap();
    assert!(
        doctor.stdout.contains("prebuilt-distrusted") || doctor.stdout.contains("not trusted"),
        "{doctor:?}"
    );
}

#[test]
fn what_is_not_the_asked_and_signed_bundle_is_refused() {
    let root = world();
    let spoil = |how: &str| {
        root.must(&format!(
            "rm -rf /srv/x; mkdir /srv/x; cd /srv/x; f=$(echo /srv/kmods/*); tar xf $f; {how}; tar czf $f *"
        ))
        .unwrap();
    };
    let refused = |why: &str| {
        let ended = build(&root);
        assert!(ended.code == 21 && ended.stderr.contains(why), "{why}: {ended:?}");
        assert_eq!(root.must("dkms status foo").unwrap(), "foo/1.0: added\n");
    };
    root.must("cp /srv/made/* /srv/kmods").unwrap();
    refused("it is not signed");
    publish(&root, "q", "1000");
    refused("which is not trusted; trusted keys: ");
    // Nothing of it is unpacked: there is no room for a byte.
    root.must(
        "mkdir /srv/full; mount -t tmpfs -o size=4k tmpfs /srv/full; head -c 4096 /dev/zero >/srv/full/x
         cp /etc/dkms/framework.conf /srv; echo tmp_location=/srv/full >>/etc/dkms/framework.conf
         ! dkms build foo/1.0 -k $K 2>/srv/said; cat /srv/said; grep -q 'which is not trusted; trusted keys: ' /srv/said
         umount /srv/full; cp /srv/framework.conf /etc/dkms/",
    )
    .unwrap();
    publish(&root, "p", "1000");
    root.must("f=$(echo /srv/kmods/*); head -c 2000 $f >/srv/cut; mv /srv/cut $f").unwrap();
    refused("is not taken: ");
    publish(&root, "p", "1000");
    spoil("printf x >>$(ls dkms_main_tree/*/*/module/foo.ko*)");
    refused("has other contents than stated");
    // A manifest that fits, without the key.
    publish(&root, "p", "1000");
    spoil("sed -i 's/\"when\": 1000/\"when\": 2000/' dkms_main_tree/MANIFEST.json");
    refused("BAD SIGNATURE: it states that the trusted key ");
    publish(&root, "p", "1000");
    root.must("echo '# other' >>/usr/src/foo-1.0/Makefile").unwrap();
    refused("it was built from another source");
    root.must("sed -i '$d' /usr/src/foo-1.0/Makefile").unwrap();
    root.must("rm /etc/dkms/trusted.d/*").unwrap();
    refused("no key is trusted");
    root.must(
        "cp /srv/p.pem /etc/dkms/trusted.d/; cd /srv/kmods; mv * $(ls | sed \"s/$K-x86_64/$K2-x86_64/\")",
    )
    .unwrap();
    let ended = root.dkms("build foo/1.0 -k $K2 --force").unwrap();
    assert!(ended.code == 0 && !ended.stderr.contains("not taken"), "--force builds: {ended:?}");
    root.must("dkms unbuild foo/1.0 -k $K2").unwrap();
    root.must("rm -rf /usr/src/linux-headers-$K2/include").unwrap();
    let ended = root.dkms("build foo/1.0 -k $K2").unwrap();
    assert!(ended.code == 21 && ended.stderr.contains("not for kernel"), "{ended:?}");
    // Who fills the place keeps nobody busy for long.
    root.must("cd /srv/kmods; for n in $(seq 40); do cp $(ls | head -1) foo-1.0-$n.dkms.tar; done").unwrap();
    let ended = root.dkms("build foo/1.0 -k $K2").unwrap();
    assert!(ended.code == 21 && ended.stderr.contains("has 9 further files whose names"), "{ended:?}");
    // A good one that was taken, then an older one in its place.
    root.must("rm /srv/kmods/*").unwrap();
    publish(&root, "p", "3000");
    assert_eq!(build(&root).code, 0);
    root.must("dkms unbuild foo/1.0 -k $K").unwrap();
    publish(&root, "p", "2999");
    refused("was taken before");
    publish(&root, "p", "3000");
    assert_eq!(build(&root).code, 0);
}

#[test]
fn the_kernel_of_the_same_name_with_other_symbols_is_another_kernel() {
    let root = world();
    publish(&root, "p", "1000");
    root.must("mv /srv/build /lib/modules/$K/build; sed -i 's/^0x[0-9a-f]*\\(.module_layout\\>\\)/0x00000001\\1/' /usr/src/linux-headers-$K/Module.symvers").unwrap();
    let ended = build(&root);
    assert!(ended.stderr.contains("expects other CRCs than kernel"), "{ended:?}");
    assert!(ended.code == 0 && !ended.stdout.contains("is taken from"), "then it is built: {ended:?}");
}

#[test]
fn nothing_is_built_where_only_prebuilt_modules_are_allowed() {
    let root = world();
    root.must("mv /srv/build /lib/modules/$K/build; echo prebuilt_only=yes >>/etc/dkms/framework.conf")
        .unwrap();
    let ended = build(&root);
    assert!(ended.code == 7 && ended.stderr.contains("`prebuilt_only=yes` allows no build"), "{ended:?}");
    assert_eq!(root.dkms("build foo/1.0 -k $K --force").unwrap().code, 7);
    let ended = root.dkms("autoinstall -k $K").unwrap();
    assert!(ended.code == 11 && ended.stderr.contains("is not there prebuilt"), "{ended:?}");
    publish(&root, "q", "1000");
    let ended = build(&root);
    assert!(ended.code == 7 && ended.stderr.contains("which is not trusted"), "{ended:?}");
    publish(&root, "p", "1000");
    let ended = root.dkms("autoinstall -k $K").unwrap();
    assert!(ended.code == 0 && ended.stdout.contains("is taken from"), "{ended:?}");
}

#[test]
fn a_place_that_is_not_there_is_reported_once_and_the_cache_is_asked_first() {
    let root = world();
    publish(&root, "p", "1000");
    root.must(
        "mv /srv/build /lib/modules/$K/build
         printf 'prebuilt=\"file:/absent file:/srv/kmods\"\\nbuild_cache=/srv/cache\\n' >/etc/dkms/framework.conf",
    )
    .unwrap();
    let ended = build(&root);
    assert_eq!(ended.stderr.matches("file:/absent").count(), 1, "{ended:?}");
    assert!(ended.code == 0 && ended.stdout.contains("is taken from file:/srv/kmods"), "{ended:?}");
    root.must("dkms build foo/1.0 -k $K --force; dkms unbuild foo/1.0 -k $K").unwrap();
    let ended = build(&root);
    assert!(ended.stdout.contains("from the build cache"), "{ended:?}");
}
