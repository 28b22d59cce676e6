//! The build cache with a real kernel's headers and compiler: what comes from it is what a build gives, byte
//! for byte, and whatever a build depends on makes it miss. And what is remembered of builds that failed.

use anyhow::{Result, ensure};
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

fn root() -> Result<Root> {
    let cache = Cache::open()?;
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let root = Root::new(&cache, &Kernels::find()?, &[&ours])?.without_sandbox()?;
    root.write("/usr/local/sbin/make", MAKE, 0o755)?;
    root.write("/etc/dkms/framework.conf", &format!("{CONF}build_cache=/srv/cache\n"), 0o644)?;
    Module::new("foo", "1.0").write_to(&root)?;
    root.must("dkms add foo/1.0")?;
    Ok(root)
}

/// How often make was called for a build so far.
fn makes(root: &Root) -> Result<usize> {
    Ok(root.read("/srv/makes")?.lines().count())
}

/// Builds, which has to work; says whether that was without make, and the module's bytes as a checksum.
fn built(root: &Root, options: &str) -> Result<(bool, String)> {
    let before = makes(root)?;
    root.must("dkms unbuild foo/1.0 -k $K >/dev/null")?;
    let output = root.dkms(&format!("build foo/1.0 -k $K {options}"))?;
    ensure!(output.code == 0, "{}{}", output.stdout, output.stderr);
    let without_make = makes(root)? == before;
    let is_told = output.stdout.contains("is taken from the build cache");
    ensure!(is_told == without_make, "{}", output.stdout);
    Ok((without_make, root.must("cat /var/lib/dkms/foo/1.0/$K/$A/module/foo.ko* | sha256sum")?))
}

#[test]
fn what_comes_from_the_cache_is_what_was_built() {
    let root = root().unwrap();
    let (cached, bytes) = built(&root, "").unwrap();
    assert!(!cached);
    assert_eq!(built(&root, "").unwrap(), (true, bytes.clone()));
    let log = root.must("cat /var/lib/dkms/foo/1.0/$K/$A/log/make.log").unwrap();
    assert!(log.starts_with("# taken from the build cache, where it is since "), "{log}");
    assert!(log.contains("CC [M]"), "{log}");
    // A module that has been gone in between, and one that is installed.
    root.must("dkms remove foo/1.0 --all && dkms install foo/1.0 -k $K").unwrap();
    assert_eq!(makes(&root).unwrap(), 1);
    assert!(root.must("dkms status foo/1.0 -k $K").unwrap().contains(": installed"));
    assert_eq!(built(&root, "--force").unwrap(), (false, bytes.clone()));
    root.write("/etc/dkms/framework.conf", CONF, 0o644).unwrap();
    assert_eq!(built(&root, "").unwrap(), (false, bytes));
}

#[test]
fn a_second_batch_runs_no_make() {
    let root = root().unwrap();
    for (name, with) in [("bar", "BUILD_DEPENDS=\"foo\""), ("baz", "STRIP=no")] {
        Module::new(name, "1.0").with(with).write_to(&root).unwrap();
        root.must(&format!("dkms add {name}/1.0")).unwrap();
    }
    let modules = "find /lib/modules -name '*.ko*' -path '*updates*' | sort | xargs sha256sum";
    let batch = "for m in foo bar baz; do dkms install $m/1.0 -k $K -k $K2; done";
    let first = root.must(batch).unwrap();
    assert_eq!((makes(&root).unwrap(), first.contains("build cache")), (6, false), "{first}");
    let installed = root.must(modules).unwrap();
    assert_eq!(installed.lines().count(), 6, "{installed}");
    root.must("for m in foo bar baz; do dkms unbuild $m/1.0 --all; done").unwrap();
    let second = root.must(batch).unwrap();
    assert_eq!((makes(&root).unwrap(), second.matches("from the build cache").count()), (6, 6), "{second}");
    assert_eq!(root.must(modules).unwrap(), installed);
    // What bar is built against is another one now.
    root.must("dkms unbuild bar/1.0 --all && dkms unbuild foo/1.0 --all && echo >>/usr/src/foo-1.0/foo.c")
        .unwrap();
    root.must("dkms install foo/1.0 -k $K && dkms install bar/1.0 -k $K").unwrap();
    assert_eq!(makes(&root).unwrap(), 8);
}

#[test]
fn whatever_a_build_depends_on_misses() {
    let root = root().unwrap();
    built(&root, "").unwrap();
    let changes = [
        ("a byte of the source", format!("echo >>{SOURCE}/foo.c")),
        ("the source's Makefile", format!("echo 'ccflags-y += -DX' >>{SOURCE}/Makefile")),
        ("dkms.conf", format!("echo 'MAKE[0]=\"make -C $kernel_source_dir M=$dkms_tree/foo/1.0/build\"' >>{SOURCE}/dkms.conf")),
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
        ("the kernel's symbols", "printf '0x12345678\\tnix\\tvmlinux\\tEXPORT_SYMBOL\\t\\n' >>/usr/src/linux-headers-$K/Module.symvers".to_owned()),
        (
            "the compiler",
            "printf '#!/bin/sh\\nexec /usr/bin/gcc-12 \"$@\"\\n' >/usr/local/sbin/gcc-12 && chmod +x /usr/local/sbin/gcc-12"
                .to_owned(),
        ),
    ];
    for (what, change) in changes {
        root.must(&change).unwrap();
        assert!(!built(&root, "").unwrap().0, "{what} has changed, and the cache was used");
        assert!(built(&root, "").unwrap().0, "nothing has changed after {what}, and it was built again");
    }
    // Another kernel is another build, and so is what the command line asks for.
    root.must("dkms build foo/1.0 -k $K2").unwrap();
    assert!(!built(&root, "--directive STRIP=no").unwrap().0);
}

#[test]
fn a_damaged_entry_is_no_result() {
    let root = root().unwrap();
    let (_, bytes) = built(&root, "").unwrap();
    root.must("for f in /srv/cache/*/*/module/foo.ko; do printf x >>$f; done").unwrap();
    assert_eq!(built(&root, "").unwrap(), (false, bytes.clone()));
    assert_eq!(built(&root, "").unwrap(), (true, bytes.clone()));
    root.must("chmod go+w /srv/cache").unwrap();
    assert_eq!(built(&root, "").unwrap(), (false, bytes));
}

#[test]
fn a_failure_is_remembered_with_its_inputs_and_log_shows_it() {
    let root = root().unwrap();
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
    assert_eq!(root.must("dkms log foo -k 1.2.3").unwrap().trim(), "no build is recorded");
    assert_eq!(root.dkms("log nix").unwrap().code, 3);
    assert_eq!(root.dkms("log foo/2.0").unwrap().code, 3);

    root.must(&format!("sed -i /nix/d {SOURCE}/foo.c && dkms install foo/1.0 -k $K2")).unwrap();
    let foreseen = root.dkms("preflight -k $K").unwrap();
    assert!(foreseen.stdout.contains("its last build for this kernel failed: first error: "), "{foreseen:?}");

    root.must("dkms remove foo/1.0 --all").unwrap();
    assert_eq!(root.must("find /var/lib/dkms/.state/attempts -name foo").unwrap(), "");
}
