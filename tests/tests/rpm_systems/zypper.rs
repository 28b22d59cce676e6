//! zypper in classic mode: an rpm for each package, none of which runs our triggers. libzypp's commit plugin
//! makes one batch of the commit.

use dkms_tests::rpm::{Package, Suite};

use super::{batches, dnf, status, world};

#[test]
fn a_commit_is_one_batch() {
    // No script of theirs calls us.
    let silent = |name| Package { scripts: ("", ""), ..Package::ready(name, "1.0") };
    let world = world(Suite::Zypper, &[silent("one"), silent("two"), Package::ready("one", "2.0")]);
    world.must("zypper --non-interactive refresh").unwrap();
    let first = "install kernel-core=6.1.0 kernel-devel=6.1.0 one-dkms=1.0 two-dkms";
    let said = dnf(&world, first);
    assert_eq!(status(&world), "one/1.0, K1: installed\ntwo/1.0, K1: installed", "{said}");
    assert_eq!(batches(&said), 1, "{said}");
    dnf(&world, "install kernel-core=6.2.0");
    let said = dnf(&world, "install kernel-devel=6.2.0 one-dkms=2.0");
    let all =
        "one/2.0, K1: installed\none/2.0, K2: installed\ntwo/1.0, K1: installed\ntwo/1.0, K2: installed";
    assert_eq!(status(&world), all, "{said}");
    let said = dnf(&world, "remove two-dkms");
    assert_eq!(status(&world), "one/2.0, K1: installed\none/2.0, K2: installed", "{said}");
    let said = dnf(&world, "remove kernel-core=6.1.0 kernel-devel=6.1.0");
    assert_eq!(status(&world), "one/2.0, K2: installed", "{said}");
}
