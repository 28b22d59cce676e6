//! Packages that a test makes up, packed in its root by dpkg-deb as `/debs/NAME.deb`.

use anyhow::Result;

use crate::fixture::Module;
use crate::root::Root;

/// A package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Further lines of its control file.
    pub control: String,
    /// Its maintainer scripts, without their first line, by name.
    pub scripts: Vec<(&'static str, String)>,
    /// The module whose source it has.
    pub module: Option<Module>,
    /// Further files: the path in the package, and the file of the root that is copied there.
    pub files: Vec<(String, String)>,
}

impl Package {
    /// An empty one.
    #[must_use]
    pub fn new(name: &str, version: &str) -> Self {
        let (name, version) = (name.to_owned(), version.to_owned());
        Self { name, version, control: String::new(), scripts: Vec::new(), module: None, files: Vec::new() }
    }

    /// `NAME-dkms` with a module's source, and the scripts that Debian's module packages have.
    #[must_use]
    pub fn of(module: Module) -> Self {
        let Module { name, version, .. } = &module;
        let postinst = format!(
            "case \"$1\" in configure)
               postinst=/usr/lib/dkms/common.postinst
               if [ -x $postinst ]; then $postinst {name} {version} /usr/share/{name}-dkms \"\" \"$2\"; fi ;;
             esac"
        );
        let prerm = format!(
            "case \"$1\" in remove|upgrade|deconfigure)
               if [ \"$(dkms status -m {name} -v {version})\" ]; then dkms remove -m {name} -v {version} --all; fi ;;
             esac"
        );
        let package = Self::new(&format!("{name}-dkms"), version);
        Self {
            control: "Depends: dkms (>= 2.1.0.0)\n".to_owned(),
            scripts: vec![("postinst", postinst), ("prerm", prerm)],
            module: Some(module),
            ..package
        }
    }

    /// With another line in its control file.
    #[must_use]
    pub fn with(mut self, line: &str) -> Self {
        self.control.push_str(&format!("{line}\n"));
        self
    }

    /// With another script.
    #[must_use]
    pub fn script(mut self, name: &'static str, text: &str) -> Self {
        self.scripts.push((name, text.to_owned()));
        self
    }

    /// With a copy of a file of the root.
    #[must_use]
    pub fn file(mut self, path: &str, from: &str) -> Self {
        self.files.push((path.to_owned(), from.to_owned()));
        self
    }

    /// Packs it; returns its path.
    ///
    /// # Errors
    /// Where that fails.
    pub fn pack(&self, root: &Root) -> Result<String> {
        let Self { name, version, control, scripts, module, files } = self;
        let dir = format!("/tmp/pack/{name}");
        root.must(&format!("rm -rf {dir}"))?;
        if let Some(module) = module {
            module.write_below(root, &format!("{dir}/usr/src/{}-{}", module.name, module.version))?;
        }
        for (path, from) in files {
            root.must(&format!("install -D {from} {dir}{path}"))?;
        }
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n\
             {control}Description: of a test\n"
        );
        root.write(&format!("{dir}/DEBIAN/control"), &control, 0o644)?;
        for (script, text) in scripts {
            root.write(&format!("{dir}/DEBIAN/{script}"), &format!("#!/bin/sh\nset -e\n{text}\n"), 0o755)?;
        }
        let file = format!("/debs/{name}_{version}.deb");
        root.must(&format!("dpkg-deb --root-owner-group -Znone -b {dir} {file}"))?;
        Ok(file)
    }
}
