//! Installs this project and writes its packages.

fn main() -> std::process::ExitCode {
    dkms_release::main()
}
