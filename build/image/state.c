/* What the kernel knows of the program: its mappings, and what an image cannot hold. Writes all of it down. */
#define _GNU_SOURCE
#include "tracer.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>

FILE *open_proc(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", child, name);
    FILE *file = fopen(path, "r");
    if (!file)
        refuse("%s: %s", path, strerror(errno));
    return file;
}

void each_mapping(void (*look)(const struct mapping *))
{
    FILE *file = open_proc("maps");
    char line[1024], flags[5];
    while (fgets(line, sizeof line, file)) {
        struct mapping found = {0};
        if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %511[^\n]", &found.start, &found.end, flags, &found.offset,
                   found.path) < 4)
            refuse("a mapping is not understood: %s", line);
        found.protection = (flags[0] == 'r' ? PROT_READ : 0) | (flags[1] == 'w' ? PROT_WRITE : 0) |
                           (flags[2] == 'x' ? PROT_EXEC : 0);
        found.is_shared = flags[3] == 's';
        look(&found);
    }
    fclose(file);
}

static unsigned long wanted;
static struct mapping matching;

static void match(const struct mapping *found)
{
    if (found->start <= wanted && wanted < found->end)
        matching = *found;
}

struct mapping find_mapping(unsigned long address)
{
    wanted = address, matching = (struct mapping){0};
    each_mapping(match);
    return matching;
}

/* Refuse what is in a folder of /proc/PID beyond what is expected there. */
static void require_nothing_else(const char *name, const char *what, int last)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", child, name);
    DIR *folder = opendir(path);
    if (!folder)
        refuse("%s: %s", path, strerror(errno));
    for (struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] != '.' && atoi(entry->d_name) > last)
            refuse("the program has %s (%s)", what, entry->d_name);
    closedir(folder);
}

static void require_empty(const char *name, const char *what)
{
    FILE *file = open_proc(name);
    char line[256];
    if (fgets(line, sizeof line, file))
        refuse("the program has %s: %s", what, line);
    fclose(file);
}

/* Of the signals, the launcher sets up what CPython does, and no more. */
static void require_status(void)
{
    static const struct { const char *name; unsigned long expected; const char *what; } lines[] = {
        {"SigPnd:", 0, "pending signals"},
        {"ShdPnd:", 0, "pending signals"},
        {"SigBlk:", 0, "blocked signals"},
        {"SigIgn:", 1UL << (SIGPIPE - 1) | 1UL << (SIGXFSZ - 1), "other ignored signals than CPython's"},
        {"SigCgt:", 1UL << (SIGINT - 1), "other handlers than CPython's"},
    };
    FILE *file = open_proc("status");
    char line[256];
    while (fgets(line, sizeof line, file)) {
        for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
            if (!strncmp(line, lines[i].name, strlen(lines[i].name)) &&
                strtoul(line + strlen(lines[i].name), 0, 16) != lines[i].expected)
                refuse("the program has %s: %s", lines[i].what, line);
        if (!strncmp(line, "x86_Thread_features:", 20) && strspn(line + 20, " \t\n") != strlen(line + 20))
            refuse("the program has a shadow stack: %s", line);
    }
    fclose(file);
}

static void require_private(const struct mapping *found)
{
    if (found->is_shared)
        refuse("the program has shared memory: %s", found->path);
    if (found->protection & PROT_WRITE && found->protection & PROT_EXEC)
        refuse("the program has memory that is writable and executable, at %lx", found->start);
}

/* The launcher leaves the floating-point unit as a new process has it. */
static void require_plain_arithmetic(void)
{
    struct user_fpregs_struct found;
    if (ptrace(PTRACE_GETFPREGS, child, 0, &found))
        refuse("floating-point registers: %s", strerror(errno));
    if (found.cwd != 0x37f || (found.mxcsr & ~0x3fU) != 0x1f80)
        refuse("the floating-point unit is set up in another way: %x, %x", found.cwd, found.mxcsr);
}

void require_alone(void)
{
    char path[64];
    require_nothing_else("task", "another thread", child);
    require_nothing_else("fd", "an open file", 2);
    snprintf(path, sizeof path, "task/%d/children", child);
    require_empty(path, "a child");
    require_empty("timers", "a timer");
    require_status();
    each_mapping(require_private);
    require_plain_arithmetic();
}

static FILE *output;

static void write_mapping(const struct mapping *found)
{
    if (!found->protection || !strncmp(found->path, "[v", 2))
        return; /* nothing can be read there; or it is the kernel's own */
    fprintf(output, "mapping %lx %lx %d %lx %s\n", found->start, found->end, found->protection, found->offset,
            found->path);
}

static void write_contents(const struct mapping *found)
{
    if (!found->protection || !strncmp(found->path, "[v", 2))
        return;
    unsigned long size = found->end - found->start;
    char *contents = malloc(size);
    if (!contents)
        refuse("no memory");
    read_memory(found->start, contents, size);
    if (fwrite(contents, size, 1, output) != 1)
        refuse("the output cannot be written: %s", strerror(errno));
    free(contents);
}

/* Lines of text (registers, two addresses, mappings), an empty line, then the mappings' contents, one by one. */
void dump(const char *path)
{
    output = fopen(path, "w");
    if (!output)
        refuse("%s: %s", path, strerror(errno));
    struct user_regs_struct now = registers();
    now.rip -= 2, now.rax = now.orig_rax; /* the call is still to be made */
#define LINE(name) fprintf(output, "register " #name " %lx\n", (unsigned long)now.name);
    LINE(r15) LINE(r14) LINE(r13) LINE(r12) LINE(rbp) LINE(rbx) LINE(r9) LINE(r8) LINE(r10) LINE(rdx) LINE(rsi)
    LINE(rdi) LINE(rax) LINE(rsp) LINE(rip) LINE(fs_base)
    fprintf(output, "address tid %lx\naddress robust_list %lx\naddress room %lx\naddress room_size %lx\n", tid_address,
            robust_list, room[0], room[1]);
    each_mapping(write_mapping);
    fputc('\n', output);
    each_mapping(write_contents);
    if (fclose(output))
        refuse("%s: %s", path, strerror(errno));
}
