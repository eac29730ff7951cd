/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The boundary program: calls every function of the core's table the way the
 * shim never should. tests/boundary.rs builds it with AddressSanitizer and
 * runs each case in a process of its own.
 */
#include "boundary.h"

#include <string.h>

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "valid", case_valid },
	{ "create", case_create },
	{ "null", case_null },
	{ "enums", case_enums },
	{ "lengths", case_lengths },
	{ "families", case_families },
	{ "garbage", case_garbage },
	{ "threads", case_threads },
	{ "panic", case_panic },
	{ "keys", case_keys },
	{ "watch", case_watch },
};

int main(int argc, char *argv[])
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		if (argc == 2 && strcmp(argv[1], cases[i].name) == 0)
		{
			cases[i].run();
			/* destroy has to undo every watch, in every case */
			check(watched() == 0);
			log_clear();
			printf("passed %s\n", cases[i].name);
			return 0;
		}
	}
	fprintf(stderr, "usage: boundary CASE\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		printf("%s\n", cases[i].name);
	}
	return 2;
}
