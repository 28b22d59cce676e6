//! The `hooks-dnf` command.

fn main() -> std::process::ExitCode {
    dkms_hooks_dnf::main()
}
