//! What we install loads: a real kernel boots in a virtual machine, and takes the modules from the
//! folder that we made.

use anyhow::{Result, ensure};
use dkms_tests::cache::Cache;
use dkms_tests::initramfs::Initramfs;
use dkms_tests::kernels::Kernels;
use dkms_tests::qemu;
use dkms_tests::root::Root;
use dkms_tests::tool::Tool;

/// Two modules, of which one needs the other, which needs one of the kernel's own.
const SOURCES: [(&str, &str); 4] = [
    (
        "chain_base.c",
        "#include <linux/module.h>\n#include <linux/crc7.h>\nMODULE_LICENSE(\"GPL\");\n\
         u8 chain_base(void) { return crc7_be(0, \"x\", 1); }\nEXPORT_SYMBOL_GPL(chain_base);\n",
    ),
    (
        "chain_top.c",
        "#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\nu8 chain_base(void);\n\
         static int __init begin(void) { pr_info(\"chain: %d\\n\", chain_base()); return 0; }\n\
         static void __exit end(void) {}\nmodule_init(begin);\nmodule_exit(end);\n",
    ),
    ("Makefile", "obj-m := chain_base.o chain_top.o\nccflags-y := -Wno-missing-prototypes\n"),
    (
        "dkms.conf",
        "PACKAGE_NAME=chain\nPACKAGE_VERSION=1.0\nBUILT_MODULE_NAME[0]=chain_base\nBUILT_MODULE_NAME[1]=chain_top\n\
         DEST_MODULE_LOCATION[0]=/kernel/lib\nDEST_MODULE_LOCATION[1]=/kernel/lib\nAUTOINSTALL=yes\n",
    ),
];

/// Out of tree (bit 12), unsigned (bit 13).
const TAINTED: u32 = 1 << 12 | 1 << 13;

#[test]
fn modules_and_what_they_need_load_from_the_folder_that_we_made() -> Result<()> {
    let cache = Cache::open()?;
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let root = Root::new(&cache, &Kernels::find()?, &[&ours])?;
    let guest = qemu::whole_kernel(&root, &cache)?;
    for (name, text) in SOURCES {
        root.write(&format!("/usr/src/chain-1.0/{name}"), text, 0o644)?;
    }
    root.must("$DKMS install chain/1.0 -k $K2")?;
    let mut initramfs = Initramfs::new()?;
    initramfs.tree(&root.view("/lib/modules"), "/lib/modules")?;
    let script =
        "modprobe chain_top; echo modprobe: $?; sed 's/^/module: /' /proc/modules; dmesg | grep chain
        echo tainted: $(cat /proc/sys/kernel/tainted)";
    let said = guest.run(&initramfs, script)?;
    ensure!(said.value("modprobe")? == "0", "{}", said.text);
    let loaded = |line: &str| said.text.lines().any(|said| said.starts_with(line) && said.ends_with("(OE)"));
    ensure!(loaded("module: chain_top ") && loaded("module: chain_base "), "{}", said.text);
    // It ran, with what the kernel's own module gave.
    ensure!(said.has("chain: 14") && said.has("module: crc7 "), "{}", said.text);
    ensure!(said.value("tainted")? == TAINTED.to_string(), "{}", said.text);
    // The kernel's own modules are signed by its makers; ours are not.
    let said = guest.with("module.sig_enforce=1").run(&initramfs, script)?;
    ensure!(said.value("modprobe")? != "0", "{}", said.text);
    ensure!(said.has("Key was rejected by service") && !said.has("module: chain"), "{}", said.text);
    ensure!(said.has("module: crc7 ") && said.value("tainted")? == "0", "{}", said.text);
    Ok(())
}
