//! What apt and dpkg call.

fn main() -> std::process::ExitCode {
    dkms_hooks_apt::main()
}
