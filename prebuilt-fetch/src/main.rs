//! The `dkms-fetch` program.

fn main() -> std::process::ExitCode {
    dkms_fetch::main()
}
