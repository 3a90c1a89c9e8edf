/* A library that ends any process that loads it. */
#include <unistd.h>

__attribute__((constructor)) static void spring(void)
{
    (void)!write(2, "a trap\n", 7);
    _exit(99);
}
