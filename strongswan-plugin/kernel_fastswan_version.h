/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which strongSwan this was compiled for, and which one is running.
 *
 * Owns the names of the ABI classes and the check at load time. Used by the
 * plugin constructor and wherever a struct differs between versions. Must not
 * touch any struct of strongSwan: the check runs before that is safe.
 */

/**
 * @defgroup kernel_fastswan_version kernel_fastswan_version
 * @{ @ingroup kernel_fastswan
 */

#ifndef KERNEL_FASTSWAN_VERSION_H_
#define KERNEL_FASTSWAN_VERSION_H_

#include <library.h>

typedef enum fastswan_abi_t fastswan_abi_t;

/**
 * Versions whose structs are laid out alike.
 */
enum fastswan_abi_t {
	/** 6.0.0 and 6.0.1 */
	FASTSWAN_ABI_A = 1,
	/** 6.0.2 to 6.0.4: sequence numbers, CPUs, IPTFS; one more debug group */
	FASTSWAN_ABI_B,
	/** 6.0.5 and 6.0.6: forwarding of ICMP errors */
	FASTSWAN_ABI_C,
	/** 6.1.0: update_sa() is told about the SA */
	FASTSWAN_ABI_D,
};

/*
 * build.rs asks the compiler which members exist and defines FASTSWAN_HAVE_*.
 * They have to add up to one of the classes, or the check at load time could
 * not tell this version from another.
 */
#if defined(FASTSWAN_HAVE_UPDATE_OLD_REQID)
# define FASTSWAN_ABI FASTSWAN_ABI_D
#elif defined(FASTSWAN_HAVE_SA_FORWARD_ICMP)
# define FASTSWAN_ABI FASTSWAN_ABI_C
#elif defined(FASTSWAN_HAVE_SA_SEQ)
# define FASTSWAN_ABI FASTSWAN_ABI_B
#else
# define FASTSWAN_ABI FASTSWAN_ABI_A
#endif

#if defined(FASTSWAN_HAVE_SA_FORWARD_ICMP) != \
	defined(FASTSWAN_HAVE_POLICY_FORWARD_ICMP) || \
	(defined(FASTSWAN_HAVE_UPDATE_OLD_REQID) && \
	 !defined(FASTSWAN_HAVE_SA_FORWARD_ICMP)) || \
	(defined(FASTSWAN_HAVE_SA_FORWARD_ICMP) && !defined(FASTSWAN_HAVE_SA_SEQ))
# error "strongSwan's kernel_ipsec.h is of none of the known versions"
#endif
#if defined(FASTSWAN_HAVE_SA_SEQ) != defined(FASTSWAN_HAVE_SA_CPU) || \
	defined(FASTSWAN_HAVE_SA_SEQ) != \
		defined(FASTSWAN_HAVE_SA_IPTFS_DONT_FRAG) || \
	defined(FASTSWAN_HAVE_SA_SEQ) != \
		defined(FASTSWAN_HAVE_POLICY_PCPU_ACQUIRES) || \
	defined(FASTSWAN_HAVE_SA_SEQ) != defined(FASTSWAN_HAVE_ACQUIRE_CPU) || \
	defined(FASTSWAN_HAVE_SA_SEQ) != defined(FASTSWAN_HAVE_ACQUIRE_SEQ) || \
	defined(FASTSWAN_HAVE_SA_SEQ) != \
		defined(FASTSWAN_HAVE_FEATURE_ACQUIRE_SEQ) || \
	defined(FASTSWAN_HAVE_SA_SEQ) != defined(FASTSWAN_HAVE_MODE_IPTFS) || \
	defined(FASTSWAN_HAVE_SA_SEQ) != defined(FASTSWAN_HAVE_DBG_WCH)
# error "strongSwan's kernel_ipsec.h is of none of the known versions"
#endif

/**
 * Check that the running strongSwan has the structs this was compiled for.
 *
 * From 6.0.3 on, charon compares the version itself before it calls anything.
 * Before that nobody does, and one byte's difference in a struct would mix up
 * in- and outbound SAs without any sign.
 *
 * @return				FALSE if not, with a line in the log
 */
bool fastswan_version_check();

#endif /** KERNEL_FASTSWAN_VERSION_H_ @}*/
