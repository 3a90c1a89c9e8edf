/* The static launcher: DIR/NAME runs DIR/_internal/NAME.bin with the dynamic loader and the C library in DIR/_internal,
 * so that the bundle works on any Linux. The launcher itself uses no C library: glibc's static start-up would take
 * 0.5 ms, and all of the launcher takes 0.07 ms. build/freeze.sh defines LOADER, the dynamic loader's file name. */
#include "launcher.h"

#include <asm/stat.h>
#include <linux/auxvec.h>
#include <linux/fcntl.h>
#include <linux/signal.h>
#include <linux/stat.h>
/* Variables, or prefixes of them, that bring the host's libraries or data into the process, and PyInstaller's own. */
static const char dropped[] = "LD_\0GLIBC_TUNABLES=\0GCONV_PATH=\0LOCPATH=\0LANG=\0LANGUAGE=\0LC_\0OPENSSL_\0"
                              "PYINSTALLER_\0_PYI_\0";

static const char broken[] = "broken bundle, install it again\n";

static buffer self, folder, target, library_path, loader, program, archive, message;

#if defined(__x86_64__)
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call start\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start: mov x29, #0\n mov x0, sp\n bl start\n");
#endif

static void fail(const char *what, const char *advice)
{
    char *end = copy(copy(copy(copy(message, "spiderpool: cannot run "), what), ": "), advice);
    call(__NR_write, 2, (long)message, end - message, 0);
    call(__NR_exit_group, 127, 0, 0, 0);
}

static long read_link(const char *path, char *to)
{
    long length = call(__NR_readlinkat, AT_FDCWD, (long)path, (long)to, PATH_MAX - 1);
    return to[length > 0 ? length : 0] = 0, length;
}

static char *base_name(char *path)
{
    char *name = path;
    while (*path)
        if (*path++ == '/')
            name = path;
    return name;
}

/* Find this program's path without /proc: follow the links from `path` to the file, then ask the kernel for the real
 * path of its folder. An upgrade may switch a link in the path meanwhile, and a path with links could then mix two
 * versions. The kernel tells this only of the working folder, so that is changed for the moment. */
static void find_self(const char *path)
{
    copy(self, path);
    for (int links = 0; links < 40 && read_link(self, target) > 0; links++)
        copy(*target == '/' ? self : base_name(self), target);
    copy(target, base_name(self)), *base_name(self) = 0;
    long here = call(__NR_openat, AT_FDCWD, (long)".", O_PATH | O_CLOEXEC, 0);
    if (call(__NR_chdir, (long)(*self ? self : "."), 0, 0, 0) || call(__NR_getcwd, (long)folder, PATH_MAX, 0, 0) <= 0)
        fail(path, broken);
    call(__NR_fchdir, here, 0, 0, 0);
    call(__NR_close, here, 0, 0, 0); /* the image's process is this one, and keeps what is open */
    copy(copy(copy(self, folder), "/"), target);
}

/* Have SIGINT and SIGTERM wait until the program has handlers for them: before that, Python answers a SIGINT with a
 * traceback. Both programs let them in again. */
static void hold_signals(void)
{
    unsigned long long mask = 1ULL << (SIGINT - 1) | 1ULL << (SIGTERM - 1);
    call(__NR_rt_sigprocmask, SIG_BLOCK, (long)&mask, 0, sizeof mask);
}

/* Python ends with a fatal error where a standard stream is a folder, and the number of a closed one would go to the
 * next file that is opened. So something stands in for such a stream that can be neither read nor written. */
static void fill_streams(const char *file)
{
    for (long stream = 0; stream < 3; stream++) {
        struct stat status;
        if (!call(__NR_fstat, stream, (long)&status, 0, 0) && !S_ISDIR(status.st_mode))
            continue;
        long opened = call(__NR_openat, AT_FDCWD, (long)file, O_PATH, 0);
        if (opened >= 0 && opened != stream) {
            call(__NR_dup3, opened, stream, 0, 0);
            call(__NR_close, opened, 0, 0, 0);
        }
    }
}

int is_dropped(const char *variable)
{
    for (const char *prefix = dropped; *prefix; prefix++) {
        int same = 0;
        while (prefix[same] && prefix[same] == variable[same])
            same++;
        if (!prefix[same])
            return 1;
        while (*prefix)
            prefix++;
    }
    return 0;
}

/* Give a variable a name that nobody looks up: with the highest bit of its first byte set, it is no UTF-8. The operator's
 * program gets what is dropped under such names, from which it learns the caller's (cni/doctor/caller.py). */
static int disguise(char *variable)
{
    return *variable |= 0x80;
}

static int is_equal(const char *one, const char *other)
{
    while (*one && *one == *other)
        one++, other++;
    return *one == *other;
}

/* Continue the plugin from its image, and do not return. Where that cannot be, it returns, with nothing changed that an
 * exec leaves as it is. For `spiderpool-ipam status`, only say which way is taken. */
static void use_image(const struct start *start)
{
    int only_look = start->argc == 2 && is_equal(start->argv[1], "--how-it-starts");
#if defined(__x86_64__)
    const char *fault = "this release has none";
#else
    const char *fault = "there is none for this architecture";
#endif
#ifdef BUILD_ID
    /* A file beside the bundle's folder. install writes it there because the folder has only what the checksums say. */
    copy(copy(program, folder) - 1, ".no-image");
    copy(copy(target, library_path), "/spiderpool.image");
    if (call(__NR_faccessat, AT_FDCWD, (long)program, 0, 0) == 0)
        fault = "it was set aside";
    else
        fault = continue_image(target, start, only_look);
#endif
    if (only_look) {
        char *end = copy(copy(copy(message, *fault ? "without its image: " : "from its image"), fault), "\n");
        call(__NR_write, 1, (long)message, end - message, 0);
        call(__NR_exit_group, 0, 0, 0, 0);
    }
}

__attribute__((used)) static void start(long *stack)
{
    hold_signals();
    long argc = *stack;
    char **argv = (char **)(stack + 1), **variable = argv + argc + 1, **last = variable;
    while (*last)
        last++;
    long *auxiliary = (long *)(last + 1), *name = auxiliary;
    while (*name != AT_EXECFN)
        name += 2;
    if (read_link("/proc/self/exe", self) <= 0)
        find_self((char *)name[1]);
    copy(folder, self), *base_name(folder) = 0;
    copy(copy(library_path, folder), "_internal");
    for (char *c = library_path; *c; c++) /* the loader splits at ':' and ';', and expands '$' */
        if (*c == ':' || *c == ';' || *c == '$')
            fail("in a folder with ':', ';' or '$' in its name", "install it elsewhere\n");
    copy(copy(loader, library_path), "/" LOADER);
    fill_streams(loader);
    if (is_equal(base_name(self), "spiderpool"))
        use_image(&(struct start){argc, argv, variable, auxiliary, self});
    copy(copy(copy(copy(program, library_path), "/"), base_name(self)), ".bin");
    copy(copy(archive, "_PYI_ARCHIVE_FILE="), program);
    /* These keep PyInstaller's bootloader from starting itself again, and OpenSSL from a file that names modules. */
    const char *environment[last - variable + 4], **next = environment;
    *next++ = archive, *next++ = "_PYI_PARENT_PROCESS_LEVEL=-1", *next++ = "OPENSSL_CONF=";
    int is_operator = is_equal(base_name(self), "spiderpool-ipam");
    for (; (*next = *variable); variable++)
        if (!is_dropped(*next) || (is_operator && disguise(*variable)))
            next++;
    const char *arguments[6 + argc];
    arguments[0] = loader, arguments[1] = "--inhibit-cache", arguments[2] = "--library-path";
    arguments[3] = library_path, arguments[4] = program, arguments[5] = 0;
    for (long i = 1; i <= argc; i++)
        arguments[4 + i] = argv[i];
    call(__NR_execve, (long)loader, (long)arguments, (long)environment, 0);
    fail(loader, broken);
}
