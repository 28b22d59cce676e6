//! What an rpm package says of itself, and runs: ours, or what the source's own spec file gives.

use std::path::Path;

use dkms_base::host::fs;
use rpm::{BuildConfig, CompressionType, Dependency, PackageBuilder, Scriptlet};

use super::macros::Macros;
use super::name;
use super::relation::{self, Relation};
use super::spec::{Care, Phase, Script, Spec};
use crate::debian::{Module, NOBODY};
use crate::error::PackageError;
use crate::text::wrap;

/// Everything of a package but its files.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) epoch: Option<u32>,
    pub(crate) version: String,
    pub(crate) release: String,
    pub(crate) arch: String,
    pub(crate) license: String,
    pub(crate) summary: String,
    pub(crate) description: String,
    /// `URL`, `Packager`, `Vendor`, `Group`: those that are there.
    pub(crate) words: Vec<(&'static str, String)>,
    /// What the one entry of its changelog says.
    pub(crate) change: String,
    pub(crate) relations: Vec<(Relation, Dependency)>,
    pub(crate) scripts: Vec<Script>,
}

/// Tags that are taken over as they are.
pub(crate) const WORDS: [&str; 4] = ["URL", "Packager", "Vendor", "Group"];

/// The release of every package that isn't for one kernel: the version is the module's.
pub(crate) const RELEASE: &str = "1dkms";

impl About {
    /// What every package of a module says.
    pub(crate) fn new(
        module: &Module<'_>,
        package: &str,
        licenses: Vec<String>,
    ) -> Result<Self, PackageError> {
        name::check_plain(module.id.name.as_str())?;
        let (epoch, version) = name::version(&module.id.version)?;
        let mut licenses: Vec<&str> = licenses.iter().map(|license| name::spdx(license)).collect();
        licenses.sort_unstable();
        licenses.dedup();
        let full = epoch.map_or_else(|| version.clone(), |epoch| format!("{epoch}:{version}"));
        let kmod = Dependency::eq(format!("{}-kmod", module.id.name), full);
        Ok(Self {
            name: package.to_owned(),
            epoch,
            version,
            release: RELEASE.to_owned(),
            arch: "noarch".to_owned(),
            license: if licenses.is_empty() { "Unknown".to_owned() } else { licenses.join(" AND ") },
            summary: String::new(),
            description: String::new(),
            words: vec![
                ("Packager", module.maintainer.clone().unwrap_or_else(|| NOBODY.to_owned())),
                ("Group", "System Environment/Kernel".to_owned()),
            ],
            change: format!("Made by `dkms` from {}", module.id),
            relations: vec![(Relation::Provides, kmod)],
            scripts: Vec::new(),
        })
    }

    /// The package of a module's source: its own `M-dkms-mkrpm.spec` goes before ours.
    pub(crate) fn wrapper(module: &Module<'_>) -> Result<Self, PackageError> {
        let name = module.id.name.as_str();
        let mut about = Self::new(module, name, module.licenses()?)?;
        about.summary = format!("Source of the kernel module {name} for DKMS");
        about.description = wrap(&format!(
            "This package has the source of {name}. DKMS builds it for each kernel that is installed, and again \
             for each that comes."
        ));
        let meant = |script: &str| {
            let script =
                script.replace("MODULE_NAME", name).replace("MODULE_VERSION", module.id.version.as_str());
            script.trim_end().to_owned()
        };
        let (post, preun) = (meant(include_str!("wrapper.post")), meant(include_str!("wrapper.preun")));
        // Their scripts call it, before the rest of a transaction, or after.
        for needed in [
            Dependency::any("make"),
            Dependency::any("gcc"),
            Dependency::any("dkms"),
            Dependency::script_post("dkms"),
            Dependency::script_preun("dkms"),
        ] {
            about.relations.push((Relation::Requires, needed));
        }
        let own = module.source.join(format!("{name}-dkms-mkrpm.spec"));
        let spec = if fs::is_file(&own) {
            let mut macros = Macros::new();
            for (name, text) in [
                ("name", name),
                ("module_name", name),
                ("module_version", module.id.version.as_str()),
                ("version", &about.version),
                ("release", RELEASE),
                ("dkms_post", &post),
                ("dkms_preun", &preun),
            ] {
                // What these mean is no macro again.
                macros.define(name, text.replace('%', "%%"));
            }
            Spec::read(&fs::read_lossy(&own)?, &own, macros, Care::Whole)?
        } else {
            Spec::default()
        };
        for (phase, text) in [(Phase::Post, post), (Phase::Preun, preun)] {
            about.scripts.push(Script { phase, program: Vec::new(), text });
        }
        about.take_over(spec, &own)?;
        Ok(about)
    }

    /// Takes over what a spec file gives: names and texts and scripts for ours, relations beside them.
    pub(crate) fn take_over(&mut self, spec: Spec, path: &Path) -> Result<(), PackageError> {
        let refuse = |tag: &str, why: String| PackageError::SpecTag {
            path: path.to_owned(),
            tag: tag.to_owned(),
            why,
        };
        for tag in spec.tags {
            if let Some(relation) = Relation::of_tag(&tag.name) {
                let found = relation::parse(&tag.value, tag.qualifier.as_deref())
                    .map_err(|why| refuse(&tag.name, why))?;
                for dependency in found {
                    if !self.relations.contains(&(relation, dependency.clone())) {
                        self.relations.push((relation, dependency));
                    }
                }
                continue;
            }
            if let Some(word) = WORDS.iter().find(|word| word.eq_ignore_ascii_case(&tag.name)) {
                self.words.retain(|(known, _)| known != word);
                self.words.push((word, tag.value));
                continue;
            }
            let ours = match tag.name.as_str() {
                "name" => {
                    name::check_plain(&tag.value)?;
                    &mut self.name
                }
                "license" => &mut self.license,
                "summary" => &mut self.summary,
                _ => continue,
            };
            if tag.value.is_empty() {
                return Err(refuse(&tag.name, "it is empty".to_owned()));
            }
            *ours = tag.value;
        }
        if let Some(description) = spec.description.filter(|text| !text.is_empty()) {
            self.description = description;
        }
        for script in spec.scripts {
            self.scripts.retain(|known| known.phase != script.phase);
            self.scripts.push(script);
        }
        Ok(())
    }

    /// `NAME-VERSION-RELEASE`.
    pub(crate) fn label(&self) -> String {
        format!("{}-{}-{}", self.name, self.version, self.release)
    }

    /// One of its words.
    pub(crate) fn word(&self, word: &str) -> Option<&str> {
        self.words.iter().find(|(known, _)| *known == word).map(|(_, text)| text.as_str())
    }

    /// Who changed it last, and at which version.
    pub(crate) fn changed_by(&self) -> String {
        let epoch = self.epoch.map(|epoch| format!("{epoch}:")).unwrap_or_default();
        let packager = self.word("Packager").unwrap_or(NOBODY);
        format!("{packager} - {epoch}{}-{}", self.version, self.release)
    }

    /// A package without files yet.
    pub(crate) fn builder(self, date: u32) -> PackageBuilder {
        let (name, change) = (self.changed_by(), format!("- {}", self.change));
        let mut builder =
            PackageBuilder::new(&self.name, &self.version, &self.license, &self.arch, &self.summary);
        let config = BuildConfig::v4().compression(CompressionType::Gzip).source_date(date);
        builder.using_config(config).release(&self.release).build_host("dkms").description(self.description);
        if let Some(epoch) = self.epoch {
            builder.epoch(epoch);
        }
        for (word, text) in self.words {
            match word {
                "URL" => builder.url(text),
                "Packager" => builder.packager(text),
                "Vendor" => builder.vendor(text),
                _ => builder.group(text),
            };
        }
        let versions =
            || self.relations.iter().map(|(_, dependency)| &dependency.version).chain([&self.version]);
        // An rpm that is too old to know what these signs mean gets a dependency that says so.
        for (sign, feature, since) in
            [('~', "TildeInVersions", "4.10.0-1"), ('^', "CaretInVersions", "4.15.0-1")]
        {
            if versions().any(|version| version.contains(sign)) {
                builder.requires(Dependency::rpmlib(feature, since));
            }
        }
        builder.add_changelog_entry(name, change, name::noon(date));
        for (relation, dependency) in self.relations {
            relation.add(&mut builder, dependency);
        }
        for Script { phase, program, text } in self.scripts {
            let mut script = Scriptlet::new(text);
            if !program.is_empty() {
                script = script.prog(program);
            }
            match phase {
                Phase::Pretrans => builder.pre_trans_script(script),
                Phase::Pre => builder.pre_install_script(script),
                Phase::Post => builder.post_install_script(script),
                Phase::Preun => builder.pre_uninstall_script(script),
                Phase::Postun => builder.post_uninstall_script(script),
                Phase::Preuntrans => builder.pre_untrans_script(script),
                Phase::Postuntrans => builder.post_untrans_script(script),
                Phase::Posttrans => builder.post_trans_script(script),
                Phase::Verify => builder.verify_script(script),
            };
        }
        builder
    }

    /// The text of a spec file from which rpmbuild makes the same package: the source is in `tarball`, and
    /// unpacks to the folder `source`.
    pub(crate) fn to_spec(&self, tarball: &str, source: &str, date: u32) -> String {
        let plain = |text: &str| text.replace('%', "%%");
        let mut text = String::from(include_str!("head.spec"));
        let epoch = self.epoch.map(|epoch| epoch.to_string());
        let mut tags = vec![
            ("Name", self.name.as_str()),
            ("Version", &self.version),
            ("Release", &self.release),
            ("Summary", &self.summary),
            ("License", &self.license),
            ("BuildArch", "noarch"),
            ("Source0", tarball),
        ];
        tags.extend(epoch.as_deref().map(|epoch| ("Epoch", epoch)));
        tags.extend(self.words.iter().map(|(word, text)| (*word, text.as_str())));
        for (tag, value) in tags {
            text.push_str(&format!("{tag}: {}\n", plain(value)));
        }
        for (relation, dependency) in &self.relations {
            text.push_str(&relation.to_line(dependency));
        }
        let body = include_str!("body.spec").replace("DESCRIPTION", &plain(&self.description));
        text.push_str(&body.replace("SOURCE_FOLDER", &plain(source)));
        for script in &self.scripts {
            let section =
                Phase::ALL.iter().find(|(_, phase)| *phase == script.phase).map_or("", |(name, _)| name);
            let program: String = script.program.iter().map(|program| format!(" -p {program}")).collect();
            // Where rpm's macros could stand they stand: libraries of other machines are elsewhere.
            let script = plain(&script.text).replace("/usr/lib/", "%{_usr}/lib/");
            text.push_str(&format!("\n%{section}{program}\n{script}\n"));
        }
        let (day, by, change) = (name::day(date), plain(&self.changed_by()), plain(&self.change));
        text.push_str(&format!("\n%changelog\n* {day} {by}\n- {change}\n"));
        text
    }
}
