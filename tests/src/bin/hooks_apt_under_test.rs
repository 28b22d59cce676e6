//! The `hooks-apt` command.

fn main() -> std::process::ExitCode {
    dkms_hooks_apt::main()
}
