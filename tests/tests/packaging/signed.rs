//! `dkms sign`: modules and bundles that were made by a machine without the key, beside the kernel's
//! program and openssl.

use dkms_tests::cache::Cache;
use dkms_tests::ready::Ready;
use dkms_tests::root::Root;

use super::common::root;

/// A root with a built module, `/srv/foo.ko`, and keys: `/srv/r.key` (RSA, encrypted), `/srv/p.key` (P-256),
/// each with its certificate beside it.
fn world() -> Root {
    let root = root().unwrap();
    Ready::compile(&Cache::open().unwrap(), root.kernels()).unwrap().put_into(&root).unwrap();
    root.must(
        "dkms add foo/1.0; dkms build foo/1.0 -k $K; cp /var/lib/dkms/foo/1.0/$K/$A/module/foo.ko /srv/
         cd /srv; echo secret >pass; exec 2>&1
         openssl req -x509 -newkey rsa:2048 -keyout r.key -out r.pub -outform PEM -passout file:pass -subj /CN=r -days 9
         openssl ecparam -name prime256v1 -genkey -noout -out p.key
         openssl req -x509 -new -key p.key -out p.pub -subj /CN=p -days 9; openssl pkey -in p.key -pubout -out p.pem",
    )
    .unwrap();
    root
}

#[test]
fn modules_are_signed_as_by_the_kernels_program_packed_or_not() {
    let root = world();
    root.must(
        "cd /srv; h=$(sed -n 's/^CONFIG_MODULE_SIG_HASH=\"\\(.*\\)\"/\\1/p' /lib/modules/$K/build/.config)
         cp foo.ko theirs.ko; KBUILD_SIGN_PIN=secret /lib/modules/$K/build/scripts/sign-file $h r.key r.pub theirs.ko
         cp foo.ko a.ko; cp foo.ko b.ko; xz -k --check=crc32 --lzma2=dict=1MiB b.ko; chmod 640 a.ko
         KBUILD_SIGN_PIN=secret dkms sign --key r.key a.ko b.ko.xz; cmp a.ko theirs.ko; unxz -c b.ko.xz | cmp - theirs.ko
         test $(stat -c %a a.ko) = 640
         # A second signature takes the place of the first.
         mkdir cred; cp pass cred/mok.key; CREDENTIALS_DIRECTORY=/srv/cred dkms sign --key r.key a.ko; cmp a.ko theirs.ko
         echo 'mok_passphrase_file=/srv/pass' >/etc/dkms/framework.conf.d/pass.conf 2>/dev/null || { mkdir -p /etc/dkms/framework.conf.d; echo 'mok_passphrase_file=/srv/pass' >/etc/dkms/framework.conf.d/pass.conf; }
         cp foo.ko c.ko; dkms sign --key r.key c.ko; cmp c.ko theirs.ko; rm /etc/dkms/framework.conf.d/pass.conf
         # Without --key: the settings.
         printf 'mok_signing_key=/srv/p.key\\nmok_certificate=/srv/p.pub\\n' >/etc/dkms/framework.conf.d/key.conf
         cp foo.ko d.ko; dkms sign d.ko; modinfo -F signer d.ko | grep -x p",
    )
    .unwrap();
    // All or none; nothing is left.
    for (line, code, says) in [
        ("sign --key r.key e.ko", 1, "no passphrase"),
        ("sign --key p.key e.ko cut.ko", 1, "cut.ko"),
        ("sign --key p.key e.ko absent.ko", 2, "absent.ko"),
        ("sign --key p.pem e.ko", 1, "p.pem"),
        ("sign", 2, "no file"),
    ] {
        let line = format!("cd /srv; cp foo.ko e.ko; head -c 3000 foo.ko >cut.ko; dkms {line}");
        let run = root.shell(&line, dkms_tests::root::User::Root, "/").unwrap();
        assert_eq!(run.code, code, "{line}: {run:?}");
        assert!(run.stderr.contains(says), "{line}: {run:?}");
        root.must("cd /srv; cmp foo.ko e.ko; ! ls -A | grep tmp_").unwrap();
    }
}

#[test]
fn a_bundle_is_signed_where_the_key_is() {
    let root = world();
    root.must("dkms mktarball foo/1.0 -k $K --archive /srv/foo.dkms.tar.zst; cp /srv/foo.dkms.tar.zst /srv/unsigned; cd /srv; dkms sign --key p.key foo.dkms.tar.zst; mkdir x; tar xf foo.dkms.tar.zst -C x").unwrap();
    root.must("cd /srv/x/dkms_main_tree; base64 -d MANIFEST.sig >/srv/sig; openssl dgst -sha256 -verify /srv/p.pem -signature /srv/sig MANIFEST.json; modinfo -F signer $K/$A/module/foo.ko | grep -x p").unwrap();
    let manifest = root.read("/srv/x/dkms_main_tree/MANIFEST.json").unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let sum =
        |path: &str| root.must(&format!("sha256sum <{path} | cut -d' ' -f1")).unwrap().trim().to_owned();
    let name = format!("dkms_main_tree/{}/x86_64/module/foo.ko", root.kernels().first);
    let record = &manifest["modules"][&name];
    assert_eq!(record["unsigned"], sum("/srv/foo.ko"));
    assert_eq!(record["signed"], sum(&format!("/srv/x/{name}")));
    assert_eq!(manifest["builds"][0]["inputs"].as_str().unwrap().len(), 64);
    assert!(manifest["certificate"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    // Nothing else has changed; the same again gives the same bytes, and it is loaded as any other.
    root.must(
        "cd /srv; mkdir y; tar xf unsigned -C y; rm -r x/dkms_main_tree/MANIFEST.* y/dkms_main_tree/MANIFEST.* x/dkms_main_tree/$K/$A/module y/dkms_main_tree/$K/$A/module
         diff -r x y; cp foo.dkms.tar.zst first; dkms sign --key p.key foo.dkms.tar.zst; cmp first foo.dkms.tar.zst
         tar tvf first | grep -v ' root/root ' && exit 1; rm -rf /var/lib/dkms/foo /usr/src/foo-1.0; dkms ldtarball --archive foo.dkms.tar.zst; dkms status | grep ': built'",
    )
    .unwrap();
    // A key without a certificate signs the manifest only, and says so.
    let run = root.shell("cd /srv; cp unsigned u.dkms.tar.zst; rm p.pub; dkms sign --key p.key u.dkms.tar.zst; tar tf u.dkms.tar.zst | grep MANIFEST.sig", dkms_tests::root::User::Root, "/").unwrap();
    assert!(run.code == 0 && run.stderr.contains("left as they are"), "{run:?}");
}
