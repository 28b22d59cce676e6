//! `dkms forecast` with pacman: what the next upgrade brings is built before it comes.

use super::*;

fn foreseen(release: Pacman) {
    let world = world(release);
    must(&world, "echo build_cache=/srv/cache >>/etc/dkms/framework.conf");
    pacman(&world, "-S linux linux-headers aa-dkms");
    assert_eq!(must(&world, "dkms forecast").trim(), "the next upgrade brings no kernel");
    world.repository("two").expect("pacman reads it");
    let second = world.kernels[1].clone();
    let before = must(&world, "ls -R /usr/src /lib/modules /var/lib/pacman");
    let said = must(&world, "dkms forecast --next --fetch");
    assert!(said.contains(&format!("aa/1.0, {second}: builds")), "{said}");
    assert_eq!(must(&world, "ls -R /usr/src /lib/modules /var/lib/pacman"), before);
    assert_eq!(must(&world, "ls /tmp | grep dkms-forecast || true"), "");
    // The upgrade takes it from the cache.
    let said = pacman(&world, "-S linux linux-headers");
    let log = must(&world, &format!("head -n 1 /var/lib/dkms/aa/1.0/{second}/x86_64/log/make.log"));
    assert!(log.starts_with("# taken from the build cache"), "{log} {said}");
}

#[test]
#[ignore = "full tier"]
fn what_pacman_would_bring_is_built_before() {
    Pacman::ALL.into_iter().for_each(foreseen);
}

#[test]
#[ignore = "full tier"]
fn critical_modules_are_built_before_a_transaction() {
    let world = world(Pacman::V7_0);
    must(
        &world,
        "printf 'preflight=build\\ncritical=aa\\nbuild_cache=/srv/cache\\n' >>/etc/dkms/framework.conf",
    );
    pacman(&world, "-S linux linux-headers aa-dkms");
    world.repository("two").expect("pacman reads it");
    let said = pacman(&world, "-S linux linux-headers");
    assert!(said.contains("building aa for kernel") && said.contains("before it is installed"), "{said}");
    let log =
        must(&world, &format!("head -n 1 /var/lib/dkms/aa/1.0/{}/x86_64/log/make.log", world.kernels[1]));
    assert!(log.starts_with("# taken from the build cache"), "{log} {said}");
}
