//! `dkms forecast` and `preflight=build` with dnf: what the next upgrade brings is built before it comes.

use dkms_tests::rpm::{Package, Suite, World};

use super::{dnf, run, world};

/// The next build of a module with this in its dkms.conf fails.
const FAILS: &str = "MAKE=\"echo foo.c:1: error: no such thing; false\"";

/// The repository by HTTP: of one in files, dnf uses the packages where they lie, and downloads nothing.
const SERVE: &str = "import functools, http.server, os
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory='/srv/repo')
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
open('/srv/port.new', 'w').write(str(server.server_port))
os.rename('/srv/port.new', '/srv/port')
server.serve_forever()
";

fn foreseen(suite: Suite) {
    let world = world(suite, &[Package::ready("one", "1.0"), Package::ready("two", "1.0")]);
    world.must("echo build_cache=/srv/cache >>/etc/dkms/framework.conf").unwrap();
    dnf(&world, "install kernel-core-6.1.0 kernel-devel-6.1.0 one-dkms two-dkms");
    world.must(&format!("echo '{FAILS}' >>/usr/src/two-1.0/dkms.conf")).unwrap();
    let before = run(&world, "ls -R /usr/src /lib/modules");
    let output = world.root.shell("dkms forecast --fetch --json", dkms_tests::root::User::Root, "/").unwrap();
    assert_eq!(output.code, 30, "{output:?}");
    let told: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(told["kernel"], world.kernels[1], "{told}");
    let results: Vec<_> =
        told["modules"].as_array().unwrap().iter().map(|one| one["result"].clone()).collect();
    assert_eq!(results, ["builds", "fails"], "{told}");
    assert_eq!(run(&world, "ls -R /usr/src /lib/modules"), before);
    let said = dnf(&world, "install kernel-core-6.2.0 kernel-devel-6.2.0");
    assert!(said.contains("two/1.0, K2, x86_64: will not be there: it was tried on"), "{said}");
    assert_taken_from_the_cache(&world, &said);
}

#[test]
#[ignore = "full tier"]
fn what_dnf_would_bring_is_built_before() {
    [Suite::Bookworm, Suite::Forky].into_iter().for_each(foreseen);
}

/// The build of `one` for K2 ran no make.
fn assert_taken_from_the_cache(world: &World, said: &str) {
    let log = world
        .must(&format!("head -n 1 /var/lib/dkms/one/1.0/{}/x86_64/log/make.log", world.kernels[1]))
        .unwrap();
    assert!(log.starts_with("# taken from the build cache"), "{log} {said}");
}

/// `one` is critical, and in use on K1.
fn with_critical(suite: Suite) -> World {
    let world = world(suite, &[Package::ready("one", "1.0")]);
    world
        .must(
            "printf 'preflight=build\\ncritical=one\\nbuild_cache=/srv/cache\\n' >>/etc/dkms/framework.conf",
        )
        .unwrap();
    dnf(&world, "install kernel-core-6.1.0 kernel-devel-6.1.0 one-dkms");
    world
}

fn critical(suite: Suite) {
    let world = with_critical(suite);
    let said = dnf(&world, "install kernel-core-6.2.0 kernel-devel-6.2.0");
    assert!(said.contains("building one for kernel K2 before it is installed"), "{said}");
    assert_taken_from_the_cache(&world, &said);
}

#[test]
#[ignore = "full tier"]
fn critical_modules_are_built_before_a_transaction() {
    [Suite::Bookworm, Suite::Forky].into_iter().for_each(critical);
}

fn downloaded_only(suite: Suite) {
    let world = with_critical(suite);
    world.root.write("/srv/serve.py", SERVE, 0o644).unwrap();
    world
        .must(
            "setsid python3 /srv/serve.py >/dev/null 2>&1 </dev/null &
             while [ ! -s /srv/port ]; do sleep 0.1; done
             sed -i \"s,^baseurl=.*,baseurl=http://127.0.0.1:$(cat /srv/port),\" /etc/dnf/dnf.conf",
        )
        .unwrap();
    let said = dnf(&world, "install --downloadonly kernel-core-6.2.0 kernel-devel-6.2.0");
    assert!(said.contains("building one for kernel"), "{said}");
    let said = dnf(&world, "install kernel-core-6.2.0 kernel-devel-6.2.0");
    assert_taken_from_the_cache(&world, &said);
}

#[test]
#[ignore = "full tier"]
fn headers_that_dnf_has_not_downloaded_yet_are_downloaded() {
    [Suite::Bookworm, Suite::Forky].into_iter().for_each(downloaded_only);
}
