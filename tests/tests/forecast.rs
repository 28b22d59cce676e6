//! `dkms forecast` in real systems: what it foretells comes true, nothing of the system changes, and the
//! upgrade after it builds nothing.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use dkms_tests::apt::Machine;
use dkms_tests::fixture::Module;
use dkms_tests::root::User;
use serde_json::{Value, json};

const DKMS: &str = env!("CARGO_BIN_EXE_dkms-under-test");

/// A machine with the older kernel, whose metapackage brings the newer one by the next upgrade: from a
/// repository of files, and from nowhere else.
fn machine() -> Machine {
    let machine = Machine::new(DKMS).unwrap();
    machine.note_makes().unwrap();
    machine.index_kernels().unwrap();
    machine.root.write("/etc/dkms/framework.conf.d/cache.conf", "build_cache=/srv/cache\n", 0o644).unwrap();
    machine
        .must(
            "rm -r /lib/modules/$NEW; mkdir -p /srv/repo; cd /srv
             pack() { mkdir -p p/DEBIAN; printf 'Package: linux-image-cloud-amd64\\nVersion: %s\\nArchitecture: all\\nDepends: %s\\nMaintainer: x <x@example.org>\\nDescription: x\\n' \"$1\" \"$2\" >p/DEBIAN/control; dpkg-deb -Znone -b p \"$3\" >/dev/null; }
             pack 1 linux-headers-$OLD old.deb
             pack 2 \"linux-image-$NEW, linux-headers-$NEW\" repo/new.deb
             cp /var/cache/apt/archives/linux-*.deb repo/; cd repo; dpkg-scanpackages -m . >Packages 2>/dev/null
             cd /; apt-get -y --no-install-recommends install linux-headers-$OLD; dpkg -i /srv/old.deb
             rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/*; mkdir -p /var/lib/apt/lists/partial
             echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list.d/t.list; apt-get -qq update",
        )
        .unwrap();
    machine
}

/// Every file of the system that a forecast could touch, and when it was changed.
fn everything(machine: &Machine) -> String {
    machine
        .must(
            "find /usr /etc /boot /lib/modules /var/lib/dkms /var/lib/dpkg /var/lib/apt /tmp -path /var/lib/dkms/.state -prune -o ! -path /tmp \
             -printf '%p %s %T@ %l\\n' | sort",
        )
        .unwrap()
}

fn results(text: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let modules = document["modules"].as_array().unwrap().iter();
    modules
        .map(|one| format!("{} {}", one["module"].as_str().unwrap(), one["result"].as_str().unwrap()))
        .collect()
}

#[test]
fn an_upgrade_after_a_forecast_runs_no_make() {
    let machine = machine();
    let fails = "MAKE=\"case $kernelver in $NEW) echo 'd.c:3:1: error: no such thing'; exit 2 ;; esac; cp /lib/modules/$kernelver/updates/dkms/a.ko d.ko\"";
    for module in [
        Module::new("a", "1.0"),
        Module::new("b", "1.0").with("BUILD_DEPENDS[0]=\"a\""),
        Module::new("c", "1.0").with("BUILD_EXCLUSIVE_KERNEL=\"^5\\.\""),
        Module::new("d", "1.0").with(&fails.replace("$NEW", &machine.new)),
    ] {
        let name = module.name.clone();
        module.write_to(&machine.root).unwrap();
        machine.must(&format!("dkms add {name}/1.0")).unwrap();
    }
    machine.must("dkms install a/1.0 -k $OLD; dkms install d/1.0 -k $OLD").unwrap();
    machine.noted("makes").unwrap();
    let before = everything(&machine);
    let output = machine.root.shell("dkms forecast --next --fetch --json", User::Root, "/").unwrap();
    assert_eq!(output.code, 30, "{output:?}");
    assert_eq!(results(&output.stdout), ["a builds", "b builds", "c excluded", "d fails"], "{output:?}");
    // A kernel that nobody knows: nothing is downloaded for it.
    let unknown = machine.root.shell("dkms forecast -k 9.9.9-1-amd64", User::Root, "/").unwrap();
    assert_eq!(unknown.code, 31, "{unknown:?}");
    assert!(!unknown.stdout.contains("downloading"), "{unknown:?}");
    assert!(unknown.stdout.contains("`dkms kernels --available` lists"), "{unknown:?}");
    let document: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(document["kernel"], json!(machine.new));
    let reason = document["modules"][3]["reason"].as_str().unwrap();
    assert!(reason.contains("d.c:3: no such thing"), "{reason}");
    assert_eq!(machine.makes().unwrap().0, 2);
    let after = everything(&machine);
    assert!(before == after, "{}", similar(&before, &after));
    // What was found stands in for names.
    let prospects = machine.run("dkms preflight -k $NEW --kernel-coming --headers-coming").unwrap().stdout;
    assert!(
        prospects.contains(&format!(
            "a/1.0, {}, x86_64: will be there: was built for {} on ",
            machine.new, machine.new
        )),
        "{prospects}"
    );
    assert!(
        prospects.contains("d/1.0") && prospects.contains("and failed: first error: d.c:3: no such thing"),
        "{prospects}"
    );
    // And the upgrade has nothing to build.
    let said = machine.must("apt-get -y --no-install-recommends -o Dpkg::Use-Pty=0 full-upgrade").unwrap();
    let states = machine.states().unwrap();
    assert!(states.contains(&"a/1.0, NEW: installed".to_owned()), "{states:?} {said}");
    assert!(states.contains(&"b/1.0, NEW: installed".to_owned()), "{states:?} {said}");
    assert_eq!(machine.makes().unwrap().0, 0, "{said}");
    // A source that has changed is another one.
    machine.must("echo >>/usr/src/a-1.0/a.c; dkms unbuild a/1.0 --all").unwrap();
    let prospects = machine.run("dkms preflight -k $NEW").unwrap().stdout;
    assert!(!prospects.contains("a/1.0") || !prospects.contains("was built for"), "{prospects}");
    // Nothing further comes.
    let none = machine.must("dkms forecast --json").unwrap();
    assert_eq!(serde_json::from_str::<Value>(&none).unwrap(), json!({"kernel": null, "modules": []}));
}

/// The lines that only one of two texts has.
fn similar(before: &str, after: &str) -> String {
    let only = |one: &str, other: &str, mark: &str| {
        let lines: std::collections::BTreeSet<&str> = other.lines().collect();
        one.lines()
            .filter(|line| !lines.contains(line))
            .map(|line| format!("{mark}{line}\n"))
            .collect::<String>()
    };
    only(before, after, "-") + &only(after, before, "+")
}

/// A user who is not root finds the same, with a user namespace, and leaves nothing behind.
#[test]
#[ignore = "full tier"]
fn nobody_may_ask_too() {
    let machine = machine();
    Module::new("a", "1.0").write_to(&machine.root).unwrap();
    machine.must("dkms add a/1.0").unwrap();
    let before = machine.must("ls -RA /var/lib/dkms").unwrap();
    let output = machine.root.shell("dkms forecast --fetch --json", User::Nobody, "/tmp").unwrap();
    assert_eq!((output.code, results(&output.stdout)), (0, vec!["a builds".to_owned()]), "{output:?}");
    assert_eq!(machine.must("ls -RA /var/lib/dkms").unwrap(), before);
    assert_eq!(machine.must("ls -A /tmp | grep dkms- || true").unwrap(), "");
}

/// `preflight=build` makes a forecast of what is critical before apt changes anything, with the files that
/// apt has.
#[test]
#[ignore = "full tier"]
fn critical_modules_are_built_before_a_transaction() {
    let machine = machine();
    machine
        .root
        .write("/etc/dkms/framework.conf.d/b.conf", "preflight=build\ncritical=\"a d\"\n", 0o644)
        .unwrap();
    let fails = format!(
        "MAKE=\"case $kernelver in {}) echo 'd.c:3:1: error: no such thing'; exit 2 ;; esac; make -C $kernel_source_dir M=$dkms_tree/d/1.0/build\"",
        machine.new
    );
    for module in [Module::new("a", "1.0"), Module::new("d", "1.0").with(&fails)] {
        let name = module.name.clone();
        module.write_to(&machine.root).unwrap();
        machine.must(&format!("dkms add {name}/1.0; dkms install {name}/1.0 -k $OLD")).unwrap();
    }
    let said = machine.must("apt-get -y --no-install-recommends -o Dpkg::Use-Pty=0 full-upgrade").unwrap();
    let (building, warning) =
        (said.find("building a, d for kernel"), said.find("d/1.0 (named in `critical`"));
    let unpacking = said.find("Unpacking linux-image").unwrap();
    assert!(building.is_some_and(|at| at < unpacking), "{said}");
    assert!(
        said[..unpacking].contains("and failed: first error: d.c:3: no such thing"),
        "{warning:?} {said}"
    );
    let log = machine.must("head -n 1 /var/lib/dkms/a/1.0/$NEW/x86_64/log/make.log").unwrap();
    assert!(log.starts_with("# taken from the build cache"), "{log} {said}");
}

/// A forecast that a hook ends removes what it has unpacked.
#[test]
#[ignore = "full tier"]
fn a_forecast_that_takes_too_long_leaves_nothing() {
    let machine = machine();
    machine
        .root
        .write(
            "/etc/dkms/framework.conf.d/b.conf",
            "preflight=build\ncritical=a\nforecast_timeout=15\n",
            0o644,
        )
        .unwrap();
    let slow = format!(
        "MAKE=\"case $kernelver in {}) sleep 61 ;; esac; make -C $kernel_source_dir M=$dkms_tree/a/1.0/build\"",
        machine.new
    );
    Module::new("a", "1.0").with(&slow).write_to(&machine.root).unwrap();
    machine.must("dkms add a/1.0; dkms install a/1.0 -k $OLD").unwrap();
    let said = machine.must("apt-get -y --no-install-recommends -o Dpkg::Use-Pty=0 full-upgrade").unwrap();
    assert!(said.contains("`dkms forecast` did not end within 15 seconds"), "{said}");
    assert!(machine.states().unwrap().contains(&"a/1.0, NEW: installed".to_owned()), "{said}");
    assert_eq!(machine.must("ls -A /tmp | grep dkms- || true").unwrap(), "");
}

/// As many at once as there are jobs; one that fails, and one that waits for it, stop none.
#[test]
fn modules_are_built_side_by_side() {
    let machine = machine();
    for module in [
        Module::new("a", "1.0"),
        Module::new("b", "1.0"),
        Module::new("c", "1.0").with("MAKE=\"echo 'c.c:3:1: error: no such thing'; exit 2\""),
        Module::new("d", "1.0").with("BUILD_DEPENDS[0]=\"a\""),
        Module::new("e", "1.0").with("BUILD_DEPENDS[0]=\"c\""),
        Module::new("z", "1.0"),
    ] {
        let name = module.name.clone();
        module.write_to(&machine.root).unwrap();
        machine.must(&format!("dkms add {name}/1.0")).unwrap();
    }
    machine.noted("makes").unwrap();
    let output = machine.root.shell("dkms forecast --next -j 3 --json", User::Root, "/").unwrap();
    let foretold = ["a builds", "b builds", "c fails", "d builds", "e fails", "z builds"];
    assert_eq!(
        (output.code, results(&output.stdout)),
        (30, foretold.map(str::to_owned).into()),
        "{output:?}"
    );
    let (all, most) = machine.makes().unwrap();
    assert!(all == 4 && most > 1, "{most} at once of {all}: {output:?}");
    // One at a time if that is asked for.
    machine.must("rm -r /srv/cache; dkms forecast --next -j 1 --json || true").unwrap();
    assert_eq!(machine.makes().unwrap(), (4, 1));
}

/// Ctrl-C ends all builds, and so do a signal that only the command gets, and its death: of users other than
/// root too. Nothing is left or kept.
#[test]
fn an_interrupted_forecast_leaves_nothing() {
    let machine = machine();
    for name in ["a", "b"] {
        let module = Module::new(name, "1.0").with("MAKE=\"(sleep 1001 & sleep 1002 | cat) & sleep 1000\"");
        module.write_to(&machine.root).unwrap();
        machine.must(&format!("dkms add {name}/1.0")).unwrap();
    }
    let before = everything(&machine);
    // A terminal sends SIGINT to the command and to what it has started in its group.
    let signals = [("-INT -$ours", 130), ("-TERM $ours", 130), ("-HUP $ours", 130), ("-KILL $ours", 128 + 9)];
    for user in ["", "setpriv --reuid=nobody --regid=nogroup --clear-groups"] {
        for (signal, code) in signals {
            let line = format!(
                "cd /tmp; setsid {user} env --default-signal=INT dkms forecast --next -j 2 & ours=$!
                 i=0; until [ $(grep -slxz '100[0]' /proc/[0-9]*/cmdline | wc -l) = 2 ]; do
                     sleep 0.2; i=$((i + 1)); [ $i -lt 450 ] || exit 99
                 done
                 kill {signal}; wait $ours"
            );
            let output = machine.root.shell(&line, User::Root, "/").unwrap();
            assert_eq!(output.code, code, "{user} {signal}: {output:?}");
            let left = "i=0; while left=$(grep -slxzE '100[0-2]|--in-layer' /proc/[0-9]*/cmdline) && [ $i -lt 300 ]; do
                     sleep 0.2; i=$((i + 1))
                 done; echo \"$left\"";
            assert_eq!(machine.must(left).unwrap().trim(), "", "{user} {signal}");
            assert_eq!(similar(&before, &everything(&machine)), "", "{user} {signal}");
            assert_eq!(machine.must("ls /var/lib/dkms/.state/forecast 2>/dev/null || true").unwrap(), "");
        }
    }
}

/// A container's files are an overlay, as those of this system are, and so is what a build sees in a layer.
#[test]
fn a_build_that_writes_to_its_source_is_foretold() {
    let machine = machine();
    let make = "MAKE=\"make -C $kernel_source_dir M=$dkms_tree/$module/$module_version/build modules && cp a.ko $source_tree/a-1.0/made.ko\"";
    Module::new("a", "1.0").with(make).write_to(&machine.root).unwrap();
    // In the sandbox, which `note_makes` turns off, a build has a layer over its source.
    machine.must("rm /etc/dkms/framework.conf.d/notes.conf; dkms add a/1.0").unwrap();
    let before = everything(&machine);
    for user in ["", "setpriv --reuid=nobody --regid=nogroup --clear-groups"] {
        let output =
            machine.root.shell(&format!("cd /tmp; {user} dkms forecast --next --json"), User::Root, "/");
        let output = output.unwrap();
        assert_eq!(results(&output.stdout), ["a builds"], "{user}: {output:?}");
        assert_eq!(similar(&before, &everything(&machine)), "", "{user}");
    }
    machine.must("apt-get -y --no-install-recommends full-upgrade").unwrap();
    assert!(machine.states().unwrap().contains(&"a/1.0, NEW: installed".to_owned()));
}

#[test]
fn a_package_with_headers_brings_nothing_else_into_the_layer() {
    let machine = machine();
    Module::new("a", "1.0").write_to(&machine.root).unwrap();
    // A library that our program loads, a link where a folder of the system is, and a set-id bit.
    machine
        .must(
            "dkms add a/1.0; mkdir -p /srv/e/DEBIAN /srv/e/lib; cd /srv/e; h=usr/src/linux-headers-9.9.9-x
             mkdir -p $h/include usr/lib/x86_64-linux-gnu; echo garbage >usr/lib/x86_64-linux-gnu/libgcc_s.so.1
             ln -s /lib/modules lib/modules; cp /bin/true $h/; chmod 6755 $h/true
             printf 'Package: linux-headers-9.9.9-x\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@example.org>\\nDescription: x\\n' >DEBIAN/control
             dpkg-deb -Znone -b /srv/e /srv/e.deb",
        )
        .unwrap();
    let before = everything(&machine);
    let line = "exec dkms forecast a -k 9.9.9-x --headers-package /srv/e.deb";
    let output = machine.root.shell(line, User::Root, "/").unwrap();
    // The layer works: make runs in it, and finds no Makefile.
    assert_eq!(output.code, 30, "{output:?}");
    assert!(output.stdout.contains("a/1.0, 9.9.9-x: fails"), "{output:?}");
    assert_eq!(similar(&before, &everything(&machine)), "");
}
