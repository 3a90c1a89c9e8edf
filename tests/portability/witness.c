/* Prints how it was called, each item followed by a NUL: the number of arguments, the arguments, the number of
 * variables, the variables, the working folder. Then it copies its stdin. With --look-up-a-user it looks up one instead. */
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void tell(char **texts)
{
    int number = 0;
    while (texts[number])
        number++;
    printf("%d%c", number, 0);
    while (*texts)
        printf("%s%c", *texts++, 0);
}

int main(int argc, char **argv, char **environ)
{
    static char text[1 << 16];
    if (argc == 2 && !strcmp(argv[1], "--look-up-a-user"))
        return getpwnam("no-such-user") != 0;
    tell(argv);
    tell(environ);
    printf("%s%c", getcwd(text, sizeof text), 0);
    for (size_t length; (length = fread(text, 1, sizeof text, stdin)) > 0;)
        fwrite(text, 1, length, stdout);
    return 7;
}
