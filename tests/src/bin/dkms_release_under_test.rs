//! The `dkms-release` command.

fn main() -> std::process::ExitCode {
    dkms_release::main()
}
