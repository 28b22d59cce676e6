//! `dkms bake`: the modules of an image are all there on every kernel of it, or the command fails and leaves
//! nothing half; what stays is one manifest, from which the system knows them.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use dkms_tests::cache::Cache;
use dkms_tests::fixture::Module;
use dkms_tests::kernels::{Kernels, THIRD};
use dkms_tests::ready;
use dkms_tests::root::{Output, Root};
use dkms_tests::tool::Tool;
use serde_json::Value;

const MANIFEST: &str = "/usr/lib/sysimage/dkms/manifest.json";
const BROKEN: &str = "MAKE=\"sh -c 'echo broken.c:1: error: no such thing; exit 2'\"";

/// An image with three kernels, all of which have headers.
fn root(modules: &[Module]) -> Root {
    let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
    let root = Root::new(&cache, &kernels, &[&Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"))]).unwrap();
    for module in modules {
        module.write_to(&root).unwrap();
        root.must(&format!("$DKMS add {}/{}", module.name, module.version)).unwrap();
    }
    root
}

/// The same with modules that need no compiler, but for what their lines say.
fn ready(modules: &[Module]) -> Root {
    let root = root(&[]);
    for module in modules {
        let mut made = ready::module(&root, &module.name, &module.version).unwrap();
        made.with.extend(module.with.iter().cloned());
        made.write_to(&root).unwrap();
        root.must(&format!("$DKMS add {}/{}", module.name, module.version)).unwrap();
    }
    root
}

fn succeeds(root: &Root, line: &str) -> Output {
    let output = root.dkms(line).unwrap();
    assert_eq!(output.code, 0, "{line}: {output:?}");
    output
}

fn fails(root: &Root, line: &str, code: i32, named: &[&str]) -> String {
    let output = root.dkms(line).unwrap();
    assert_eq!(output.code, code, "{line}: {output:?}");
    for name in named {
        assert!(output.stderr.contains(name), "`{name}` is not named: {output:?}");
    }
    output.stderr
}

fn json(root: &Root, line: &str) -> Value {
    let output = root.dkms(line).unwrap();
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// All modules on the kernels that dkms has put there.
fn modules(root: &Root) -> String {
    root.must("find /lib/modules -name '*.ko*' | sort").unwrap()
}

#[test]
fn every_module_is_on_every_kernel_and_only_the_manifest_stays() {
    let root = root(&[Module::new("one", "1.0"), Module::new("two", "2.0").with("BUILD_DEPENDS=one")]);
    root.write("/etc/dkms/no-autoinstall", "", 0o644).unwrap();
    succeeds(&root, "bake");
    let Kernels { first, second } = root.kernels().clone();
    let mut kernels = [first.as_str(), &second, THIRD];
    kernels.sort_unstable();
    let expected: Vec<_> = ["one", "two"]
        .iter()
        .flat_map(|name| kernels.map(|kernel| format!("/lib/modules/{kernel}/updates/dkms/{name}.ko")))
        .collect();
    let mut found: Vec<_> = modules(&root).lines().map(str::to_owned).collect();
    found.sort_by_key(|path| path.rsplit('/').next().map(str::to_owned));
    assert_eq!(found, expected);
    for kernel in kernels {
        assert!(root.read(&format!("/lib/modules/{kernel}/modules.dep")).unwrap().contains("dkms/two.ko"));
    }
    assert_eq!(root.must("ls -A /var/lib/dkms").unwrap(), "");

    // The system knows them.
    let line = |module: &str, kernel: &str| format!("{module}, {kernel}, x86_64: installed\n");
    let lines: Vec<_> =
        ["one/1.0", "two/2.0"].iter().flat_map(|id| kernels.map(|kernel| line(id, kernel))).collect();
    assert_eq!(succeeds(&root, "status").stdout, lines.concat());
    assert_eq!(succeeds(&root, "status two -k $K2").stdout, line("two/2.0", &second));
    let document = json(&root, "status --json");
    assert_eq!(document["modules"].as_array().unwrap().len(), 6);
    let one = &document["modules"][0];
    assert_eq!(
        (&one["module"], &one["version"], &one["state"], &one["baked"]),
        (&"one".into(), &"1.0".into(), &"installed".into(), &true.into())
    );
    let manifest: Value = serde_json::from_str(&root.read(MANIFEST).unwrap()).unwrap();
    assert_eq!(manifest["modules"].as_array().unwrap().len(), 6);
    let one = &manifest["modules"][0];
    assert_eq!(one["files"][0]["path"], format!("/lib/modules/{}/updates/dkms/one.ko", kernels[0]));
    let sum = root.must(&format!("sha256sum <{}", one["files"][0]["path"].as_str().unwrap())).unwrap();
    assert!(sum.starts_with(one["files"][0]["sha256"].as_str().unwrap()), "{sum}");
    assert!(one["tools"]["compiler"].as_str().unwrap().contains("gcc"), "{one}");

    // So does verify, by name or without; a module that is nowhere is none.
    let verified = format!("one/1.0, {second}, x86_64: proven\n");
    for line in ["verify one -k $K2", "verify one/1.0 -k $K2"] {
        assert_eq!(succeeds(&root, line).stdout, verified, "{line}");
    }
    let all = succeeds(&root, "verify -k $K2").stdout;
    assert_eq!(all, format!("{verified}two/2.0, {second}, x86_64: proven\n"));
    fails(&root, "verify three/1.0 -k $K2", 3, &["three/1.0"]);

    // The service finds nothing to do, even without a tree and with nothing to write.
    let quiet = "rm -rf /var/lib/dkms
        unshare -m sh -c 'mount --bind /usr /usr && mount -o remount,ro,bind /usr &&
            ! touch /lib/modules/x 2>/dev/null && $DKMS autoinstall -k $K'";
    root.must(quiet).unwrap();
    let document = json(&root, "doctor --json");
    assert!(!document["findings"].to_string().contains("baked"), "{document}");
    root.must("echo x >>/lib/modules/$K/updates/dkms/one.ko").unwrap();
    let status = succeeds(&root, "status one -k $K").stdout;
    assert!(status.ends_with(": installed (Differences between built and installed modules)\n"), "{status}");
    let refuted = root.dkms("verify one -k $K").unwrap();
    assert!(refuted.code == 30 && refuted.stdout.contains("is not the file that was built"), "{refuted:?}");
    let finding = json(&root, "doctor --json")["findings"].to_string();
    assert!(finding.contains("baked-changed") && finding.contains("one.ko"), "{finding}");
}

#[test]
fn a_module_that_fails_on_one_kernel_fails_the_bake_and_nothing_is_half() {
    let fails_on = Module::new("bad", "1.0").with(&format!("[ \"$kernelver\" = {THIRD} ] && {BROKEN}"));
    let root = ready(&[Module::new("one", "1.0"), fails_on]);
    root.must("$DKMS install one/1.0 -k $K").unwrap();
    let before = (modules(&root), succeeds(&root, "status").stdout);
    let said = fails(&root, "bake", 11, &["bad/1.0", THIRD]);
    assert!(said.contains("no such thing"), "{said}");
    assert_eq!((modules(&root), succeeds(&root, "status").stdout), before);
    assert_eq!(root.read(MANIFEST).unwrap(), "");
    // Who can do without it says so; the others are baked.
    succeeds(&root, "bake --allow-missing bad");
    let manifest: Value = serde_json::from_str(&root.read(MANIFEST).unwrap()).unwrap();
    let names: Vec<_> =
        manifest["modules"].as_array().unwrap().iter().map(|one| one["module"].clone()).collect();
    assert_eq!(names, ["bad", "bad", "one", "one", "one"]);
    assert_eq!(root.must("ls -A /var/lib/dkms").unwrap(), "");
}

#[test]
fn what_can_not_be_there_is_named_before_anything_is_built() {
    let other = Module::new("other", "1.0").with("BUILD_EXCLUSIVE_KERNEL=\"^5\\..*\"");
    let root = ready(&[Module::new("one", "1.0"), other, Module::new("off", "1.0").with("AUTOINSTALL=")]);
    fails(&root, "bake -k $K", 11, &["other/1.0", "BUILD_EXCLUSIVE"]);
    assert_eq!(modules(&root), "");
    root.must("rm /lib/modules/$K2/build").unwrap();
    let second = root.kernels().second.clone();
    fails(&root, "bake", 21, &[&second, "headers"]);
    fails(&root, "bake nowhere", 11, &["nowhere"]);
    assert_eq!(modules(&root), "");
    // Named ones need not be added, nor be AUTOINSTALL.
    Module::new("new", "3.0").write_to(&root).unwrap();
    succeeds(&root, "bake -k $K off new/3.0 --keep-tree");
    assert_eq!(modules(&root).lines().count(), 2);
    assert!(root.must("$DKMS status").unwrap().contains("one/1.0: added"));
    assert_ne!(root.must("ls -A /var/lib/dkms").unwrap(), "");
    let empty = root_without_modules();
    fails(&empty, "bake", 11, &["no module to bake"]);
    empty.must("rm -r /lib/modules/*").unwrap();
    fails(&empty, "bake", 21, &["no kernel"]);
}

fn root_without_modules() -> Root {
    root(&[])
}

#[test]
fn what_no_kernel_would_load_is_refuted() {
    let lost = Module::new("lost", "1.0").with("PRE_BUILD=\"add.sh\"");
    let root = ready(&[Module::new("one", "1.0"), lost]);
    root.write(
        "/usr/src/lost-1.0/add.sh",
        "#!/bin/sh\necho 'void nobody_has(void); int lost_init(void); int lost_init(void) { nobody_has(); return 0; }' >>lost.c\n",
        0o755,
    )
    .unwrap();
    root.must("printf 'MAKE=\"make KBUILD_MODPOST_WARN=1 -C $kernel_source_dir M=$dkms_tree/lost/1.0/build\"\\n' >>/usr/src/lost-1.0/dkms.conf").unwrap();
    fails(&root, "bake -k $K", 30, &["lost.ko", "nobody_has"]);
    assert_eq!(modules(&root), "");
    assert_eq!(root.read(MANIFEST).unwrap(), "");
}

#[test]
fn a_key_from_outside_signs_and_no_key_stays_or_is_made() {
    let root = ready(&[Module::new("one", "1.0")]);
    // The image wants its modules signed, has a key of its own, and one was built without any.
    root.must(
        "$DKMS install one/1.0 -k $K
         echo try_sign_modules=true >/etc/dkms/framework.conf
         mkdir -p /srv/keys
         openssl req -new -x509 -newkey rsa:2048 -nodes -keyout /srv/keys/image.pem -outform DER -out /srv/keys/image.pub -subj /CN=image/ -days 99 2>/dev/null
         openssl req -new -x509 -newkey rsa:2048 -nodes -keyout /srv/keys/other.pem -out /srv/keys/other.crt -subj /CN=other/ -days 99 2>/dev/null",
    )
    .unwrap();
    fails(&root, "bake --mok-key /srv/keys/gone.pem", 1, &["gone.pem"]);
    fails(
        &root,
        "bake --mok-key /srv/keys/image.pem --mok-certificate /srv/keys/other.crt",
        1,
        &["other.crt"],
    );
    fails(&root, "install one/1.0 -k $K2 --mok-key /srv/keys/image.pem", 2, &["--mok-key"]);
    succeeds(&root, "bake --mok-key /srv/keys/image.pem -k $K -k $K2");
    let signers = "for f in /lib/modules/*/updates/dkms/one.ko; do modinfo -F signer $f; done";
    assert_eq!(root.must(signers).unwrap(), "image\nimage\n");
    let manifest: Value = serde_json::from_str(&root.read(MANIFEST).unwrap()).unwrap();
    assert_eq!(manifest["modules"][0]["key"].as_str().unwrap().len(), 16);
    assert_eq!(manifest["modules"][0]["key"], manifest["modules"][1]["key"]);
    assert_eq!(
        root.must("ls -A /var/lib/dkms; find /etc /usr/lib /var/lib /boot -name 'mok.*'").unwrap(),
        ""
    );
}

#[test]
fn no_key_is_made_in_an_image_whatever_the_settings_say() {
    let root = ready(&[Module::new("one", "1.0")]);
    root.write("/etc/dkms/framework.conf", "try_sign_modules=true\n", 0o644).unwrap();
    let said = root.must("container=mkosi $DKMS bake -k $K 2>&1").unwrap();
    assert!(said.contains("no key is made in an image (it is a container"), "{said}");
    let signer = root.must("modinfo -F signer /lib/modules/$K/updates/dkms/one.ko").unwrap();
    assert_eq!(signer.trim(), "");
    assert_eq!(root.must("find /etc /usr/lib /var/lib /boot -name 'mok.*'").unwrap(), "");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let bytes = |prepare: &str| {
        let root = root(&[Module::new("one", "1.0"), Module::new("two", "1.0")]);
        root.must(prepare).unwrap();
        root.must("$DKMS bake -k $K -k $K2 >/dev/null; find /usr/lib/sysimage /lib/modules /var/lib/dkms -type f | sort | xargs sha256sum")
            .unwrap()
    };
    let first = bytes("true");
    assert!(first.contains("manifest.json"), "{first}");
    // Another day, another host, another order, another part of it done before.
    let second = bytes(
        "hostname elsewhere 2>/dev/null || :; touch -d 2001-01-01 /usr/src/*/*.c; $DKMS install two/1.0 -k $K2 -j1",
    );
    assert_eq!(first, second);
}

#[test]
fn a_second_bake_brings_what_a_new_kernel_lacks() {
    let root = ready(&[Module::new("one", "1.0")]);
    succeeds(&root, "bake -k $K");
    let before = root.read(MANIFEST).unwrap();
    succeeds(&root, "bake -k $K");
    assert_eq!(root.read(MANIFEST).unwrap(), before);
    succeeds(&root, "bake");
    assert_eq!(modules(&root).lines().count(), 3);
    let manifest: Value = serde_json::from_str(&root.read(MANIFEST).unwrap()).unwrap();
    assert_eq!(manifest["modules"].as_array().unwrap().len(), 3);
}

#[test]
fn an_initramfs_that_can_not_be_remade_fails_the_bake() {
    let root = root(&[Module::new("one", "1.0")]);
    let maker = |code: u32| {
        root.write(
            "/usr/sbin/update-initramfs",
            &format!("#!/bin/sh\necho $* >>/srv/remade\nexit {code}\n"),
            0o755,
        )
        .unwrap();
    };
    root.must("mkdir -p /boot /etc/initramfs-tools; rm -f /boot/*; : >/boot/initrd.img-$K2").unwrap();
    maker(1);
    let second = root.kernels().second.clone();
    fails(&root, "bake -k $K -k $K2", 11, &["initramfs", &second, "exit code 1", "remake_initrd=no"]);
    assert_eq!((modules(&root).as_str(), root.read(MANIFEST).unwrap().as_str()), ("", ""));
    // Who wants it so, and a system that has it so.
    succeeds(&root, "bake -k $K -k $K2 --no-initrd");
    root.write("/etc/initramfs-tools/update-initramfs.conf", "update_initramfs=no\n", 0o644).unwrap();
    Module::new("two", "1.0").write_to(&root).unwrap();
    succeeds(&root, "bake two -k $K2");
    root.must("rm /etc/initramfs-tools/update-initramfs.conf /srv/remade").unwrap();
    maker(0);
    Module::new("three", "1.0").write_to(&root).unwrap();
    succeeds(&root, "bake three -k $K -k $K2");
    assert_eq!(root.read("/srv/remade").unwrap(), format!("-u -k {second}\n"));
}
