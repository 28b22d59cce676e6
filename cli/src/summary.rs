//! What a batch has done, a line for each kernel: the last thing that is said before its failures.

use std::collections::BTreeMap;

use dkms_core::engine::Outcome;
use dkms_core::id::Target;
use dkms_core::plan::Action;

use crate::render::{Terminal, say};

/// Says it; nothing where nothing was done.
pub fn print(outcome: &Outcome, terminal: &Terminal) {
    for line in lines(&outcome.done) {
        say(terminal, line);
    }
}

fn lines(done: &[Action]) -> Vec<String> {
    let mut kernels: BTreeMap<&Target, Vec<(&'static str, String)>> = BTreeMap::new();
    for action in done {
        let (target, word, id) = match action {
            Action::Install { id, target } => (target, "installed", id),
            Action::Uninstall { id, target } => (target, "uninstalled", id),
            Action::Unbuild { id, target } => (target, "build dropped", id),
            _ => continue,
        };
        let list = kernels.entry(target).or_default();
        match list.iter_mut().find(|(known, _)| *known == word) {
            Some((_, ids)) => *ids = format!("{ids}, {id}"),
            None => list.push((word, id.to_string())),
        }
    }
    kernels
        .into_iter()
        .map(|(target, list)| {
            let parts: Vec<String> = list.into_iter().map(|(word, ids)| format!("{word}: {ids}")).collect();
            format!("kernel {} ({}): {}", target.kernel, target.arch, parts.join("; "))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_core::id::ModuleId;

    #[test]
    fn a_kernel_is_a_line() {
        let install = |name: &str, kernel: &str| Action::Install {
            id: ModuleId::parse(name, "1").unwrap(),
            target: Target::parse(kernel, "x86_64").unwrap(),
        };
        let depmod = Action::Depmod { target: Target::parse("6.1", "x86_64").unwrap() };
        let done = [install("a", "6.2"), install("a", "6.1"), install("b", "6.1"), depmod];
        assert_eq!(
            lines(&done),
            ["kernel 6.1 (x86_64): installed: a/1, b/1", "kernel 6.2 (x86_64): installed: a/1"]
        );
    }
}
