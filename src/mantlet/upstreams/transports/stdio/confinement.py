"""What the kernel keeps from a program beyond its limits: loaded by the launcher, between fork and exec, as a file.

With the standard library alone, and on Linux alone; elsewhere nothing of it is there. Two means, neither of which needs
rights, and neither of which can be taken back by the program or what it starts:

*seccomp(2)*, a list of system calls that no tool server has business with and by which processes of one user reach into
one another or into the kernel. A list of what is refused, for a list of what is allowed breaks with each new runtime.
After Docker's default profile, without what bubblewrap needs (mount, namespaces): confining itself further is welcome.

*landlock(7)*. Whoever is in a domain can neither look into processes outside (`/proc/PID/environ`, `mem`, `fd`) nor
send them signals: the node and other programs of the same user (since Linux 6.12; root may still read an environment).
Where paths are named, nothing else of the file system can be opened (since 5.13).
"""

import ctypes
import os
import struct
import sys

PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
ALLOW = 0x7FFF0000
ERRNO = 0x00050000
EPERM, ENOSYS = 1, 38

# name: (x86_64, aarch64); None where there is none.
REFUSED = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),  # asks for what else would be asked for by calls that are seen here
    "open_by_handle_at": (304, 265),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "iopl": (172, None),
    "ioperm": (173, None),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "syslog": (103, 116),
}
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Which column, and AUDIT_ARCH_*. A call by another convention than the machine's own is not there (ENOSYS)."""
X32_BIT = 0x40000000

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ABI_SCOPED = 6
SCOPE_SIGNAL = 2
RULE_PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
FILES_OF_ABI = ((1, 13), (2, 14), (3, 15), (5, 16))
"""From which version of landlock on how many kinds of access to files are known."""
READ = EXECUTE | READ_FILE | READ_DIR
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | 1 << 14 | 1 << 15
"""What can be said of a file that is no folder: these, and to truncate it and to order its device."""

SYSTEM = """
    /usr /lib /lib32 /lib64 /bin /sbin /nix/store /proc /sys/devices/system/cpu /sys/fs/cgroup
    /etc/alternatives /etc/ca-certificates /etc/fonts /etc/gai.conf /etc/group /etc/host.conf /etc/hosts
    /etc/ld.so.cache /etc/localtime /etc/mime.types /etc/nsswitch.conf /etc/os-release /etc/passwd /etc/pki
    /etc/protocols /etc/resolv.conf /etc/services /etc/ssl/certs /etc/ssl/openssl.cnf /etc/timezone
    /run/systemd/resolve /dev/random /dev/urandom
""".split()  # noqa: SIM905 - as a list it takes a screen
"""What every program may read where paths are named: itself, the system's libraries, names and certificates."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx", "/dev/pts", "/dev/shm")  # noqa: S108


class Filter(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_void_p))


def refuse_calls() -> bool:
    """Refuse the calls of `REFUSED` from now on; False where this cannot be had. Needs no_new_privs."""
    machine = MACHINES.get(os.uname().machine)
    if sys.platform != "linux" or machine is None:
        return False
    program = program_for(*machine)
    memory = ctypes.create_string_buffer(program, len(program))
    wanted = Filter(len(program) // 8, ctypes.cast(memory, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(wanted), 0, 0) == 0)


def program_for(column: int, arch: int) -> bytes:
    """Classic BPF over `struct seccomp_data`: its call's number stands at 0, its convention at 4."""
    numbers = [number for pair in REFUSED.values() if (number := pair[column]) is not None]
    load, equals, at_least, answer = 0x20, 0x15, 0x35, 0x06
    tests = len(numbers)
    # Jumps count instructions to pass over: refused stands behind the tests and the answer of those let through.
    code = [
        (load, 0, 0, 4),
        (equals, 0, tests + 4, arch),
        (load, 0, 0, 0),
        (at_least, tests + 2, 0, X32_BIT),
        *((equals, tests - index, 0, number) for index, number in enumerate(numbers)),
        (answer, 0, 0, ALLOW),
        (answer, 0, 0, ERRNO | EPERM),
        (answer, 0, 0, ERRNO | ENOSYS),
    ]
    return b"".join(struct.pack("=HBBI", *one) for one in code)


def keep_apart(read: list[bytes], write: list[bytes], is_bound: bool) -> bool:
    """Enter a landlock domain; False where this cannot be had. Needs no_new_privs.

    With `is_bound` only `SYSTEM` and `read` can be read, and `write` written to. Raises `OSError` for a path of these
    that cannot be opened.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    files = (1 << max((bits for since, bits in FILES_OF_ABI if version >= since), default=0)) - 1 if is_bound else 0
    scoped = SCOPE_SIGNAL if version >= ABI_SCOPED else 0
    if (is_bound and not files) or not (files or scoped):
        return False
    told = struct.pack("=QQQ", files, 0, scoped)[: 24 if version >= ABI_SCOPED else 8]
    rules = libc.syscall(CREATE_RULESET, told, ctypes.c_size_t(len(told)), 0)
    if rules < 0:
        return False
    try:
        if is_bound:
            for name in SYSTEM:
                _allow(libc, rules, name.encode(), files & READ, is_needed=False)
            for name in DEVICES:
                _allow(libc, rules, name.encode(), files, is_needed=False)
            for path in read:
                _allow(libc, rules, path, files & READ)
            for path in write:
                _allow(libc, rules, path, files)
        return bool(libc.syscall(RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: bytes, access: int, *, is_needed: bool = True) -> None:
    try:
        at = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        if is_needed:
            raise
        return
    try:
        if not os.path.isdir(path):  # noqa: PTH112 - pathlib takes longer to import than this to run
            access &= OF_A_FILE
        told = struct.pack("=Qi", access, at)
        if libc.syscall(ADD_RULE, rules, RULE_PATH_BENEATH, told, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(at)
