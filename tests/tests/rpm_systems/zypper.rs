//! zypper in classic mode: an rpm for each package, none of which runs our triggers. libzypp's commit plugin
//! makes one batch of the commit.

use dkms_tests::rpm::{Package, Suite};

use super::{batches, dnf, status, world};

// guide 1, guide 2, guide 3, guide 4, guide 5, guide 6
#[test]
fn a_commit_is_one_batch() {
    // No script of theirs calls us.
    let silent = |name| Package { scripts: ("", ""), ..Package::ready(name, "1.0") };
    let world = world(Suite::Zypper, &[silent("one"), silent("two"), Package::ready("one", "2.0")]);
    world.must("zypper --non-interactive refresh").unwrap();
    // As SUSE's kernels do, %posttrans makes the image before the commit ends.
    let tools = "printf '#!/bin/sh\\necho \"$*\" >>/srv/dracut\\n' >/usr/bin/dracut
        printf '#!/bin/sh\\n[ $1 != add ] || : >/boot/initrd-$2\\n' >/usr/bin/kernel-install
        chmod 755 /usr/bin/dracut /usr/bin/kernel-install";
    world.must(tools).unwrap();
    let made = || world.short(&world.must("cat /srv/dracut; : >/srv/dracut").unwrap());
    let first = "install kernel-core=6.1.0 kernel-devel=6.1.0 one-dkms=1.0 two-dkms";
    let said = dnf(&world, first);
    assert_eq!(status(&world), "one/1.0, K1: installed\ntwo/1.0, K1: installed", "{said}");
    assert_eq!(batches(&said), 1, "{said}");
    assert_eq!(made(), "--force /boot/initrd-K1 K1\n", "{said}");
    // Before the first package is installed; the kernel's release is the one in its package.
    let said = dnf(&world, "install kernel-core=6.2.0");
    let warned = said.find("one/1.0, K2, x86_64: will not be there");
    let installed = said.find("Installing: kernel-core");
    assert!(warned.is_some() && warned < installed, "{said}");
    assert!(said.contains("zypper install kernel-devel=6.2.0-1"), "{said}");
    let said = dnf(&world, "install kernel-devel=6.2.0 one-dkms=2.0");
    let all =
        "one/2.0, K1: installed\none/2.0, K2: installed\ntwo/1.0, K1: installed\ntwo/1.0, K2: installed";
    assert_eq!(status(&world), all, "{said}");
    assert_eq!(made(), "--force /boot/initrd-K2 K2\n", "{said}");
    let said = dnf(&world, "remove two-dkms");
    assert_eq!(status(&world), "one/2.0, K1: installed\none/2.0, K2: installed", "{said}");
    let said = dnf(&world, "remove kernel-core=6.1.0 kernel-devel=6.1.0");
    assert_eq!(status(&world), "one/2.0, K2: installed", "{said}");
}
