//! `dkms verify --vm` with a real kernel: each class of outcome, from modules that ask for it.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use dkms_base::host::fs;
use dkms_tests::cache::Cache;
use dkms_tests::kernels::Kernels;
use dkms_tests::root::{Output, Root, User};
use dkms_tests::tool::Tool;
use dkms_tests::{qemu, setup};
use serde_json::Value;

/// Each module's source behind the lines that all have, and what becomes of it.
const MODULES: [(&str, &str, &str); 9] = [
    ("base", "u8 base(void) { return crc7_be(0, \"x\", 1); }\nEXPORT_SYMBOL_GPL(base);", "live"),
    (
        "above",
        "u8 base(void);\nstatic int __init f(void) { return base() ? 0 : -EINVAL; }\nmodule_init(f);",
        "live",
    ),
    ("none", "static int __init f(void) { return -ENODEV; }\nmodule_init(f);", "no-device"),
    ("fails", "static int __init f(void) { return -EINVAL; }\nmodule_init(f);", "init-failed"),
    (
        "param",
        "static int p;\nmodule_param(p, int, 0);\nstatic int __init f(void) { return p == 7 ? 0 : -EINVAL; }\nmodule_init(f);",
        "live",
    ),
    (
        "helper",
        "MODULE_ALIAS(\"trial-help-*\");\nstatic int __init f(void) { return 0; }\nmodule_init(f);",
        "live",
    ),
    (
        "asks",
        "static int __init f(void) { return request_module(\"trial-help-me\") ? -EINVAL : 0; }\nmodule_init(f);",
        "live",
    ),
    ("lost", "int lost(void);\nstatic int __init f(void) { return lost(); }\nmodule_init(f);", "refused"),
    (
        "oops",
        "static int *p;\nstatic int __init f(void) { return *READ_ONCE(p); }\nmodule_init(f);",
        "crashed",
    ),
];

fn source(text: &str) -> String {
    format!(
        "#include <linux/module.h>\n#include <linux/crc7.h>\n#include <linux/kmod.h>\n#include <linux/utsname.h>\n\
         MODULE_LICENSE(\"GPL\");\n{text}\nstatic void __exit e(void) {{}}\nmodule_exit(e);\n"
    )
}

const EMULATOR: &str = "#!/bin/sh\n[ \"$(id -u)\" = 65534 ] || exit 90\ngrep -q '^CapEff:.0*$' /proc/self/status || exit 91\n\
                        [ -z \"$(ls -A /root; ls -A /home)\" ] || exit 92\n\
                        { echo x >/usr/local/escaped; } 2>/dev/null && exit 93\nexec /usr/bin/qemu-system-x86_64 \"$@\"\n";

/// A root whose second kernel is whole, with its image.
fn root(cache: &Cache) -> Root {
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let root = Root::new(cache, &Kernels::find().unwrap(), &[&ours]).unwrap();
    qemu::whole_kernel(&root, cache).unwrap();
    let kernel = root.kernels().second.clone();
    let image = setup::vmlinuz(cache, &kernel).unwrap();
    fs::copy_file(&image, &root.view(&format!("/boot/vmlinuz-{kernel}"))).unwrap();
    root.write("/etc/modprobe.d/trial.conf", "options param p=7\n", 0o644).unwrap();
    // The emulator, which a module may break out of: it ends where it could do harm.
    root.write("/usr/local/bin/qemu-system-x86_64", EMULATOR, 0o755).unwrap();
    root
}

fn run(root: &Root, line: &str) -> Output {
    root.shell(line, User::Root, "/").unwrap()
}

fn package(root: &Root, name: &str, modules: &[(&str, &str)]) {
    let mut conf = format!("PACKAGE_NAME={name}\nPACKAGE_VERSION=1.0\nAUTOINSTALL=yes\n");
    let mut objects = String::new();
    for (number, (module, text)) in modules.iter().enumerate() {
        root.write(&format!("/usr/src/{name}-1.0/{module}.c"), &source(text), 0o644).unwrap();
        conf.push_str(&format!(
            "BUILT_MODULE_NAME[{number}]={module}\nDEST_MODULE_LOCATION[{number}]=/updates\n"
        ));
        objects.push_str(&format!(" {module}.o"));
    }
    conf.push_str("MAKE[0]=\"make -C $kernel_source_dir M=$dkms_tree/$PACKAGE_NAME/$PACKAGE_VERSION/build KBUILD_MODPOST_WARN=1 modules\"\n");
    let makefile = format!("obj-m :={objects}\nccflags-y := -Wno-missing-prototypes\n");
    root.write(&format!("/usr/src/{name}-1.0/Makefile"), &makefile, 0o644).unwrap();
    root.write(&format!("/usr/src/{name}-1.0/dkms.conf"), &conf, 0o644).unwrap();
}

#[test]
fn each_module_ends_as_its_kernel_says() {
    let cache = Cache::open().unwrap();
    let root = root(&cache);
    let modules: Vec<(&str, &str)> = MODULES.iter().map(|(name, text, _)| (*name, *text)).collect();
    package(&root, "trial", &modules);
    root.must("$DKMS install trial/1.0 -k $K2 || { cat /var/lib/dkms/trial/1.0/build/make.log; exit 1; }")
        .unwrap();
    let output = run(&root, "$DKMS verify --vm -k $K2 --json");
    let document: Value = serde_json::from_str(&output.stdout).expect(&output.stderr);
    let trials = document["vm"].as_array().unwrap();
    for (name, _, class) in MODULES {
        let of_it =
            trials.iter().find(|trial| trial["file"].as_str().unwrap().contains(&format!("/{name}.ko")));
        let of_it = of_it.unwrap_or_else(|| panic!("{name}: {document}"));
        assert_eq!(of_it["class"], class, "{name}: {of_it}");
        let verdict = if ["refused", "crashed"].contains(&class) { "refuted" } else { "proven" };
        assert_eq!(of_it["verdict"], verdict, "{of_it}");
    }
    assert_eq!(trials.len(), MODULES.len());
    assert_eq!(output.code, 30, "{}", output.stderr);
    let reason = |name: &str| {
        let of_it = trials.iter().find(|trial| trial["file"].as_str().unwrap().contains(name)).unwrap();
        of_it["reason"].as_str().unwrap_or_default().to_owned()
    };
    assert!(reason("/lost.ko").contains("Unknown symbol lost"), "{}", reason("/lost.ko"));
    assert!(reason("/oops.ko").contains("BUG: "), "{}", reason("/oops.ko"));
    // In a person's words, of one that is well.
    let good: Vec<(&str, &str)> = modules.iter().filter(|(name, _)| *name == "param").copied().collect();
    root.must("$DKMS remove trial/1.0 --all; rm -r /usr/src/trial-1.0").unwrap();
    package(&root, "good", &good);
    let said = root.must("$DKMS install good/1.0 -k $K2 && $DKMS verify --vm good -k $K2").unwrap();
    assert!(said.contains("x86_64: param.ko in a virtual machine: live"), "{said}");
    assert!(said.contains("does not show whether a module works with this machine's devices"), "{said}");
    assert_eq!(root.must("ls -d /tmp/dkms-vm.* 2>/dev/null || :").unwrap(), "");
    // What is missing is named, with what helps.
    let output = run(
        &root,
        "rm /usr/local/bin/qemu-system-x86_64; mv /usr/bin/qemu-system-x86_64 /usr/bin/away; $DKMS verify --vm -k $K2",
    );
    assert!(output.code == 1 && output.stderr.contains("qemu-system-x86"), "{}", output.stderr);
    let output = run(
        &root,
        "mv /usr/bin/away /usr/bin/qemu-system-x86_64; rm /boot/vmlinuz-$K2; $DKMS verify --vm -k $K2",
    );
    assert!(output.code == 1 && output.stderr.contains("/boot/vmlinuz-"), "{}", output.stderr);
}

/// An init function that fails counts where the same machine is enough for it on another kernel.
#[test]
#[ignore = "full tier"]
fn another_kernel_tells_what_a_virtual_machine_lacks() {
    let cache = Cache::open().unwrap();
    let root = root(&cache);
    let first = root.kernels().first.clone();
    root.must("rm -r /lib/modules/$K").unwrap();
    let image = setup::image(&cache, &first).unwrap();
    fs::copy_tree(&image, &root.view(&format!("/lib/modules/{first}")), fs::Ownership::Kept).unwrap();
    let vmlinuz = setup::vmlinuz(&cache, &first).unwrap();
    fs::copy_file(&vmlinuz, &root.view(&format!("/boot/vmlinuz-{first}"))).unwrap();
    root.must("ln -s /usr/src/linux-headers-$K /lib/modules/$K/build; depmod $K").unwrap();
    let picky = "static int __init f(void) { return strstr(init_utsname()->release, \"cloud\") ? -EINVAL : 0; }\nmodule_init(f);";
    package(&root, "picky", &[("picky", picky)]);
    root.must("$DKMS install picky/1.0 -k $K2").unwrap();
    let output = run(&root, "$DKMS verify --vm -k $K2");
    assert!(output.stdout.contains("there is no other kernel on which it loads"), "{}", output.stdout);
    assert_eq!(output.code, 0, "{}", output.stderr);
    root.must("$DKMS install picky/1.0 -k $K").unwrap();
    let output = run(&root, "$DKMS verify --vm -k $K2");
    assert!(output.stdout.contains(&format!("on kernel {first} it does not")), "{}", output.stdout);
    assert_eq!(output.code, 30, "{}", output.stderr);
}
