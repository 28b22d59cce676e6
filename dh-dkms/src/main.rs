//! The `dh_dkms` command.

fn main() -> std::process::ExitCode {
    dh_dkms::main()
}
