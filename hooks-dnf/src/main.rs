//! What dnf, rpm and kernel-install call.

fn main() -> std::process::ExitCode {
    dkms_hooks_dnf::main()
}
