//! Kernels and modules that come and go: by dnf 4, dnf 5 and plain rpm, with packages as mkrpm makes them and
//! as people write them.

use dkms_tests::rpm::{Build, MKRPM, Package, Suite};

use super::{batches, dnf, ends_with_summary, run, status, world};

const BOTH: &str = "kernel-core-6.1.0 kernel-core-6.2.0 kernel-devel-6.1.0 kernel-devel-6.2.0";

fn three(build: Build) -> [Package<'static>; 4] {
    let package = |name, version, conf| Package { name, version, build, conf, head: "", scripts: MKRPM };
    [
        package("one", "1.0", ""),
        package("two", "1.0", "BUILD_DEPENDS=\"one\""),
        package("three", "1.0", ""),
        Package { build: Build::Ready, ..package("one", "2.0", "") },
    ]
}

fn lines(modules: &[&str]) -> String {
    modules.iter().map(|line| format!("{line}: installed")).collect::<Vec<_>>().join("\n")
}

/// All three on both kernels.
const ALL: [&str; 6] =
    ["one/1.0, K1", "one/1.0, K2", "three/1.0, K1", "three/1.0, K2", "two/1.0, K1", "two/1.0, K2"];

/// Two kernels and three modules, one of which needs another, all at once; then what people do afterwards.
fn everything(suite: Suite, build: Build) {
    let world = world(suite, &three(build));
    world.count_depmods().unwrap();
    let said = dnf(&world, &format!("install {BOTH} one-dkms-1.0 two-dkms three-dkms"));
    let all = lines(&ALL);
    assert_eq!(status(&world), all, "{said}");
    assert_eq!(batches(&said), 1, "{said}");
    assert!(ends_with_summary(&said), "{said}");
    let depmods = world.short(&world.must("cat /srv/depmods").unwrap());
    // The kernels' own scripts, then we.
    let of = |kernel: &str| depmods.lines().filter(|line| line.starts_with(&format!("-a {kernel}"))).count();
    assert_eq!((of("K1"), of("K2")), (2, 2), "{depmods}");
    let files = world.short(&world.must("find /lib/modules -path '*extra*' -name '*.ko*' | sort").unwrap());
    assert_eq!(files.lines().count(), 6, "{files}");
    assert!(files.lines().all(|file| file.contains("/extra/")), "{files}");

    let said = dnf(&world, "upgrade one-dkms");
    assert!(
        ends_with_summary(&said) && status(&world).contains("one/2.0, K1: installed\none/2.0, K2: installed"),
        "{said}"
    );
    assert!(!status(&world).contains("one/1.0"), "{said}");
    let said = dnf(&world, "downgrade one-dkms");
    assert_eq!(status(&world), all, "{said}");
    let said = dnf(&world, "reinstall one-dkms kernel-core-6.2.0");
    assert_eq!(status(&world), all, "{said}");
    let said = dnf(&world, "remove kernel-core-6.1.0 kernel-devel-6.1.0");
    assert_eq!(status(&world), lines(&["one/1.0, K2", "three/1.0, K2", "two/1.0, K2"]), "{said}");
    let left = format!("find /lib/modules/{} -name '*.ko*' 2>/dev/null || :", world.kernels[0]);
    assert_eq!(world.must(&left).unwrap(), "", "{said}");
    let said = dnf(&world, "remove one-dkms two-dkms");
    assert_eq!(status(&world), lines(&["three/1.0, K2"]), "{said}");
    let said = dnf(&world, "reinstall three-dkms");
    assert_eq!(
        (status(&world), batches(&said)),
        (lines(&["three/1.0, K2"]), 0),
        "nothing is built twice: {said}"
    );
}

// guide 1
#[test]
fn dnf_4_of_bookworm() {
    everything(Suite::Bookworm, Build::Real);
}

#[test]
fn dnf_5() {
    everything(Suite::Forky, Build::Ready);
}

/// As long as the others together; setting up another system takes most of it.
#[test]
#[ignore = "full tier"]
fn dnf_4_of_trixie() {
    everything(Suite::Trixie, Build::Ready);
}

#[test]
fn plain_rpm() {
    let world = world(Suite::Bookworm, &three(Build::Ready));
    let said = run(&world, "cd /srv/repo; rpm -ivh kernel-*.rpm one-dkms-1.0.rpm two*.rpm three*.rpm");
    let all = lines(&ALL);
    assert_eq!((status(&world), batches(&said)), (all.clone(), 1), "{said}");
    assert!(ends_with_summary(&said), "{said}");
    for (words, version) in [
        ("-Uvh one-dkms-2.0.rpm", "2.0"),
        ("-Uvh --oldpackage one-dkms-1.0.rpm", "1.0"),
        ("-Uvh --replacepkgs one-dkms-1.0.rpm", "1.0"),
    ] {
        let said = run(&world, &format!("cd /srv/repo; rpm {words}"));
        let is_new = !words.contains("replacepkgs");
        assert_eq!((batches(&said) == 1, ends_with_summary(&said)), (is_new, is_new), "{said}");
        assert_eq!(status(&world), all.replace("one/1.0", &format!("one/{version}")), "{said}");
    }
    let said = run(&world, "rpm -e kernel-core-6.1.0-1 kernel-devel-6.1.0-1 two-dkms");
    assert_eq!(status(&world), lines(&["one/1.0, K2", "three/1.0, K2"]), "{said}");
    let said = run(&world, "rpm -e one-dkms three-dkms kernel-core");
    assert_eq!(status(&world), "", "{said}");
    assert_eq!(world.must("find /lib/modules -mindepth 1").unwrap(), "", "{said}");
}

#[test]
fn packages_that_people_wrote() {
    const EVERYWHERE: &str = "for k in $(ls /lib/modules); do dkms build -m NAME -v VERSION -k $k && dkms install -m NAME -v VERSION -k $k; done";
    let with = format!(
        "dkms add -m NAME -v VERSION --rpm_safe_upgrade\n{}",
        EVERYWHERE.replace("VERSION -k", "VERSION --rpm_safe_upgrade -k")
    );
    let without = format!("dkms add -m NAME -v VERSION || :\n{EVERYWHERE}");
    let styles = [
        (with.as_str(), "dkms remove -m NAME -v VERSION --all --rpm_safe_upgrade"),
        (without.as_str(), "dkms remove -m NAME -v VERSION --all"),
        (without.as_str(), "[ $1 -ne 0 ] || dkms remove -m NAME -v VERSION --all"),
    ];
    let names = ["one", "two", "three"];
    let package =
        |place: usize, version| Package { scripts: styles[place], ..Package::ready(names[place], version) };
    let packages: Vec<_> = (0..3).flat_map(|place| [package(place, "1.0"), package(place, "2.0")]).collect();
    let world = world(Suite::Bookworm, &packages);
    let of = |version: &str| lines(&["one/V, K2", "three/V, K2", "two/V, K2"]).replace('V', version);
    dnf(&world, "install kernel-core-6.2.0 kernel-devel-6.2.0");
    let said = dnf(&world, "install one-dkms-1.0 two-dkms-1.0 three-dkms-1.0");
    assert_eq!((status(&world), batches(&said)), (of("1.0"), 0), "their scripts have done it:\n{said}");
    for (words, version) in
        [("upgrade", "2.0"), ("reinstall", "2.0"), ("downgrade", "1.0"), ("reinstall", "1.0")]
    {
        let said = dnf(&world, &format!("{words} one-dkms two-dkms three-dkms"));
        let now: Vec<String> =
            status(&world).lines().filter(|line| line.contains("installed")).map(str::to_owned).collect();
        assert_eq!(now.join("\n"), of(version), "{words}:\n{said}");
    }
    let said = dnf(&world, "remove one-dkms two-dkms three-dkms");
    assert_eq!(status(&world), "", "{said}");
}

// guide 6
#[test]
fn an_old_kernel_goes_by_itself() {
    let world = world(Suite::Bookworm, &three(Build::Ready));
    world.must("sed -i 's/^installonly_limit=.*/installonly_limit=1/' /etc/dnf/dnf.conf").unwrap();
    dnf(&world, "install kernel-core-6.1.0 kernel-devel-6.1.0 three-dkms");
    dnf(&world, "mark remove kernel-core kernel-devel");
    let said = dnf(&world, "install kernel-core-6.2.0 kernel-devel-6.2.0 --setopt=installonly_limit=3");
    assert_eq!(status(&world), lines(&["three/1.0, K1", "three/1.0, K2"]), "{said}");
    let said = dnf(&world, "autoremove kernel-core-6.1.0 kernel-devel-6.1.0");
    assert_eq!(status(&world), lines(&["three/1.0, K2"]), "{said}");
}

// guide 2
#[test]
fn kernel_install_comes_first() {
    let world = world(Suite::Bookworm, &three(Build::Ready));
    world.must("mv /usr/bin/kernel-install.off /usr/bin/kernel-install").unwrap();
    // In dracut's place: what is there when the initramfs is made?
    world
        .root
        .write(
            "/usr/lib/kernel/install.d/50-dracut.install",
            "#!/bin/sh\n[ \"$1\" != add ] || ls /lib/modules/$2/extra >>/srv/at-50\n",
            0o755,
        )
        .unwrap();
    let said = dnf(&world, &format!("install {BOTH} one-dkms-1.0 two-dkms three-dkms"));
    assert_eq!(batches(&said), 1, "{said}");
    assert_eq!(world.must("grep -c ko /srv/at-50").unwrap().trim(), "6", "{said}");
    assert!(ends_with_summary(&said), "{said}");
    let said = dnf(&world, "remove kernel-core-6.1.0");
    assert_eq!(status(&world), lines(&["one/1.0, K2", "three/1.0, K2", "two/1.0, K2"]), "{said}");
    // Run by a person, and with a module that fails.
    world.add(&Package { name: "bad", build: Build::Failing, ..Package::ready("bad", "1.0") }).unwrap();
    run(&world, "rpm -i --notriggers --noscripts /srv/repo/bad-dkms-1.0.rpm");
    let said = run(
        &world,
        &format!("kernel-install add {k} /lib/modules/{k}/vmlinuz; echo code $?", k = world.kernels[1]),
    );
    assert!(said.contains("code 0") && said.contains("dkms: error: cannot build bad/1.0"), "{said}");
}
