//! What is booted, what is known of each kernel → what is held, released, or only told. No input or output.
//!
//! The rules: never the running kernel, never the last good one, never without another entry that is
//! proven for the same critical modules; an explicit default of the admin wins; if anything is
//! unclear, nothing is held.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::conf::settings::BootGuard;
use crate::id::KernelRelease;

/// Whether a kernel has the critical modules of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitness {
    /// Each is proven for it.
    Fit,
    /// One is refuted.
    Unfit,
    /// Something is not known.
    Unclear,
}

/// The boot state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The kernels that the boot loader offers, each with its fitness.
    pub kernels: BTreeMap<KernelRelease, Fitness>,
    /// The kernel that runs.
    pub running: Option<KernelRelease>,
    /// The last one on which every critical module was there.
    pub last_good: Option<KernelRelease>,
    /// The kernels that an explicit default of the admin names.
    pub explicit: BTreeSet<KernelRelease>,
    /// The kernels among which a default with wildcards chooses; empty: among all.
    pub choice: BTreeSet<KernelRelease>,
    /// What is held; `true`: by the admin's own command.
    pub held: BTreeMap<KernelRelease, bool>,
    /// Whether the machine has critical modules.
    pub has_critical: bool,
}

/// Why a kernel may not be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The boot loader does not offer it.
    NoEntry,
    /// It runs.
    Running,
    /// It is the last one that was good.
    LastGood,
    /// The admin has made it the default.
    Explicit,
    /// No other kernel is proven for the critical modules.
    NoOther,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEntry => "the boot loader has no entry of it",
            Self::Running => "it is the running kernel",
            Self::LastGood => "it is the last kernel that was known to be good",
            Self::Explicit => "it is the default that the admin has set",
            Self::NoOther => "no other kernel in the boot menu is proven for the critical modules",
        })
    }
}

/// What becomes of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Keep,
    /// It stays held.
    Stay,
    /// It is held from now on.
    Hold,
    /// It is no longer held.
    Release,
    /// It should be held, and `boot_guard` does not allow it: this is only told.
    Warn,
    /// It should be held, and a rule is against it.
    Refuse(Refused),
}

/// Whether a kernel may be held.
///
/// # Errors
/// [`Refused`].
pub fn may_hold(state: &State, kernel: &KernelRelease) -> Result<(), Refused> {
    if !state.kernels.contains_key(kernel) {
        return Err(Refused::NoEntry);
    }
    if state.running.as_ref() == Some(kernel) {
        return Err(Refused::Running);
    }
    if state.last_good.as_ref() == Some(kernel) {
        return Err(Refused::LastGood);
    }
    if state.explicit.contains(kernel) {
        return Err(Refused::Explicit);
    }
    let is_other = |other: &KernelRelease, fitness: &Fitness| {
        let is_proven =
            if state.has_critical { *fitness == Fitness::Fit } else { *fitness != Fitness::Unfit };
        let is_chosen =
            state.choice.is_empty() || !state.choice.contains(kernel) || state.choice.contains(other);
        other != kernel && !state.held.contains_key(other) && is_proven && is_chosen
    };
    match state.kernels.iter().any(|(other, fitness)| is_other(other, fitness)) {
        true => Ok(()),
        false => Err(Refused::NoOther),
    }
}

/// What follows for each kernel that is offered or held.
#[must_use]
pub fn decide(state: &State, guard: BootGuard) -> BTreeMap<KernelRelease, Decision> {
    let mut state = state.clone();
    let mut decisions = BTreeMap::new();
    let all: BTreeSet<KernelRelease> = state.kernels.keys().chain(state.held.keys()).cloned().collect();
    // What is released first may be what others stand on.
    let mut held: Vec<KernelRelease> = state.held.keys().cloned().collect();
    held.sort_by_key(|kernel| state.kernels.get(kernel) != Some(&Fitness::Fit));
    for kernel in held {
        let by_hand = state.held.get(&kernel).copied().unwrap_or_default();
        let is_fit = state.kernels.get(&kernel) == Some(&Fitness::Fit);
        let keeps = !is_fit && (by_hand || guard != BootGuard::Off) && may_hold(&state, &kernel).is_ok();
        if keeps {
            decisions.insert(kernel, Decision::Stay);
        } else {
            state.held.remove(&kernel);
            decisions.insert(kernel, Decision::Release);
        }
    }
    for kernel in all {
        if decisions.contains_key(&kernel) {
            continue;
        }
        let is_unfit = state.kernels.get(&kernel) == Some(&Fitness::Unfit);
        let decision = match (is_unfit, guard) {
            (false, _) | (true, BootGuard::Off) => Decision::Keep,
            (true, BootGuard::Warn) => Decision::Warn,
            (true, BootGuard::Hold) => match may_hold(&state, &kernel) {
                Ok(()) => {
                    state.held.insert(kernel.clone(), false);
                    Decision::Hold
                }
                Err(refused) => Decision::Refuse(refused),
            },
        };
        decisions.insert(kernel, decision);
    }
    decisions
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn release(number: u8) -> KernelRelease {
        KernelRelease::new(format!("6.{number}.0")).unwrap()
    }

    /// Of few kernels, so that several facts are often about the same one.
    fn state() -> impl Strategy<Value = State> {
        let fitness = prop_oneof![Just(Fitness::Fit), Just(Fitness::Unfit), Just(Fitness::Unclear)];
        let kernel = || 0u8..3;
        let one = || proptest::option::of(kernel());
        (
            proptest::collection::btree_map(kernel(), fitness, 0..5),
            one(),
            one(),
            proptest::collection::btree_set(kernel(), 0..2),
            proptest::collection::btree_map(kernel(), any::<bool>(), 0..4),
            proptest::collection::btree_set(kernel(), 0..3),
            any::<bool>(),
        )
            .prop_map(|(kernels, running, last_good, explicit, held, choice, has_critical)| State {
                kernels: kernels.into_iter().map(|(kernel, fitness)| (release(kernel), fitness)).collect(),
                running: running.map(release),
                last_good: last_good.map(release),
                explicit: explicit.into_iter().map(release).collect(),
                held: held.into_iter().map(|(kernel, by_hand)| (release(kernel), by_hand)).collect(),
                choice: choice.into_iter().map(release).collect(),
                has_critical,
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]
        #[test]
        fn the_rules_hold_in_every_state(state in state(), mode in 0u8..3) {
            let guard = [BootGuard::Warn, BootGuard::Hold, BootGuard::Off][usize::from(mode)];
            let decisions = decide(&state, guard);
            let after: BTreeSet<&KernelRelease> = decisions
                .iter()
                .filter(|(_, decision)| matches!(decision, Decision::Hold | Decision::Stay))
                .map(|(kernel, _)| kernel)
                .collect();
            for (kernel, decision) in &decisions {
                if !after.contains(kernel) {
                    continue;
                }
                prop_assert!(Some(kernel) != state.running.as_ref(), "running");
                prop_assert!(Some(kernel) != state.last_good.as_ref(), "last good");
                prop_assert!(!state.explicit.contains(kernel), "explicit");
                prop_assert!(state.kernels.get(kernel) != Some(&Fitness::Fit), "a fit one");
                let other = state.kernels.iter().any(|(other, fitness)| {
                    let proven = if state.has_critical { *fitness == Fitness::Fit } else { *fitness != Fitness::Unfit };
                    let in_reach = !state.choice.contains(kernel) || state.choice.contains(other);
                    other != kernel && !after.contains(other) && proven && in_reach
                });
                prop_assert!(other, "no other");
                if *decision == Decision::Hold {
                    prop_assert!(guard == BootGuard::Hold && state.kernels[kernel] == Fitness::Unfit);
                }
            }
        }
    }

    #[test]
    fn only_a_refuted_kernel_is_held_and_only_if_the_admin_wants_it() {
        let kernels =
            [(release(1), Fitness::Fit), (release(2), Fitness::Unfit), (release(3), Fitness::Unclear)];
        let state = State {
            kernels: kernels.into(),
            running: Some(release(1)),
            has_critical: true,
            ..State::default()
        };
        let of = |guard| decide(&state, guard).into_values().collect::<Vec<_>>();
        assert_eq!(of(BootGuard::Hold), [Decision::Keep, Decision::Hold, Decision::Keep]);
        assert_eq!(of(BootGuard::Warn), [Decision::Keep, Decision::Warn, Decision::Keep]);
        assert_eq!(of(BootGuard::Off), [Decision::Keep; 3]);
    }
}
