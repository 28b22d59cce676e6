//! What these tests share: roots, a module in one, a dkms to install packages beside.

use anyhow::Result;
use dkms_base::host::fs;
use dkms_tests::cache::{Cache, Oracle};
use dkms_tests::fixture::Module;
use dkms_tests::kernels::Kernels;
use dkms_tests::root::Root;
use dkms_tests::tool::Tool;

/// What `mkdeb foo/1.0` writes.
pub(crate) const DEB: &str = "/var/lib/dkms/foo/1.0/deb/foo-dkms_1.0_all.deb";

pub(crate) fn root() -> Result<Root> {
    let cache = Cache::open()?;
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    Root::new(&cache, &Kernels::find()?, &[&ours])
}

/// A root with foo/1.0 added.
pub(crate) fn with_foo() -> Result<Root> {
    let root = root()?;
    Module::new("foo", "1.0").write_to(&root)?;
    root.must("echo 'MODULE_ALIAS(\"pci:v00001234d*\"); MODULE_ALIAS(\"foo\");' >>/usr/src/foo-1.0/foo.c")?;
    root.must("dkms add foo/1.0")?;
    Ok(root)
}

/// Installs a package of the original's `dkms`, for what else is in it, and puts ours in
/// place of the command.
pub(crate) fn install_dkms(root: &Root, oracle: Oracle) -> Result<()> {
    let folder = Cache::open()?.package(oracle.suite(), "dkms");
    let debs = fs::list(&folder)?;
    let deb = debs.iter().find(|entry| entry.name.to_string_lossy().ends_with(".deb"));
    let deb = folder.join(&deb.expect("setup keeps the package").name);
    fs::write_whole(&root.view("/srv/dkms.deb"), &fs::read(&deb)?, 0o644)?;
    root.must(
        "dpkg -i --force-depends --force-confold /srv/dkms.deb >/dev/null 2>&1
         ln -sf $DKMS /usr/sbin/dkms",
    )?;
    Ok(())
}

/// A copy of a package in another root.
pub(crate) fn hand_over(from: &Root, path: &str, to: &Root, name: &str) -> Result<()> {
    let bytes = fs::read(&from.view(path))?;
    Ok(fs::write_whole(&to.view(&format!("/srv/{name}")), &bytes, 0o644)?)
}

pub(crate) fn lint(root: &Root, files: &str) -> Result<()> {
    root.must(&format!("lintian --allow-root --fail-on error,warning {files}")).map(drop)
}

/// rpmlint as distributions run it: that a package isn't signed says nothing about who will sign it.
pub(crate) const RPM_LINT: &str =
    "echo 'addFilter(\"no-signature\")' >/srv/rpmlintrc; rpmlint -r /srv/rpmlintrc";
