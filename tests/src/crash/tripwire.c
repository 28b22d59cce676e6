/* Runs a program and counts the system calls by which it changes files; at the one it is told, it ends the program and
 * all that it started, or lets that call fail.
 *
 *   tripwire WHAT HOW NUMBER LOG PROGRAM [WORD]...
 *
 * WHAT: `names` counts what changes names and what syncs; `data` counts what makes and fills files too.
 * HOW: `before` or `after`: SIGKILL before that call is carried out, or after; an error number: the call isn't carried
 * out, and gives that error. LOG gets a line for each counted call: its name and its paths. NUMBER 0 only lists.
 *
 * All threads of the program are one row of calls, which strace (a counter for each thread and call) can't do. A seccomp
 * filter stops only at calls that may count. What the program starts inherits the filter, so it is traced too, but goes on at
 * once: its calls don't count.
 * Ends as the program did: with its code, or 128 + its signal. x86_64 only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum kind { NAMES, DATA };

/* Which of its arguments (from 1; 0: none) are paths, or the open file it works on. */
static const struct call { long number; const char *name; enum kind kind; int file, first, second; } calls[] = {
    { SYS_rename, "rename", NAMES, 0, 1, 2 }, { SYS_renameat, "renameat", NAMES, 0, 2, 4 },
    { SYS_renameat2, "renameat2", NAMES, 0, 2, 4 }, { SYS_link, "link", NAMES, 0, 1, 2 },
    { SYS_linkat, "linkat", NAMES, 0, 2, 4 }, { SYS_symlink, "symlink", NAMES, 0, 1, 2 },
    { SYS_symlinkat, "symlinkat", NAMES, 0, 1, 3 }, { SYS_unlink, "unlink", NAMES, 0, 1, 0 },
    { SYS_unlinkat, "unlinkat", NAMES, 0, 2, 0 }, { SYS_mkdir, "mkdir", NAMES, 0, 1, 0 },
    { SYS_mkdirat, "mkdirat", NAMES, 0, 2, 0 }, { SYS_rmdir, "rmdir", NAMES, 0, 1, 0 },
    { SYS_fsync, "fsync", NAMES, 1, 0, 0 }, { SYS_fdatasync, "fdatasync", NAMES, 1, 0, 0 },
    { SYS_openat, "openat", DATA, 0, 2, 0 }, { SYS_write, "write", DATA, 1, 0, 0 },
    { SYS_pwrite64, "pwrite64", DATA, 1, 0, 0 }, { SYS_writev, "writev", DATA, 1, 0, 0 },
    { SYS_ftruncate, "ftruncate", DATA, 1, 0, 0 }, { SYS_fallocate, "fallocate", DATA, 1, 0, 0 },
    { SYS_copy_file_range, "copy_file_range", DATA, 3, 0, 0 }, { SYS_sendfile, "sendfile", DATA, 1, 0, 0 },
    { SYS_ioctl, "ficlone", DATA, 1, 0, 0 }, { SYS_fchmod, "fchmod", DATA, 1, 0, 0 },
    { SYS_fchown, "fchown", DATA, 1, 0, 0 }, { SYS_chmod, "chmod", DATA, 0, 1, 0 },
    { SYS_fchmodat, "fchmodat", DATA, 0, 2, 0 }, { SYS_lchown, "lchown", DATA, 0, 1, 0 },
    { SYS_fchownat, "fchownat", DATA, 0, 2, 0 }, { SYS_utimensat, "utimensat", DATA, 0, 2, 0 },
};

static const unsigned long FICLONE_REQUEST = 0x40049409;

static pid_t program;

static void fail(const char *what)
{
    perror(what);
    exit(125);
}

static unsigned long long argument(const struct user_regs_struct *regs, int which)
{
    const unsigned long long all[] = { regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9 };
    return all[which - 1];
}

/* The file behind a descriptor; none for the standard three, pipes, devices and /proc. */
static int file_of(pid_t id, unsigned long long descriptor, char *path, size_t size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/%d/fd/%d", id, (int)descriptor);
    ssize_t length = descriptor > 2 ? readlink(link, path, size - 1) : -1;
    if (length <= 0)
        return 0;
    path[length] = 0;
    return path[0] == '/' && strncmp(path, "/dev/", 5) != 0 && strncmp(path, "/proc/", 6) != 0;
}

static void log_path(FILE *log, pid_t id, const struct user_regs_struct *regs, int which, int at)
{
    char text[4096] = "", folder[4096];
    if (which == 0)
        return;
    /* Page by page: what lies behind the text may not be there to be read. */
    unsigned long long from = argument(regs, which);
    for (size_t got = 0; got < sizeof text - 1;) {
        size_t part = 256 - from % 256;
        if (part > sizeof text - 1 - got)
            part = sizeof text - 1 - got;
        struct iovec here = { text + got, part }, there = { (void *)from, part };
        if (process_vm_readv(id, &here, 1, &there, 1, 0) != (ssize_t)part || memchr(text + got, 0, part))
            break;
        got += part;
        from += part;
    }
    /* `...at` calls name the open folder that a path starts from right before it. */
    if (at && text[0] != '/' && file_of(id, argument(regs, which - 1), folder, sizeof folder))
        fprintf(log, " %s/%s", folder, text);
    else
        fprintf(log, " %s", text);
}

/* Writes the call to the log and says yes, if it is one that counts. */
static int counts(FILE *log, pid_t id, const struct user_regs_struct *regs, enum kind kind)
{
    char file[4096];
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const struct call *call = &calls[i];
        if ((long)regs->orig_rax != call->number)
            continue;
        if (call->kind > kind)
            return 0;
        if (call->file && !file_of(id, argument(regs, call->file), file, sizeof file))
            return 0;
        fputs(call->name, log);
        if (call->file)
            fprintf(log, " %s", file);
        int at = strstr(call->name, "at") != NULL && strcmp(call->name, "symlinkat") != 0;
        log_path(log, id, regs, call->first, at);
        log_path(log, id, regs, call->second, at);
        fputc('\n', log);
        return 1;
    }
    return 0;
}

/* Whether it is a thread of the program. */
static int watched(pid_t id)
{
    return syscall(SYS_tgkill, program, id, 0) == 0;
}

/* From here on this process and what it starts stop at calls that may count. */
static void stop_at(enum kind kind)
{
    enum { ROWS = sizeof calls / sizeof *calls };
    struct sock_filter filter[6 * ROWS + 8];
    unsigned short length = 0;
#define NUMBER BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ARGUMENT(which) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[which]))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
#define ADD(...) filter[length++] = (struct sock_filter)__VA_ARGS__
    ADD(NUMBER);
    for (size_t i = 0; i < ROWS; i++) {
        if (calls[i].kind > kind)
            continue;
        unsigned int number = (unsigned int)calls[i].number;
        if (number == SYS_openat) {
            ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4));
            ADD(ARGUMENT(2));
            ADD(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_CREAT | O_TRUNC, 0, 1));
            ADD(RETURN(SECCOMP_RET_TRACE));
            ADD(RETURN(SECCOMP_RET_ALLOW));
        } else if (number == SYS_ioctl) {
            ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4));
            ADD(ARGUMENT(1));
            ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FICLONE_REQUEST, 0, 1));
            ADD(RETURN(SECCOMP_RET_TRACE));
            ADD(RETURN(SECCOMP_RET_ALLOW));
        } else {
            ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
            ADD(RETURN(SECCOMP_RET_TRACE));
        }
    }
    ADD(RETURN(SECCOMP_RET_ALLOW));
    const struct sock_fprog whole = { length, filter };
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &whole))
        fail("tripwire: seccomp");
}

/* Ends everybody who is left: those whose parent ends become our children. */
static void end_all(void)
{
    char list[64];
    snprintf(list, sizeof list, "/proc/self/task/%d/children", getpid());
    for (;;) {
        int any = 0, child;
        FILE *children = fopen(list, "r");
        while (children && fscanf(children, "%d", &child) == 1) {
            kill(child, SIGKILL);
            any = 1;
        }
        if (children)
            fclose(children);
        if (waitpid(-1, NULL, __WALL) < 0 && (errno == ECHILD || !any))
            return;
    }
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fputs("usage: tripwire names|data before|after|ERRNO NUMBER LOG PROGRAM [WORD]...\n", stderr);
        return 125;
    }
    enum kind kind = strcmp(argv[1], "data") == 0 ? DATA : NAMES;
    int before = strcmp(argv[2], "before") == 0, error = atoi(argv[2]), at = atoi(argv[3]), count = 0, go[2];
    FILE *log = fopen(argv[4], "we");
    if (!log || pipe2(go, O_CLOEXEC) || prctl(PR_SET_CHILD_SUBREAPER, 1))
        fail("tripwire");
    program = fork();
    if (program == 0) {
        char byte;
        if (read(go[0], &byte, 1) == 1) {
            stop_at(kind);
            execv(argv[5], argv + 5);
        }
        fail(argv[5]);
    }
    long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESECCOMP;
    if (program < 0 || ptrace(PTRACE_SEIZE, program, 0, options) || write(go[1], "", 1) != 1)
        fail("tripwire");
    for (;;) {
        int status, deliver = 0;
        pid_t id = waitpid(-1, &status, __WALL);
        if (id < 0)
            fail("tripwire: wait");
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (id != program)
                continue;
            /* What it left running is its own affair, unless we have ended it. */
            if (at && !error && count >= at)
                end_all();
            fclose(log);
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        enum __ptrace_request next = PTRACE_CONT;
        struct user_regs_struct regs;
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
            if (watched(id) && !ptrace(PTRACE_GETREGS, id, 0, &regs) && counts(log, id, &regs, kind) && ++count == at) {
                if (error || before) {
                    regs.orig_rax = -1;
                    ptrace(PTRACE_SETREGS, id, 0, &regs);
                }
                if (before) {
                    kill(program, SIGKILL);
                    continue;
                }
                /* It stops again when the call ends. */
                next = PTRACE_SYSCALL;
            }
        } else if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            if (!error) {
                kill(program, SIGKILL);
                continue;
            }
            if (ptrace(PTRACE_GETREGS, id, 0, &regs))
                continue;
            regs.rax = -error;
            ptrace(PTRACE_SETREGS, id, 0, &regs);
        } else if (status >> 16 == PTRACE_EVENT_STOP) {
            int stopped = WSTOPSIG(status);
            if (stopped == SIGSTOP || stopped == SIGTSTP || stopped == SIGTTIN || stopped == SIGTTOU) {
                ptrace(PTRACE_LISTEN, id, 0, 0);
                continue;
            }
        } else if (status >> 16 == 0) {
            deliver = WSTOPSIG(status);
        }
        ptrace(next, id, 0, deliver);
    }
}
