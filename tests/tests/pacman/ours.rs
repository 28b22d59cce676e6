//! Our own package: by makepkg from `packaging/PKGBUILD`, and by our own writer.

use std::path::Path;

use dkms_base::host::fs;
use dkms_tests::cache::Cache;
use dkms_tests::debs;

use super::*;

/// What of this tree is needed to pack it.
const TREE: [&str; 8] = [
    "packaging",
    "hooks-pacman/files",
    "hooks-apt/files",
    "dh-dkms/files",
    "docs",
    "CHANGELOG.md",
    "README.md",
    "LICENSE",
];

/// A world without us, with this tree in `/srv/tree` and its programs in `/srv/programs`.
fn bare() -> World {
    let cache = Cache::open().expect("setup has made the cache");
    let ours = debs::ours(&cache, env!("CARGO_BIN_EXE_dkms-under-test")).expect("they can be written");
    // Stripped, as those that are shipped.
    let tool = |name: &'static str| Tool { name, ..Tool::ours(&ours.programs.join(name).to_string_lossy()) };
    let release = Tool { name: "dkms-release", ..Tool::ours(env!("CARGO_BIN_EXE_dkms-release-under-test")) };
    let tools =
        [tool("dkms"), tool("dh_dkms"), tool("hooks-apt"), tool("dkms-fetch"), tool("hooks-pacman"), release];
    let world = World::without_dkms(Pacman::V6_0, &tools.each_ref()).expect("tests run as root");
    must(
        &world,
        "mkdir -p /srv/tree /srv/programs /srv/dist; for tool in /opt/[dh]*/dkms; do ln -s $tool /srv/programs/$(basename $(dirname $tool)); done",
    );
    let tree = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    for name in TREE {
        let to = world.root.view("/srv/tree").join(name);
        fs::create_dir_all(to.parent().expect("it is below the tree")).expect("writable");
        if fs::is_dir(&tree.join(name)) {
            fs::copy_tree(&tree.join(name), &to, fs::Ownership::Callers).expect("writable");
        } else {
            fs::copy_file(&tree.join(name), &to).expect("writable");
        }
    }
    world
}

/// Writes our package; its file.
fn written(world: &World) -> String {
    let line = "cd /srv/dist && SOURCE_DATE_EPOCH=1700000000 /srv/programs/dkms-release --tree /srv/tree --programs /srv/programs arch /srv/dist";
    must(world, line).trim().to_owned()
}

#[test]
fn makepkg_and_our_own_writer_agree() {
    let world = bare();
    let ours = written(&world);
    let name = format!("dkms-{}-1-x86_64.pkg.tar.zst", env!("CARGO_PKG_VERSION"));
    assert_eq!(ours, format!("/srv/dist/{name}"));
    // As `make arch` does; a program that is linked is one too.
    must(
        &world,
        "mkdir /srv/built; cp -L /srv/programs/* /srv/built; SOURCE_DATE_EPOCH=1700000000 /srv/tree/packaging/makepkg /srv/makepkg /srv/built 2>&1",
    );
    let theirs = format!("/srv/makepkg/{name}");
    // Files with their modes and sizes; what the package is.
    let of = |package: &str| {
        let files = format!(
            "zstdcat {package} | tar -tv | awk '{{print $1, ($1 ~ /^d/) ? 0 : $3, $6}}' | grep -v ' [.]' | sort -k 3"
        );
        let fields = format!(
            "bsdtar -xOf {package} .PKGINFO | grep -E '^(pkgname|pkgver|pkgdesc|url|arch|license|backup|depend|optdepend|conflict) ' | sort"
        );
        (must(&world, &files), must(&world, &fields))
    };
    let (own, made) = (of(&ours), of(&theirs));
    assert_eq!(own, made);
    assert!(own.0.contains("-rwxr-xr-x") && own.0.contains("usr/lib/dkms/hooks-pacman"), "{own:?}");
    assert!(!own.0.contains("usr/sbin"), "{own:?}");
    assert_eq!(
        must(&world, &format!("pacman -Qlp {ours} | sort")),
        must(&world, &format!("pacman -Qlp {theirs} | sort"))
    );
    // The same again, byte for byte.
    must(&world, "mv /srv/dist /srv/first; mkdir /srv/dist");
    must(&world, &format!("cmp {} /srv/first/{name}", written(&world)));
    // Either is what pacman takes, and finds as it was.
    for package in [&ours, &theirs] {
        must(&world, &format!("pacman --noconfirm -Udd {package}"));
        let checked = must(&world, "pacman -Qkk dkms");
        assert!(checked.contains(", 0 altered files"), "{checked}");
        must(
            &world,
            "pacman --noconfirm -R dkms; ! ls /usr/lib/dkms /usr/bin/dkms /usr/share/libalpm/hooks/*dkms*",
        );
    }
}

#[test]
fn our_package_comes_with_what_it_serves() {
    let world = bare();
    let first = world.kernels[0].clone();
    let ours = written(&world);
    // There are no hooks of ours before that transaction; there are after it.
    let packages = "linux-1.0-1 linux-headers-1.0-1 aa-dkms-1.0-1 bb-dkms-1.0-1";
    let files: Vec<String> = packages.split(' ').map(|name| format!("{name}-any.pkg.tar.zst")).collect();
    let said = pacman(&world, &format!("-Udd {ours} {}", files.join(" ")));
    assert_eq!(status(&world), installed(&["aa/1.0", "bb/1.0"], &[&first]), "{said}");
    must(&world, "echo try_sign_modules=false >>/etc/dkms/framework.conf");
    // Ours is put in place again, and nothing else happens; what an admin has changed stays.
    let said = pacman(&world, &format!("-Udd {ours}"));
    assert!(!said.contains("DKMS"), "{said}");
    must(&world, "grep -x try_sign_modules=false /etc/dkms/framework.conf");
    // Without us, what was installed stays, and pacman's other transactions go on.
    pacman(&world, "-Rdd dkms");
    must(&world, &format!("ls /lib/modules/{first}/updates/dkms/aa.ko*"));
    pacman(&world, "-S hello");
    // We come back, and with us the rest: a module that came meanwhile is not lost on the next one.
    pacman(&world, &format!("-Udd {ours} cc-dkms-1.0-1-any.pkg.tar.zst"));
    assert_eq!(status(&world), installed(&["aa/1.0", "bb/1.0", "cc/1.0"], &[&first]));
    let said = pacman(&world, "-R linux-headers linux aa-dkms bb-dkms cc-dkms");
    // But for the key that modules are signed with, which is for those that come.
    must(&world, "rm -f /var/lib/dkms/mok.key /var/lib/dkms/mok.pub");
    assert_eq!(left(&world), "", "{said}");
}

// guide 8
#[test]
fn what_goes_with_us_leaves_modules_dep_right() {
    let world = bare();
    let first = world.kernels[0].clone();
    let ours = written(&world);
    pacman(&world, "-S linux linux-headers");
    pacman(&world, &format!("-Udd {ours} aa-dkms-1.0-1-any.pkg.tar.zst"));
    must(&world, &format!("grep -q updates/dkms/aa.ko /lib/modules/{first}/modules.dep"));
    let said = pacman(&world, "-R aa-dkms dkms");
    must(&world, "! ls /usr/lib/dkms/hooks-pacman");
    must(
        &world,
        &format!(
            "test -s /lib/modules/{first}/modules.dep && ! grep updates/ /lib/modules/{first}/modules.dep"
        ),
    );
    must(&world, &format!("! find /lib/modules/{first} -name 'aa.ko*' | grep ."));
    assert_eq!(said.matches("Uninstalling DKMS modules").count(), 1, "{said}");
}
