/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which strongSwan this was compiled for, and which one is running.
 *
 * The running class is known by functions that came with it: they are looked
 * up by name, which no layout matters for.
 */

#include "kernel_fastswan_version.h"

#include <dlfcn.h>

/**
 * Number of the kernel group in the log: a group was inserted before it with
 * class B. The enum of the headers is that of the class compiled for.
 */
#define DBG_KNL_CLASS_A 6
#define DBG_KNL_LATER 7

/**
 * Versions of each class, for the message
 */
static const char *abi_versions[] = {
	[FASTSWAN_ABI_A] = "6.0.0 and 6.0.1",
	[FASTSWAN_ABI_B] = "6.0.2 to 6.0.4",
	[FASTSWAN_ABI_C] = "6.0.5 and 6.0.6",
	[FASTSWAN_ABI_D] = "6.1.0 and later",
};

/**
 * Find out what the running strongSwan is.
 */
static fastswan_abi_t running_abi()
{
	static const struct {
		/** function that came with the class */
		const char *function;
		/** class */
		fastswan_abi_t abi;
	} marks[] = {
		{ "chunk_compare_prefix",		FASTSWAN_ABI_D },
		{ "ipsec_sa_cfg_hash",			FASTSWAN_ABI_C },
		{ "kernel_acquire_data_clone",	FASTSWAN_ABI_B },
	};
	int i;

	for (i = 0; i < countof(marks); i++)
	{
		if (dlsym(RTLD_DEFAULT, marks[i].function))
		{
			return marks[i].abi;
		}
	}
	return FASTSWAN_ABI_A;
}

/*
 * see header file
 */
bool fastswan_version_check()
{
	fastswan_abi_t running = running_abi();

	if (running != FASTSWAN_ABI)
	{
		dbg(running == FASTSWAN_ABI_A ? DBG_KNL_CLASS_A : DBG_KNL_LATER, 1,
			"kernel-fastswan was built for strongSwan %s, but this is one of "
			"%s; not loading it, kernel-netlink takes over. Install the "
			"plugin built for this version", VERSION, abi_versions[running]);
		return FALSE;
	}
	return TRUE;
}
