/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The differential test: what a row may use.
 *
 * A row plays calls of kernel_interface_t in a fresh network namespace and says
 * when the kernel's state is recorded. It is run once with each plugin by
 * main.c; the recordings are compared on the host (xtask/src/parity). A row
 * must not look at which plugin it runs with, nor decide what is right.
 */

#ifndef PARITY_H_
#define PARITY_H_

#include <library.h>
#include <daemon.h>
#include <kernel/kernel_ipsec.h>
#include <kernel/kernel_listener.h>
#include <linux/netlink.h>
#include <crypto/crypters/crypter.h>
#include <crypto/signers/signer.h>
#include <crypto/transform.h>

/** What STRONGSWAN is compared with: 60001 is 6.0.1 */
#define HAVE_CPU          (STRONGSWAN >= 60002)
#define HAVE_SEQ          (STRONGSWAN >= 60002)
#define HAVE_IPTFS        (STRONGSWAN >= 60002)
#define HAVE_FORWARD_ICMP (STRONGSWAN >= 60005)
#define HAVE_NEW_UPDATE   (STRONGSWAN >= 60100)

/** Outer addresses: ours (on link "left"), a second one (on "right"), the peer */
#define LEFT4   "192.0.2.1"
#define RIGHT4  "198.51.100.1"
#define PEER4   "203.0.113.1"
#define PEER4_2 "203.0.113.2"
#define LEFT6   "2001:db8:1::1"
#define PEER6   "2001:db8:3::1"

/** Of the NIC (link "p0"), where a row has one */
#define NIC4     "198.18.0.1"
#define NICPEER4 "198.18.0.2"

/** Inner networks and our address in ours (on link "inner") */
#define LOCAL4  "10.1.0.0/16"
#define REMOTE4 "10.2.0.0/16"
#define INNER4  "10.1.0.1"
#define LOCAL6  "fd01::/64"
#define REMOTE6 "fd02::/64"
#define INNER6  "fd01::1"

/** SPIs of a first, second, ... generation */
#define SPI_IN(n)  htonl(0xc1000000 + (n))
#define SPI_OUT(n) htonl(0xc2000000 + (n))

typedef struct row_t row_t;
typedef struct test_sa_t test_sa_t;
typedef struct test_policy_t test_policy_t;

/**
 * A row of the table
 */
struct row_t {

	/** theme/what, the name in the table */
	const char *name;

	/** plays it; NULL: the row is not in the test, see why */
	void (*run)(const void *arg);

	/** handed to run */
	const void *arg;

	/** the netlink messages are compared too, with the kernel's answer */
	bool messages;

	/** there is a NIC with IPsec offload */
	bool nic;

	/** the state is recorded once more after the plugins are gone */
	bool stop;

	/** settings of strongswan.conf below "charon.", as "key=value" */
	const char *settings[8];

	/** why the row is not run, or why the plugins differ on purpose */
	const char *why;

	/** the differences that there must be, no more and no less; * is a wildcard,
	 * and "@7.2 " in front means from that kernel on */
	const char *differs[16];
};

/**
 * An SA, as it is given to add_sa and what follows
 */
struct test_sa_t {
	kernel_ipsec_sa_id_t id;
	kernel_ipsec_add_sa_t data;
	lifetime_cfg_t lifetime;
	char label[64];
};

/**
 * A policy, as it is given to add_policy and what follows
 */
struct test_policy_t {
	kernel_ipsec_policy_id_t id;
	kernel_ipsec_manage_policy_t data;
	ipsec_sa_cfg_t sa;
	char label[96];
};

/*
 * build.c
 */

/** A tunnel SA over IPv4 with AES-GCM-16 (128 bits) and reqid 1 */
test_sa_t *sa_create(bool inbound);

/** The same over IPv6 */
test_sa_t *sa_create6(bool inbound);

/** Replaces algorithms; keys are made from a pattern */
void sa_crypto(test_sa_t *sa, uint16_t enc, size_t enc_len, uint16_t integ,
			   size_t int_len);

/** Replaces both outer addresses */
void sa_hosts(test_sa_t *sa, const char *src, uint16_t sport, const char *dst,
			  uint16_t dport);

/** Replaces the traffic selectors, see ts() */
void sa_ts(test_sa_t *sa, traffic_selector_t *src, traffic_selector_t *dst);

status_t sa_add(test_sa_t *sa);
status_t sa_del(test_sa_t *sa);
status_t sa_query(test_sa_t *sa);

/** update_sa to other addresses; id is changed if it succeeds */
status_t sa_update(test_sa_t *sa, const char *src, uint16_t sport,
				   const char *dst, uint16_t dport, bool encap,
				   uint32_t reqid);

/** A policy between LOCAL4 and REMOTE4 for the SAs of sa_create() */
test_policy_t *policy_create(policy_dir_t dir);

/** The same over IPv6 */
test_policy_t *policy_create6(policy_dir_t dir);

/** Replaces the traffic selectors */
void policy_ts(test_policy_t *policy, traffic_selector_t *src,
			   traffic_selector_t *dst);

/** Makes it what charon installs for a shunt: no reqid, any hosts, no SA */
void policy_shunt(test_policy_t *policy, policy_type_t type);

status_t policy_add(test_policy_t *policy);
status_t policy_del(test_policy_t *policy);
status_t policy_query(test_policy_t *policy);

/** A traffic selector of a subnet, a protocol and a range of ports */
traffic_selector_t *ts(const char *subnet, uint8_t proto, uint16_t from,
					   uint16_t to);

/** Any protocol and port */
traffic_selector_t *ts_any(const char *subnet);

/** For src and dst */
host_t *host(const char *address, uint16_t port);

/** What another status_t than SUCCESS is called */
const char *status_name(status_t status);

/** Value that the priority hook returns, 0 = as without a hook */
extern uint32_t custom_priority;

/*
 * record.c
 */

/** Begins a recording; called by main.c only */
void record_init(FILE *to);

/** Starts and stops the recording of messages */
void record_messages(bool on);

/** Writes a line that is compared */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Writes a line that is not compared */
void comment(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** An SPI that the kernel chose is called by this name in the recording */
void name_spi(uint32_t spi, const char *name);

/** Records SAs, policies, routes, links and settings of the kernel */
void state(const char *label);

/** Adds an event; it is written by the next events() or state() */
void event(char *text);

/** Waits until so many events came, and writes them */
void events(int wanted, int seconds);

/** Whether a line of the log at level 1 contained the text; both must log it */
void logged(const char *text);

/** Adds a line of the log */
void record_log(const char *text);

/** Sends a request to the kernel, returns its errno */
int netlink_request(int protocol, struct nlmsghdr *request);

/** Whether links, addresses, routes or settings of the kernel may be others
 * than at the beginning of the row */
bool record_changed_links();

/** Says that they are */
void record_change_links();

/*
 * namespace.c
 */

/** Enters the last row's network namespace, cleaned, or a new one if there is
 * none or it has to have a NIC */
bool namespace_enter(int *netns, bool nic);

/** The next row gets a new one */
void namespace_drop(int *netns);

/*
 * traffic.c
 */

/** Sends a UDP datagram, local address given, through the IPsec stack */
void send_udp(const char *src, const char *dst, uint16_t port);

/** A bound UDP socket */
int udp_socket(const char *address, uint16_t port);

/** Runs ip(8) with these arguments */
void ip(const char *arguments);

#endif
