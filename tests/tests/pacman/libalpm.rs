//! The helper with each libalpm, built against that of the root that it works in; and as a static program.

use std::path::{Path, PathBuf};

use dkms_base::host::fs;
use dkms_tests::cache::Cache;
use dkms_tests::command::must as run;

use super::*;

/// Where cargo puts what it builds, and we what we want to keep of that.
fn target_folder() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_hooks-pacman-under-test"))
        .ancestors()
        .nth(2)
        .expect("target/debug/X")
        .to_owned()
}

/// The helper for a libalpm, which lies in the root of a test's system. What it is linked with stands for
/// what libalpm-dev has: a library of that name with those symbols, which needs no further libraries.
fn with_libalpm(pacman: Pacman, number: u32) -> Tool {
    let cache = Cache::open().expect("setup has made the cache");
    let system = pacman.own_layer(&cache).expect("mmdebstrap makes it");
    let folder = target_folder().join(format!("libalpm-{number}"));
    fs::create_dir_all(&folder).expect("it can be made");
    let library = system.join(format!("usr/lib/x86_64-linux-gnu/libalpm.so.{number}"));
    let about = format!(
        "Name: libalpm\nDescription: x\nVersion: {number}.0.1\nLibs: -L{} -lalpm\n",
        folder.display()
    );
    fs::write_whole(&folder.join("libalpm.pc"), about.as_bytes(), 0o644).expect("it can be written");
    let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let (target, library, folder) = (target_folder(), library.display(), folder.display());
    // Built together with a test of the workspace, it takes all that the tests were built with: features are
    // those of the whole workspace and of its tests.
    let line = format!(
        "nm -D --defined-only {library} | awk '{{ print \"void \" $3 \"(void) {{}}\" }}' >{folder}/alpm.c
         cc -w -shared -nostdlib -Wl,-soname,libalpm.so.{number} -o {folder}/libalpm.so {folder}/alpm.c
         PKG_CONFIG_LIBDIR={folder} cargo build --quiet --workspace --bin hooks-pacman --test targets \
             --features dkms-hooks-pacman/libalpm-{number} --target-dir {}
         cp {}/debug/hooks-pacman {folder}/",
        target.display(),
        target.display(),
    );
    run("sh", &["-ec", &line], workspace).expect("it can be built");
    Tool { name: "pacman", ..Tool::ours(&format!("{folder}/hooks-pacman")) }
}

fn works_with(pacman_release: Pacman, number: u32) {
    let helper = with_libalpm(pacman_release, number);
    let world = World::new(pacman_release, &dkms(), &helper).expect("tests run as root");
    let first = world.kernels[0].as_str();
    let version = must(&world, "/usr/lib/dkms/hooks-pacman --version");
    assert!(version.contains(&format!("libalpm {number}.")), "{version}");
    let said = pacman(&world, "-S linux linux-headers aa-dkms bb-dkms");
    assert_eq!(status(&world), installed(&["aa/1.0", "bb/1.0"], &[first]), "{said}");
    assert!(!said.contains("libalpm"), "{said}");
    let before = builds(&world);
    let said = pacman(&world, "-S linux linux-headers aa-dkms");
    assert_eq!(builds(&world), before, "reinstalled is the same, by what libalpm says: {said}");
    world.repository("two").expect("pacman takes it");
    let said = pacman(&world, "-S aa-dkms bb-dkms");
    assert_eq!(status(&world), installed(&["aa/2.0", "bb/2.0"], &[first]), "{said}");
    let said = pacman(&world, "-Rs bb-dkms aa-dkms");
    assert_eq!(left(&world), "", "{said}");
}

#[test]
fn libalpm_13_is_asked() {
    works_with(Pacman::V6_0, 13);
}

#[test]
#[ignore = "full tier"]
fn libalpm_15_is_asked() {
    works_with(Pacman::V7_0, 15);
}

#[test]
#[ignore = "full tier"]
fn libalpm_16_is_asked() {
    works_with(Pacman::V7_1, 16);
}

/// The helper without any library, not even C's: in a root where nothing else is. It takes minutes to build
/// everything once more.
#[test]
#[ignore = "full tier"]
fn a_static_helper_needs_nothing() {
    let triple = "x86_64-unknown-linux-musl";
    let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let line = format!(
        "if command -v rustup >/dev/null; then rustup target add {triple}; fi
         cargo build --quiet --package dkms-hooks-pacman --target {triple} --target-dir {}",
        target_folder().display()
    );
    run("sh", &["-ec", &line], workspace).expect("it can be built");
    let program = target_folder().join(triple).join("debug/hooks-pacman");
    let helper = Tool { name: "pacman", ..Tool::ours(&program.to_string_lossy()) };
    let world = World::new(Pacman::V6_0, &dkms(), &helper).expect("tests run as root");
    // It does what the other does.
    let first = world.kernels[0].as_str();
    let said = pacman(&world, "-S linux linux-headers aa-dkms bb-dkms");
    assert_eq!(status(&world), installed(&["aa/1.0", "bb/1.0"], &[first]), "{said}");
    // And does it where there is neither a C library nor anything else.
    must(
        &world,
        "mkdir -p /srv/none/etc /srv/none/usr/src /srv/none/var/lib/dkms /srv/none/var/lib/pacman /srv/none/usr/lib/modules
         ln -s usr/lib /srv/none/lib
         cp /etc/os-release /srv/none/etc; cp -r /usr/src/aa-1.0 /srv/none/usr/src
         cp -r /usr/lib/modules/* /srv/none/usr/lib/modules; rm -rf /srv/none/usr/lib/modules/*/updates
         cp -r /var/lib/pacman/local /srv/none/var/lib/pacman
         cp /usr/lib/dkms/hooks-pacman /srv/none/helper",
    );
    let line = "printf 'usr/src/aa-1.0/dkms.conf\\n' | chroot /srv/none /helper done 2>&1";
    let output = world.root.shell(line, User::Root, "/").expect("it runs");
    assert_eq!(output.code, 0, "{output:?}");
    // There is no make there either, and that is all that is wrong.
    assert!(
        output.stdout.contains("cannot build aa/1.0") || output.stdout.contains("cannot run"),
        "{output:?}"
    );
    must(&world, "readlink /srv/none/var/lib/dkms/aa/1.0/source | grep -x /usr/src/aa-1.0");
}
