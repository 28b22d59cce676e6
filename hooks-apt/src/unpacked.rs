//! Packages that dpkg has unpacked and not configured yet, and what of them concerns us: modules whose
//! postinst will call `common.postinst`, kernels and headers.
//!
//! dpkg unpacks all packages of a run before it configures them, so the package that is configured first can
//! build for the others.

use std::collections::BTreeSet;
use std::path::Path;

use dkms_base::host::Environment;
use dkms_base::host::fs;
use dkms_base::host::process::Process;
use dkms_base::id::KernelRelease;
use dkms_base::layout::Layout;
use dkms_kernel::Brought;

/// Larger than any maintainer script.
const SCRIPT_LIMIT: u64 = 1 << 20;

/// A package that is unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its architecture.
    pub arch: String,
    /// Whether a version of it was configured before.
    pub is_upgrade: bool,
}

/// What of a package concerns us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Folders of modules below `/usr/src`, as `M-V`.
    pub modules: BTreeSet<String>,
    /// Kernels of which it has the modules or the headers.
    pub kernels: BTreeSet<KernelRelease>,
    /// Kernels of which it has the headers.
    pub headers: BTreeSet<KernelRelease>,
}

/// dpkg's packages that are unpacked and not configured. None where dpkg can't be asked.
#[must_use]
pub fn packages(environment: &Environment) -> Vec<Package> {
    let format = "--showformat=${db:Status-Status}\\t${Package}\\t${Architecture}\\t${Config-Version}\\n";
    match Process::new("dpkg-query", ["--show", format], environment).capture_stdout() {
        Ok(ended) if ended.code() == 0 => parse(&ended.text()),
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// The kernels of such packages, by their releases.
#[must_use]
pub fn kernels(environment: &Environment, layout: &Layout) -> BTreeSet<String> {
    let kernels = packages(environment).into_iter().flat_map(|package| package.contents(layout).kernels);
    kernels.map(|kernel| kernel.to_string()).collect()
}

fn parse(text: &str) -> Vec<Package> {
    let package = |line: &str| {
        let mut fields = line.split('\t');
        if !["unpacked", "half-configured"].contains(&fields.next()?) {
            return None;
        }
        let (name, arch, configured) = (fields.next()?, fields.next()?, fields.next().unwrap_or_default());
        Some(Package { name: name.to_owned(), arch: arch.to_owned(), is_upgrade: !configured.is_empty() })
    };
    text.lines().filter_map(package).collect()
}

impl Package {
    /// What of it concerns us.
    #[must_use]
    pub fn contents(&self, layout: &Layout) -> Contents {
        let info = layout.at("/var/lib/dpkg/info");
        let of_it = |kind: &str| {
            let names = [format!("{}.{kind}", self.name), format!("{}:{}.{kind}", self.name, self.arch)];
            names.map(|name| info.join(name))
        };
        let list = of_it("list").iter().find_map(|file| fs::read_lossy(file).ok()).unwrap_or_default();
        let mut contents = contents(&list);
        if !contents.modules.is_empty() && !of_it("postinst").iter().any(|file| calls_us(file)) {
            contents.modules.clear();
        }
        contents
    }
}

fn calls_us(script: &Path) -> bool {
    let text = fs::read_limited(script, SCRIPT_LIMIT).unwrap_or_default();
    let mut code =
        text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii_start().starts_with(b"#"));
    code.any(|line| line.windows(COMMON.len()).any(|window| window == COMMON))
}

const COMMON: &[u8] = b"common.postinst";

/// By the files of a package, as dpkg lists them.
fn contents(list: &str) -> Contents {
    let headers = Brought::of(list.lines()).headers;
    let headers = headers.iter().filter_map(|name| KernelRelease::new(name.as_str()).ok()).collect();
    let mut contents = Contents { headers, ..Contents::default() };
    for line in list.lines() {
        if let Some(folder) = line.strip_prefix("/usr/src/").and_then(|rest| rest.strip_suffix("/dkms.conf"))
        {
            if !folder.contains('/') {
                contents.modules.insert(folder.to_owned());
            }
            continue;
        }
        let below = line.strip_prefix("/usr").unwrap_or(line).strip_prefix("/lib/modules/");
        let release = match below.and_then(|below| below.split_once('/')) {
            Some((release, "build" | "kernel" | "modules.order")) => Some(release),
            _ => line.strip_prefix("/boot/vmlinuz-"),
        };
        let release = release.filter(|name| KernelRelease::looks_like_kernel(name));
        contents.kernels.extend(release.and_then(|name| KernelRelease::new(name).ok()));
    }
    contents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_unpacked_counts() {
        let text = "installed\ta-dkms\tall\t1\nunpacked\tb-dkms\tall\t\nhalf-configured\tc-dkms\tall\t1.0\n\
                    config-files\td\tamd64\t1\nnot-installed\te\t\t\nunpacked\n";
        let package = |name: &str, is_upgrade| Package { name: name.into(), arch: "all".into(), is_upgrade };
        assert_eq!(parse(text), [package("b-dkms", false), package("c-dkms", true)]);
    }

    #[test]
    fn kernels_are_known_by_their_files() {
        let kernels = |list: &str| {
            let found = contents(list).kernels;
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let image = "/.\n/boot\n/boot/vmlinuz-6.1.0-9-amd64\n/lib/modules/6.1.0-9-amd64\n/lib/modules/6.1.0-9-amd64/kernel\n";
        assert_eq!(kernels(image), "6.1.0-9-amd64");
        let headers = "/usr/src/linux-headers-6.1.0-9-amd64/Makefile\n/lib/modules/6.1.0-9-amd64/build\n";
        assert_eq!(kernels(headers), "6.1.0-9-amd64");
        assert_eq!(contents(headers).headers, contents(headers).kernels);
        assert!(contents(image).headers.is_empty());
        // As forky's split packages lie.
        assert_eq!(kernels("/usr/lib/modules/7.2.0-1-amd64/modules.order\n"), "7.2.0-1-amd64");
        assert_eq!(kernels("/usr/lib/modules/7.2.0-1-amd64/modules.builtin\n/usr/lib/modules/x/build\n"), "");
    }

    #[test]
    fn a_module_counts_if_its_package_will_ask_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let info = layout.at("/var/lib/dpkg/info");
        fs::create_dir_all(&info).unwrap();
        let write =
            |name: &str, text: &str| fs::write_whole(&info.join(name), text.as_bytes(), 0o755).unwrap();
        let list = "/usr/src/a-1.0/dkms.conf\n/usr/src/a-1.0/sub/dkms.conf\n/usr/share/b-2/dkms.conf\n";
        let modules = |name: &str, arch: &str| {
            let package = Package { name: name.into(), arch: arch.into(), is_upgrade: false };
            package.contents(&layout).modules.into_iter().collect::<Vec<_>>()
        };
        write("a-dkms.list", list);
        assert!(modules("a-dkms", "all").is_empty());
        write("a-dkms.postinst", "#!/bin/sh\ndkms install a/1.0\n");
        assert!(modules("a-dkms", "all").is_empty());
        write("a-dkms.postinst", "#!/bin/sh\n  # as common.postinst does\ndkms install a/1.0\n");
        assert!(modules("a-dkms", "all").is_empty());
        write("a-dkms.postinst", "#!/bin/sh\npostinst=/usr/lib/dkms/common.postinst\n$postinst a 1.0\n");
        assert_eq!(modules("a-dkms", "all"), ["a-1.0"]);
        write("c-dkms:amd64.list", list);
        write("c-dkms:amd64.postinst", "/usr/lib/dkms/common.postinst a 1.0");
        assert_eq!(modules("c-dkms", "amd64"), ["a-1.0"]);
        assert!(modules("d-dkms", "all").is_empty());
    }
}
