//! Faults around the tree: settings, room on disks.

use super::facts::Disk;
use super::{Facts, Finding, on};
use crate::boot::Subject;
use crate::conf::framework::SettingFault;
use crate::host::process::quote;
use crate::host::trusted::Fault;

/// Less than this, besides what it copies, is too little for any build.
const LEAST: u64 = 100 << 20;

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let settings = facts.setting_faults.iter().map(|fault| {
        let finding = match fault {
            SettingFault::Value { .. }
            | SettingFault::Unread { .. }
            | SettingFault::Unknown { nearest: Some(_), .. } => Finding::problem,
            SettingFault::Unknown { nearest: None, .. } | SettingFault::NeedsBash { .. } => Finding::hint,
            SettingFault::Untrusted { fault } => return untrusted(fault, true),
            SettingFault::OpenLogin { file } => {
                let command = format!("chmod o-rwx {}", quote(&file.display().to_string()));
                return Finding::problem("wrong-setting", fault.to_string()).command(command);
            }
            SettingFault::Closed { .. } => {
                return Finding::hint("closed-setting", fault.to_string())
                    .why("what is shown may differ from what root sees")
                    .command("sudo dkms doctor");
            }
        };
        let hint = if let SettingFault::Unread { hint, .. } = fault { *hint } else { None };
        let finding = finding("wrong-setting", fault.to_string());
        hint.into_iter()
            .fold(finding, |finding, hint| finding.why(hint))
            .command(format!("\"${{EDITOR:-vi}}\" {}", quote(&fault.file().display().to_string())))
    });
    let signing = facts.doubts.iter().map(|doubt| {
        let finding = if doubt.is_hint { Finding::hint } else { Finding::problem };
        let finding = finding("signing", doubt.what.clone()).command(doubt.command.clone());
        doubt.why.iter().cloned().fold(finding, Finding::why)
    });
    let not_signed = facts.not_signed.iter().map(|((id, target), why)| {
        Finding::problem("not-signed", format!("{id} was built unsigned for {}: {why}", target.kernel))
            .module(id)
            .on(target)
            .command(format!("dkms build {id} {0} --force && dkms install {id} {0} --force", on(target)))
    });
    let as_root = facts.builds_as_root.then(|| {
        Finding::problem("build-user", "`build_user=root`: modules are built as root")
            .why("what a build does to files that root owns is held back by fewer isolation layers")
            .command(format!("\"${{EDITOR:-vi}}\" {}", quote(&facts.framework_conf.display().to_string())))
    });
    let build_user = facts.no_build_user.as_ref().filter(|_| !facts.builds_as_root).map(|missing| {
        let name = &missing.name;
        let finding = match missing.instead {
            Some(instead) => Finding::hint(
                "build-user",
                format!("there is no user `{name}`: modules are built as `{instead}`"),
            )
            .why("other services may run as that user too; one of its own shares nothing with them"),
            None => Finding::problem(
                "build-user",
                format!("there is no user `{name}`: modules are built as root"),
            )
            .why("what a build does to files that root owns is held back by fewer isolation layers"),
        };
        finding.command(missing.command.clone())
    });
    let layers = facts.missing_layers.iter().map(|told| {
        let finding = if facts.needs_all_layers {
            Finding::problem("isolation-layer", format!("nothing is built with `sandbox=strict`: {told}"))
        } else {
            Finding::hint("isolation-layer", format!("the sandbox of builds lacks a layer: {told}"))
        };
        told.command().into_iter().fold(finding.why(told.reason()), Finding::command)
    });
    let read_only = facts.read_only.iter().map(|path| {
        let tree = quote(&path.display().to_string());
        Finding::problem("read-only", format!("`{}` is on a read-only file system", path.display()))
            .why("no module can be built or installed; a file system becomes so after an error of its disk")
            .command(format!("findmnt -T {tree} && dmesg | tail"))
    });
    let boot = facts.boot.iter().map(|notice| {
        let finding = match notice.subject {
            Subject::BootsNext | Subject::Interrupted => Finding::problem,
            Subject::Held => Finding::hint,
        };
        finding("boot-guard", notice.text.clone()).command(notice.command.clone())
    });
    let open = facts.untrusted.iter().map(|found| untrusted(&found.fault, found.is_setting));
    boot.chain(settings)
        .chain(open)
        .chain(as_root)
        .chain(build_user)
        .chain(layers)
        .chain(signing)
        .chain(not_signed)
        .chain(read_only)
        .chain(facts.disks.iter().filter_map(room))
        .collect()
}

/// A place that another user than root may change.
fn untrusted(fault: &Fault, is_setting: bool) -> Finding {
    let finding = if is_setting {
        Finding::problem("untrusted-setting", format!("settings are not read: {fault}"))
    } else {
        Finding::problem("untrusted-tree", fault.to_string())
    };
    finding.command(fault.mend())
}

fn room(disk: &Disk) -> Option<Finding> {
    let mib = |bytes: u64| bytes >> 20;
    let Disk { path, free, needed } = disk;
    let least = needed.saturating_add(LEAST);
    (*free < least).then(|| {
        Finding::problem("no-room", format!("there are {} MiB free below `{}`", mib(*free), path.display()))
            .why(format!("a build may need {} MiB", mib(least)))
            .command(format!("du -xsh {}/*", quote(&path.display().to_string())))
    })
}
