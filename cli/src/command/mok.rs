//! `dkms mok`: how strict this machine is with modules, and whether it trusts the keys that they are signed
//! with; `dkms mok enroll` has `mokutil` enrol them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dkms_base::exit::ExitCode;
use dkms_base::host::process::Process;
use dkms_base::id::Target;
use dkms_core::engine::refused::Judge;
use dkms_signing::trust::{Certificate, Demand, Keyring, Machine, Trust, Untrusted, demand, trust};
use serde_json::{Value, json};

use crate::action::Rights;
use crate::failure::Failure;
use crate::render::{JSON_VERSION, say};
use crate::rights;
use crate::session::Session;

/// A key, and what kernels make of it.
struct Key {
    path: PathBuf,
    certificate: Option<Certificate>,
    kernels: Vec<(Target, Option<Demand>, Trust)>,
}

/// Shows, or enrols.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let Session { settings, distribution, environment, invocation, .. } = session;
    let judge = Judge::new(settings, distribution, environment);
    let keys = keys(session, &judge)?;
    match invocation.name.as_ref().map(|name| name.as_str()) {
        None if session.args().json => session.terminal.print(&document(judge.machine(), &keys)),
        None => lines(judge.machine(), &keys).iter().for_each(|line| session.terminal.print(line)),
        Some("enroll") => return enroll(session, judge.machine(), &keys),
        Some(other) => {
            return Err(Failure::new(ExitCode::BAD_OPTION, format!("`dkms mok` cannot `{other}`"))
                .did_you_mean(other, ["enroll"])
                .hint("dkms mok [enroll]"));
        }
    }
    Ok(())
}

/// The keys for the kernels that are asked for; one serves all, but settings may name one for each.
fn keys(session: &Session<'_>, judge: &Judge<'_>) -> Result<Vec<Key>, Failure> {
    let survey = session.survey();
    let mut keys: BTreeMap<PathBuf, Key> = BTreeMap::new();
    for target in session.targets()? {
        let facts = survey.kernel(&target)?;
        let Some((path, certificate)) = judge.certificate(&facts) else { continue };
        let kernel = judge.kernel(&facts);
        let trusted = certificate.as_ref().map_or(Trust::Untrusted(Untrusted::NotEnrolled), |one| {
            trust(judge.machine(), &kernel, &one.der, one.id.as_deref())
        });
        let key = keys.entry(path.clone()).or_insert(Key { path, certificate, kernels: Vec::new() });
        key.kernels.push((target, demand(judge.machine(), &kernel), trusted));
    }
    Ok(keys.into_values().collect())
}

fn lines(machine: &Machine, keys: &[Key]) -> Vec<String> {
    let mut lines = vec![format!("Secure Boot: {}", secure_boot(machine))];
    if let Some(lockdown) = machine.lockdown {
        lines.push(format!("lockdown of the running kernel: {}", lockdown.word()));
    }
    if let Some(enforced) = machine.enforced {
        lines.push(format!(
            "module.sig_enforce of the running kernel: {}",
            if enforced { "yes" } else { "no" }
        ));
    }
    for Key { path, certificate, kernels } in keys {
        let Some(certificate) = certificate else {
            lines.push(format!("key `{}`: there is none; `dkms generate_mok` makes it", path.display()));
            continue;
        };
        lines.push(format!("key `{}`: {}", path.display(), certificate.name));
        lines.push(format!("  fingerprint: {}", certificate.fingerprint));
        for (target, demand, trusted) in kernels {
            let strict = match demand {
                Some(demand) => format!("loads trusted modules only, since {demand}"),
                None => "loads unsigned modules".to_owned(),
            };
            lines.push(format!("  kernel {}: {}; {strict}", target.kernel, in_words(*trusted)));
        }
    }
    lines
}

fn secure_boot(machine: &Machine) -> &'static str {
    match &machine.firmware {
        None => "unknown (no EFI variables are here)",
        Some(firmware) if firmware.secure_boot && firmware.unchecked => {
            "on, but shim is set to check nothing"
        }
        Some(firmware) if firmware.secure_boot => "on",
        Some(firmware) if firmware.setup_mode => "off (setup mode: the firmware has no owner's key)",
        Some(_) => "off",
    }
}

fn in_words(trusted: Trust) -> &'static str {
    match trusted {
        Trust::Trusted(Keyring::Kernels) => "trusted, it is one of the kernel's own",
        Trust::Trusted(Keyring::Machine | Keyring::Platform) => "enrolled and trusted",
        Trust::Untrusted(Untrusted::NotEnrolled) => "not enrolled",
        Trust::Untrusted(Untrusted::Waiting) => "not enrolled yet, to be confirmed at the next boot",
        Trust::Untrusted(Untrusted::NoSecureBoot) => "enrolled, which counts while Secure Boot is on",
        Trust::Untrusted(Untrusted::NotLoaded) => "enrolled, but of a kind that the kernel does not know",
        Trust::Untrusted(Untrusted::OnlyForBooting) => "enrolled, but not trusted for modules",
    }
}

fn word(trusted: Trust) -> &'static str {
    match trusted {
        Trust::Trusted(Keyring::Kernels) => "builtin",
        Trust::Trusted(Keyring::Machine) => "machine",
        Trust::Trusted(Keyring::Platform) => "platform",
        Trust::Untrusted(Untrusted::NotEnrolled) => "not-enrolled",
        Trust::Untrusted(Untrusted::Waiting) => "waiting",
        Trust::Untrusted(Untrusted::NoSecureBoot) => "secure-boot-off",
        Trust::Untrusted(Untrusted::NotLoaded) => "not-loaded",
        Trust::Untrusted(Untrusted::OnlyForBooting) => "only-for-booting",
    }
}

fn document(machine: &Machine, keys: &[Key]) -> String {
    let key = |key: &Key| {
        let kernels: Vec<Value> = key
            .kernels
            .iter()
            .map(|(target, demand, trusted)| {
                json!({
                    "kernel": target.kernel,
                    "arch": target.arch,
                    "demands_trust": demand.is_some(),
                    "why": demand.map(|demand| demand.to_string()),
                    "trusted": matches!(trusted, Trust::Trusted(_)),
                    "state": word(*trusted),
                })
            })
            .collect();
        json!({
            "certificate": key.path,
            "exists": key.certificate.is_some(),
            "name": key.certificate.as_ref().map(|one| &one.name),
            "fingerprint": key.certificate.as_ref().map(|one| &one.fingerprint),
            "kernels": kernels,
        })
    };
    let firmware = machine.firmware.as_ref();
    json!({
        "version": JSON_VERSION,
        "secure_boot": firmware.map(|firmware| firmware.secure_boot),
        "setup_mode": firmware.map(|firmware| firmware.setup_mode),
        "shim": firmware.map(|firmware| firmware.shim),
        "shim_checks": firmware.map(|firmware| !firmware.unchecked),
        "lockdown": machine.lockdown.map(|lockdown| lockdown.word()),
        "sig_enforce": machine.enforced,
        "keys": keys.iter().map(key).collect::<Vec<_>>(),
    })
    .to_string()
}

/// Has mokutil enrol what isn't; it asks for a password, which the next boot asks for again.
fn enroll(session: &Session<'_>, machine: &Machine, keys: &[Key]) -> Result<(), Failure> {
    let mut asked = false;
    for Key { path, certificate, kernels } in keys {
        let file = path.display();
        if certificate.is_none() {
            return Err(Failure::new(ExitCode::USAGE_OR_RIGHTS, format!("there is no certificate `{file}`"))
                .hint("`dkms generate_mok` makes it"));
        }
        let is = |wanted: fn(&Trust) -> bool| kernels.iter().all(|(_, _, trusted)| wanted(trusted));
        let is_enrolled = is(|trusted| {
            matches!(
                trusted,
                Trust::Trusted(_) | Trust::Untrusted(Untrusted::NoSecureBoot | Untrusted::NotLoaded)
            )
        });
        if is_enrolled {
            say(session.terminal, format!("`{file}` is enrolled already"));
            continue;
        }
        if is(|trusted| *trusted == Trust::Untrusted(Untrusted::Waiting)) {
            say(
                session.terminal,
                format!("`{file}` is to be enrolled at the next boot, which asks for the password"),
            );
            continue;
        }
        let process = Process::new("mokutil", ["--import".as_ref(), path.as_os_str()], session.environment);
        if session.args().dry_run {
            session.terminal.only_step(&process.line());
            continue;
        }
        rights::check_for(Rights::Root, session.invocation.action, &session.settings)?;
        if machine.firmware.is_none() {
            return Err(Failure::new(
                ExitCode::USAGE_OR_RIGHTS,
                "this system did not boot by EFI, or its variables are not here: nothing can be enrolled",
            ));
        }
        say(session.terminal, format!("`{}` asks for a password; so does the next boot", process.line()));
        let ended = process.interact().map_err(|error| {
            let failure = Failure::new(ExitCode::USAGE_OR_RIGHTS, error.to_string());
            if error.is_not_found() { failure.hint("install the package `mokutil`") } else { failure }
        })?;
        if ended.code() != 0 {
            return Err(Failure::new(
                ExitCode::USAGE_OR_RIGHTS,
                format!("`{}` ended with {}", process.line(), ended.code()),
            ));
        }
        asked = true;
    }
    if asked {
        say(session.terminal, "Reboot, choose `Enroll MOK` there, and give the password".to_owned());
    }
    Ok(())
}
