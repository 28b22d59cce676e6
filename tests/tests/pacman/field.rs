//! Packages as they are found in the field: kernels without an image or with modules only, headers alone, a
//! folder that is named otherwise than its dkms.conf says.

use super::*;

/// Packs the folder `/srv/new` as a package; its file.
fn packed(world: &World, name: &str, version: &str) -> String {
    let file = format!("/srv/{name}-{version}-1-any.pkg.tar.zst");
    let info = format!(
        "pkgname = {name}\\npkgver = {version}-1\\npkgdesc = x\\nbuilddate = 1700000000\\nsize = 1\\narch = any\\n"
    );
    must(
        world,
        &format!(
            "cd /srv/new; printf '{info}' >.PKGINFO; bsdtar --uid 0 --gid 0 -cf - .PKGINFO usr | zstd -q >{file}; rm -rf /srv/new"
        ),
    );
    file
}

/// The package of a kernel, without these files of its folder.
fn kernel_without(world: &World, version: &str, files: &str) -> String {
    must(
        world,
        &format!(
            "mkdir /srv/new; cd /srv/new; bsdtar xf $(find /srv -name 'linux-{version}-1-any.pkg.tar.zst' | head -n 1) usr
             cd usr/lib/modules/*; rm {files}"
        ),
    );
    packed(world, "linux", version)
}

#[test]
fn a_kernel_needs_no_image_in_its_folder() {
    let world = world(Pacman::V6_0);
    let (first, second) = (world.kernels[0].clone(), world.kernels[1].clone());
    let one = kernel_without(&world, "1.0", "vmlinuz pkgbase");
    let two = kernel_without(&world, "2.0", "vmlinuz pkgbase modules.order");
    pacman(&world, &format!("-Udd {one} linux-headers-1.0-1-any.pkg.tar.zst aa-dkms-1.0-1-any.pkg.tar.zst"));
    assert_eq!(status(&world), installed(&["aa/1.0"], &[&first]));
    let said = pacman(&world, &format!("-Udd {two} linux-headers-2.0-1-any.pkg.tar.zst"));
    assert_eq!(status(&world), installed(&["aa/1.0"], &[&second]), "{said}");
    must(&world, &format!("! find /lib/modules/{first} -name 'aa.ko*' 2>/dev/null | grep ."));
    // What can't be built yet is mentioned, with the package that has the headers.
    pacman(&world, "-Rdd linux linux-headers");
    let said = pacman(&world, &format!("-Udd {one}"));
    assert!(said.contains(&first) && said.contains("`linux-headers`"), "{said}");
}

// guide 7
#[test]
fn headers_alone_are_no_kernel() {
    let world = world(Pacman::V6_0);
    let first = world.kernels[0].clone();
    pacman(&world, "-S linux linux-headers aa-dkms");
    let said = pacman(&world, "-Udd linux-headers-2.0-1-any.pkg.tar.zst");
    assert_eq!(status(&world), installed(&["aa/1.0"], &[&first]), "{said}");
    pacman(&world, "-Udd linux-headers-1.0-1-any.pkg.tar.zst");
    assert_eq!(status(&world), installed(&["aa/1.0"], &[&first]));
    must(&world, &format!("! ls -d /lib/modules/{}", world.kernels[1]));
}

#[test]
fn a_folder_may_be_named_otherwise_than_its_conf_says() {
    let world = world(Pacman::V6_0);
    let (first, second) = (world.kernels[0].clone(), world.kernels[1].clone());
    let folder = "/srv/new/usr/src/aa-dkms-git-r119.7df2680";
    must(
        &world,
        &format!(
            "mkdir -p {folder}; bsdtar xf $(find /srv -name 'aa-dkms-1.0-1-any*' | head -n 1) --strip-components 3 -C {folder} usr/src/aa-1.0"
        ),
    );
    let package = packed(&world, "aa-dkms-git", "r119");
    let said = pacman(
        &world,
        &format!("-Udd linux-1.0-1-any.pkg.tar.zst linux-headers-1.0-1-any.pkg.tar.zst {package}"),
    );
    assert_eq!(status(&world), installed(&["aa-dkms-git/r119.7df2680"], &[&first]), "{said}");
    pacman(&world, "-Udd linux-2.0-1-any.pkg.tar.zst linux-headers-2.0-1-any.pkg.tar.zst");
    assert_eq!(status(&world), installed(&["aa-dkms-git/r119.7df2680"], &[&second]));
    let said = pacman(&world, "-Rdd aa-dkms-git");
    assert_eq!(status(&world), Vec::<String>::new(), "{said}");
    must(&world, "! find /lib/modules -name 'aa.ko*' | grep .");
}

#[test]
fn what_comes_ready_built_is_not_missed() {
    let world = world(Pacman::V6_0);
    let second = world.kernels[1].clone();
    pacman(&world, "-S linux linux-headers aa-dkms");
    must(&world, "echo preflight=block >>/etc/dkms/framework.conf");
    let alone = "pacman --noconfirm -Udd linux-2.0-1-any.pkg.tar.zst";
    let said = must(
        &world,
        &format!(
            "cd $(dirname $(find /srv -name 'linux-2.0-1-any*' | head -n 1)); {alone} 2>&1 && exit 1; :"
        ),
    );
    assert!(said.contains("preflight=block"), "{said}");
    must(
        &world,
        &format!(
            "mkdir -p /srv/new/usr/lib/modules/{second}/extramodules; cd /srv/new/usr/lib/modules/{second}/extramodules
             cp $(find /lib/modules -name 'aa.ko*' | head -n 1) ."
        ),
    );
    let package = packed(&world, "aa", "1.0");
    let said = pacman(&world, &format!("-Udd linux-2.0-1-any.pkg.tar.zst {package}"));
    assert!(!said.contains("error"), "{said}");
}
