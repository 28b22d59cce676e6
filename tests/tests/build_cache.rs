//! The build cache with a real kernel's headers and compiler: what comes from it is what a build gives, byte for byte, and
//! whatever a build depends on makes it miss. And what is remembered of builds that failed.

use dkms_tests::cache::Cache;
use dkms_tests::fixture::Module;
use dkms_tests::kernels::Kernels;
use dkms_tests::root::Root;
use dkms_tests::tool::Tool;

/// Stands before the real one and writes down each build that it is called for.
const MAKE: &str = "#!/bin/sh
case \"$*\" in *KERNELRELEASE=*) echo \"$*\" >>/srv/makes ;; esac
exec /usr/bin/make \"$@\"
";

const CONF: &str = "try_sign_modules=\"false\"\nsign_file=\"/nonexistent\"\n";

const SOURCE: &str = "/usr/src/foo-1.0";

fn root() -> Root {
    let cache = Cache::open().unwrap();
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let root = Root::new(&cache, &Kernels::find().unwrap(), &[&ours]).unwrap();
    root.write("/usr/local/sbin/make", MAKE, 0o755).unwrap();
    root.write("/etc/dkms/framework.conf", &format!("{CONF}build_cache=/srv/cache\n"), 0o644).unwrap();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    root.must("dkms add foo/1.0").unwrap();
    root
}

/// How often make was called for a build so far.
fn makes(root: &Root) -> usize {
    root.read("/srv/makes").unwrap().lines().count()
}

/// Builds, which has to work; says whether that was without make, and the module's bytes as a checksum.
fn built(root: &Root, options: &str) -> (bool, String) {
    let before = makes(root);
    root.must("dkms unbuild foo/1.0 -k $K >/dev/null").unwrap();
    let output = root.dkms(&format!("build foo/1.0 -k $K {options}")).unwrap();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let without_make = makes(root) == before;
    assert_eq!(output.stdout.contains("is taken from the build cache"), without_make, "{}", output.stdout);
    (without_make, root.must("sha256sum </var/lib/dkms/foo/1.0/$K/$A/module/foo.ko*").unwrap())
}

#[test]
fn what_comes_from_the_cache_is_what_was_built() {
    let root = root();
    let (cached, bytes) = built(&root, "");
    assert!(!cached);
    assert_eq!(built(&root, ""), (true, bytes.clone()));
    let log = root.must("cat /var/lib/dkms/foo/1.0/$K/$A/log/make.log").unwrap();
    assert!(log.starts_with("# taken from the build cache, where it is since "), "{log}");
    assert!(log.contains("CC [M]"), "{log}");
    // A module that has been gone in between, and one that is installed.
    root.must("dkms remove foo/1.0 --all && dkms install foo/1.0 -k $K").unwrap();
    assert_eq!(makes(&root), 1);
    assert!(root.must("dkms status foo/1.0 -k $K").unwrap().contains(": installed"));
    assert_eq!(built(&root, "--force"), (false, bytes.clone()));
    root.write("/etc/dkms/framework.conf", CONF, 0o644).unwrap();
    assert_eq!(built(&root, ""), (false, bytes));
}

#[test]
fn whatever_a_build_depends_on_misses() {
    let root = root();
    built(&root, "");
    let changes = [
        ("a byte of the source", format!("echo >>{SOURCE}/foo.c")),
        ("the source's Makefile", format!("echo 'ccflags-y += -DX' >>{SOURCE}/Makefile")),
        ("dkms.conf", format!("echo 'MAKE[0]=\"make -C $kernel_source_dir M=$PWD\"' >>{SOURCE}/dkms.conf")),
        (
            "the admin's patch",
            format!(
                "mkdir -p /etc/dkms/foo/patches && cd {SOURCE} && cp foo.c /srv/foo.c && echo '/* patched */' >>/srv/foo.c &&
                 (diff -u --label a/foo.c --label b/foo.c foo.c /srv/foo.c >/etc/dkms/foo/patches/a.patch || true) &&
                 mkdir -p patches && cp /etc/dkms/foo/patches/a.patch patches/ && echo 'PATCH[0]=\"a.patch\"' >>dkms.conf"
            ),
        ),
        ("another patch of the admin's", "echo >>/etc/dkms/foo/patches/a.patch".to_owned()),
        ("the kernel configuration", "echo CONFIG_NIX=y >>/usr/src/linux-headers-$K/.config".to_owned()),
        ("a header of this kernel", "echo >>/usr/src/linux-headers-$K/include/generated/autoconf.h".to_owned()),
        (
            "a header that kernels share",
            "h=$(ls -d /usr/src/linux-headers-${K%-amd64}-common); echo >>$h/include/linux/module.h".to_owned(),
        ),
        ("the kernel's symbols", "echo >>/usr/src/linux-headers-$K/Module.symvers".to_owned()),
        (
            "the compiler",
            "printf '#!/bin/sh\\nexec /usr/bin/gcc-12 \"$@\"\\n' >/usr/local/sbin/gcc-12 && chmod +x /usr/local/sbin/gcc-12"
                .to_owned(),
        ),
    ];
    for (what, change) in changes {
        root.must(&change).unwrap();
        assert!(!built(&root, "").0, "{what} has changed, and the cache was used");
        assert!(built(&root, "").0, "nothing has changed after {what}, and it was built again");
    }
    // Another kernel is another build, and so is what somebody asks for on the command line.
    root.must("dkms build foo/1.0 -k $K2").unwrap();
    assert!(!built(&root, "--directive STRIP=no").0);
}

#[test]
fn a_damaged_entry_is_no_result() {
    let root = root();
    let (_, bytes) = built(&root, "");
    root.must("for f in /srv/cache/*/*/module/foo.ko; do printf x >>$f; done").unwrap();
    assert_eq!(built(&root, ""), (false, bytes.clone()));
    assert_eq!(built(&root, ""), (true, bytes.clone()));
    root.must("chmod go+w /srv/cache").unwrap();
    assert_eq!(built(&root, ""), (false, bytes));
}

#[test]
fn a_failure_is_remembered_with_its_inputs_and_log_shows_it() {
    let root = root();
    let last = || -> serde_json::Value {
        let text =
            root.must("cd /var/lib/dkms/.state/attempts/foo/1.0/$K/$A; cat $(ls *.json | sort -n | tail -1)");
        serde_json::from_str(&text.unwrap()).unwrap()
    };
    root.must("dkms build foo/1.0 -k $K").unwrap();
    let good = last();
    assert!(good["failure"].is_null() && good["seconds"].as_f64().unwrap() > 0.0, "{good}");
    root.must("dkms unbuild foo/1.0 -k $K").unwrap();
    root.must(&format!("echo 'int f(void) {{ return nix; }}' >>{SOURCE}/foo.c")).unwrap();
    let status = root.dkms("status").unwrap().stdout;
    assert_eq!(root.dkms("build foo/1.0 -k $K").unwrap().code, 10);
    let first = last();
    assert!(first["failure"]["diagnosis"][0].as_str().unwrap().contains("foo.c:6: "), "{first}");
    assert_eq!(root.dkms("status").unwrap().stdout, status);
    assert_eq!(root.dkms("build foo/1.0 -k $K").unwrap().code, 10, "people always may try");
    assert_eq!(last()["key"], first["key"]);
    root.must(&format!("echo >>{SOURCE}/foo.c")).unwrap();
    root.dkms("build foo/1.0 -k $K").unwrap();
    assert_ne!(last()["key"], first["key"]);

    let shown = root.must("dkms log foo").unwrap();
    let lines: Vec<&str> = shown.lines().collect();
    let head = format!("foo/1.0 for kernel {} (x86_64): failed on ", root.kernels().first);
    assert!(lines[0].starts_with(&head), "{shown}");
    assert!(lines[1].contains("failed with exit code 2") && lines[2].contains("foo.c:6: "), "{shown}");
    assert_eq!(shown.matches("# command: ").count(), 1, "only the newest log: {shown}");
    assert_eq!(root.must("dkms log").unwrap().lines().count(), 4);
    assert_eq!(
        root.must("dkms log foo/1.0 --all -k $K").unwrap().matches("# Building the modules").count(),
        3
    );
    let json: serde_json::Value = serde_json::from_str(&root.must("dkms log foo --json").unwrap()).unwrap();
    assert_eq!(
        (json["builds"].as_array().unwrap().len(), &json["builds"][3]["ending"]),
        (4, &"built".into())
    );
    assert_eq!(root.must("dkms log foo -k 1.2.3").unwrap().trim(), "no build is remembered");
    assert_eq!(root.dkms("log nix").unwrap().code, 3);
    assert_eq!(root.dkms("log foo/2.0").unwrap().code, 3);

    root.must("dkms remove foo/1.0 --all").unwrap();
    assert_eq!(root.must("find /var/lib/dkms/.state/attempts -name foo").unwrap(), "");
}
