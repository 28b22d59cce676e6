//! Sources that are checkouts, and compilers that a caller names: what a build sees of them is what root's
//! build would see, or a warning says that it isn't.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use dkms_tests::cache::Cache;
use dkms_tests::fixture::Module;
use dkms_tests::kernels::Kernels;
use dkms_tests::root::{Root, User};
use dkms_tests::tool::Tool;

fn root() -> Root {
    let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
    Root::new(&cache, &kernels, &[&Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"))]).unwrap()
}

/// A module in which the version stands that git tells: in the build folder, and in the source.
fn checkout(root: &Root) {
    Module::new("foo", "1.0").write_to(root).unwrap();
    let describe = "describe --tags 2>/dev/null || echo unknown";
    root.must(&format!(
        "cd /usr/src/foo-1.0
         printf 'ccflags-y += -DSEEN=\"\\\\\"$(shell git -C $(src) {describe})+$(shell git -C /usr/src/foo-1.0 {describe})\\\\\"\"\\n' >>Makefile
         echo 'MODULE_INFO(seen, SEEN);' >>foo.c
         git -c init.defaultBranch=main init -q; git add .; git -c user.name=n -c user.email=e commit -qm one; git tag v1"
    ))
    .unwrap();
}

#[test]
fn git_tells_the_version_of_a_checkout_whoever_owns_it() {
    let root = root();
    for owner in ["root", "nobody", "1234"] {
        checkout(&root);
        root.must(&format!("chown -R {owner} /usr/src/foo-1.0; $DKMS build foo/1.0 -k $K")).unwrap();
        let seen = root.must("modinfo -F seen $(find /var/lib/dkms/foo -name foo.ko)").unwrap();
        assert_eq!(seen, "v1+v1\n", "{owner}");
        root.must("$DKMS remove foo/1.0 --all; rm -r /usr/src/foo-1.0").unwrap();
    }
}

#[test]
fn a_checkout_whose_data_is_in_a_home_is_told() {
    let root = root();
    checkout(&root);
    root.must("mv /usr/src/foo-1.0 /root/foo; git -C /root/foo worktree add -q /usr/src/foo-1.0 HEAD")
        .unwrap();
    let built = root.shell("\"$DKMS\" build foo/1.0 -k $K", User::Root, "/").unwrap();
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert!(
        built.stderr.contains("Warning: foo/1.0 was built, but `/usr/src/foo-1.0/Makefile` asks git, whose data is in `/root/foo/.git/worktrees/foo-1.0`")
            && built.stderr.contains("`sandbox_exempt`"),
        "{}",
        built.stderr
    );
    root.write("/etc/dkms/sandbox_exempt.d/mine", "foo # its data is in /root\n", 0o644).unwrap();
    let exempt = root.shell("\"$DKMS\" build foo/1.0 -k $K --force", User::Root, "/").unwrap();
    assert_eq!((exempt.code, exempt.stderr.as_str()), (0, ""));
    assert_eq!(root.must("modinfo -F seen $(find /var/lib/dkms/foo -name foo.ko)").unwrap(), "v1+v1\n");
}

#[test]
fn the_compiler_is_the_kernels() {
    let root = root();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    let build = |variables: &str| {
        root.shell(&format!("env {variables} \"$DKMS\" build foo/1.0 -k $K --force"), User::Root, "/")
            .unwrap()
    };
    let own = build("CC=clang CXX=clang++");
    assert_eq!((own.code, own.stderr.as_str()), (0, ""));
    // Nobody has these programs, so it can't depend on the machine. Which is missed first, does.
    let llvm = build("LLVM=-99");
    assert_eq!(llvm.code, 10, "{}", llvm.stderr);
    let told = "`LLVM=-99` of the environment makes the build use clang, but gcc built the kernel";
    assert!(llvm.stderr.contains(told), "{}", llvm.stderr);
    root.must(
        "h=/usr/src/headers-of-clang; cp -a $(readlink -f /lib/modules/$K/build) $h; ln -sfn $h /lib/modules/$K/build
         rm -f $h/.kernelvariables /usr/bin/clang* /usr/bin/ld.lld*
         sed -i 's/^CONFIG_CC_IS_GCC=y/CONFIG_CC_IS_CLANG=y\\nCONFIG_LD_IS_LLD=y/; s/^CONFIG_CC_VERSION_TEXT=.*/CONFIG_CC_VERSION_TEXT=\"clang version 14\"/' $h/include/config/auto.conf",
    )
    .unwrap();
    let clang = build("LLVM=1");
    assert_eq!(clang.code, 10, "{}", clang.stderr);
    assert!(
        clang.stderr.contains(" LLVM=1` failed") && clang.stderr.contains("install the package `clang`"),
        "{}",
        clang.stderr
    );
    assert!(!clang.stderr.contains("of the environment"), "{}", clang.stderr);
}
