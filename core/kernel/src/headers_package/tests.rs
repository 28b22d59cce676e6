use super::*;

fn of(id: &str, kernel: &str, owner: Option<&Owner>) -> String {
    let kernel = KernelRelease::new(kernel).unwrap();
    let distribution = Distribution::parse(id);
    HeadersPackage::of(&kernel, &distribution, &Layout::under("/nonexistent"), owner).to_string()
}

const DEBIAN: &str = "ID=debian";
const UBUNTU: &str = "ID=ubuntu";
const FEDORA: &str = "ID=fedora";
const RHEL: &str = "ID=rhel";
const AMAZON: &str = "ID=amzn\nID_LIKE=fedora\nVERSION_ID=2023";
const ORACLE: &str = "ID=ol\nID_LIKE=fedora";
const SUSE: &str = "ID=opensuse-leap\nID_LIKE=\"suse opensuse\"";
const ARCH: &str = "ID=arch";
const ALARM: &str = "ID=archarm\nID_LIKE=arch";

/// A distribution, a kernel, who has it (`NAME VERSION ARCH`, as their databases say), what to install;
/// and where the release alone tells it, the same without an owner.
type Row = (&'static str, &'static str, &'static str, &'static str, bool);

/// The rows of Debian are its archive's (bookworm, its backports, trixie, forky, of 2026-11-28). The
/// archives of the others could not be had: their rows are written by hand, as their documentation
/// names the packages.
const TABLE: [Row; 30] = [
    (
        DEBIAN,
        "6.1.0-57-rt-amd64",
        "linux-image-6.1.0-57-rt-amd64 6.1.192-3 amd64",
        "linux-headers-6.1.0-57-rt-amd64",
        true,
    ),
    (
        DEBIAN,
        "6.12.117+deb12-cloud-amd64",
        "linux-image-6.12.117+deb12-cloud-amd64 6.12.117-1~deb12u1 amd64",
        "linux-headers-6.12.117+deb12-cloud-amd64",
        true,
    ),
    (
        DEBIAN,
        "6.12.115+deb13.1-amd64",
        "linux-image-6.12.115+deb13.1-amd64-unsigned 6.12.115-2 amd64",
        "linux-headers-6.12.115+deb13.1-amd64",
        true,
    ),
    (
        DEBIAN,
        "7.2.12+deb14-amd64",
        "linux-binary-7.2.12+deb14-amd64 7.2.12-1 amd64",
        "linux-headers-7.2.12+deb14-amd64",
        true,
    ),
    (
        DEBIAN,
        "7.2.12+deb14-rt-amd64",
        "linux-base-7.2.12+deb14-rt-amd64 7.2.12-1 amd64",
        "linux-headers-7.2.12+deb14-rt-amd64",
        true,
    ),
    (
        DEBIAN,
        "7.2.12+deb14-cloud-amd64",
        "linux-modules-7.2.12+deb14-cloud-amd64 7.2.12-1 amd64",
        "linux-headers-7.2.12+deb14-cloud-amd64",
        true,
    ),
    (
        UBUNTU,
        "6.8.0-31-generic",
        "linux-image-6.8.0-31-generic 6.8.0-31.31 amd64",
        "linux-headers-6.8.0-31-generic",
        true,
    ),
    (
        UBUNTU,
        "6.11.0-17-generic",
        "linux-image-unsigned-6.11.0-17-generic 6.11.0-17.17~24.04.2 amd64",
        "linux-headers-6.11.0-17-generic",
        true,
    ),
    (
        UBUNTU,
        "6.8.0-31-generic",
        "linux-modules-extra-6.8.0-31-generic 6.8.0-31.31 amd64",
        "linux-headers-6.8.0-31-generic",
        true,
    ),
    (
        DEBIAN,
        "6.8.12-4-pve",
        "proxmox-kernel-6.8.12-4-pve-signed 6.8.12-4 amd64",
        "proxmox-headers-6.8.12-4-pve",
        true,
    ),
    (
        DEBIAN,
        "5.15.158-2-pve",
        "pve-kernel-5.15.158-2-pve 5.15.158-2 amd64",
        "pve-headers-5.15.158-2-pve",
        true,
    ),
    (DEBIAN, "6.1.21-v8+", "raspberrypi-kernel 1:1.20230405-1 arm64", "raspberrypi-kernel-headers", true),
    (
        DEBIAN,
        "6.12.25+rpt-rpi-v8",
        "linux-image-6.12.25+rpt-rpi-v8 1:6.12.25-1+rpt1 arm64",
        "linux-headers-6.12.25+rpt-rpi-v8",
        true,
    ),
    (
        DEBIAN,
        "6.12.8-current-rockchip64",
        "linux-image-current-rockchip64 25.2.1 arm64",
        "linux-headers-current-rockchip64",
        true,
    ),
    (
        DEBIAN,
        "6.12.8-x64v3-xanmod1",
        "linux-image-6.12.8-x64v3-xanmod1 6.12.8-x64v3-xanmod1-0 amd64",
        "linux-headers-6.12.8-x64v3-xanmod1",
        true,
    ),
    (
        DEBIAN,
        "6.12.8-1-liquorix-amd64",
        "linux-image-6.12.8-1-liquorix-amd64 6.12-5 amd64",
        "linux-headers-6.12.8-1-liquorix-amd64",
        true,
    ),
    (
        "ID=kali\nID_LIKE=debian",
        "6.12.13-amd64",
        "linux-image-6.12.13-amd64 6.12.13-1kali1 amd64",
        "linux-headers-6.12.13-amd64",
        true,
    ),
    (
        FEDORA,
        "6.12.9-200.fc41.x86_64",
        "kernel-core 6.12.9-200.fc41 x86_64",
        "kernel-devel-6.12.9-200.fc41.x86_64",
        true,
    ),
    (
        RHEL,
        "5.14.0-362.el9.x86_64+rt-debug",
        "kernel-rt-debug-core 5.14.0-362.el9 x86_64",
        "kernel-rt-debug-devel-5.14.0-362.el9.x86_64",
        true,
    ),
    (
        AMAZON,
        "6.1.132-147.221.amzn2023.x86_64",
        "kernel 6.1.132-147.221.amzn2023 x86_64",
        "kernel-devel-6.1.132-147.221.amzn2023.x86_64",
        true,
    ),
    (
        AMAZON,
        "6.12.25-32.101.amzn2023.x86_64",
        "kernel6.12 6.12.25-32.101.amzn2023 x86_64",
        "kernel6.12-devel-6.12.25-32.101.amzn2023.x86_64",
        true,
    ),
    (
        ORACLE,
        "5.15.0-205.149.5.1.el9uek.x86_64",
        "kernel-uek-core 5.15.0-205.149.5.1.el9uek x86_64",
        "kernel-uek-devel-5.15.0-205.149.5.1.el9uek.x86_64",
        true,
    ),
    (
        RHEL,
        "6.12.8-1.el9.elrepo.x86_64",
        "kernel-ml-core 6.12.8-1.el9.elrepo x86_64",
        "kernel-ml-devel-6.12.8-1.el9.elrepo.x86_64",
        false,
    ),
    (
        RHEL,
        "6.1.124-1.el9.elrepo.x86_64",
        "kernel-lt 6.1.124-1.el9.elrepo x86_64",
        "kernel-lt-devel-6.1.124-1.el9.elrepo.x86_64",
        false,
    ),
    (
        SUSE,
        "6.4.0-150600.23.33-azure",
        "kernel-azure 6.4.0-150600.23.33.1 x86_64",
        "kernel-azure-devel",
        true,
    ),
    (ARCH, "6.12.8-arch1-1", "linux 6.12.8.arch1-1 x86_64", "linux-headers", true),
    (ARCH, "6.6.70-1-lts", "linux-lts 6.6.70-1 x86_64", "linux-lts-headers", true),
    (ARCH, "6.12.8-zen1-1-zen", "linux-zen 6.12.8.zen1-1 x86_64", "linux-zen-headers", true),
    (
        ARCH,
        "6.12.8-hardened1-2-hardened",
        "linux-hardened 6.12.8.hardened1-2 x86_64",
        "linux-hardened-headers",
        true,
    ),
    (ALARM, "6.12.8-1-aarch64-ARCH", "linux-aarch64 6.12.8-1 aarch64", "linux-aarch64-headers", true),
];

#[test]
fn each_distribution_names_headers_in_its_own_way() {
    for (id, kernel, owner, name, by_release) in TABLE {
        let words: Vec<String> = owner.split(' ').map(str::to_owned).collect();
        let [owner, version, arch] = words.try_into().unwrap();
        let owner = Owner { name: owner, version, arch };
        let with_owner = of(id, kernel, Some(&owner));
        assert!(
            with_owner.starts_with(&format!("install the package `{name}`: `")),
            "{kernel}: {with_owner}"
        );
        let without = of(id, kernel, None);
        assert_eq!(without.contains(&format!("`{name}`")), by_release, "{kernel}: {without}");
    }
    let suse = Owner {
        name: "kernel-default".into(),
        version: "6.4.0-150600.23.33.1".into(),
        arch: "x86_64".into(),
    };
    let command = "`zypper install kernel-default-devel=6.4.0-150600.23.33.1`";
    assert!(of(SUSE, "6.4.0-150600.23.33-default", Some(&suse)).contains(command));
}

#[test]
fn third_parties_name_them_after_their_own() {
    let owned =
        |id, kernel, name: &str| of(id, kernel, Some(&Owner { name: name.to_owned(), ..Owner::default() }));
    assert!(owned(ARCH, "6.12.8-tkg", "linux-tkg-bmq").contains("`linux-tkg-bmq-headers`"));
    assert!(of("ID=manjaro\nID_LIKE=arch", "6.12.8-1-MANJARO", None).contains("`linux612-headers`"));
    assert!(of(ALARM, "6.12.8-1-rpi-16k", None).contains("`linux-rpi-16k-headers`"));
    assert!(!of(ARCH, "6.12.8", None).contains("pacman"));
    // What is called like nothing that is known is named, so that people can look.
    assert!(owned(DEBIAN, "6.9.1-mine", "my-own-linux").contains("the package `my-own-linux`"));
    assert!(of("ID=gentoo", "6.6.1", None).contains("6.6.1"));
    assert!(of("ID=alpine", "6.6.1", None).contains("--kernelsourcedir"));
}

#[test]
fn arch_names_its_kernel_package_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::under(dir.path());
    let kernel = KernelRelease::new("6.6.1").unwrap();
    fs::create_dir_all(&layout.kernel_dir(&kernel)).unwrap();
    let of = || HeadersPackage::of(&kernel, &Distribution::parse(ARCH), &layout, None);
    assert_eq!(of().name(), None);
    let pkgbase = layout.kernel_dir(&kernel).join("pkgbase");
    fs::write_whole(&pkgbase, b"linux-zen\n", 0o644).unwrap();
    assert_eq!(of().name(), Some("linux-zen-headers"));
    fs::write_whole(&pkgbase, b"x; rm -rf /\n", 0o644).unwrap();
    assert_eq!(of().name(), None);
}
