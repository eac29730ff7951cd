/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * kernel_ipsec_t over the core.
 *
 * Every method makes a flat struct on the stack, calls the core's function of
 * the same name, and maps the result. Keys are borrowed from charon, never
 * copied here.
 */

#include "kernel_fastswan_ipsec.h"

#include "kernel_fastswan_convert.h"
#include "kernel_fastswan_host.h"
#include "kernel_fastswan_version.h"
#include "kernel_fastswan_xfrmi.h"

#include <dlfcn.h>

#include <daemon.h>
#include <collections/linked_list.h>

typedef struct private_kernel_fastswan_ipsec_t private_kernel_fastswan_ipsec_t;

/**
 * Room for the names of CHILD_SAs and of their connection with its unique ID
 */
#define NAME_SIZE 256

/**
 * So many CHILD_SAs of a connection are looked at for a name, so that its cost
 * does not grow with the configuration
 */
#define MAX_CHILDREN 64

/**
 * Private data of a kernel_fastswan_ipsec_t
 */
struct private_kernel_fastswan_ipsec_t {

	/**
	 * Public interface
	 */
	kernel_fastswan_ipsec_t public;

	/**
	 * The core
	 */
	struct fs_backend *backend;

	/**
	 * Manager of XFRM interfaces, NULL if there are none
	 */
	kernel_netlink_xfrmi_t *xfrmi;

	/**
	 * Function by which somebody else in the process sets priorities, or NULL
	 */
	uint32_t (*get_priority)(kernel_ipsec_policy_id_t *id,
							 kernel_ipsec_manage_policy_t *data);
};

/**
 * The core's functions
 */
static const struct fs_ops *ops;

/**
 * The instance that charon uses. It is set while plugins are loaded and reset
 * while they are unloaded, when no other thread of charon runs.
 */
static private_kernel_fastswan_ipsec_t *active;

/**
 * Number of times the constructor was called
 */
static u_int attempts;

/**
 * Convert a result.
 */
static status_t to_status(int32_t result)
{
	switch (result)
	{
		case FS_SUCCESS:
			return SUCCESS;
		case FS_NOT_FOUND:
			return NOT_FOUND;
		case FS_NOT_SUPPORTED:
			return NOT_SUPPORTED;
		case FS_ALREADY_DONE:
			return ALREADY_DONE;
		case FS_FAILED:
		default:
			return FAILED;
	}
}

/**
 * Convert a direction.
 */
static uint8_t from_dir(policy_dir_t dir)
{
	switch (dir)
	{
		case POLICY_IN:
			return FS_DIR_IN;
		case POLICY_OUT:
			return FS_DIR_OUT;
		case POLICY_FWD:
			return FS_DIR_FWD;
	}
	return UINT8_MAX;
}

/**
 * Convert a type of policy.
 */
static uint8_t from_type(policy_type_t type)
{
	switch (type)
	{
		case POLICY_IPSEC:
			return FS_POLICY_IPSEC;
		case POLICY_PASS:
			return FS_POLICY_PASS;
		case POLICY_DROP:
			return FS_POLICY_DROP;
	}
	return UINT8_MAX;
}

/**
 * Convert a class of priority.
 */
static uint8_t from_prio(policy_priority_t prio)
{
	switch (prio)
	{
		case POLICY_PRIORITY_PASS:
			return FS_PRIO_PASS;
		case POLICY_PRIORITY_DEFAULT:
			return FS_PRIO_DEFAULT;
		case POLICY_PRIORITY_ROUTED:
			return FS_PRIO_ROUTED;
		case POLICY_PRIORITY_FALLBACK:
			return FS_PRIO_FALLBACK;
	}
	return UINT8_MAX;
}

/**
 * Convert the headers to copy the DSCP field between.
 */
static uint8_t from_dscp(dscp_copy_t copy)
{
	switch (copy)
	{
		case DSCP_COPY_OUT_ONLY:
			return FS_DSCP_OUT_ONLY;
		case DSCP_COPY_IN_ONLY:
			return FS_DSCP_IN_ONLY;
		case DSCP_COPY_YES:
			return FS_DSCP_YES;
		case DSCP_COPY_NO:
			return FS_DSCP_NO;
	}
	return UINT8_MAX;
}

/**
 * Convert a mark.
 */
static struct fs_mark from_mark(mark_t mark)
{
	return (struct fs_mark){
		.value = mark.value,
		.mask = mark.mask,
	};
}

/**
 * Convert lifetimes; no limits if there are none.
 */
static struct fs_lifetime from_lifetime(lifetime_cfg_t *cfg)
{
	struct fs_lifetime lifetime = {};

	if (cfg)
	{
		lifetime = (struct fs_lifetime){
			.time = { cfg->time.life, cfg->time.rekey, cfg->time.jitter },
			.bytes = { cfg->bytes.life, cfg->bytes.rekey, cfg->bytes.jitter },
			.packets = { cfg->packets.life, cfg->packets.rekey,
						 cfg->packets.jitter },
		};
	}
	return lifetime;
}

/**
 * Convert a list of traffic selectors. The items are allocated.
 */
static struct fs_ts_list from_list(linked_list_t *list)
{
	traffic_selector_t *ts;
	enumerator_t *enumerator;
	struct fs_ts *items;
	size_t count, i = 0;

	count = list ? list->get_count(list) : 0;
	if (!count)
	{
		return (struct fs_ts_list){};
	}
	items = calloc(count, sizeof(*items));
	enumerator = list->create_enumerator(list);
	while (i < count && enumerator->enumerate(enumerator, &ts))
	{
		items[i++] = fastswan_from_ts(ts);
	}
	enumerator->destroy(enumerator);
	return (struct fs_ts_list){
		.items = items,
		.len = i,
	};
}

/**
 * Write the names of the CHILD_SAs a connection may be working on, as "a|b of ".
 * charon does not say which one it is: it is one with the same offload mode,
 * which usually leaves a single name.
 *
 * @param peer_cfg		connection
 * @param hw_offload	offload mode of the CHILD_SA
 * @param buf			room for the names, NAME_SIZE bytes
 * @return				number of characters written
 */
static size_t add_child_names(peer_cfg_t *peer_cfg, hw_offload_t hw_offload,
							  char *buf)
{
	enumerator_t *enumerator;
	child_cfg_t *child_cfg;
	size_t len = 0, name_len;
	int seen = 0;
	char *name;

	enumerator = peer_cfg->create_child_cfg_enumerator(peer_cfg);
	while (seen++ < MAX_CHILDREN &&
		   enumerator->enumerate(enumerator, &child_cfg))
	{
		name = child_cfg->get_name(child_cfg);
		name_len = strlen(name);
		if (child_cfg->get_hw_offload(child_cfg) != hw_offload)
		{
			continue;
		}
		/* leave half of the room to the connection */
		if (len + name_len + strlen("| of ") >= NAME_SIZE / 2)
		{
			break;
		}
		if (len)
		{
			buf[len++] = '|';
		}
		memcpy(buf + len, name, name_len);
		len += name_len;
	}
	enumerator->destroy(enumerator);

	if (len)
	{
		memcpy(buf + len, " of ", strlen(" of "));
		len += strlen(" of ");
	}
	return len;
}

/**
 * Get the name of the CHILD_SA that the calling thread works on, and of its
 * connection: "net of home[1]".
 *
 * @param hw_offload	offload mode of the CHILD_SA
 * @param buf			room for the name, NAME_SIZE bytes
 * @return				buf, NULL if no IKE_SA is being worked on
 */
static const char *get_name(hw_offload_t hw_offload, char *buf)
{
	peer_cfg_t *peer_cfg;
	ike_sa_t *ike_sa;
	size_t len = 0;

	ike_sa = charon->bus ? charon->bus->get_sa(charon->bus) : NULL;
	if (!ike_sa)
	{
		return NULL;
	}
	peer_cfg = ike_sa->get_peer_cfg(ike_sa);
	if (peer_cfg)
	{
		len = add_child_names(peer_cfg, hw_offload, buf);
	}
	snprintf(buf + len, NAME_SIZE - len, "%s[%u]", ike_sa->get_name(ike_sa),
			 ike_sa->get_unique_id(ike_sa));
	return buf;
}

/**
 * Convert what identifies an SA.
 *
 * @param id			ID, or NULL
 * @param flat			filled
 * @return				flat, NULL if there is no ID
 */
static struct fs_sa_id *from_sa_id(kernel_ipsec_sa_id_t *id,
								   struct fs_sa_id *flat)
{
	if (!id)
	{
		return NULL;
	}
	*flat = (struct fs_sa_id){
		.src = fastswan_from_host(id->src),
		.dst = fastswan_from_host(id->dst),
		.spi = id->spi,
		.if_id = id->if_id,
		.mark = from_mark(id->mark),
		.proto = id->proto,
	};
	return flat;
}

/**
 * Convert what identifies a policy.
 *
 * @param id			ID, or NULL
 * @param flat			filled
 * @return				flat, NULL if there is no ID
 */
static struct fs_policy_id *from_policy_id(kernel_ipsec_policy_id_t *id,
										   struct fs_policy_id *flat)
{
	if (!id)
	{
		return NULL;
	}
	*flat = (struct fs_policy_id){
		.src_ts = fastswan_from_ts(id->src_ts),
		.dst_ts = fastswan_from_ts(id->dst_ts),
		.interface = id->interface,
		.label = fastswan_from_label(id->label),
		.mark = from_mark(id->mark),
		.if_id = id->if_id,
		.dir = from_dir(id->dir),
	};
	return flat;
}

/**
 * Convert what a policy is to be.
 *
 * @param id			ID, or NULL
 * @param data			data, or NULL
 * @param flat			filled
 * @param name			name of the connection, or NULL
 * @return				flat, NULL if there is no data
 */
static struct fs_policy *from_policy(private_kernel_fastswan_ipsec_t *this,
									 kernel_ipsec_policy_id_t *id,
									 kernel_ipsec_manage_policy_t *data,
									 struct fs_policy *flat, const char *name)
{
	if (!data)
	{
		return NULL;
	}
	*flat = (struct fs_policy){
		.name = name,
		.src = fastswan_from_host(data->src),
		.dst = fastswan_from_host(data->dst),
		.manual_prio = data->manual_prio,
		.type = from_type(data->type),
		.prio = from_prio(data->prio),
		.hw_offload = fastswan_from_offload(data->hw_offload),
#ifdef FASTSWAN_HAVE_POLICY_PCPU_ACQUIRES
		.pcpu_acquires = data->pcpu_acquires,
#endif
#ifdef FASTSWAN_HAVE_POLICY_FORWARD_ICMP
		.forward_icmp = data->forward_icmp,
#endif
	};
	if (data->sa)
	{
		flat->mode = fastswan_from_mode(data->sa->mode);
		flat->reqid = data->sa->reqid;
		flat->policy_count = data->sa->policy_count;
		flat->esp = data->sa->esp.use;
		flat->esp_spi = data->sa->esp.spi;
		flat->ah = data->sa->ah.use;
		flat->ah_spi = data->sa->ah.spi;
		flat->ipcomp = data->sa->ipcomp.transform;
		flat->cpi = ntohs(data->sa->ipcomp.cpi);
	}
	if (this->get_priority && id)
	{	/* in place of the configured one; 0 is the automatic one here too */
		flat->manual_prio = this->get_priority(id, data);
	}
	return flat;
}

METHOD(kernel_ipsec_t, get_features, kernel_feature_t,
	private_kernel_fastswan_ipsec_t *this)
{
	kernel_feature_t features = 0;
	uint32_t flat;

	flat = ops->get_features(this->backend);
	if (flat & FS_FEATURE_ESP_V3_TFC)
	{
		features |= KERNEL_ESP_V3_TFC;
	}
	if (flat & FS_FEATURE_POLICY_SPI)
	{
		features |= KERNEL_POLICY_SPI;
	}
	if (flat & FS_FEATURE_SA_USE_TIME)
	{
		features |= KERNEL_SA_USE_TIME;
	}
#ifdef FASTSWAN_HAVE_FEATURE_ACQUIRE_SEQ
	if (flat & FS_FEATURE_ACQUIRE_SEQ)
	{
		features |= KERNEL_ACQUIRE_SEQ;
	}
#endif
	return features;
}

METHOD(kernel_ipsec_t, get_spi, status_t,
	private_kernel_fastswan_ipsec_t *this, host_t *src, host_t *dst,
	uint8_t protocol, uint32_t *spi)
{
	struct fs_addr flat_src, flat_dst;

	flat_src = fastswan_from_host(src);
	flat_dst = fastswan_from_host(dst);
	return to_status(ops->get_spi(this->backend, &flat_src, &flat_dst, protocol,
								  spi));
}

METHOD(kernel_ipsec_t, get_cpi, status_t,
	private_kernel_fastswan_ipsec_t *this, host_t *src, host_t *dst,
	uint16_t *cpi)
{
	struct fs_addr flat_src, flat_dst;

	flat_src = fastswan_from_host(src);
	flat_dst = fastswan_from_host(dst);
	return to_status(ops->get_cpi(this->backend, &flat_src, &flat_dst, cpi));
}

METHOD(kernel_ipsec_t, add_sa, status_t,
	private_kernel_fastswan_ipsec_t *this, kernel_ipsec_sa_id_t *id,
	kernel_ipsec_add_sa_t *data)
{
	struct fs_sa_id flat_id;
	struct fs_ts_list src_ts, dst_ts;
	char name[NAME_SIZE];
	int32_t result;

	if (!data)
	{
		return to_status(ops->add_sa(this->backend, from_sa_id(id, &flat_id),
									 NULL));
	}
	src_ts = from_list(data->src_ts);
	dst_ts = from_list(data->dst_ts);

	struct fs_sa sa = {
		.src_ts = src_ts,
		.dst_ts = dst_ts,
		.interface = data->interface,
		.name = get_name(data->hw_offload, name),
		.enc_key = fastswan_from_chunk(data->enc_key),
		.int_key = fastswan_from_chunk(data->int_key),
		.label = fastswan_from_label(data->label),
		.lifetime = from_lifetime(data->lifetime),
		.reqid = data->reqid,
		.replay_window = data->replay_window,
		.tfc = data->tfc,
		.set_mark = from_mark(data->mark),
		.enc_alg = data->enc_alg,
		.int_alg = data->int_alg,
		.ipcomp = data->ipcomp,
		.cpi = ntohs(data->cpi),
		.mode = fastswan_from_mode(data->mode),
		.hw_offload = fastswan_from_offload(data->hw_offload),
		.copy_dscp = from_dscp(data->copy_dscp),
		.encap = data->encap,
		.esn = data->esn,
		.copy_df = data->copy_df,
		.copy_ecn = data->copy_ecn,
		.initiator = data->initiator,
		.inbound = data->inbound,
		.update = data->update,
#ifdef FASTSWAN_HAVE_SA_SEQ
		.seq = data->seq,
#endif
#ifdef FASTSWAN_HAVE_SA_CPU
		.cpu = data->cpu == CPU_ID_MAX ? FS_CPU_NONE : data->cpu,
#else
		.cpu = FS_CPU_NONE,
#endif
#ifdef FASTSWAN_HAVE_SA_IPTFS_DONT_FRAG
		.iptfs_dont_frag = data->iptfs_dont_frag,
#endif
#ifdef FASTSWAN_HAVE_SA_FORWARD_ICMP
		.forward_icmp = data->forward_icmp,
#endif
	};

	result = ops->add_sa(this->backend, from_sa_id(id, &flat_id), &sa);
	free((void*)src_ts.items);
	free((void*)dst_ts.items);
	return to_status(result);
}

METHOD(kernel_ipsec_t, update_sa, status_t,
	private_kernel_fastswan_ipsec_t *this, kernel_ipsec_sa_id_t *id,
	kernel_ipsec_update_sa_t *data)
{
	struct fs_sa_id flat_id;
	struct fs_update_sa update;
	status_t status;

	if (data)
	{
		update = (struct fs_update_sa){
			.new_src = fastswan_from_host(data->new_src),
			.new_dst = fastswan_from_host(data->new_dst),
			.new_reqid = data->new_reqid,
			.cpi = ntohs(data->cpi),
			.encap = data->encap,
			.new_encap = data->new_encap,
#ifdef FASTSWAN_HAVE_UPDATE_OLD_REQID
			.src_ts = from_list(data->src_ts),
			.dst_ts = from_list(data->dst_ts),
			.interface = data->interface,
			.old_reqid = data->old_reqid,
			.known = TRUE,
			.mode = fastswan_from_mode(data->mode),
			.hw_offload = fastswan_from_offload(data->hw_offload),
			.inbound = data->inbound,
#endif
		};
#ifdef FASTSWAN_HAVE_UPDATE_OLD_REQID
		if (data->new_reqid == data->old_reqid)
		{	/* this version always tells the reqid, earlier ones only if it
			 * changes */
			update.new_reqid = 0;
		}
#endif
	}
	status = to_status(ops->update_sa(this->backend, from_sa_id(id, &flat_id),
									  data ? &update : NULL));
#ifdef FASTSWAN_HAVE_UPDATE_OLD_REQID
	if (data)
	{
		free((void*)update.src_ts.items);
		free((void*)update.dst_ts.items);
	}
#else
	if (status != SUCCESS)
	{	/* charon looks for this result only; with any other it goes on as if
		 * the SA had moved, and the tunnel is dead */
		status = NOT_SUPPORTED;
	}
#endif
	return status;
}

METHOD(kernel_ipsec_t, query_sa, status_t,
	private_kernel_fastswan_ipsec_t *this, kernel_ipsec_sa_id_t *id,
	kernel_ipsec_query_sa_t *data, uint64_t *bytes, uint64_t *packets,
	time_t *time)
{
	struct fs_sa_id flat_id;
	struct fs_usage usage = {};
	int32_t result;

	result = ops->query_sa(this->backend, from_sa_id(id, &flat_id),
						   data ? ntohs(data->cpi) : 0, &usage);
	if (result == FS_SUCCESS)
	{
		if (bytes)
		{
			*bytes = usage.bytes;
		}
		if (packets)
		{
			*packets = usage.packets;
		}
		if (time)
		{
			*time = usage.use_time;
		}
	}
	return to_status(result);
}

METHOD(kernel_ipsec_t, del_sa, status_t,
	private_kernel_fastswan_ipsec_t *this, kernel_ipsec_sa_id_t *id,
	kernel_ipsec_del_sa_t *data)
{
	struct fs_sa_id flat_id;

	return to_status(ops->del_sa(this->backend, from_sa_id(id, &flat_id),
								 data ? ntohs(data->cpi) : 0));
}

METHOD(kernel_ipsec_t, flush_sas, status_t,
	private_kernel_fastswan_ipsec_t *this)
{
	return to_status(ops->flush_sas(this->backend));
}

METHOD(kernel_ipsec_t, add_policy, status_t,
	private_kernel_fastswan_ipsec_t *this, kernel_ipsec_policy_id_t *id,
	kernel_ipsec_manage_policy_t *data)
{
	struct fs_policy_id flat_id;
	struct fs_policy policy;
	char name[NAME_SIZE];

	return to_status(ops->add_policy(this->backend,
									 from_policy_id(id, &flat_id),
									 from_policy(this, id, data, &policy,
										data ? get_name(data->hw_offload, name)
											 : NULL)));
}

METHOD(kernel_ipsec_t, query_policy, status_t,
	private_kernel_fastswan_ipsec_t *this, kernel_ipsec_policy_id_t *id,
	kernel_ipsec_query_policy_t *data, time_t *use_time)
{
	struct fs_policy_id flat_id;
	int64_t flat_time = 0;
	int32_t result;

	result = ops->query_policy(this->backend, from_policy_id(id, &flat_id),
							   &flat_time);
	if (result == FS_SUCCESS && use_time)
	{
		*use_time = flat_time;
	}
	return to_status(result);
}

METHOD(kernel_ipsec_t, del_policy, status_t,
	private_kernel_fastswan_ipsec_t *this, kernel_ipsec_policy_id_t *id,
	kernel_ipsec_manage_policy_t *data)
{
	struct fs_policy_id flat_id;
	struct fs_policy policy;
	char name[NAME_SIZE];

	return to_status(ops->del_policy(this->backend,
									 from_policy_id(id, &flat_id),
									 from_policy(this, id, data, &policy,
										data ? get_name(data->hw_offload, name)
											 : NULL)));
}

METHOD(kernel_ipsec_t, flush_policies, status_t,
	private_kernel_fastswan_ipsec_t *this)
{
	return to_status(ops->flush_policies(this->backend));
}

METHOD(kernel_ipsec_t, bypass_socket, bool,
	private_kernel_fastswan_ipsec_t *this, int fd, int family)
{
	return ops->bypass_socket(this->backend, fd, family);
}

METHOD(kernel_ipsec_t, enable_udp_decap, bool,
	private_kernel_fastswan_ipsec_t *this, int fd, int family, uint16_t port)
{
	return ops->enable_udp_decap(this->backend, fd, family, port);
}

METHOD(kernel_ipsec_t, destroy, void,
	private_kernel_fastswan_ipsec_t *this)
{
	if (active == this)
	{
		active = NULL;
	}
	if (this->xfrmi)
	{
		lib->set(lib, KERNEL_NETLINK_XFRMI_MANAGER, NULL);
		kernel_fastswan_xfrmi_destroy(this->xfrmi);
	}
	ops->destroy(this->backend);
	free(this);
}

/*
 * see header file
 */
bool kernel_fastswan_ipsec_init(const struct fs_ops *functions)
{
	if (!functions || functions->contract != FASTSWAN_CONTRACT ||
		functions->size != sizeof(*functions))
	{
		DBG1(DBG_KNL, "kernel-fastswan's parts were not built together");
		return FALSE;
	}
	ops = functions;
	return TRUE;
}

/*
 * see header file
 */
u_int kernel_fastswan_ipsec_attempts()
{
	return attempts;
}

/*
 * see header file
 */
bool kernel_fastswan_ipsec_reload()
{
	return active && ops->reload(active->backend);
}

/*
 * see header file
 */
kernel_ipsec_t *kernel_fastswan_ipsec_create()
{
	private_kernel_fastswan_ipsec_t *this;
	struct fs_host host;
	struct fs_backend *backend;

	attempts++;
	fastswan_host_init(&host, ops);
	backend = ops->create(&host, VERSION);
	if (!backend)
	{	/* the core said why */
		return NULL;
	}

	INIT(this,
		.public = {
			.interface = {
				.get_features = _get_features,
				.get_spi = _get_spi,
				.get_cpi = _get_cpi,
				.add_sa = _add_sa,
				.update_sa = _update_sa,
				.query_sa = _query_sa,
				.del_sa = _del_sa,
				.flush_sas = _flush_sas,
				.add_policy = _add_policy,
				.query_policy = _query_policy,
				.del_policy = _del_policy,
				.flush_policies = _flush_policies,
				.bypass_socket = _bypass_socket,
				.enable_udp_decap = _enable_udp_decap,
				.destroy = _destroy,
			},
		},
		.backend = backend,
		.get_priority = dlsym(RTLD_DEFAULT,
							  "kernel_netlink_get_priority_custom"),
	);
	active = this;

	this->xfrmi = kernel_fastswan_xfrmi_create(ops, backend);
	if (this->xfrmi)
	{	/* under the name of the plugin whose work this is: that is where others
		 * look for it */
		lib->set(lib, KERNEL_NETLINK_XFRMI_MANAGER, this->xfrmi);
	}

	return &this->public.interface;
}
