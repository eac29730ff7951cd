/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Runs the rows, each in a process of its own and a network namespace in which
 * nothing of another row is left.
 *
 *     parity list
 *     parity PLUGIN [ROW...]
 *
 * PLUGIN is kernel-netlink or kernel-fastswan. A block per row goes to standard
 * output. The rows' files own what is played; the host compares.
 */

#include "parity.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/** A row that hangs must not eat the time of the others */
#define ROW_LIMIT 40
/** Where the host puts our plugin */
#define PLUGINS "/share/plugin"
/** Rows at a time: most of them wait for the kernel */
#define LANES 2

extern const row_t rows_algorithms[], rows_sas[], rows_updates[],
				   rows_policies[], rows_events[], rows_options[],
				   rows_input[], rows_offload[];

static const row_t *const files[] = {
	rows_algorithms,
	rows_sas,
	rows_updates,
	rows_policies,
	rows_events,
	rows_options,
	rows_input,
	rows_offload,
};

/*
 * Log
 */

static void log_line(debug_t group, level_t level, char *format, ...)
{
	char buffer[2048];
	va_list args;

	if (level > 1)
	{
		return;
	}
	va_start(args, format);
	vsnprintf(buffer, sizeof(buffer), format, args);
	va_end(args);
	translate(buffer, "\n", " ");
	record_log(buffer);
}

/*
 * charon's own code does not log by dbg but on the bus.
 */

METHOD(logger_t, bus_line, void,
	logger_t *this, debug_t group, level_t level, int thread, ike_sa_t *ike_sa,
	const char *message)
{
	char *copy = strdup(message);

	translate(copy, "\n", " ");
	record_log(copy);
	free(copy);
}

METHOD(logger_t, bus_level, level_t,
	logger_t *this, debug_t group)
{
	return LEVEL_CTRL;
}

/*
 * Events
 */

/**
 * Formats with strongSwan's own conversions, which the compiler does not know.
 */
static void happened(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	if (vasprintf(&text, format, args) > 0)
	{
		event(text);
	}
	va_end(args);
}

METHOD(kernel_listener_t, acquire, bool,
	kernel_listener_t *this, uint32_t reqid, kernel_acquire_data_t *data)
{
	happened("acquire reqid %u, %R === %R, label %s%s%s", reqid, data->src,
			 data->dst, data->label ? "some" : "none",
#if HAVE_CPU
			 data->cpu == CPU_ID_MAX ? "" : ", of one CPU",
			 data->seq ? ", with a number" : ""
#else
			 "", ""
#endif
			);
	return TRUE;
}

METHOD(kernel_listener_t, expire, bool,
	kernel_listener_t *this, uint8_t protocol, uint32_t spi, host_t *dst,
	bool hard)
{
	happened("expire %s proto %u SPI %08x dst %H", hard ? "hard" : "soft",
			 protocol, ntohl(spi), dst);
	return TRUE;
}

METHOD(kernel_listener_t, mapping, bool,
	kernel_listener_t *this, uint8_t protocol, uint32_t spi, host_t *dst,
	host_t *remote)
{
	happened("mapping proto %u SPI %08x dst %H remote %#H", protocol,
			 ntohl(spi), dst, remote);
	return TRUE;
}

METHOD(kernel_listener_t, migrate, bool,
	kernel_listener_t *this, uint32_t reqid, traffic_selector_t *src_ts,
	traffic_selector_t *dst_ts, policy_dir_t direction, host_t *local,
	host_t *remote)
{
	happened("migrate reqid %u, %R === %R %N, local %H, remote %H", reqid,
			 src_ts, dst_ts, policy_dir_names, direction, local, remote);
	return TRUE;
}

/*
 * A row
 */

/**
 * Milliseconds since then.
 */
static long since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - then->tv_sec) * 1000 +
		   (now.tv_nsec - then->tv_nsec) / 1000000;
}

static void set_option(const char *option)
{
	char *text = strdup(option), *value = strchr(text, '='), *key;

	*value++ = '\0';
	/* what a conversion stands for is one section, whatever dots are in it */
	if (asprintf(&key, "%s.%s", lib->ns, text) > 0)
	{
		lib->settings->set_str(lib->settings, key, value);
		free(key);
	}
	free(text);
}

/**
 * Play the row in this process, which ends with it.
 */
static void play(const row_t *row, const char *plugin, FILE *to,
				 const struct timespec *began, bool *clean)
{
	static kernel_listener_t listener;
	static logger_t logger;
	char list[128];
	int i;

	record_init(to);
	alarm(ROW_LIMIT);
	comment("namespace after %ld ms", since(began));
	if (!library_init("", "charon"))
	{
		comment("library_init failed");
		_exit(3);
	}
	if (!libcharon_init())
	{
		comment("libcharon_init failed");
		_exit(3);
	}
	dbg = log_line;
	logger = (logger_t){
		.log = _bus_line,
		.get_level = _bus_level,
	};
	charon->bus->add_logger(charon->bus, &logger);
	/* one without charon's own listener, which would act on events */
	charon->kernel = kernel_interface_create();
	listener = (kernel_listener_t){
		.acquire = _acquire,
		.expire = _expire,
		.mapping = _mapping,
		.migrate = _migrate,
	};
	charon->kernel->add_listener(charon->kernel, &listener);
	for (i = 0; i < countof(row->settings) && row->settings[i]; i++)
	{
		set_option(row->settings[i]);
	}
	lib->plugins->add_path(lib->plugins, PLUGINS);
	snprintf(list, sizeof(list), "%s%s",
			 streq(plugin, "kernel-fastswan") ? "kernel-fastswan " : "",
			 "kernel-netlink");
	if (!lib->plugins->load(lib->plugins, list))
	{
		comment("cannot load %s", list);
		_exit(3);
	}
	lib->processor->set_threads(lib->processor, 8);
	comment("plugins after %ld ms", since(began));
	record_messages(row->messages);
	row->run(row->arg);
	record_messages(FALSE);
	state("end");
	comment("played after %ld ms", since(began));
	if (row->stop)
	{
		lib->processor->set_threads(lib->processor, 0);
		lib->processor->cancel(lib->processor);
		lib->plugins->unload(lib->plugins);
		state("after charon");
	}
	/* in the memory that we share with the one who asks */
	*clean = !record_changed_links();
	_exit(0);
}

typedef struct {
	pid_t pid;
	const row_t *row;
	FILE *file;
	struct timespec began;
	/** network namespace of this row, and of the next one if it is clean */
	int netns;
	/** what the row says at its end, in shared memory */
	bool *clean;
} lane_t;

/**
 * A difference that is wanted on this kernel, without what it depends on.
 */
static const char *wanted_here(const char *differs)
{
	u_int major = 0, minor = 0, here_major = 0, here_minor = 0;
	struct utsname kernel;

	if (*differs != '@')
	{
		return differs;
	}
	if (uname(&kernel) ||
		sscanf(differs, "@%u.%u ", &major, &minor) != 2 ||
		sscanf(kernel.release, "%u.%u", &here_major, &here_minor) != 2)
	{	/* is none that ever comes, and so the row fails */
		return differs;
	}
	if (here_major < major || (here_major == major && here_minor < minor))
	{
		return NULL;
	}
	return strchr(differs, ' ') + 1;
}

/**
 * Write the block of a row that has ended.
 */
static void finish(lane_t *lane, int status)
{
	char buffer[4096];
	size_t len;
	int i;

	printf("row %s\n", lane->row->name);
	printf("messages %s\n", lane->row->messages ? "yes" : "no");
	if (lane->row->why)
	{
		printf("why %s\n", lane->row->why);
	}
	for (i = 0; i < countof(lane->row->differs) && lane->row->differs[i]; i++)
	{
		const char *differs = wanted_here(lane->row->differs[i]);

		if (differs)
		{
			printf("differs %s\n", differs);
		}
	}
	if (lane->file)
	{
		rewind(lane->file);
		while ((len = fread(buffer, 1, sizeof(buffer), lane->file)) > 0)
		{
			fwrite(buffer, 1, len, stdout);
		}
		fclose(lane->file);
		printf("comment took %ld ms\n", since(&lane->began));
		if (WIFSIGNALED(status))
		{
			printf("died signal %d (%s)\n", WTERMSIG(status),
				   strsignal(WTERMSIG(status)));
		}
		else if (WEXITSTATUS(status))
		{
			printf("died status %d\n", WEXITSTATUS(status));
		}
	}
	else
	{
		printf("notrun\n");
	}
	printf("endrow %s\n", lane->row->name);
	fflush(stdout);
	if (lane->file && (!*lane->clean || lane->row->nic))
	{
		namespace_drop(&lane->netns);
	}
	lane->row = NULL;
	lane->file = NULL;
}

static lane_t lanes[LANES];

/**
 * Wait until a lane is free, or all of them.
 */
static lane_t *free_lane(bool all)
{
	int i, status;
	pid_t pid;

	while (TRUE)
	{
		int busy = 0;

		for (i = 0; i < LANES; i++)
		{
			if (!lanes[i].row)
			{
				if (!all)
				{
					return &lanes[i];
				}
			}
			else
			{
				busy++;
			}
		}
		if (!busy)
		{
			return NULL;
		}
		pid = wait(&status);
		for (i = 0; i < LANES; i++)
		{
			if (lanes[i].row && lanes[i].pid == pid)
			{
				finish(&lanes[i], status);
			}
		}
	}
}

static bool chosen(const row_t *row, int argc, char *argv[])
{
	int i;

	for (i = 2; i < argc; i++)
	{
		if (streq(argv[i], row->name))
		{
			return TRUE;
		}
	}
	return argc <= 2;
}

/**
 * Map the plugins before rows are forked off: that they are linked again for
 * each row would take longer than the row.
 */
static void preload(const char *plugin)
{
	if (!dlopen("/usr/lib/ipsec/plugins/libstrongswan-kernel-netlink.so",
				RTLD_NOW) ||
		(streq(plugin, "kernel-fastswan") &&
		 !dlopen(PLUGINS "/libstrongswan-kernel-fastswan.so", RTLD_NOW)))
	{
		fprintf(stderr, "%s\n", dlerror());
	}
}

int parity_main(int argc, char *argv[])
{
	const row_t *row;
	lane_t *lane;
	bool *clean;
	int i;

	if (argc < 2)
	{
		fprintf(stderr, "usage: parity PLUGIN [ROW...]\n");
		return 2;
	}
	for (i = 0; i < countof(files); i++)
	{
		for (row = files[i]; row->name; row++)
		{
			printf("%s%s\n", streq(argv[1], "list") ? "" : "known ", row->name);
		}
	}
	fflush(stdout);
	if (streq(argv[1], "list"))
	{
		return 0;
	}
	preload(argv[1]);
	clean = mmap(NULL, LANES * sizeof(bool), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (clean == MAP_FAILED)
	{
		perror("mmap");
		return 3;
	}
	for (i = 0; i < LANES; i++)
	{
		lanes[i].netns = -1;
		lanes[i].clean = &clean[i];
	}
	for (i = 0; i < countof(files); i++)
	{
		for (row = files[i]; row->name; row++)
		{
			if (!chosen(row, argc, argv))
			{
				continue;
			}
			lane = free_lane(FALSE);
			lane->row = row;
			if (!row->run)
			{
				finish(lane, 0);
				continue;
			}
			clock_gettime(CLOCK_MONOTONIC, &lane->began);
			if (!namespace_enter(&lane->netns, row->nic))
			{
				perror("no network namespace");
				return 3;
			}
			*lane->clean = FALSE;
			lane->file = tmpfile();
			lane->pid = fork();
			if (lane->pid == 0)
			{
				play(row, argv[1], lane->file, &lane->began, lane->clean);
				_exit(0);
			}
			if (lane->pid < 0)
			{
				perror("fork");
				return 3;
			}
		}
	}
	free_lane(TRUE);
	printf("played all\n");
	return 0;
}
