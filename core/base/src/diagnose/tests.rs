//! Excerpts of logs that real tools have written: gcc 12, GNU make 4.3, dash, bash, modpost of 6.1, binutils
//! 2.40; clang's line alone is given by its manual.

use super::*;

/// `error | cause` in one line, to be compared.
fn said(log: &str) -> String {
    let diagnosis = diagnose(log);
    let error = diagnosis.first_error.map_or("-".to_owned(), |error| error.to_string());
    let cause = diagnosis.cause.map_or("-".to_owned(), |cause| format!("{cause:?}"));
    format!("{error} | {cause}")
}

const TAIL: &str = "make[1]: *** [/usr/src/h/scripts/Makefile.build:255: /b/foo.o] Error 1\n\
                    make: *** [/usr/src/h/Makefile:2065: /b] Error 2\n";

fn compiled(message: &str) -> String {
    said(&format!(
        "make: Entering directory '/usr/src/h'\n  CC [M]  /b/foo.o\n/b/foo.c: In function ‘f’:\n{message}\n    4 | code\n      |   ^~~~\ncc1: some warnings being treated as errors\n{TAIL}"
    ))
}

#[test]
fn a_changed_kernel_interface() {
    let messages = [
        "/b/foo.c:4:56: error: implicit declaration of function ‘setup_timer’; did you mean ‘del_timer’? [-Werror=implicit-function-declaration]",
        "/b/foo.c:4:46: error: ‘struct task_struct’ has no member named ‘state’; did you mean ‘stats’?",
        "/b/foo.c:4:84: error: macro \"access_ok\" passed 3 arguments, but takes just 2",
        "/b/foo.c:4:91: error: passing argument 4 of ‘proc_create’ from incompatible pointer type [-Werror=incompatible-pointer-types]",
        "/b/foo.c:4:113: error: initialization of ‘int (*)(struct inode *, struct file *)’ from incompatible pointer type ‘int (*)(int)’ [-Werror=incompatible-pointer-types]",
        "/b/foo.c:4:10: fatal error: drm/drmP.h: No such file or directory",
        "/b/foo.c:4:35: error: ‘VERIFY_READ’ undeclared (first use in this function)",
        "/b/foo.c:4:1: error: unknown type name ‘mm_segment_t’",
        "/b/foo.c:4:66: error: invalid use of undefined type ‘struct nix’",
        "/b/foo.c:4:9: error: call to undeclared function 'setup_timer'; ISO C99 and later do not support implicit function declarations [-Wimplicit-function-declaration]",
    ];
    for message in messages {
        let text = message.split_once("error: ").unwrap().1;
        assert_eq!(compiled(message), format!("/b/foo.c:4: {text} | KernelInterface"));
    }
}

#[test]
fn what_is_the_modules_own_fault_gets_no_such_cause() {
    assert_eq!(
        compiled("/b/foo.c:4:23: error: expected ‘;’ before ‘}’ token"),
        "/b/foo.c:4: expected ‘;’ before ‘}’ token | -"
    );
    assert_eq!(
        compiled("/b/foo.c:4:2: error: #error \"this kernel is too new\""),
        "/b/foo.c:4: #error \"this kernel is too new\" | -"
    );
    insta::assert_snapshot!(
        compiled("/b/foo.c:4:12: error: ‘x’ defined but not used [-Werror=unused-variable]"),
        @"/b/foo.c:4: ‘x’ defined but not used [-Werror=unused-variable] | WarningAsError"
    );
    insta::assert_snapshot!(
        compiled("/b/foo.c:4:10: fatal error: sys/zfs_context.h: No such file or directory"),
        @r#"/b/foo.c:4: sys/zfs_context.h: No such file or directory | MissingHeader { header: "sys/zfs_context.h" }"#
    );
}

#[test]
fn the_wrong_compiler() {
    insta::assert_snapshot!(
        compiled("gcc-12: error: unrecognized command-line option ‘-fmin-function-alignment=16’; did you mean ‘-flimit-function-alignment’?"),
        @r#"gcc-12: error: unrecognized command-line option ‘-fmin-function-alignment=16’; did you mean ‘-flimit-function-alignment’? | WrongCompiler { option: "`-fmin-function-alignment=16`" }"#
    );
    insta::assert_snapshot!(
        compiled("cc1: error: cannot load plugin /nix/x.so: /nix/x.so: cannot open shared object file: No such file or directory"),
        @r#"cc1: error: cannot load plugin /nix/x.so: /nix/x.so: cannot open shared object file: No such file or directory | WrongCompiler { option: "its plugins" }"#
    );
}

#[test]
fn a_compiler_that_crashes() {
    insta::assert_snapshot!(
        compiled("gcc: internal compiler error: Segmentation fault signal terminated program cc1"),
        @"gcc: internal compiler error: Segmentation fault signal terminated program cc1 | CompilerCrash"
    );
    insta::assert_snapshot!(
        compiled("/b/foo.c:4:1: internal compiler error: in extract_insn, at recog.c:2791"),
        @"/b/foo.c:4: internal compiler error: in extract_insn, at recog.c:2791 | CompilerCrash"
    );
}

#[test]
fn missing_programs() {
    let table = [
        ("/bin/sh: 1: gcc-99: not found", "MissingTool { tool: \"gcc-99\" }"),
        ("/bin/bash: line 1: flex: command not found", "MissingTool { tool: \"flex\" }"),
        ("make: flex: No such file or directory", "MissingTool { tool: \"flex\" }"),
        (
            "/bin/sh: 1: ./tools/objtool/objtool: not found",
            "MissingKernelTool { tool: \"./tools/objtool/objtool\" }",
        ),
        ("make[1]: pahole: Command not found", "MissingTool { tool: \"pahole\" }"),
    ];
    for (line, cause) in table {
        let log = format!("  CC [M]  /b/foo.o\n{line}\nmake[1]: *** [Makefile:255: /b/foo.o] Error 127\n");
        assert_eq!(said(&log), format!("{line} | {cause}"));
    }
    assert!(diagnose("make[1]: pahole: Command not found").lines()[2].contains("dwarves"));
}

#[test]
fn programs_that_cannot_be_run() {
    let table = [
        "./tools/objtool/objtool: error while loading shared libraries: libelf.so.1: cannot open shared object file: No such file or directory",
        "Error loading shared library libelf.so.1: No such file or directory (needed by ./tools/objtool/objtool)",
        "scripts/mod/modpost: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by scripts/mod/modpost)",
        "/bin/sh: 1: scripts/basic/fixdep: Exec format error",
        "/bin/bash: line 1: scripts/basic/fixdep: cannot execute binary file: Exec format error",
        "make[2]: ./scripts/mod/modpost: Exec format error",
    ];
    let said = table.map(|line| {
        let log = format!("  CC [M]  /b/foo.o\n{line}\nmake[1]: *** [Makefile:255: /b/foo.o] Error 127\n");
        let diagnosis = diagnose(&log);
        assert_eq!(diagnosis.first_error.as_ref().map(ToString::to_string).as_deref(), Some(line));
        diagnosis.lines()[1..].join("; ")
    });
    insta::assert_snapshot!(said.join("\n"), @r"
    `./tools/objtool/objtool` needs the shared library `libelf.so.1`, which is not installed; install the package `libelf1` (on Fedora `elfutils-libelf`, on Arch `libelf`)
    `./tools/objtool/objtool` needs the shared library `libelf.so.1`, which is not installed; install the package `libelf1` (on Fedora `elfutils-libelf`, on Arch `libelf`)
    `scripts/mod/modpost` was built for a newer system: this one's libraries lack `GLIBC_2.38`; install the headers package that was built for this release of the system
    `scripts/basic/fixdep` was built for another kind of machine; install the headers package for the machine that builds, which has programs for it
    `scripts/basic/fixdep` was built for another kind of machine; install the headers package for the machine that builds, which has programs for it
    `./scripts/mod/modpost` was built for another kind of machine; install the headers package for the machine that builds, which has programs for it
    ");
}

#[test]
fn a_makefile_that_asks_for_the_running_kernel() {
    let log = |kernel: &str| {
        format!(
            "dkms-4.0.0: build of foo/1.0 for kernel {kernel} (x86_64)\n\n# command: make\nmake -C /lib/modules/6.18.44-fc/build M=/b modules\nmake[1]: *** /lib/modules/6.18.44-fc/build: No such file or directory.  Stop.\nmake: *** [Makefile:3: all] Error 2\n"
        )
    };
    insta::assert_snapshot!(diagnose(&log("6.1.0-48-amd64")).lines().join("\n"), @r"
    first error: /lib/modules/6.18.44-fc/build: No such file or directory
    the build looks for kernel 6.18.44-fc and not for its own: most likely its Makefile asks for the kernel that runs (`uname -r`)
    MAKE in dkms.conf must build in `$kernel_source_dir`, or pass `$kernelver` to the Makefile
    ");
    assert_eq!(diagnose(&log("6.18.44-fc")).cause, None);
}

#[test]
fn a_full_disk_and_no_memory_whatever_the_first_error_is() {
    insta::assert_snapshot!(
        said("  CC [M]  /df/foo.o\n/df/foo.c:2:1: fatal error: closing dependency file /df/.foo.o.d: No space left on device\n    2 | MODULE_LICENSE(\"GPL\");\ncompilation terminated.\n"),
        @"/df/foo.c:2: closing dependency file /df/.foo.o.d: No space left on device | DiskFull"
    );
    insta::assert_snapshot!(
        said("/tmp/ccVX2RND.s: Assembler messages:\n/tmp/ccVX2RND.s: Fatal error: can't write 1553 bytes to section .debug_line_str of /df/foo.mod.o: 'No space left on device'\n"),
        @"/tmp/ccVX2RND.s: can't write 1553 bytes to section .debug_line_str of /df/foo.mod.o: 'No space left on device' | DiskFull"
    );
    insta::assert_snapshot!(
        said("gcc-12: fatal error: Killed signal terminated program cc1\ncompilation terminated.\n"),
        @"gcc-12: fatal error: Killed signal terminated program cc1 | Killed"
    );
    insta::assert_snapshot!(
        said("  CC [M]  /b/foo.o\nKilled\nmake[1]: *** [/usr/src/h/scripts/Makefile.build:255: /b/foo.o] Error 137\n"),
        @"Killed | Killed"
    );
}

#[test]
fn what_modpost_and_the_linker_say() {
    insta::assert_snapshot!(
        said("  MODPOST /b/Module.symvers\nERROR: modpost: \"nix_such\" [/b/foo.ko] undefined!\n"),
        @r#"ERROR: modpost: "nix_such" [/b/foo.ko] undefined! | UndefinedSymbol { symbol: "nix_such" }"#
    );
    insta::assert_snapshot!(
        said("ERROR: modpost: GPL-incompatible module foo.ko uses GPL-only symbol 'class_find_device'\n"),
        @r#"ERROR: modpost: GPL-incompatible module foo.ko uses GPL-only symbol 'class_find_device' | GplOnly { symbol: "class_find_device" }"#
    );
    insta::assert_snapshot!(
        said("ERROR: modpost: missing MODULE_LICENSE() in /b/foo.o\n"),
        @"ERROR: modpost: missing MODULE_LICENSE() in /b/foo.o | NoLicense"
    );
    insta::assert_snapshot!(
        said("ERROR: modpost: module foo uses symbol dma_buf_put from namespace DMA_BUF, but does not import it.\n"),
        @"ERROR: modpost: module foo uses symbol dma_buf_put from namespace DMA_BUF, but does not import it. | KernelInterface"
    );
    insta::assert_snapshot!(
        said("/usr/bin/ld: /tmp/ccVhb3P0.o: in function `main':\n<stdin>:(.text+0x5): undefined reference to `nix'\ncollect2: error: ld returned 1 exit status\n"),
        @r#"<stdin>:(.text+0x5): undefined reference to `nix' | UndefinedSymbol { symbol: "nix" }"#
    );
}

#[test]
fn headers_makefiles_patches_and_keys() {
    insta::assert_snapshot!(
        said("\n  ERROR: Kernel configuration is invalid.\n         include/generated/autoconf.h or include/config/auto.conf are missing.\n"),
        @"ERROR: Kernel configuration is invalid. | HeadersIncomplete"
    );
    insta::assert_snapshot!(
        said("/usr/src/h/scripts/Makefile.build:44: /b/Makefile: No such file or directory\nmake[1]: *** No rule to make target '/b/Makefile'.  Stop.\n"),
        @"No rule to make target '/b/Makefile' | NoMakefile"
    );
    insta::assert_snapshot!(said("Mk:6: *** the kernel is too old.  Stop.\n"), @"Mk:6: the kernel is too old | -");
    insta::assert_snapshot!(
        said("patching file foo.c\nHunk #1 FAILED at 1.\n1 out of 1 hunk FAILED -- saving rejects to file foo.c.rej\n"),
        @"foo.c: Hunk #1 FAILED at 1. | PatchMismatch"
    );
    insta::assert_snapshot!(
        said("At main.c:302:\n- SSL error:FFFFFFFF80000002:system library::No such file or directory: ../crypto/bio/bss_file.c:67\n"),
        @"- SSL error:FFFFFFFF80000002:system library::No such file or directory: ../crypto/bio/bss_file.c:67 | Certificate"
    );
    insta::assert_snapshot!(
        said("cp: cannot create regular file '/usr/src/b/x.o': Read-only file system\nmake: *** No rule to make target 'x'.  Stop.\n"),
        @"No rule to make target 'x' | ReadOnly"
    );
    insta::assert_snapshot!(said("./configure\nmake: ./configure: Permission denied\n"), @"make: ./configure: Permission denied | NotExecutable");
    // Looked at, and not run.
    let stat = "make[1]: stat: /var/lib/dkms/m/1/build/l1.c: Permission denied\n";
    assert!(!said(stat).contains("NotExecutable"), "{}", said(stat));
    insta::assert_snapshot!(said("/bin/bash: line 5: /b/pre.sh: cannot execute: required file not found\n"), @"/bin/bash: line 5: /b/pre.sh: cannot execute: required file not found | NoInterpreter");
    insta::assert_snapshot!(said("bash: ./x: /bin/sh^M: bad interpreter: No such file or directory\n"), @"bash: ./x: /bin/sh^M: bad interpreter: No such file or directory | NoInterpreter");
    insta::assert_snapshot!(said("configure: error: nix not found\nmake: *** [Mk:14: g] Error 1\n"), @"configure: error: nix not found | -");
}

#[test]
fn only_the_command_that_ran_last_counts_and_silence_is_told_as_such() {
    let log = "dkms-4.0.0: build of foo/1.0 for kernel 6.1 (x86_64)\n\n# Running the PRE_BUILD script\n\
               # command: ./configure\ncheck.c:1:2: error: harmless\n# exit code: 0\n\n# Building the modules\n\
               # command: make error: x\nmake: [Makefile:2: clean] Error 1 (ignored)\nmake: *** [Mk:16: all] Error 1\n\
               # exit code: 2\n# elapsed time: 1.0 s\n";
    insta::assert_snapshot!(said(log), @"Mk:16: making `all` ended with `Error 1` | -");
    assert_eq!(said("false\n"), "- | -");
    assert_eq!(said(""), "- | -");
}

/// A log of ours about a build in a sandbox, whose last command wrote this.
fn confined(output: &str) -> String {
    format!(
        "dkms-4.0.0: build of foo/1.0 for kernel 6.1 (x86_64)\n\n# Running the PRE_BUILD script\n# command: pre.sh\n{output}\n# exit code: 1\n"
    )
}

#[test]
fn what_the_sandbox_refused_is_told_with_the_line_and_the_setting() {
    let hint = "to build foo without the sandbox, add it to `sandbox_exempt` in framework.conf";
    for (output, first, refused) in [
        (
            "curl: (6) Could not resolve host: x.org",
            None,
            "builds have no network in the sandbox: `curl: (6) Could not resolve host: x.org`",
        ),
        (
            "mkdir: cannot create directory ‘/var/lib/x’: Read-only file system",
            None,
            "builds can only write to their own folder in the sandbox: `mkdir: cannot create directory ‘/var/lib/x’: Read-only file system`",
        ),
        (
            "cat: /etc/secret: Permission denied",
            Some("cat: /etc/secret: Permission denied"),
            "this file is hidden in the sandbox, or the build user may not read it: `cat: /etc/secret: Permission denied`",
        ),
        (
            "chown: changing ownership of '.': Operation not permitted",
            None,
            "builds have no rights of root in the sandbox: `chown: changing ownership of '.': Operation not permitted`",
        ),
        (
            "sudo: effective uid is not 0",
            None,
            "no program gets the rights of root in the sandbox: `sudo: effective uid is not 0`",
        ),
    ] {
        let mut expected: Vec<String> =
            first.into_iter().map(|line| format!("first error: {line}")).collect();
        expected.extend([refused.to_owned(), hint.to_owned()]);
        assert_eq!(diagnose(&confined(output)).lines(), expected);
    }
    // What is only not executable is no refusal.
    let shut = "/bin/bash: line 5: /var/lib/dkms/foo/1.0/build/pre.sh: Permission denied";
    assert_eq!(diagnose(&confined(shut)).cause, Some(Cause::NotExecutable));
    assert_eq!(diagnose(&confined(shut)).refusals, []);
    // A fault of the module's own is reported first.
    let both = "curl: (6) Could not resolve host: x\n/b/foo.c:4:1: error: unknown type name ‘mm_segment_t’";
    let told = diagnose(&confined(both));
    assert_eq!((told.cause, told.refusals.len()), (Some(Cause::KernelInterface), 1));
    // Without a sandbox nothing is blamed on it.
    assert_eq!(diagnose("curl: (6) Could not resolve host: x\n").lines(), [""; 0]);
    let exempt = confined("mknod: x: Operation not permitted")
        .replace("\n\n# Running", "\n\n# not in a sandbox: x\n# Running");
    assert_eq!((diagnose(&exempt).refusals, refusals(&exempt)), (Vec::new(), Vec::new()));
}

#[test]
fn a_build_that_went_well_is_searched_whole() {
    let log = confined("mknod: x: Operation not permitted")
        + "\n# Building the modules\n# command: make\n  CC [M]  x.o\n# exit code: 0\n";
    assert_eq!(refusals(&log).len(), 1);
    assert_eq!(diagnose(&log).refusals, []);
}

proptest::proptest! {
    #[test]
    fn no_text_harms(text in "(error: |: |\\n|[a-z:*'‘ \\[\\].]){0,80}") {
        let diagnosis = diagnose(&text);
        // An error is a piece of the log, and only an error has a cause.
        if let Some(error) = &diagnosis.first_error {
            proptest::prop_assert!(text.contains(&error.text), "{:?}", error);
        }
        proptest::prop_assert_eq!(diagnosis.lines().is_empty(), diagnosis.first_error.is_none() && diagnosis.cause.is_none());
    }
}

#[test]
fn a_line_that_is_far_too_long_is_cut_and_counts_all_the_same() {
    let log = format!("x.c:1:1: error: {}\nmake: *** [x] Error 1\n", "ä".repeat(3_000_000));
    let error = diagnose(&log).first_error.unwrap();
    assert_eq!((error.file.as_deref(), error.line), (Some("x.c"), Some(1)));
    assert!(error.text.starts_with("ää") && error.text.ends_with('…') && error.text.len() < 700);
    let lines = diagnose(&format!("{}: error: x\n", "/y".repeat(3_000_000))).lines();
    assert!(lines.iter().map(String::len).sum::<usize>() < 3_000, "{lines:?}");
}

#[test]
fn a_long_error_of_configure_is_told_whole() {
    let log = "checking x... no\nconfigure: error: \n\t*** None of the interfaces\n\t*** were detected.\n\t***\n\t*** ZFS Version\n";
    let error = diagnose(log).first_error.unwrap().to_string();
    assert_eq!(error, "configure: error: None of the interfaces were detected.");
    assert_eq!(
        diagnose("./configure: error: no cc\n").first_error.unwrap().to_string(),
        "./configure: error: no cc"
    );
}

#[test]
fn packages_of_programs_with_a_version_in_their_names() {
    for (tool, package) in [
        ("ld.lld", "`lld`"),
        ("ld.lld-14", "`lld-14`"),
        ("llvm-strip-19", "`llvm-19`"),
        ("clang-19", "`clang-19`"),
        ("gcc-12", "`gcc-12`"),
    ] {
        let remedy = Cause::MissingTool { tool: tool.to_owned() }.remedy();
        assert!(remedy.contains(&format!("the package {package}")), "{tool}: {remedy}");
    }
}

#[test]
fn the_file_of_a_redirection_is_no_missing_program() {
    let tool = |line: &str| match diagnose_output(line, None) {
        Diagnosis { first_error: Some(_), cause: Some(Cause::MissingTool { tool }), .. } => Some(tool),
        Diagnosis { first_error: Some(_), .. } => None,
        other => panic!("`{line}` is an error: {other:?}"),
    };
    for (line, expected) in [
        ("./pre.sh: line 3: /etc/mydriver/options.conf: No such file or directory", None),
        ("./pre.sh: line 7: drv-config.in: No such file or directory", None),
        ("/bin/bash: line 12: /var/log/drv/build.log: No such file or directory", None),
        ("./pre.sh: line 2: /dev/tty: No such file or directory", None),
        ("./pre.sh: line 2: ../lib/common.inc: No such file or directory", None),
        ("./pre.sh: line 3: /opt/vendor/bin/mkfw: No such file or directory", Some("/opt/vendor/bin/mkfw")),
        ("./pre.sh: line 3: ./tools/gen-3.2: No such file or directory", Some("./tools/gen-3.2")),
        ("./pre.sh: line 3: ./tools/gen.py: No such file or directory", Some("./tools/gen.py")),
        ("make: flex: No such file or directory", Some("flex")),
        ("./pre.sh: line 3: flex: command not found", Some("flex")),
    ] {
        assert_eq!(tool(line).as_deref(), expected, "{line}");
    }
}
