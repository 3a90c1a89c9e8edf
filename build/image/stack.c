/* Gives the program a stack of our own making: at a place where no kernel puts anything, with nothing in it that this
 * machine or the builder has given it. What is on the stack of a program that begins is in the System V ABI for x86-64,
 * "Process Initialization". */
#define _GNU_SOURCE
#include "tracer.h"

#include <elf.h>
#include <string.h>
#include <sys/syscall.h>

#define LENGTH(list) (sizeof(list) / sizeof *(list))
#define BASE (STACK_BASE + STACK_SIZE - sizeof contents)

static char contents[65536]; /* of the end of the stack, from BASE on */
static size_t end = sizeof contents - 16; /* what is in use there begins here */
static unsigned long words[192]; /* what the program finds at its stack pointer */
static size_t count;

/* Put something below what is in use; return its address. */
static unsigned long put(const void *data, size_t size)
{
    if (size > end)
        refuse("arguments and environment are too large for the stack");
    end -= size;
    memcpy(contents + end, data, size);
    return BASE + end;
}

static void add(unsigned long word)
{
    if (count == LENGTH(words))
        refuse("there are too many arguments and variables");
    words[count++] = word;
}

static void add_texts(char **first, char **last)
{
    for (; first < last; first++)
        add(put(*first, strlen(*first) + 1));
    add(0);
}

/* Add the auxiliary vector: what the kernel says of the program, and what it would say of the machine and the user. Of
 * the former, what is not named here is left out: the vDSO above all, which no image can have. */
static void add_auxiliary(unsigned long name)
{
    unsigned long platform = put("x86_64", 7);
    end &= ~15UL;
    unsigned long random = put(RANDOM_BYTES, 16);
    FILE *file = open_proc("auxv");
    Elf64_auxv_t entry;
    while (fread(&entry, sizeof entry, 1, file) == 1)
        switch (entry.a_type) {
        case AT_PHDR: case AT_PHENT: case AT_PHNUM: case AT_BASE: case AT_ENTRY: case AT_FLAGS: case AT_PAGESZ:
        case AT_CLKTCK:
            add(entry.a_type), add(entry.a_un.a_val);
        }
    fclose(file);
    const unsigned long fixed[][2] = {{AT_UID, 0}, {AT_EUID, 0}, {AT_GID, 0}, {AT_EGID, 0}, {AT_SECURE, 0},
                                      {AT_HWCAP, BASELINE_EDX}, {AT_HWCAP2, 0}, {AT_RANDOM, random},
                                      {AT_PLATFORM, platform}, {AT_EXECFN, name}, {AT_NULL, 0}};
    for (size_t i = 0; i < LENGTH(fixed); i++)
        add(fixed[i][0]), add(fixed[i][1]);
}

/* The kernel's own stack is removed. */
void replace_stack(char **environment, char **arguments)
{
    struct user_regs_struct now = registers();
    struct mapping kernels = find_mapping(now.rsp);
    if (call(SYS_mmap, STACK_BASE, STACK_SIZE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1) != (long)STACK_BASE)
        refuse("there is no room for the stack");

    char **last = arguments;
    while (*last)
        last++;
    add(last - arguments);
    add_texts(arguments, last);
    add_texts(environment, arguments);
    add_auxiliary(words[1]); /* the first argument is the program's name */
    end = (end - count * sizeof *words) & ~15UL;
    memcpy(contents + end, words, count * sizeof *words);
    write_memory(BASE, contents, sizeof contents);
    now.rsp = BASE + end;
    set_registers(&now);
    if (!kernels.end || call(SYS_munmap, kernels.start, kernels.end - kernels.start, 0, 0, 0))
        refuse("the kernel's stack cannot be removed");
}
