//! Headers that came without a script that calls us: those of kernels that others build (`make bindeb-pkg`)
//! have none.
//!
//! `.state/headers` has a line for each kernel whose headers were there when we looked last. A kernel that is
//! not in it has just got them, if a package brought them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dkms_base::host::Environment;
use dkms_base::host::fs;
use dkms_base::host::process::Process;
use dkms_base::id::KernelRelease;
use dkms_base::layout::Layout;
use dkms_core::tree::state;
use dkms_kernel::{has_headers, installed_kernels};

/// No list reaches it.
const LIMIT: u64 = 1 << 20;

/// The kernels whose headers have come since the last time. None the first time: what is there was there
/// before us.
#[must_use]
pub fn arrived(layout: &Layout, environment: &Environment) -> Vec<KernelRelease> {
    let Some(seen) = seen(layout) else { return Vec::new() };
    let new = with_headers(layout).into_iter().filter(|kernel| !seen.contains(kernel.as_str()));
    new.filter(|kernel| is_of_package(kernel, layout, environment)).collect()
}

/// Notes whose headers are there now. Those of `but` are looked at again.
pub fn note(layout: &Layout, but: &BTreeSet<KernelRelease>) {
    let now = with_headers(layout).into_iter().filter(|kernel| !but.contains(kernel));
    write(layout, &now.map(|kernel| kernel.to_string()).collect());
}

/// Notes that the headers of a kernel are dealt with.
pub fn add(layout: &Layout, kernel: &KernelRelease) {
    if let Some(mut seen) = seen(layout)
        && seen.insert(kernel.to_string())
    {
        write(layout, &seen);
    }
}

fn file(layout: &Layout) -> PathBuf {
    layout.state_dir().join("headers")
}

fn seen(layout: &Layout) -> Option<BTreeSet<String>> {
    let text = fs::read_limited(&file(layout), LIMIT).ok()?;
    Some(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}

fn write(layout: &Layout, kernels: &BTreeSet<String>) {
    if seen(layout).as_ref() == Some(kernels) {
        return;
    }
    let text: String = kernels.iter().map(|kernel| format!("{kernel}\n")).collect();
    // What can't be noted is looked at once more, which finds nothing to do.
    drop(
        state::create_folder(layout, &layout.state_dir())
            .and_then(|()| fs::write_whole(&file(layout), text.as_bytes(), 0o644)),
    );
}

fn with_headers(layout: &Layout) -> Vec<KernelRelease> {
    let mut kernels = installed_kernels(layout).unwrap_or_default();
    kernels.retain(|kernel| has_headers(kernel, layout));
    kernels
}

/// Whether a package of dpkg's has a kernel's headers, or the link to them.
fn is_of_package(kernel: &KernelRelease, layout: &Layout, environment: &Environment) -> bool {
    let folder = layout.headers_dir(kernel);
    let makefile = fs::canonical(&folder).map(|folder| folder.join("Makefile"));
    let links =
        ["/lib/modules", "/usr/lib/modules"].map(|modules| Path::new(modules).join(kernel).join("build"));
    let paths = links.into_iter().chain(makefile.ok());
    let words = std::iter::once("--search".into()).chain(paths.map(PathBuf::into_os_string));
    let found = Process::new("dpkg-query", words.collect::<Vec<_>>(), environment).capture_stdout();
    // It ends with 1 where one of them is nobody's.
    found.is_ok_and(|ended| !ended.text().trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_package_brought_since_the_last_time_has_come() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let script = "#!/bin/sh\ncase \"$*\" in *6.9.1*) echo \"p: $2\" ;; esac\nexit 1\n";
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        fs::create_dir_all(&layout.at("/bin")).unwrap();
        fs::write_whole(&layout.at("/bin/dpkg-query"), script.as_bytes(), 0o755).unwrap();
        let environment =
            [("PATH", format!("{}:/usr/bin:/bin", layout.at("/bin").display()))].into_iter().collect();
        let come = |release: &str| {
            let kernel = KernelRelease::new(release).unwrap();
            fs::create_dir_all(&layout.kernel_dir(&kernel).join("build/include")).unwrap();
            kernel
        };
        let arrived = || arrived(&layout, &environment).iter().map(ToString::to_string).collect::<Vec<_>>();
        come("6.9.10");
        assert!(arrived().is_empty(), "nothing was seen before");
        note(&layout, &BTreeSet::new());
        let kernel = come("6.9.11");
        // No package's: it was built here.
        come("6.8.0");
        assert_eq!(arrived(), ["6.9.11"]);
        note(&layout, &[kernel.clone()].into());
        assert_eq!(arrived(), ["6.9.11"], "it waits");
        add(&layout, &kernel);
        assert!(arrived().is_empty());
        fs::remove_tree(&layout.kernel_dir(&kernel)).unwrap();
        note(&layout, &BTreeSet::new());
        come("6.9.11");
        assert_eq!(arrived(), ["6.9.11"]);
    }
}
