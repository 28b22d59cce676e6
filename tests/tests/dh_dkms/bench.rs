//! A root with both Debian's programs and ours, and folders to run them in.

use anyhow::{Result, bail};
use dkms_base::host::fs;
use dkms_tests::cache::{Cache, Oracle};
use dkms_tests::kernels::Kernels;
use dkms_tests::root::{Output, Root, User};
use dkms_tests::tool::Tool;

/// The root.
pub(crate) struct Bench(pub(crate) Root);

/// One package, `one-dkms`, and its source's paragraph.
pub(crate) const CONTROL: &str = "Source: foo\nSection: kernel\nPriority: optional\nMaintainer: A B <a@b.org>\n\
    Build-Depends: debhelper-compat (= 13)\nStandards-Version: 4.6.2\n\n\
    Package: one-dkms\nArchitecture: all\nDepends: ${misc:Depends}\nDescription: one\n one\n\n\
    Package: two-dkms\nArchitecture: amd64\nDepends: ${misc:Depends}\nDescription: two\n two\n\n\
    Package: three-dkms\nArchitecture: alpha\nDepends: ${misc:Depends}\nDescription: three\n three\n";

/// A changelog with a version.
pub(crate) fn changelog(source: &str, version: &str) -> String {
    format!(
        "{source} ({version}) unstable; urgency=low\n\n  * Made.\n\n -- A B <a@b.org>  Sat, 21 Nov 2026 00:00:00 +0000\n"
    )
}

/// A conf of a name and a version.
pub(crate) fn conf(name: &str, version: &str) -> String {
    format!(
        "PACKAGE_NAME=\"{name}\"\nPACKAGE_VERSION=\"{version}\"\nBUILT_MODULE_NAME[0]=\"{name}\"\nDEST_MODULE_LOCATION[0]=\"/updates\"\nAUTOINSTALL=\"yes\"\n"
    )
}

impl Bench {
    /// Makes it.
    pub(crate) fn new() -> Result<Self> {
        let cache = Cache::open()?;
        let ours = Tool { name: "dh", ..Tool::ours(env!("CARGO_BIN_EXE_dh-dkms-under-test")) };
        let root = Root::new(&cache, &Kernels::find()?, &[&ours])?;
        root.write("/srv/side.sh", include_str!("side.sh"), 0o755)?;
        for oracle in Oracle::ALL {
            let suite = oracle.suite();
            let from = cache.package(suite, "dh-dkms").join("root");
            for (path, mode) in [
                ("usr/bin/dh_dkms", 0o755),
                ("usr/share/debhelper/autoscripts/postinst-dkms", 0o644),
                ("usr/share/debhelper/autoscripts/prerm-dkms", 0o644),
                ("usr/share/perl5/Debian/Debhelper/Sequence/dkms.pm", 0o644),
            ] {
                let place = root.view(&format!("/srv/{suite}/{path}"));
                fs::create_dir_all(place.parent().unwrap_or(&place))?;
                fs::write_whole(&place, &fs::read(&from.join(path))?, mode)?;
            }
        }
        let bench = Self(root);
        bench.install_our_files()?;
        let root = &bench.0;
        // What `--legacy` ships; any file does.
        root.write("/usr/lib/dkms/common.postinst", "#!/bin/sh\necho common\n", 0o755)?;
        Ok(bench)
    }

    /// Puts what our package has where debhelper looks for it.
    pub(crate) fn install_our_files(&self) -> Result<()> {
        let share = "/usr/share";
        for (place, text) in [
            ("debhelper/autoscripts/postinst-dkms", dh_dkms::snippet::POSTINST),
            ("debhelper/autoscripts/prerm-dkms", dh_dkms::snippet::PRERM),
            ("perl5/Debian/Debhelper/Sequence/dkms.pm", include_str!("../../../dh-dkms/files/dkms.pm")),
        ] {
            self.0.write(&format!("{share}/{place}"), text, 0o644)?;
        }
        Ok(())
    }

    /// An empty case: a source package with these files besides `debian/control` and `debian/changelog`.
    pub(crate) fn case(&self, files: &[(&str, &str)]) -> Result<()> {
        self.0.must("rm -rf /srv/case")?;
        let put = |name: &str, text: &str| {
            let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
            self.0.write(&format!("/srv/case/{name}"), text, mode)
        };
        put("debian/control", CONTROL)?;
        put("debian/changelog", &changelog("foo", "1:1.2.3+ds-4"))?;
        files.iter().try_for_each(|(name, text)| put(name, text))
    }

    /// Runs both in the case with `[VARIABLE=VALUE |] ARGUMENTS`; an error shows how they differ.
    pub(crate) fn compare(&self, oracle: Oracle, words: &str) -> Result<()> {
        let (variables, words) = words.split_once('|').unwrap_or(("", words));
        let line = format!("sh /srv/side.sh {} {variables} -- {words}", oracle.suite());
        let output = self.0.shell(&line, User::Root, "/")?;
        if output.code != 0 {
            bail!("{oracle:?}, `{words}`:\n{}{}", output.stdout, output.stderr);
        }
        Ok(())
    }

    /// Runs ours alone in a fresh copy of the case.
    pub(crate) fn ours(&self, words: &str) -> Result<Output> {
        self.0.must("rm -rf /srv/ours; cp -a /srv/case /srv/ours")?;
        self.0.shell(&format!("/opt/dh/dkms {words}"), User::Root, "/srv/ours")
    }
}
