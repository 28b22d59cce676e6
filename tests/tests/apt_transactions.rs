//! Real apt in real roots: what a transaction brings is built as one batch, and is there
//! when it is needed.

use std::collections::BTreeMap;

use dkms_tests::apt::{Machine, Package, batches};
use dkms_tests::fixture::Module;
use dkms_tests::tier::is_full;

const DKMS: &str = env!("CARGO_BIN_EXE_dkms-under-test");

/// Debian's own, unchanged, and what becomes of their modules on the two kernels.
const PACKAGES: [(&str, &str, Becomes); 12] = [
    ("acpi-call", "acpi-call", Becomes::Installed),
    ("adv-17v35x", "adv-17v35x", Becomes::Installed),
    ("bbswitch", "bbswitch", Becomes::Installed),
    // These need what a cloud kernel hasn't.
    ("ddcci", "ddcci", Becomes::Added),
    ("evdi", "evdi", Becomes::Added),
    ("v4l2loopback", "v4l2loopback", Becomes::Added),
    ("dm-writeboost", "dm-writeboost", Becomes::Installed),
    ("langford", "langford", Becomes::Installed),
    // Its conf says that nobody builds it by himself.
    ("lime-forensics", "lime-forensics", Becomes::Added),
    ("nat-rtsp", "nat-rtsp", Becomes::Installed),
    ("rapiddisk", "rapiddisk-dkms", Becomes::Installed),
    ("vpoll", "vpoll", Becomes::Installed),
];

/// With `DKMS_TEST_FULL` these too: they take minutes.
const MORE: [(&str, &str, Becomes); 6] = [
    ("apfs", "linux-apfs-rw", Becomes::Installed),
    ("jool", "jool-dkms", Becomes::Installed),
    // Too old for these kernels, with the original as well.
    ("lttng-modules", "lttng-modules", Becomes::Failed),
    ("tp-smapi", "tp_smapi", Becomes::Installed),
    // Its make writes a link into its source: without a sandbox, as here, into the real one.
    ("west-chamber", "west-chamber", Becomes::Installed),
    ("xtables-addons", "xtables-addons", Becomes::Installed),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Becomes {
    Installed,
    Added,
    Failed,
}

// guide 1
#[test]
fn twelve_packages_and_two_kernels_headers_are_one_batch() {
    let machine = Machine::bare(DKMS).unwrap();
    machine.note_makes().unwrap();
    machine.index_kernels().unwrap();
    let packages: Vec<_> = PACKAGES.into_iter().chain(MORE.into_iter().filter(|_| is_full())).collect();
    let names: Vec<String> = packages.iter().map(|(package, ..)| format!("{package}-dkms")).collect();
    let names = names.join(" ");
    let said =
        machine.install(&format!("/debs/dkms.deb {names} linux-headers-$OLD linux-headers-$NEW")).unwrap();
    let states = machine.states().unwrap();
    for (_, module, becomes) in &packages {
        let of_it: Vec<&String> =
            states.iter().filter(|line| line.starts_with(&format!("{module}/"))).collect();
        match becomes {
            Becomes::Installed => {
                let installed = of_it.iter().filter(|line| line.ends_with(": installed")).count();
                assert_eq!((installed, of_it.len()), (2, 2), "{of_it:?}\n{said}");
            }
            Becomes::Added | Becomes::Failed => {
                assert!(matches!(&of_it[..], [line] if line.ends_with(": added")), "{of_it:?}");
                let errors = said.matches(&format!("dkms: error: cannot build {module}/")).count();
                assert_eq!(errors, if *becomes == Becomes::Failed { 2 } else { 0 }, "{said}");
            }
        }
    }
    // What failed ahead is tried once more in its turn, and once for each kernel whose headers are configured
    // later; what changes its own source as it is built is built again in its turn. Nothing else divides the
    // run.
    let mut times = BTreeMap::new();
    for line in &batches(&said)[1..] {
        let (modules, kernels) = line.rsplit_once(" for ").unwrap();
        for module in modules.trim_start_matches("dkms: building ").split(", ") {
            *times.entry(module.split('/').next().unwrap()).or_insert(0) += kernels.split(", ").count();
        }
    }
    if is_full() {
        assert_eq!(times.remove("west-chamber"), Some(2), "{said}");
        let again = times.remove("lttng-modules").unwrap_or_default();
        assert!((1..=4).contains(&again), "{again} times: {said}");
    }
    assert!(times.is_empty(), "{times:?}: {said}");
    let mut depmods = machine.depmods().unwrap();
    depmods.sort();
    let expected: &[&str] = if is_full() { &["NEW", "NEW", "OLD", "OLD"] } else { &["NEW", "OLD"] };
    assert_eq!(depmods, expected, "{said}");
    // One conf's make doesn't say for which folder, and isn't noted.
    let (makes, at_once) = machine.makes().unwrap();
    assert!(makes >= 14 && at_once >= 2, "{makes} makes, {at_once} at once");
    let is_of_kernel = |line: &&str| line.starts_with("dkms: kernel ");
    let whole = said.lines().filter(is_of_kernel).filter(|line| line.contains("installed: acpi-call/"));
    assert_eq!(whole.count(), 2, "{said}");

    // They go as they came.
    let said = machine.must(&format!("apt-get -y purge {names}")).unwrap();
    assert_eq!(machine.states().unwrap(), Vec::<String>::new(), "{said}");
    let left = machine.must("find /lib/modules/*/updates /var/lib/dkms -mindepth 1 -not -path '*/.state*' -not -name 'mok.*' 2>/dev/null || :");
    assert_eq!(left.unwrap(), "", "{said}");
}

/// The postinst of a module's package: `before` its call of common.postinst, and `after` it.
fn postinst(name: &str, before: &str, after: &str) -> String {
    format!(
        "if [ \"$1\" = configure ]; then
           {before}
           /usr/lib/dkms/common.postinst {name} 1.0 /usr/share/{name}-dkms \"\" \"$2\"
           {after}
         fi"
    )
}

#[test]
fn a_package_may_use_its_module_when_the_call_returns() {
    let machine = Machine::bare(DKMS).unwrap();
    machine.note_makes().unwrap();
    machine.index_kernels().unwrap();
    let pack = |module: Module, before: &str, after: &str| {
        let text = postinst(&module.name.clone(), before, after);
        Package::of(module).script("postinst", &text)
    };
    let is_there = |name: &str| format!("for k in $OLD $NEW; do modinfo -k $k -F version {name}; done");
    let mut packages = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        packages.push(pack(machine.ready(name, "1.0").unwrap(), "", &is_there(name)));
    }
    // It changes its source before it calls: what was built ahead doesn't count.
    let change = "sed -i 's/\"1.0\"/\"1.1\"/' /usr/src/changed-1.0/changed.c";
    let is_new = "test \"$(modinfo -k $NEW -F version changed)\" = 1.1";
    packages.push(pack(Module::new("changed", "1.0"), change, is_new));
    // It can't be built before another package is configured, which is no failure.
    let later = Module::new("later", "1.0").with(
        "MAKE[0]=\"test -e /usr/share/ready && make -C $kernel_source_dir M=$dkms_tree/later/1.0/build\"",
    );
    packages.push(pack(later, "", &is_there("later")));
    let broken =
        Module::new("broken", "1.0").with("MAKE[0]=\"echo 'broken.c:3:1: error: no such thing'; exit 2\"");
    packages.push(pack(broken, "", "! modinfo -k $NEW broken"));
    packages.push(Package::new("ready", "1.0").script("postinst", "touch /usr/share/ready"));
    let files: Vec<String> = packages.iter().map(|package| package.pack(&machine.root).unwrap()).collect();
    let said = machine
        .install(&format!("/debs/dkms.deb {} linux-headers-$OLD linux-headers-$NEW", files.join(" ")))
        .unwrap();
    let states = machine.states().unwrap();
    let installed = states.iter().filter(|line| line.ends_with(": installed")).count();
    assert_eq!((installed, states.len()), (16, 17), "{states:#?}\n{said}");
    // All are built in the first call; the source that changed, what had to wait and what fails in turn once
    // more for each kernel.
    let (makes, at_once) = machine.makes().unwrap();
    assert!(at_once >= 2, "{said}");
    assert_eq!(makes, 14 + 2 + 2, "{said}");
    let depmods = machine.depmods().unwrap();
    for kernel in ["OLD", "NEW"] {
        let count = depmods.iter().filter(|other| *other == kernel).count();
        assert!(
            count <= 3,
            "one for all, one for what changed, one for what had to wait: {depmods:?}\n{said}"
        );
    }
    // What fails is reported once for each kernel, when its package is configured.
    assert_eq!(said.matches("error: cannot build broken/1.0").count(), 2, "{said}");
    assert!(!said.contains("cannot build later/1.0"), "{said}");
    assert_eq!(
        machine
            .must("/usr/libexec/dkms/hooks-apt finish; find /var/lib/dkms/.state/ahead /var/lib/dkms/.state/pending -type f 2>/dev/null || :")
            .unwrap(),
        ""
    );
}

#[test]
fn what_was_built_ahead_and_killed_is_not_built_again() {
    let machine = Machine::new(DKMS).unwrap();
    machine.note_makes().unwrap();
    machine.index_kernels().unwrap();
    machine.install("linux-headers-$NEW").unwrap();
    let names = ["a", "b", "c"];
    let pack = |name: &&str| Package::of(Module::new(name, "1.0")).pack(&machine.root).unwrap();
    let files: Vec<String> = names.iter().map(pack).collect();
    // The first call is killed when something is installed: when the tree says so, which comes after the
    // file.
    let kill = "until ls -d /var/lib/dkms/a/kernel-$NEW-* >/dev/null 2>&1; do sleep 0.05; done; kill -KILL $(pidof hooks-apt)";
    let line = format!(
        "apt-get -y -o Dpkg::Use-Pty=0 install {} >/tmp/said 2>&1 & {kill}; wait $! || :; cat /tmp/said",
        files.join(" ")
    );
    let said = machine.must(&line).unwrap();
    let configured = machine.must("dpkg --configure -a").unwrap();
    let said = format!("{said}{configured}");
    machine.must("test -z \"$(dpkg --audit)\"").unwrap();
    let states = machine.states().unwrap();
    assert_eq!(states, ["a/1.0, NEW: installed", "b/1.0, NEW: installed", "c/1.0, NEW: installed"], "{said}");
    let (makes, _) = machine.makes().unwrap();
    assert!((3..=5).contains(&makes), "only what was in work is built once more: {makes}\n{said}");
    assert!(!configured.contains("building a/1.0"), "it was built and installed before the kill: {said}");
    assert_eq!(machine.must("modinfo -k $NEW -F name a b c").unwrap(), "a\nb\nc\n");
}

#[test]
fn what_needs_a_module_is_configured_when_the_module_is_there() {
    let machine = Machine::new(DKMS).unwrap();
    machine.index_kernels().unwrap();
    machine.install("linux-headers-$NEW").unwrap();
    let a = Package::of(Module::new("a", "1.0")).pack(&machine.root).unwrap();
    let b = Package::of(Module::new("b", "1.0")).pack(&machine.root).unwrap();
    let needy = Package::new("needy", "1.0")
        .with("Depends: a-dkms")
        .script("postinst", "dkms status a >/seen; cat /lib/modules/*/modules.dep | grep -c /a.ko: >>/seen")
        .pack(&machine.root)
        .unwrap();
    let said = machine.install(&format!("{needy} {a} {b}")).unwrap();
    let seen = machine.must("cat /seen").unwrap();
    assert_eq!(seen.replace(&machine.new, "NEW"), "a/1.0, NEW, x86_64: installed\n1\n", "{said}");
    assert_eq!(machine.states().unwrap(), ["a/1.0, NEW: installed", "b/1.0, NEW: installed"], "{said}");
}

// guide 5
#[test]
fn a_new_version_takes_the_place_of_the_old_one() {
    let machine = Machine::new(DKMS).unwrap();
    machine.index_kernels().unwrap();
    machine.install("linux-headers-$NEW").unwrap();
    let packages = |version: &str| {
        let pack =
            |name: &str| Package::of(machine.ready(name, version).unwrap()).pack(&machine.root).unwrap();
        ["a", "b"].map(pack).join(" ")
    };
    machine.install(&packages("1.0")).unwrap();
    machine.depmods().unwrap();
    let said = machine.install(&packages("2.0")).unwrap();
    assert_eq!(machine.states().unwrap(), ["a/2.0, NEW: installed", "b/2.0, NEW: installed"]);
    assert_eq!(batches(&said).len(), 1, "{said}");
    let found = machine
        .must("cd /lib/modules/$NEW; modinfo -F version ./updates/dkms/a.ko; find . -name '*.ko' | sort");
    assert_eq!(found.unwrap(), "2.0\n./updates/dkms/a.ko\n./updates/dkms/b.ko\n");
    // The same version once more, as after a change of the package only.
    machine.must("apt-get -y install --reinstall /debs/a-dkms_2.0.deb && dpkg-reconfigure -f noninteractive b-dkms").unwrap();
    assert_eq!(machine.states().unwrap(), ["a/2.0, NEW: installed", "b/2.0, NEW: installed"]);
    // dkms goes with all that needs it, and they come back.
    machine.must("apt-get -y remove dkms").unwrap();
    let said = machine.must("apt-get update -qq -o Dir::Etc::SourceList=/dev/null 2>&1 || :").unwrap();
    let said = format!("{said}{}", machine.install(&format!("/debs/dkms.deb {}", packages("2.0"))).unwrap());
    assert_eq!(machine.states().unwrap(), ["a/2.0, NEW: installed", "b/2.0, NEW: installed"], "{said}");
}

#[test]
fn outside_dpkg_and_without_batches_it_is_built_at_once() {
    let machine = Machine::new(DKMS).unwrap();
    machine.install("linux-headers-$NEW").unwrap();
    for name in ["a", "b"] {
        Module::new(name, "1.0").write_to(&machine.root).unwrap();
    }
    let said = machine.must("/usr/lib/dkms/common.postinst a 1.0 /usr/share/a-dkms '' ''").unwrap();
    assert_eq!(batches(&said).len(), 1, "{said}");
    assert_eq!(machine.states().unwrap(), ["a/1.0, NEW: installed"]);
    machine.root.write("/etc/dkms/framework.conf.d/batch.conf", "batch=no\n", 0o644).unwrap();
    let c = Package::of(Module::new("c", "1.0")).pack(&machine.root).unwrap();
    let d = Package::of(Module::new("d", "1.0")).pack(&machine.root).unwrap();
    let said = machine.install(&format!("{c} {d}")).unwrap();
    assert_eq!(batches(&said).len(), 2, "{said}");
    assert!(machine.states().unwrap().iter().all(|line| line.ends_with(": installed")), "{said}");
    // A package with what was built, too, and one with nothing else.
    machine
        .must(
            "dkms install b/1.0 -k $NEW && mkdir -p /usr/share/b-dkms
             dkms mktarball b/1.0 -k $NEW --archive /usr/share/b-dkms/b-1.0.dkms.tar.gz --binaries-only
             dkms remove b/1.0 --all && rm -r /usr/src/b-1.0",
        )
        .unwrap();
    let said = machine.must("/usr/lib/dkms/common.postinst b 1.0 /usr/share/b-dkms '' ''").unwrap();
    assert!(said.contains("has no source"), "{said}");
    assert!(machine.states().unwrap().contains(&"b/1.0, NEW: installed".to_owned()), "{said}");
}
