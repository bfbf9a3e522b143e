/* The entry point. The program is PHP's own command line when it is called as `php` or as
 * `frankenphp php-cli`, and the server in all other cases. The linker (--wrap=main) calls this in
 * place of main(), so Go's runtime, its threads, and its signal handlers never start under PHP's
 * command line. */

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <SAPI.h>

extern int php_cli_main(int argc, char **argv);
extern int __real_main(int argc, char **argv);
extern sapi_module_struct frankenphp_sapi_module;

/* The path of `php`, which is in the same directory. PHP fills in PHP_BINARY from it. */
static char php_path[PATH_MAX] = "php";

static void find_php(void)
{
	char self[PATH_MAX], path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (length < 0) {
		return;
	}
	self[length] = '\0';
	length = snprintf(path, sizeof(path), "%s/php", dirname(self));
	if (length < (ssize_t)sizeof(path) && access(path, X_OK) == 0) {
		strcpy(php_path, path);
	}
}

int __wrap_main(int argc, char **argv)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";

	if (strcmp(name, "php") == 0) {
		return php_cli_main(argc, argv);
	}
	find_php();
	if (argc > 1 && strcmp(argv[1], "php-cli") == 0) {
		argv[1] = php_path;
		return php_cli_main(argc - 1, argv + 1);
	}
	frankenphp_sapi_module.executable_location = php_path;
	return __real_main(argc, argv);
}
