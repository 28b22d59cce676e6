//! Before a transaction: which modules will be missing after it. With `preflight=build` critical modules are
//! built first for the kernels that it installs, by `dkms forecast` with the headers that it installs; the
//! result is in `.state/forecast`, where the preflight looks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dkms_base::host::process::{Process, ProcessError};
use dkms_base::host::{fs, programs};
use dkms_base::id::{KernelRelease, ModuleName, Target};
use dkms_base::report::{Event, Reporter};
use dkms_conf::settings::PreflightPolicy;
use dkms_core::event::Happening;
use dkms_core::plan::preflight::{Prospect, Question};
use dkms_core::{critical, forecast};
use dkms_kernel::{Owner, PrebuiltComing};

use crate::{Adapter, AdapterError, Depmod, Initramfs};

/// Headers that a transaction brings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComingHeaders {
    /// The version of their package, where it is known.
    pub version: Option<String>,
    /// The packages, as files; none: they are to be downloaded.
    pub files: Vec<PathBuf>,
}

/// Whose headers come.
pub type HeadersComing = BTreeMap<KernelRelease, ComingHeaders>;

/// What a transaction does to the sources of modules.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Whether it brings one of a module: another version than the one that is there, as far as is known.
    pub is_replaced: &'a dyn Fn(&ModuleName) -> bool,
    /// Folders of `/usr/src` that it takes away.
    pub leaving: &'a BTreeSet<String>,
}

impl Adapter {
    /// The modules in use that will certainly not be there after a transaction: on the kernels that come, and
    /// what is replaced on those that have it now. `owners`: the packages that bring kernels, where they are
    /// known, since headers are named after them; `prebuilt`: modules that come prebuilt; `headers`: what
    /// is known of the headers that come. Changes nothing.
    ///
    /// # Errors
    /// [`AdapterError`].
    pub fn preflight(
        &self,
        told: &[Happening],
        sources: &Sources<'_>,
        owners: BTreeMap<KernelRelease, Owner>,
        prebuilt: PrebuiltComing,
        headers: &HeadersComing,
    ) -> Result<Vec<Prospect>, AdapterError> {
        let snapshot = self.snapshot()?;
        let mut survey = self.survey();
        survey.owners = owners;
        let kernels = survey.kernels(&self.installed()?)?;
        let mut question = Question::of(told, &snapshot, &kernels).replacing(
            |id| sources.leaving.contains(&id.dir_name()) && (sources.is_replaced)(&id.name),
            &snapshot,
        );
        question.prebuilt_coming = prebuilt;
        let version = |(kernel, coming): (&KernelRelease, &ComingHeaders)| {
            Some((kernel.clone(), coming.version.clone()?))
        };
        question.headers_versions = headers.iter().filter_map(version).collect();
        if question.targets().is_empty() {
            return Ok(Vec::new());
        }
        let options = self.options(&Initramfs::Others, Depmod::Now);
        let mut absent = survey.prospects(question, options, snapshot)?;
        absent.retain(|prospect| prospect.is_certain(sources.is_replaced));
        Ok(absent)
    }

    /// Builds critical modules for the kernels that come with their headers, if that is wanted and has not
    /// been done. If that fails, a warning says so, and the transaction goes on.
    ///
    /// # Errors
    /// [`AdapterError`] if it is not known which modules are critical.
    pub fn foresee(
        &self,
        told: &[Happening],
        headers: &HeadersComing,
        reporter: &dyn Reporter,
    ) -> Result<(), AdapterError> {
        if self.settings.preflight != PreflightPolicy::Build {
            return Ok(());
        }
        let coming = told.iter().filter_map(|happening| match happening {
            Happening::KernelArrived(target) => Some((target, headers.get(&target.kernel)?)),
            _ => None,
        });
        let coming: Vec<_> = coming.collect();
        if coming.is_empty() {
            return Ok(());
        }
        let (survey, snapshot) = (self.survey(), self.snapshot()?);
        let critical = critical::look(&survey, &snapshot, &self.installed()?)?;
        for (target, headers) in coming {
            let known = forecast::standing(
                target,
                headers.version.as_deref(),
                &self.settings.layout,
                &self.environment,
            );
            let mut open =
                critical.names().filter(|name| !known.keys().any(|id| id.name == **name)).peekable();
            if open.peek().is_some() {
                let names = open.map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
                reporter.report(Event::note(format!(
                    "building {names} for kernel {} before it is installed, as `preflight=build` asks",
                    target.kernel
                )));
                let done = self.forecast(target, &headers.files).and_then(|()| self.unknown(target));
                if let Err(why) = done {
                    let text = format!("critical modules were not built for kernel {}: {why}", target.kernel);
                    reporter.report(Event::warning(text, []));
                }
            }
        }
        Ok(())
    }

    /// Fails with the reason if the command could find nothing out.
    fn unknown(&self, target: &Target) -> Result<(), String> {
        let forecast = forecast::record::read(target, &self.settings.layout);
        let modules = forecast.map(|forecast| forecast.modules).unwrap_or_default();
        let unknown = modules.into_iter().find(|one| one.outlook == forecast::Outlook::Unknown);
        unknown.map_or(Ok(()), |one| Err(one.reason.unwrap_or_default()))
    }

    /// Runs the command; what it finds it keeps.
    fn forecast(&self, target: &Target, files: &[PathBuf]) -> Result<(), String> {
        let own =
            ["/usr/sbin/dkms", "/usr/bin/dkms"].map(Path::new).into_iter().find(|path| fs::is_file(path));
        let own = own.map(Path::to_owned).or_else(|| programs::find("dkms", &self.environment));
        let own = own.ok_or("the program `dkms` is not there")?;
        let kernel = format!("{}/{}", target.kernel, target.arch);
        let mut words =
            ["forecast", "--only-critical", "--json", "-k", &kernel].map(std::ffi::OsString::from).to_vec();
        for file in files {
            words.extend(["--headers-package".into(), file.clone().into_os_string()]);
        }
        let process = Process::new(own, words, &self.environment).called("dkms forecast").ours();
        let process = match self.settings.forecast_timeout {
            0 => process,
            seconds => process.time_limit(Duration::from_secs(seconds)),
        };
        match process.capture_apart() {
            // A result each: builds; fails; is not known.
            Ok(ended) if [0, 30, 31].contains(&ended.code()) => Ok(()),
            Ok(ended) => Err(String::from_utf8_lossy(&ended.errors).trim().to_owned()),
            Err(error @ ProcessError::TimedOut { .. }) => {
                Err(format!("{error} (`forecast_timeout` in framework.conf)"))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}
