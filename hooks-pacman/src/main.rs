//! The helper of the alpm hooks.

fn main() -> std::process::ExitCode {
    dkms_hooks_pacman::main()
}
