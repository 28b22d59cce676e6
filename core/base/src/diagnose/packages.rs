//! Which packages have what a build lacks, on Debian, Fedora and Arch.

/// Packages that are not called as their program is: on Debian, Fedora and Arch.
pub(super) fn package_of(tool: &str) -> String {
    let name = tool.rsplit('/').next().unwrap_or(tool);
    // Debian has several versions beside each other: `clang-19`, `ld.lld-19`.
    let version = name.rsplit_once('-').filter(|(_, end)| end.bytes().all(|byte| byte.is_ascii_digit()));
    if let Some((program, version)) = version
        && let package @ ("`lld`" | "`llvm`") = package_of(program).as_str()
    {
        return format!("`{}-{version}`", package.trim_matches('`'));
    }
    match name {
        "pahole" => "`dwarves` (on Arch `pahole`)".to_owned(),
        "ld" | "objcopy" | "strip" | "nm" | "as" => "`binutils`".to_owned(),
        "cc" | "cc1" => "`gcc`".to_owned(),
        "ld.lld" => "`lld`".to_owned(),
        "llvm-strip" | "llvm-ar" | "llvm-nm" | "llvm-objcopy" => "`llvm`".to_owned(),
        "depmod" | "modinfo" => "`kmod`".to_owned(),
        "bc" | "bison" | "clang" | "cpio" | "dpkg-dev" | "flex" | "gcc" | "g++" | "git" | "lld" | "make"
        | "openssl" | "patch" | "perl" | "python3" | "rsync" | "swig" | "wget" | "curl" | "xz" | "zstd" => {
            format!("`{name}`")
        }
        _ if ["gcc-", "g++-", "clang-"].iter().any(|begin| name.starts_with(begin)) => format!("`{name}`"),
        _ => format!("that provides `{name}`"),
    }
}

/// The package that has a shared library which programs of kernel headers use: on Debian, Fedora and Arch.
pub(super) fn package_with(library: &str) -> String {
    let name = library.split(".so").next().unwrap_or(library);
    let of_openssl = || library.rsplit(".so.").next().unwrap_or_default();
    match name {
        "libelf" => "`libelf1` (on Fedora `elfutils-libelf`, on Arch `libelf`)".to_owned(),
        "libdw" => "`libdw1` (on Fedora `elfutils-libs`, on Arch `libelf`)".to_owned(),
        "libcrypto" | "libssl" => {
            format!("`libssl{}` (on Fedora `openssl-libs`, on Arch `openssl`)", of_openssl())
        }
        "libz" => "`zlib1g` (on Fedora and Arch `zlib`)".to_owned(),
        "libzstd" => "`libzstd1` (on Fedora `libzstd`, on Arch `zstd`)".to_owned(),
        _ => format!("that provides `{library}`"),
    }
}
