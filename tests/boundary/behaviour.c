/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Threads, panics, keys, and the sockets that charon watches.
 */
#include "boundary.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#define THREADS 8
#define ROUNDS 200

static const struct fs_ops *ops;
static struct fs_backend *backend;

static void *worker(void *arg)
{
	uint32_t number = (uint32_t)(uintptr_t)arg;
	struct sample_sa s;
	struct sample_policy p;
	struct fs_usage usage;
	struct fs_addr src = sample_addr(AF_INET, 2), dst = sample_addr(AF_INET, 1);
	uint32_t spi;
	uint64_t token;
	int64_t use_time;
	int fd;

	for (uint32_t i = 0; i < ROUNDS; i++)
	{
		check(ops->get_spi(backend, &src, &dst, IPPROTO_ESP, &spi) == FS_SUCCESS);
		sample_sa(&s, ntohl(spi), true);
		s.sa.update = 1;
		s.sa.reqid = number;
		check(ops->add_sa(backend, &s.id, &s.sa) == FS_SUCCESS);
		/* a policy of its own, and one that all threads share */
		sample_policy(&p, FS_DIR_IN, ntohl(spi));
		p.policy.reqid = number;
		p.id.src_ts.from[2] = p.id.src_ts.to[2] = number;
		check(ops->add_policy(backend, &p.id, &p.policy) == FS_SUCCESS);
		check(ops->query_policy(backend, &p.id, &use_time) == FS_SUCCESS);
		check(ops->del_policy(backend, &p.id, &p.policy) == FS_SUCCESS);
		sample_policy(&p, FS_DIR_IN, ntohl(spi));
		p.policy.reqid = number;
		check(ops->add_policy(backend, &p.id, &p.policy) == FS_SUCCESS);
		check(ops->query_sa(backend, &s.id, 0, &usage) == FS_SUCCESS);
		check(ops->del_policy(backend, &p.id, &p.policy) == FS_SUCCESS);
		check(ops->del_sa(backend, &s.id, 0) == FS_SUCCESS);
		/* what else may come at any time */
		check(ops->add_sa(backend, NULL, NULL) == FS_FAILED);
		check(ops->reload(backend));
		ops->get_features(backend);
		for (size_t n = 0; watch_nth(n, &token, &fd); n++)
		{
			ops->readable(token, fd);
		}
	}
	return NULL;
}

void case_threads(void)
{
	pthread_t threads[THREADS];

	ops = fastswan_ops();
	backend = sample_backend();
	for (uintptr_t i = 0; i < THREADS; i++)
	{
		check(pthread_create(&threads[i], NULL, worker, (void*)(i + 1)) == 0);
	}
	for (size_t i = 0; i < THREADS; i++)
	{
		check(pthread_join(threads[i], NULL) == 0);
	}
	ops->destroy(backend);
}

/** One bug in an entry: this call fails, no new one is taken, clean-up works. */
static void bug(bool in_policy)
{
	struct sample_sa before, s;
	struct sample_policy p, old;
	struct fs_usage usage;
	struct fs_update_sa update;
	struct fs_addr src = sample_addr(AF_INET, 2), dst = sample_addr(AF_INET, 1);
	uint32_t spi;
	size_t from;
	int64_t use_time;

	backend = sample_backend();
	sample_sa(&before, 1001, true);
	check(ops->add_sa(backend, &before.id, &before.sa) == FS_SUCCESS);
	sample_policy(&old, FS_DIR_IN, 1001);
	check(ops->add_policy(backend, &old.id, &old.policy) == FS_SUCCESS);

	from = log_lines();
	sample_sa(&s, 1002, true);
	sample_policy(&p, FS_DIR_OUT, 1002);
	if (in_policy)
	{
		p.policy.name = PANIC_NAME;
		check(ops->add_policy(backend, &p.id, &p.policy) == FS_FAILED);
		check(log_has(from, "panicked in add_policy"));
	}
	else
	{
		s.sa.name = PANIC_NAME;
		check(ops->add_sa(backend, &s.id, &s.sa) == FS_FAILED);
		check(log_has(from, "panicked in add_sa"));
	}
	check(log_has(from, "Restart charon"));

	/* nothing new, and each refusal has its line */
	from = log_lines();
	sample_sa(&s, 1003, true);
	check(ops->add_sa(backend, &s.id, &s.sa) == FS_FAILED);
	check(log_has(from, "add_sa refused"));
	sample_policy(&p, FS_DIR_OUT, 1003);
	check(ops->add_policy(backend, &p.id, &p.policy) == FS_FAILED);
	check(log_has(from, "add_policy refused"));
	check(ops->get_spi(backend, &src, &dst, IPPROTO_ESP, &spi) == FS_FAILED);
	update = (struct fs_update_sa){ .new_src = src, .new_dst = dst };
	check(ops->update_sa(backend, &before.id, &update) == FS_FAILED);
	check(!ops->reload(backend));

	/* what is there can be asked and taken away */
	check(ops->query_sa(backend, &before.id, 0, &usage) == FS_SUCCESS);
	check(ops->query_policy(backend, &old.id, &use_time) == FS_SUCCESS);
	check(ops->del_policy(backend, &old.id, &old.policy) == FS_SUCCESS);
	check(ops->del_sa(backend, &before.id, 0) == FS_SUCCESS);
	check(ops->flush_sas(backend) == FS_SUCCESS);
	check(ops->flush_policies(backend) == FS_SUCCESS);
	ops->destroy(backend);
}

void case_panic(void)
{
	struct fs_backend *healthy;
	struct sample_sa s;

	ops = fastswan_ops();
	bug(false);
	bug(true);
	/* an instance made after that is not affected */
	healthy = sample_backend();
	sample_sa(&s, 1004, true);
	check(ops->add_sa(healthy, &s.id, &s.sa) == FS_SUCCESS);
	check(ops->del_sa(healthy, &s.id, 0) == FS_SUCCESS);
	ops->destroy(healthy);
}

void case_keys(void)
{
	/* as hexadecimal digits, as a Rust array, in either case */
	static const char *forms[] = { "a5a5", "A5A5", "165, 165", "0xa5, 0xa5" };
	struct sample_sa s;
	size_t from = log_lines();

	ops = fastswan_ops();
	backend = sample_backend();
	/* every byte of the sample's key is 0xa5; all levels reach the log */
	sample_sa(&s, 1001, true);
	check(ops->add_sa(backend, &s.id, &s.sa) == FS_SUCCESS);
	/* refused at the door, refused by the core, and a bug */
	s.sa.mode = UINT8_MAX;
	check(ops->add_sa(backend, &s.id, &s.sa) == FS_FAILED);
	sample_sa(&s, 1002, true);
	s.sa.enc_alg = 999;
	s.sa.hw_offload = FS_OFFLOAD_PACKET;
	ops->add_sa(backend, &s.id, &s.sa);
	sample_sa(&s, 1003, true);
	s.sa.name = PANIC_NAME;
	check(ops->add_sa(backend, &s.id, &s.sa) == FS_FAILED);
	check(log_lines() > from);
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
	{
		check(!log_has(from, forms[i]));
	}
	/* the caller's copy is only borrowed */
	for (size_t i = 0; i < sizeof(s.key); i++)
	{
		check(s.key[i] == 0xa5);
	}
	ops->destroy(backend);
}

void case_watch(void)
{
	uint64_t token;
	int fd;

	ops = fastswan_ops();
	backend = sample_backend();
	check(watch_nth(0, &token, &fd));
	/* nothing to read: go on */
	check(ops->readable(token, fd));
	/* a token of another descriptor, and one that never was */
	check(!ops->readable(token + 1000, fd));
	ops->destroy(backend);
	/* charon's watcher was slower than destroy: the target is gone */
	for (size_t n = 0; watch_nth(n, &token, &fd); n++)
	{
		check(!ops->readable(token, fd));
	}
}
