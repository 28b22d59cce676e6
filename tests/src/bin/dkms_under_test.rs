//! The `dkms` command.

fn main() -> std::process::ExitCode {
    dkms_cli::main()
}
