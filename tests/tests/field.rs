//! What modules and machines in the field do: the life cycle against reports of people who use it.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use dkms_tests::cache::Cache;
use dkms_tests::fixture::Module;
use dkms_tests::kernels::Kernels;
use dkms_tests::root::{Output, Root, User};
use dkms_tests::tool::Tool;

fn root() -> Root {
    let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
    Root::new(&cache, &kernels, &[&Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"))]).unwrap()
}

fn run(root: &Root, line: &str) -> Output {
    root.shell(line, User::Root, "/").unwrap()
}

#[test]
fn a_refusal_is_told_whether_the_build_fails_or_not() {
    let root = root();
    Module::new("asks", "1.0").with("PRE_BUILD=pre.sh").write_to(&root).unwrap();
    let script = |line: &str| {
        root.write("/usr/src/asks-1.0/pre.sh", &format!("#!/bin/sh\n{line}\n"), 0o755).unwrap();
        run(&root, "\"$DKMS\" build asks/1.0 -k $K --force")
    };
    let fails = script("chown root:root .");
    assert_eq!(fails.code, 1);
    assert!(
        fails.stderr.contains("no rights of root in the sandbox: `chown: ")
            && fails.stderr.contains("`sandbox_exempt`"),
        "{}",
        fails.stderr
    );
    let succeeds = script("chown root:root . || true");
    assert_eq!(succeeds.code, 0);
    assert!(
        succeeds.stderr.contains("Warning: asks/1.0 was built, but builds have no rights"),
        "{}",
        succeeds.stderr
    );
    root.write("/etc/dkms/sandbox_exempt.d/mine", "asks # it gives files away\n", 0o644).unwrap();
    let exempt = script("chown root:root .");
    assert_eq!((exempt.code, exempt.stderr.as_str()), (0, ""));
}

#[test]
fn what_is_not_known_of_a_kernel_is_not_no() {
    let root = root();
    Module::new("bundled", "1.0").with("BUILD_EXCLUSIVE_CONFIG=CONFIG_MODULES").write_to(&root).unwrap();
    root.must("$DKMS build bundled/1.0 -k $K; $DKMS mktarball bundled/1.0 -k $K --binaries-only --archive /var/tmp/b.tar.gz; $DKMS remove bundled/1.0 --all; rm /lib/modules/$K/build").unwrap();
    root.must("$DKMS ldtarball /var/tmp/b.tar.gz; $DKMS install bundled/1.0 -k $K; ls /lib/modules/$K/updates/dkms/bundled.ko*").unwrap();
    root.must("$DKMS uninstall bundled/1.0 -k $K; echo 'CONFIG_EXT4_FS=m' >/lib/modules/$K/config").unwrap();
    let known = run(&root, "\"$DKMS\" install bundled/1.0 -k $K");
    assert_eq!(known.code, 77, "{}", known.stderr);
    assert_eq!(root.must("$DKMS status | grep -c installed || true").unwrap(), "0\n");
}

#[test]
fn two_modules_with_a_file_of_one_name() {
    let root = root();
    for name in ["first", "second"] {
        Module::new("shared", name).write_below(&root, &format!("/usr/src/{name}-1.0")).unwrap();
        let conf = Module::new("shared", "1.0")
            .conf()
            .replace("PACKAGE_NAME=\"shared\"", &format!("PACKAGE_NAME={name}"));
        root.write(&format!("/usr/src/{name}-1.0/dkms.conf"), &conf, 0o644).unwrap();
    }
    let version = || {
        root.must("modinfo -F version /lib/modules/$K/updates/dkms/shared.ko* 2>/dev/null || true").unwrap()
    };
    root.must("$DKMS install first/1.0 -k $K; $DKMS install second/1.0 -k $K --force").unwrap();
    assert_eq!(version(), "second\n");
    root.must("$DKMS uninstall second/1.0 -k $K").unwrap();
    assert_eq!(version(), "first\n", "what the first one has installed is in place again");
    root.must("$DKMS install second/1.0 -k $K --force; $DKMS remove first/1.0 --all").unwrap();
    assert_eq!(version(), "second\n");
    root.must("$DKMS remove second/1.0 --all").unwrap();
    assert_eq!(root.must("find /lib/modules/$K/ -name 'shared.ko*'").unwrap(), "");
}

#[test]
fn a_conf_finds_what_its_dependency_built_in_the_same_run() {
    let root = root();
    Module::new("base", "1.0").write_to(&root).unwrap();
    root.must("echo 'EXPORT_SYMBOL_GPL(base_number);' >>/usr/src/base-1.0/base.c").unwrap();
    Module::new("user", "1.0")
        .with("BUILD_DEPENDS=(base)")
        .with("SYMBOLS=$(find $dkms_tree/base -path \"*$kernelver*\" -name Module.symvers 2>/dev/null | head -1)")
        .with("MAKE[0]=\"make -C $kernel_source_dir M=$dkms_tree/user/1.0/build KBUILD_EXTRA_SYMBOLS=$SYMBOLS\"")
        .write_to(&root)
        .unwrap();
    root.must("echo 'int base_number(void); int two(void); int two(void) { return base_number(); }' >>/usr/src/user-1.0/user.c").unwrap();
    root.must("$DKMS add base/1.0; $DKMS add user/1.0; $DKMS autoinstall -k $K").unwrap();
    assert_eq!(root.must("$DKMS status | grep -c ': installed'").unwrap(), "2\n");
}

/// A conf that rules its module out until what it depends on is there is asked again when it is.
#[test]
fn an_exclusion_that_a_dependency_lifts_in_the_same_run() {
    let root = root();
    Module::new("base", "1.0").write_to(&root).unwrap();
    let rule = |with: &str| {
        format!(
            "ls $dkms_tree/base/1.0/$kernelver/*/module/{with}* >/dev/null 2>&1 || BUILD_EXCLUSIVE_KERNEL=never"
        )
    };
    for (name, depends, with) in
        [("user", "base", "base.ko"), ("above", "user", "base.ko"), ("none", "base", "nix")]
    {
        Module::new(name, "1.0")
            .with(&format!("BUILD_DEPENDS=({depends})"))
            .with(&rule(with))
            .write_to(&root)
            .unwrap();
    }
    // Not for this kernel, whatever comes; and in a circle.
    Module::new("fixed", "1.0")
        .with("BUILD_DEPENDS=(base)")
        .with("BUILD_EXCLUSIVE_KERNEL=never")
        .write_to(&root)
        .unwrap();
    Module::new("circle", "1.0").with("BUILD_DEPENDS=(other)").with(&rule("nix")).write_to(&root).unwrap();
    Module::new("other", "1.0").with("BUILD_DEPENDS=(circle)").write_to(&root).unwrap();
    root.must("for m in base user above none fixed circle other; do $DKMS add $m/1.0; done").unwrap();
    let planned = root.must("$DKMS plan autoinstall -k $K").unwrap();
    assert!(!planned.contains("build fixed"), "{planned}");
    let done = root.must("$DKMS autoinstall -k $K").unwrap();
    assert!(done.contains("module `none/1.0` is not for kernel"), "{done}");
    let status = root.must("$DKMS status | sed -n 's/, .*installed.*//p'").unwrap();
    assert_eq!(status, "above/1.0\nbase/1.0\nother/1.0\nuser/1.0\n");
}

#[test]
fn without_a_kernel_those_of_this_system_are_meant() {
    let root = root();
    Module::new("own", "1.0").write_to(&root).unwrap();
    root.must("rm /lib/modules/$K3/build; $DKMS add own/1.0; $DKMS autoinstall").unwrap();
    let status = root.must("$DKMS status").unwrap();
    assert_eq!(status.matches(": installed").count(), 2, "{status}");
    let none = run(&root, "$DKMS remove own/1.0; rm /lib/modules/*/build; \"$DKMS\" install own/1.0");
    assert_eq!(none.code, 21, "{}", none.stderr);
    assert!(none.stderr.contains("the headers of kernel 6.0.9-third "), "{}", none.stderr);
    let no_kernel = run(&root, "rm -r /lib/modules/*; \"$DKMS\" install own/1.0");
    assert_eq!(no_kernel.code, 21);
    assert!(no_kernel.stderr.contains("this system has no kernel"), "{}", no_kernel.stderr);
}

#[test]
fn odd_names_words_and_surroundings() {
    let root = root();
    Module::new("odd", "1.0").write_to(&root).unwrap();
    root.must("cp -a /usr/src/odd-1.0 /tmp/odd; rm -r /usr/src/odd-1.0; cd /tmp/odd; mkfifo pipe; sed -i 's/$/\\r/' dkms.conf
               printf 'MAKE[0]=\"make -C $kernel_source_dir \\\\\\r\\n  M=$dkms_tree/odd/1.0/build\"\\r\\n' >>dkms.conf
               $DKMS add .; test ! -e /usr/src/odd-1.0/pipe").unwrap();
    let built = run(
        &root,
        "exec env -i ARCH=arm64 O=/tmp/x KBUILD_OUTPUT=/tmp/x M=/tmp \"$DKMS\" install odd/1.0/ -k $K --force --force",
    );
    assert_eq!((built.code, built.stderr.as_str()), (0, ""));
    root.must("mount -t tmpfs none /var/cache; mount --bind /var/lib/dkms /var/lib/dkms; mount -o remount,bind,ro /var/lib/dkms; $DKMS autoinstall -k $K").unwrap();
    let doctor = run(&root, "\"$DKMS\" doctor");
    assert!(doctor.code == 1 && doctor.stdout.contains("is on a read-only file system"), "{}", doctor.stdout);
}

#[test]
fn post_build_works_on_the_result_in_the_tree() {
    let root = root();
    Module::new("left", "1.0")
        .with("POST_BUILD=\"post.sh $dkms_tree/left/1.0/$kernelver/$arch\"")
        .write_to(&root)
        .unwrap();
    let script = "#!/bin/sh\nset -e\ntest -f \"$1\"/module/left.ko*\nmkdir -p \"$1/include\"\necho kept >\"$1/include/left.h\"\ncp Module.symvers \"$1/module/\"\n";
    root.write("/usr/src/left-1.0/post.sh", script, 0o755).unwrap();
    for setting in ["sandbox=auto", "sandbox=off"] {
        root.write("/etc/dkms/framework.conf.d/field.conf", &format!("{setting}\n"), 0o644).unwrap();
        root.must("$DKMS build left/1.0 -k $K -k $K2 --force").unwrap();
        let kept = root.must("cat /var/lib/dkms/left/1.0/*/x86_64/include/left.h").unwrap();
        assert_eq!(kept, "kept\nkept\n", "{setting}");
        root.must("ls /var/lib/dkms/left/1.0/$K/x86_64/module/Module.symvers").unwrap();
    }
}

/// Permission lockdowns close these folders to all but root.
#[test]
fn folders_of_the_system_that_only_root_enters_are_no_hindrance() {
    let root = root();
    Module::new("shut", "1.0").with("PRE_BUILD=pre.sh").write_to(&root).unwrap();
    let script = "#!/bin/sh\necho \"found $(cut -d' ' -f1 /boot/System.map-$kernelver)\"\n";
    root.write("/usr/src/shut-1.0/pre.sh", script, 0o755).unwrap();
    root.must("echo 'ffffffff81abc123 T there' >/boot/System.map-$K; chmod 600 /boot/System.map-$K").unwrap();
    root.must("chmod 700 /boot /usr/src $(readlink -f /lib/modules)").unwrap();
    let built = run(&root, "\"$DKMS\" build shut/1.0 -k $K");
    assert_eq!((built.code, built.stderr.as_str()), (0, ""));
    let log = root.must("cat /var/lib/dkms/shut/1.0/$K/x86_64/log/make.log").unwrap();
    assert!(log.contains("\nfound ffffffff81abc123\n"), "{log}");
}

#[test]
fn a_file_that_a_conf_asks_for_in_vain_is_told() {
    let root = root();
    Module::new("asks", "1.0")
        .with("if grep -qs WITH /etc/asks.conf; then PRE_BUILD=pre.sh; fi")
        .with("for f in /etc/asks.d/*; do [ -f \"$f\" ] && . \"$f\"; done")
        .write_to(&root)
        .unwrap();
    root.must("echo WITH >/etc/asks.conf; chmod 600 /etc/asks.conf; mkdir -m 700 /etc/asks.d").unwrap();
    let added = run(&root, "\"$DKMS\" build asks/1.0 -k $K");
    let told = "was read without `/etc/asks.conf`, `/etc/asks.d`, which only root may read";
    assert!(added.code == 0 && added.stderr.contains(told), "{}", added.stderr);
    root.must("chmod 644 /etc/asks.conf; chmod 755 /etc/asks.d; sed -i d /etc/asks.conf").unwrap();
    assert_eq!(run(&root, "\"$DKMS\" build asks/1.0 -k $K --force").stderr, "");
}

#[test]
fn what_is_built_is_taken_away_and_packed_without_a_kernel_being_named() {
    let root = root();
    Module::new("own", "1.0").write_to(&root).unwrap();
    root.must("rm /lib/modules/$K3/build; $DKMS install own/1.0").unwrap();
    root.must("mkdir -p /lib/modules/$(uname -r)/updates/dkms; touch /lib/modules/$(uname -r)/modules.dep")
        .unwrap();
    root.must("$DKMS mktarball own/1.0 --archive /var/tmp/own.tar.gz").unwrap();
    assert_eq!(root.must("tar -tzf /var/tmp/own.tar.gz | grep -c '/module/own.ko'").unwrap(), "2\n");
    root.must("$DKMS uninstall own/1.0").unwrap();
    assert_eq!(root.must("find /lib/modules/ -name 'own.ko*'").unwrap(), "");
    root.must("$DKMS unbuild own/1.0").unwrap();
    assert_eq!(root.must("$DKMS status").unwrap(), "own/1.0: added\n");
    root.must("$DKMS install own/1.0; $DKMS remove own/1.0").unwrap();
    assert_eq!(root.must("$DKMS status; find /lib/modules/ -name 'own.ko*'").unwrap(), "");
}

#[test]
fn a_kernel_with_a_name_of_its_own_is_one_in_tarballs_too() {
    let root = root();
    Module::new("plain", "1.0").write_to(&root).unwrap();
    root.must(
        "mkdir /lib/modules/own-name; ln -s $(readlink -f /lib/modules/$K/build) /lib/modules/own-name/build
         $DKMS install plain/1.0 -k own-name
         $DKMS mktarball plain/1.0 -k own-name --archive /var/tmp/p.tar.gz; $DKMS remove plain/1.0 --all
         rm -r /usr/src/plain-1.0; $DKMS ldtarball /var/tmp/p.tar.gz",
    )
    .unwrap();
    assert_eq!(root.must("$DKMS status").unwrap(), "plain/1.0, own-name, x86_64: built\n");
    root.must("$DKMS kernel_prerm -k own-name").unwrap();
    assert_eq!(root.must("$DKMS status").unwrap(), "plain/1.0: added\n");
}

#[test]
fn a_conf_that_was_told_something_of_the_machine_only_root_may_read() {
    let root = root();
    Module::new("board", "1.0")
        .with("case $(cat /sys/firmware/no-such-table; echo none) in none) MAKE_MATCH=none ;; esac")
        .write_to(&root)
        .unwrap();
    let built = run(&root, "\"$DKMS\" build board/1.0 -k $K");
    assert!(
        built.code == 0
            && built.stderr.contains("may have another meaning than for root")
            && built.stderr.contains("/sys/firmware/")
            && built.stderr.contains("`sandbox_exempt`"),
        "{}",
        built.stderr
    );
    root.write("/etc/dkms/sandbox_exempt.d/mine", "board # it asks the firmware\n", 0o644).unwrap();
    assert_eq!(run(&root, "\"$DKMS\" build board/1.0 -k $K --force").stderr, "");
}

#[test]
fn an_admins_script_is_the_admins_however_it_is_named() {
    let root = root();
    Module::new("mine", "1.0").write_to(&root).unwrap();
    root.write("/usr/local/sbin/sign-it", "#!/bin/sh\nid -u >>/etc/who\n", 0o755).unwrap();
    root.write("/etc/dkms/post.inc", "POST_BUILD=../../../../../../usr/local/sbin/sign-it\n", 0o644).unwrap();
    let value = "POST_BUILD=../../../../../../usr/local/sbin/sign-it";
    let who = |line: &str| {
        let ended = run(&root, &format!("rm -f /etc/who /etc/dkms/mine.conf; {line}"));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        root.must("cat /etc/who || true").unwrap()
    };
    let build = "\"$DKMS\" build mine/1.0 -k $K --force";
    for line in [
        format!("{build} --directive '{value}'"),
        format!("DKMS_DIRECTIVE='{value}' {build}"),
        format!("echo 'if true; then {value}; fi' >/etc/dkms/mine.conf; {build}"),
        format!("echo '. /etc/dkms/post.inc' >/etc/dkms/mine.conf; {build}"),
    ] {
        assert_eq!(who(&line), "0\n", "{line}");
    }
}

#[test]
fn a_module_is_installed_as_its_conf_says_once_its_dependency_is_there() {
    let root = root();
    Module::new("base", "1.0").write_to(&root).unwrap();
    let built = "find $dkms_tree/base -path \"*$kernelver*\" -name 'base.ko*' 2>/dev/null";
    Module::new("user", "1.0")
        .with("BUILD_DEPENDS=(base)")
        .with(&format!("[ -n \"$({built})\" ] && DEST_MODULE_NAME[0]=user-of-base"))
        .write_to(&root)
        .unwrap();
    root.must("$DKMS add base/1.0; $DKMS add user/1.0; $DKMS autoinstall -k $K").unwrap();
    root.must("ls /lib/modules/$K/updates/dkms/user-of-base.ko*").unwrap();
}

#[test]
fn what_a_conf_excludes_once_its_dependency_is_there() {
    let root = root();
    Module::new("base", "1.0").write_to(&root).unwrap();
    let built = "find $dkms_tree/base -path \"*$kernelver*\" -name 'base.ko*' 2>/dev/null";
    Module::new("user", "1.0")
        .with("BUILD_DEPENDS=(base)")
        .with(&format!("[ -n \"$({built})\" ] && BUILD_EXCLUSIVE_CONFIG=CONFIG_NO_KERNEL_HAS_THIS"))
        .write_to(&root)
        .unwrap();
    root.must("$DKMS add base/1.0; $DKMS add user/1.0; $DKMS autoinstall -k $K").unwrap();
    let status = root.must("$DKMS status").unwrap();
    assert!(status.contains("base/1.0, ") && status.contains("user/1.0: added"), "{status}");
}

#[test]
fn a_folder_that_is_gone_is_no_hindrance() {
    let root = root();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    let gone = run(&root, "mkdir /tmp/gone; cd /tmp/gone; rmdir /tmp/gone; \"$DKMS\" install foo/1.0 -k $K");
    assert_eq!((gone.code, gone.stderr.as_str()), (0, ""));
}

#[test]
fn doctor_names_what_is_wrong_with_signing() {
    let root = root();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    root.write("/opt/sign", "#!/bin/sh\necho no token is there\nexit 3\n", 0o755).unwrap();
    root.must(
        "mkdir -p /etc/dkms; printf 'try_sign_modules=true\nsign_file=/opt/sign\n' >/etc/dkms/framework.conf",
    )
    .unwrap();
    root.must("$DKMS install foo/1.0 -k $K 2>/dev/null").unwrap();
    let doctor = || run(&root, "\"$DKMS\" doctor").stdout;
    let told = doctor();
    assert!(told.contains("foo/1.0 was built unsigned for ") && told.contains("no token is there"), "{told}");
    for (fault, what, command) in [
        ("chmod -x /opt/sign", "is not executable", "chmod +x /opt/sign"),
        ("rm /opt/sign", "`sign_file` names, is no file", "framework.conf"),
        (": >/var/lib/dkms/mok.key", "`/var/lib/dkms/mok.key`: it is empty", "dkms generate_mok"),
        (
            "openssl genpkey -algorithm RSA -out /var/lib/dkms/mok.key",
            "is not that of the certificate",
            "dkms generate_mok",
        ),
        (
            "openssl pkcs8 -topk8 -in /var/lib/dkms/mok.key -passout pass:x -out /k; mv /k /var/lib/dkms/mok.key",
            "is encrypted",
            "framework.conf",
        ),
    ] {
        root.must(&format!("{{ {fault}; }} >/dev/null 2>&1")).unwrap();
        let told = doctor();
        assert!(told.contains(what) && told.contains(command), "{fault}: {told}");
    }
    root.must("rm /var/lib/dkms/mok.*; echo >/etc/dkms/framework.conf; $DKMS build foo/1.0 -k $K --force; $DKMS install foo/1.0 -k $K --force")
        .unwrap();
    assert!(!doctor().contains("signed"), "{}", doctor());
}

/// As packages, configuration management and installers take lines of `status` apart.
#[test]
fn lines_of_status_as_other_programs_take_them_apart() {
    let root = root();
    Module::new("foo", "1.0-2~rc").write_to(&root).unwrap();
    Module::new("bar", "2").write_to(&root).unwrap();
    root.must("$DKMS install foo/1.0-2~rc -k $K; $DKMS build foo/1.0-2~rc -k $K2; $DKMS add bar/2").unwrap();
    let kernel = root.must("printf %s $K").unwrap();
    let version = "1.0-2~rc";
    for (line, expected) in [
        ("awk -F', ' '/installed/ { print $1, $2 }'", format!("foo/{version} {kernel}\n")),
        ("grep -E \"^foo/[^,]+, $K, x86_64: installed\" | wc -l", "1\n".to_owned()),
        (
            "sed -nE \"s|^([^/]+)/([^,]+), $K, ([^:]+): ([a-z]+).*|\\1 \\2 \\3 \\4|p\"",
            format!("foo {version} x86_64 installed\n"),
        ),
        ("awk -F'[,:/] *' '/^foo/ { print $1, $2 }' | sort -u", format!("foo {version}\n")),
        ("cut -d, -f1 | cut -d: -f1 | sort -u", format!("bar/2\nfoo/{version}\n")),
        ("grep ': added$' | sed 's/: added$//'", "bar/2\n".to_owned()),
    ] {
        assert_eq!(root.must(&format!("$DKMS status | {line}")).unwrap(), expected, "{line}");
    }
    assert_eq!(root.must("$DKMS status foo/1.0-2~rc -k $K | grep -c installed").unwrap(), "1\n");
}

/// The 3.x line keeps another module's file as the kernel's own.
#[test]
fn an_original_of_the_3x_line_that_another_module_owns() {
    let root = root();
    for name in ["first", "second"] {
        Module::new("shared", name).write_below(&root, &format!("/usr/src/{name}-1.0")).unwrap();
        let conf = Module::new("shared", "1.0").conf();
        let conf = conf.replace("PACKAGE_NAME=\"shared\"", &format!("PACKAGE_NAME={name}"));
        root.write(&format!("/usr/src/{name}-1.0/dkms.conf"), &conf, 0o644).unwrap();
    }
    let at = "/var/lib/dkms/second/original_module/$K/x86_64";
    root.must(&format!(
        "$DKMS install first/1.0 -k $K; $DKMS install second/1.0 -k $K --force
         mkdir -p {at}; cp /var/lib/dkms/first/1.0/$K/x86_64/module/shared.ko* {at}/
         echo /lib/modules/$K/updates/dkms/shared.ko >{at}/shared.ko.origin
         $DKMS remove first/1.0 --all; $DKMS remove second/1.0 --all"
    ))
    .unwrap();
    assert_eq!(root.must("find /lib/modules/$K/ -name 'shared.ko*'").unwrap(), "");
}

/// With `--root`, a source or archive that is read is the caller's file; every other path is the root's, and
/// an error says so.
#[test]
fn paths_of_the_command_line_with_a_root() {
    let root = root();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    root.must(
        "mkdir -p /image/usr/src /image/var/lib/dkms /image/etc /image/tmp; touch /image/etc/os-release
         chmod 1777 /image/tmp; cp -a /usr/src/foo-1.0 /srv/foo; chmod -R go-rwx /srv/foo; mkfifo /srv/foo/fifo
         tar -C /usr/src -cf /srv/foo.tar foo-1.0",
    )
    .unwrap();
    for line in [
        "add /srv/foo",
        "add ./foo",
        "add foo/dkms.conf",
        "ldtarball foo.tar",
        "ldtarball /srv/foo.tar",
        "ldtarball --archive ./foo.tar",
        "add ../srv/foo.tar",
    ] {
        let ended = run(&root, &format!("cd /srv; \"$DKMS\" --root /image {line}"));
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{line}");
        assert!(ended.stdout.contains("` is taken from this system, not from the root"), "{line}");
        assert_eq!(
            root.must("$DKMS --root /image status; ls /image/tmp /image/var/tmp 2>/dev/null || :").unwrap(),
            "foo/1.0: added\n/image/tmp:\n",
            "{line}"
        );
        root.must("cmp /image/usr/src/foo-1.0/foo.c /srv/foo/foo.c; rm -rf /image/usr/src/foo-1.0 /image/var/lib/dkms/foo")
            .unwrap();
    }
    // An absolute path that the root has is the root's.
    root.must("mkdir -p /image/srv; cp -a /srv/foo /image/srv/; sed -i s/1.0/2.0/ /image/srv/foo/dkms.conf")
        .unwrap();
    root.must("$DKMS --root /image add /srv/foo; $DKMS --root /image status | grep -x 'foo/2.0: added'")
        .unwrap();
    for (line, told) in [
        ("add /srv/none", "`/srv/none` is neither below the root `/image` nor on this system"),
        ("ldtarball /srv/none.tar", "`/srv/none.tar` is neither below the root `/image` nor on this system"),
        (
            "add foo/1.0 -c /usr/src/foo-1.0/dkms.conf",
            "`/usr/src/foo-1.0/dkms.conf` is looked up below the root `/image`: copy it there",
        ),
        ("mktarball foo/2.0 --archive /none/out.tar", "/none"),
    ] {
        let ended = run(&root, &format!("\"$DKMS\" --root /image {line}"));
        assert!(ended.code != 0 && ended.stderr.contains(told), "{line}: {}", ended.stderr);
    }
}
