//! dkms.service of each package manager: systemd finds no ordering cycle with services that start the
//! network early in the boot. dkms-fit.service: none with what blesses a boot.

use std::path::{Path, PathBuf};

use anyhow::Result;
use dkms_base::host::fs;
use dkms_tests::command::must;

const UNITS: [&str; 3] = ["hooks-apt", "hooks-dnf", "hooks-pacman"];

/// As cloud-init's and others' are: before the basic system, and after whatever prepares the network.
const EARLY_NETWORK: &str = "[Unit]\nDefaultDependencies=no\nWants=network-pre.target\nAfter=network-pre.target\n\
    Before=sysinit.target network-online.target shutdown.target\n\n[Service]\nType=oneshot\nExecStart=/bin/true\n";

/// Waits for the end of the boot, as cloud-init's last stage.
const LATE: &str = "[Unit]\nAfter=multi-user.target\n\n[Service]\nType=oneshot\nExecStart=/bin/true\n";

/// A display manager, which must find its driver.
const DISPLAY: &str = "[Unit]\nAfter=systemd-user-sessions.service\n\n[Service]\nExecStart=/bin/true\n";

fn unit(package: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(package).join("files/dkms.service")
}

/// What systemd says of a boot with these units.
fn verified(dkms: &str) -> Result<String> {
    let dir = tempfile::tempdir()?;
    let wants = |target: &str| dir.path().join(format!("{target}.target.wants"));
    for (name, text, wanted_by) in [
        ("dkms", dkms, "multi-user"),
        ("early-network", EARLY_NETWORK, "sysinit"),
        ("late", LATE, "graphical"),
        ("display-manager", DISPLAY, "graphical"),
    ] {
        let file = format!("{name}.service");
        fs::write_whole(&dir.path().join(&file), text.as_bytes(), 0o644)?;
        fs::create_dir_all(&wants(wanted_by))?;
        fs::symlink(&Path::new("..").join(&file), &wants(wanted_by).join(&file))?;
    }
    let targets = "graphical.target multi-user.target early-network.service late.service";
    // Its exit code says as well that our programs aren't installed here.
    let line = format!(
        "SYSTEMD_UNIT_PATH={}: systemd-analyze verify --man=no {targets} 2>&1 || :",
        dir.path().display()
    );
    must("sh", &["-c", &line], Path::new("/"))
}

/// What systemd's own unit says of its order (systemd 252 to 257).
const SYSEXT: &str = "[Unit]\nDefaultDependencies=no\nAfter=local-fs.target\nBefore=sysinit.target systemd-tmpfiles-setup.service\n\
    Conflicts=shutdown.target initrd-switch-root.target\nBefore=shutdown.target initrd-switch-root.target\n\n\
    [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n";

#[test]
fn the_index_of_extensions_comes_between_them_and_the_loading_of_modules() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/files/dkms-index.service");
    let text = fs::read_lossy(&unit).unwrap();
    let verified = |text: &str| {
        let dir = tempfile::tempdir().unwrap();
        for (name, text, wants) in
            [("systemd-sysext", SYSEXT, "sysinit.target"), ("dkms-index", text, "systemd-sysext.service")]
        {
            fs::write_whole(&dir.path().join(format!("{name}.service")), text.as_bytes(), 0o644).unwrap();
            let wants = dir.path().join(format!("{wants}.wants"));
            fs::create_dir_all(&wants).unwrap();
            fs::symlink(Path::new(&format!("../{name}.service")), &wants.join(format!("{name}.service")))
                .unwrap();
        }
        let line = format!(
            "SYSTEMD_UNIT_PATH={}: systemd-analyze verify --man=no multi-user.target dkms-index.service systemd-modules-load.service 2>&1 || :",
            dir.path().display()
        );
        must("sh", &["-c", &line], Path::new("/")).unwrap()
    };
    let said = verified(&text);
    assert!(!said.contains("cycle") && !said.contains("Unknown"), "{said}");
    let cyclic = text.replace("Before=systemd-modules-load.service", "Before=local-fs.target");
    assert!(verified(&cyclic).contains("ordering cycle"), "the check sees no cycle");
}

#[test]
fn there_is_no_ordering_cycle_with_an_early_network() {
    for package in UNITS {
        let text = fs::read_lossy(&unit(package)).unwrap();
        let said = verified(&text).unwrap();
        assert!(!said.contains("ordering cycle") && !said.contains("cyclic"), "{package}: {said}");
        assert!(text.lines().any(|line| line == "Before=display-manager.service"), "{package}: {text}");
        let cyclic = text.replace("Before=", "Before=network-pre.target ");
        assert!(verified(&cyclic).unwrap().contains("ordering cycle"), "{package}: the check sees no cycle");
    }
}

/// As systemd has it where boot entries count their tries.
const BLESS: &str = "[Unit]\nDefaultDependencies=no\nRequires=boot-complete.target\nAfter=local-fs.target boot-complete.target\n\
    Conflicts=shutdown.target\nBefore=shutdown.target\n\n[Service]\nType=oneshot\nExecStart=/bin/true\n";

#[test]
fn a_boot_is_blessed_after_the_modules_were_looked_at() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/files/boot/dkms-fit.service");
    let text = fs::read_lossy(&unit).unwrap();
    let verified = |text: &str| {
        let dir = tempfile::tempdir().unwrap();
        let requires = dir.path().join("boot-complete.target.requires");
        fs::create_dir_all(&requires).unwrap();
        fs::write_whole(&dir.path().join("dkms-fit.service"), text.as_bytes(), 0o644).unwrap();
        fs::write_whole(&dir.path().join("bless.service"), BLESS.as_bytes(), 0o644).unwrap();
        fs::symlink(Path::new("../dkms-fit.service"), &requires.join("dkms-fit.service")).unwrap();
        let line = format!(
            "SYSTEMD_UNIT_PATH={}: systemd-analyze verify --man=no boot-complete.target bless.service 2>&1 || :",
            dir.path().display()
        );
        must("sh", &["-c", &line], Path::new("/")).unwrap()
    };
    // Our program is not installed here.
    let as_installed = text.replace("ExecStart=dkms", "ExecStart=/bin/true");
    assert_eq!(verified(&as_installed), "");
    assert!(verified(&as_installed.replace("After=", "After=bless.service ")).contains("ordering cycle"));
    for line in ["Before=boot-complete.target", "RequiredBy=boot-complete.target", "After=dkms.service"] {
        assert!(text.lines().any(|one| one == line), "{line}: {text}");
    }
}

#[test]
fn the_timer_of_forecasts_is_sound_and_in_every_package() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let list = fs::read_lossy(&tree.join("packaging/install.list")).unwrap();
    for name in ["dkms-forecast.timer", "dkms-forecast.service"] {
        let is = |line: &&str| line.starts_with("any ") && line.ends_with(&format!("packaging/files/{name}"));
        assert_eq!(list.lines().filter(is).count(), 1, "{name}");
    }
    let folder = fs::canonical(&tree.join("packaging/files")).unwrap();
    let line = format!(
        "SYSTEMD_UNIT_PATH={}: systemd-analyze verify --man=no dkms-forecast.timer dkms-forecast.service 2>&1",
        folder.display()
    );
    assert_eq!(must("sh", &["-c", &line], Path::new("/")).unwrap(), "");
    // Nobody enables it but the admin.
    let scripts = ["packaging/debian/dkms.postinst", "packaging/dkms.spec"];
    for script in scripts {
        let text = fs::read_lossy(&tree.join(script)).unwrap();
        let enables = |line: &str| line.contains("dkms-forecast") && !line.contains("disable");
        assert!(!text.lines().any(enables), "{script}");
    }
}
