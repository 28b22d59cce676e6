//! What an option means to an action for which it means something else than in general. Knows nothing of
//! what it does.

use clap::Arg;

use crate::action::Action;

/// The text of an option, by its id, in the help of one action; `None`: the general one.
pub(super) fn of(id: &str, action: Action) -> Option<&'static str> {
    let text = match (id, action) {
        ("kernels", _) if action.is_for_one_kernel() || action == Action::Mksysext => "Kernel release",
        ("arches", _) if action.is_for_one_kernel() || action == Action::Mksysext => "Architecture",
        ("kernels", Action::Status | Action::Log) => "Only this kernel release; may be repeated",
        ("arches", Action::Status | Action::Log) => "Only this architecture; may be repeated",
        ("kernels", _) => "Kernel release; may be repeated",
        ("arches", _) => "Architecture, one for all kernels or one for each; may be repeated",
        ("all", Action::Log) => "The log of each build, not only of the newest",
        ("all", Action::Verify) => "Every kernel that is installed",
        ("archive", Action::Mktarball) => "Archive to write",
        ("archive", Action::Mkoci) => "Archive to write, in place of a folder",
        ("archive", Action::Mksysext) => "Folder or `.raw` image to write",
        ("archive", Action::Mkdriverdisk) => "Image or archive to write",
        ("archive", _) if action.writes_archive() => "Package to write",
        ("archive", _) => "Archive to read",
        ("matrix", Action::Build) => "Build one job of this file, which `dkms plan --matrix` printed",
        ("matrix", Action::Plan) => "Print what has to be built as a list of jobs, in JSON",
        _ => return None,
    };
    Some(text)
}

/// An option as the help shows it: the value that may be missing on a command line, as in the 3.x line, is
/// shown as one that is needed.
pub(super) fn with_value(arg: Arg) -> Arg {
    let is_lenient = ["module", "version", "kernels", "arches"].contains(&arg.get_id().as_str());
    if is_lenient { arg.num_args(1) } else { arg }
}

#[cfg(test)]
mod tests {
    use super::super::for_words;

    fn line(action: &str, option: &str) -> Option<String> {
        let words = [action.to_owned()];
        let (text, _) = for_words(&words).unwrap();
        let lines = text.split("Options:").nth(1).unwrap().lines();
        lines.map(str::trim).find(|line| line.contains(option)).map(str::to_owned)
    }

    #[test]
    fn an_option_says_what_it_means_to_the_action() {
        for (action, option, has) in [
            ("log", "--all", "each build"),
            ("verify", "--all", "is installed"),
            ("remove", "--all", "is built for"),
            ("install", "--archive", "to read"),
            ("mkdeb", "--archive", "Package to write"),
            ("install", "--kernelver", "repeated"),
            ("install", "-k", "-k, --kernelver <K[/A]>"),
            ("build", "-v", "-v <V>"),
        ] {
            let found = line(action, option).unwrap();
            assert!(found.contains(has), "{action}: {found}");
        }
        for action in ["autoinstall", "match", "bake", "kernel_postinst", "mkdsc"] {
            assert_eq!(line(action, "--archive"), None, "{action}");
        }
        for action in ["autoinstall", "match", "forecast", "kernel_prerm", "mksysext"] {
            let found = line(action, "--kernelver").unwrap();
            assert!(!found.contains("repeated"), "{action}: {found}");
        }
    }
}
