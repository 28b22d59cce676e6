//! Whether what was installed will be loaded: kernels under Secure Boot refuse modules of whom they don't
//! trust. Looks, and tells it in a line; where we can't see how strict the kernel is (a container, a chroot)
//! there is nothing to tell.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::conf::Settings;
use crate::host::{Environment, fs};
use crate::id::{ModuleId, Target};
use crate::kernel::{Distribution, KernelFacts};
use crate::layout::Layout;
use crate::report::{Event, Reporter};
use crate::sign::{self, KeyPlaces, Signature, chroot};
use crate::trust::{Certificate, Kernel, Machine, Rejection, demand, rejection};

/// Looks at modules of one kernel after the other, on this machine.
#[derive(Debug)]
pub struct Judge<'a> {
    machine: Machine,
    settings: &'a Settings,
    distribution: &'a Distribution,
    environment: &'a Environment,
}

impl<'a> Judge<'a> {
    /// Looks at the machine.
    #[must_use]
    pub fn new(settings: &'a Settings, distribution: &'a Distribution, environment: &'a Environment) -> Self {
        let machine = machine(&settings.layout, environment);
        Self { machine, settings, distribution, environment }
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Where the certificate of the key is that modules of a kernel are signed with, and the certificate
    /// itself, if it is there.
    #[must_use]
    pub fn certificate(&self, kernel: &KernelFacts) -> Option<(PathBuf, Option<Certificate>)> {
        let places = KeyPlaces::of(self.settings, kernel, self.distribution, self.environment);
        let bytes = fs::read_limited(&places.certificate, 1 << 20).ok();
        let der = bytes.and_then(|bytes| sign::der_of(&bytes).ok());
        Some((places.certificate, der.map(|der| Certificate::of_der(&der))))
    }

    /// What is wrong with keys and programs, if modules of a kernel are to be signed.
    #[must_use]
    pub fn doubts(&self, kernel: &KernelFacts) -> Vec<sign::doubts::Doubt> {
        sign::doubts::doubts(self.settings, kernel, self.distribution, self.environment)
    }

    /// What is known of a kernel; without headers its package's configuration says it.
    #[must_use]
    pub fn kernel(&self, facts: &KernelFacts) -> Kernel {
        Kernel::of(facts, self.distribution)
    }

    /// Whether a kernel loads only modules signed by a key that it trusts.
    #[must_use]
    pub fn demands(&self, kernel: &KernelFacts) -> bool {
        demand(&self.machine, &self.kernel(kernel)).is_some()
    }

    /// The first reason for which a kernel would refuse one of these files.
    #[must_use]
    pub fn refuses(&self, kernel: &KernelFacts, files: &[PathBuf]) -> Option<Rejection> {
        let known = self.kernel(kernel);
        demand(&self.machine, &known)?;
        let (path, certificate) = self.certificate(kernel).unzip();
        let certificate = certificate.flatten();
        files.iter().find_map(|file| {
            let signature = Signature::of_file(file).ok()?;
            rejection(&self.machine, &known, signature.as_ref(), certificate.as_ref().zip(path.clone()))
        })
    }
}

/// The machine; nothing of it in a chroot, whose modules are for another one.
#[must_use]
pub fn machine(layout: &Layout, environment: &Environment) -> Machine {
    if chroot::in_chroot(environment) { Machine::default() } else { Machine::look(layout) }
}

/// Reports modules that will not load, a line for each reason.
pub(super) fn tell(
    judge: &Judge<'_>,
    installed: &[(&ModuleId, &KernelFacts, Vec<PathBuf>)],
    reporter: &dyn Reporter,
) {
    let mut refused: BTreeMap<(Rejection, &Target), BTreeSet<&ModuleId>> = BTreeMap::new();
    for (id, kernel, files) in installed {
        if let Some(rejection) = judge.refuses(kernel, files) {
            refused.entry((rejection, &kernel.target)).or_default().insert(id);
        }
    }
    for ((rejection, target), ids) in refused {
        let ids: Vec<String> = ids.into_iter().map(ToString::to_string).collect();
        let mut line = format!(
            "kernel {} will not load {}, since {}: {rejection}",
            target.kernel,
            ids.join(", "),
            rejection.demand
        );
        if let Some(remedy) = rejection.remedy() {
            line.push_str("; ");
            line.push_str(&remedy);
        }
        reporter.report(Event::warning(line, []));
    }
}
