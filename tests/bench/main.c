/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sets a process up with one plugin and plays one cell of the bench in it.
 *
 *     bench play PLUGIN MODE COUNT THREADS OFFLOAD PEERS LIMIT [KEY=VALUE...]
 *     bench floor FILE
 *     bench routes COUNT
 *
 * PLUGIN is kernel-netlink or kernel-fastswan, MODE time, calls, allocs or
 * record:FILE, OFFLOAD packet or no, PEERS one or each; settings are below
 * "charon.". It runs in the network namespace it is started in. With BENCH_LOG in
 * the environment charon's log is printed, which nobody measures.
 */

#include "bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/** Where the host puts our plugin */
#define PLUGINS "/share/plugin"

static void log_line(debug_t group, level_t level, char *format, ...)
{
	char buffer[2048];
	va_list args;

	/* a line for each failure, and no more than somebody reads */
	static int lines;

	if (level > (getenv("BENCH_LOG") ? 1 : 0) || lines > 200)
	{
		return;
	}
	lines++;
	va_start(args, format);
	vsnprintf(buffer, sizeof(buffer), format, args);
	va_end(args);
	fprintf(stderr, "log %s\n", buffer);
}

static void set_option(char *option)
{
	char *value = strchr(option, '='), *key;

	if (value)
	{
		*value++ = '\0';
		/* what a conversion stands for is one section, whatever dots are in it */
		if (asprintf(&key, "%s.%s", lib->ns, option) > 0)
		{
			lib->settings->set_str(lib->settings, key, value);
			free(key);
		}
	}
}

static int play(int argc, char *argv[])
{
	bench_t bench = {
		.plugin = argv[0],
		.mode = streq(argv[1], "calls") ? MODE_CALLS :
				streq(argv[1], "allocs") ? MODE_ALLOCS :
				strpfx(argv[1], "record:") ? MODE_RECORD : MODE_TIME,
		.count = atoi(argv[2]),
		.threads = atoi(argv[3]),
		.offload = streq(argv[4], "packet") ? HW_OFFLOAD_PACKET : HW_OFFLOAD_NO,
		.peers = streq(argv[5], "each"),
		.limit = atoi(argv[6]),
	};
	bool good;
	char list[64];
	int i;

	if (!bench.count || !bench.threads || !meter_init(bench.mode))
	{
		return 3;
	}
	if (!library_init("", "charon") || !libcharon_init())
	{
		fprintf(stderr, "charon's libraries do not start\n");
		return 3;
	}
	dbg = log_line;
	/* one without charon's own listener, which would act on events */
	charon->kernel = kernel_interface_create();
	for (i = 7; i < argc; i++)
	{
		set_option(argv[i]);
	}
	lib->plugins->add_path(lib->plugins, PLUGINS);
	snprintf(list, sizeof(list), "%skernel-netlink",
			 streq(bench.plugin, "kernel-fastswan") ? "kernel-fastswan " : "");
	if (!lib->plugins->load(lib->plugins, list))
	{
		fprintf(stderr, "cannot load %s\n", list);
		return 3;
	}
	lib->processor->set_threads(lib->processor, 4);
	if (bench.mode == MODE_RECORD && !record_open(argv[1] + strlen("record:")))
	{
		return 3;
	}
	good = child_play(&bench);
	record_close();
	lib->processor->set_threads(lib->processor, 0);
	lib->processor->cancel(lib->processor);
	lib->plugins->unload(lib->plugins);
	return good ? 0 : 4;
}

int bench_main(int argc, char *argv[])
{
	if (argc >= 9 && streq(argv[1], "play"))
	{
		return play(argc - 2, argv + 2);
	}
	if (argc == 3 && streq(argv[1], "floor"))
	{
		return floor_main(argv[2]);
	}
	if (argc == 3 && streq(argv[1], "routes"))
	{
		return routes_main(atoi(argv[2]));
	}
	fprintf(stderr, "usage: bench play|floor|routes ..., see main.c\n");
	return 2;
}
