/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rows of settings that are read at start; others are with what they change.
 */

#include "parity.h"

#include <unistd.h>

/**
 * What a plugin does by itself.
 */
static void start(const void *arg)
{
	note("features = %d",
		 charon->kernel->get_features(charon->kernel) & KERNEL_ESP_V3_TFC);
	state("started");
}

static void policy(const void *arg)
{
	test_policy_t *out = policy_create(POLICY_OUT);

	policy_add(out);
	state("added");
	policy_add(out);
	policy_del(out);
	policy_del(out);
	state("deleted");
}

static void stale(const void *arg)
{
	ip("xfrm policy add dir out src 10.1.0.0/16 dst 10.2.0.0/16 action block "
	   "priority 1");
	policy_add(policy_create(POLICY_OUT));
	logged("already exists, try to update it");
	state("taken over");
}

static void reload(const void *arg)
{
	lib->settings->set_str(lib->settings, "%s.install_routes", "no", lib->ns);
	lib->plugins->reload(lib->plugins, NULL);
	policy_add(policy_create(POLICY_OUT));
	state("added");
}

#define NETLINK "plugins.kernel-netlink."

const row_t rows_options[] = {
	{ .name = "option/none", .run = start },
	{ .name = "option/spdh_thresh", .run = start,
	  .settings = { NETLINK "spdh_thresh.ipv4.lbits=24",
					NETLINK "spdh_thresh.ipv4.rbits=25",
					NETLINK "spdh_thresh.ipv6.lbits=60",
					NETLINK "spdh_thresh.ipv6.rbits=61" } },
	{ .name = "option/spdh_thresh-ipv4", .run = start,
	  .settings = { NETLINK "spdh_thresh.ipv4.lbits=16",
					NETLINK "spdh_thresh.ipv4.rbits=16" } },
	{ .name = "option/spdh_thresh-wrong", .run = start,
	  .settings = { NETLINK "spdh_thresh.ipv4.lbits=40",
					NETLINK "spdh_thresh.ipv6.rbits=200" } },
	{ .name = "option/xfrm_acq_expires", .run = start,
	  .settings = { NETLINK "xfrm_acq_expires=77" } },
	{ .name = "option/retransmission", .run = start,
	  .settings = { "retransmit_tries=2", "retransmit_timeout=1.0" } },
	{ .name = "option/policy_update", .run = policy, .messages = TRUE,
	  .settings = { NETLINK "policy_update=yes" } },
	{ .name = "option/policy_update-stale", .run = stale, .messages = TRUE,
	  .settings = { NETLINK "policy_update=yes" } },
	{ .name = "option/policy_update-off", .run = stale, .messages = TRUE },
	{ .name = "option/parallel_xfrm", .run = policy,
	  .settings = { NETLINK "parallel_xfrm=yes" } },
	{ .name = "option/timeout", .run = policy,
	  .settings = { NETLINK "timeout=500", NETLINK "retries=2" } },
	{ .name = "option/buflen", .run = policy,
	  .settings = { NETLINK "buflen=16384",
					NETLINK "receive_buffer_size=1048576" } },
	{ .name = "option/reload", .run = reload,
	  .why = "kernel-netlink reads this at start only",
	  .differs = { "*: route 10.2.0.0/16 *: only with kernel-netlink" } },
	{ .name = "option/routes-mtu-mss", .run = policy,
	  .settings = { NETLINK "mtu=1400", NETLINK "mss=1360" } },
	{ .name = "option/own-section",
	  .why = "kernel-netlink does not know the section kernel-fastswan; that it "
			 "comes before kernel-netlink's is tested with the shim" },
	{ .name = "option/ignore_retransmit_errors",
	  .why = "no observable effect unless an answer of the kernel is lost, "
			 "which a netlink socket of the kernel does not do; unit tests have "
			 "one that does (xfrm::netlink::retransmission)" },
	{ .name = "option/hw_offload_feature_interface",
	  .why = "names the link that kernel-netlink probes for the ethtool "
			 "feature; we ask each device itself (scenarios of the lab)" },
	{},
};
