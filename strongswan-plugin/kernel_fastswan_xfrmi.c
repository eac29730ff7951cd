/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Manager of XFRM interfaces.
 */

#include "kernel_fastswan_xfrmi.h"

#include <library.h>
#include <collections/enumerator.h>

/**
 * So many interfaces there is room for at first; more are asked for again
 */
#define FIRST_ROOM 16

/**
 * As often it is asked again because there were more of them than before
 */
#define MAX_TRIES 5

typedef struct private_kernel_fastswan_xfrmi_t private_kernel_fastswan_xfrmi_t;
typedef struct interface_enumerator_t interface_enumerator_t;

/**
 * Private data of a kernel_netlink_xfrmi_t
 */
struct private_kernel_fastswan_xfrmi_t {

	/**
	 * Public interface
	 */
	kernel_netlink_xfrmi_t public;

	/**
	 * Functions of the core
	 */
	const struct fs_ops *ops;

	/**
	 * The core
	 */
	struct fs_backend *backend;
};

/**
 * Enumerator over XFRM interfaces
 */
struct interface_enumerator_t {

	/**
	 * Public interface
	 */
	enumerator_t public;

	/**
	 * All interfaces
	 */
	struct fs_xfrmi *items;

	/**
	 * Number of interfaces
	 */
	size_t count;

	/**
	 * Next one to enumerate
	 */
	size_t next;
};

METHOD(kernel_netlink_xfrmi_t, create, bool,
	private_kernel_fastswan_xfrmi_t *this, char *name, uint32_t if_id,
	char *phys, uint32_t mtu)
{
	return this->ops->xfrmi_create(this->backend, name, if_id, phys, mtu);
}

METHOD(kernel_netlink_xfrmi_t, delete, bool,
	private_kernel_fastswan_xfrmi_t *this, char *name)
{
	return this->ops->xfrmi_delete(this->backend, name);
}

METHOD(enumerator_t, enumerate, bool,
	interface_enumerator_t *this, va_list args)
{
	struct fs_xfrmi *item;
	char **name, **phys;
	uint32_t *if_id, *mtu;

	VA_ARGS_VGET(args, name, if_id, phys, mtu);

	if (this->next >= this->count)
	{
		return FALSE;
	}
	item = &this->items[this->next++];
	*name = item->name;
	*if_id = item->if_id;
	if (phys)
	{
		*phys = item->phys[0] ? item->phys : NULL;
	}
	if (mtu)
	{
		*mtu = item->mtu;
	}
	return TRUE;
}

METHOD(enumerator_t, destroy_enumerator, void,
	interface_enumerator_t *this)
{
	free(this->items);
	free(this);
}

METHOD(kernel_netlink_xfrmi_t, create_enumerator, enumerator_t*,
	private_kernel_fastswan_xfrmi_t *this)
{
	interface_enumerator_t *enumerator;
	struct fs_xfrmi *items = NULL;
	int64_t count = FIRST_ROOM;
	size_t room = 0;
	int tries;

	for (tries = 0; tries < MAX_TRIES && count > 0 && (size_t)count > room;
		 tries++)
	{	/* there may be more of them by the time they are asked for again */
		room = count;
		free(items);
		items = calloc(room, sizeof(*items));
		count = this->ops->xfrmi_list(this->backend, items, room);
	}
	count = min(count, (int64_t)room);
	if (count <= 0)
	{
		free(items);
		return enumerator_create_empty();
	}
	INIT(enumerator,
		.public = {
			.enumerate = enumerator_enumerate_default,
			.venumerate = _enumerate,
			.destroy = _destroy_enumerator,
		},
		.items = items,
		.count = count,
	);
	return &enumerator->public;
}

/*
 * see header file
 */
void kernel_fastswan_xfrmi_destroy(kernel_netlink_xfrmi_t *xfrmi)
{
	free(xfrmi);
}

/*
 * see header file
 */
kernel_netlink_xfrmi_t *kernel_fastswan_xfrmi_create(const struct fs_ops *ops,
													 struct fs_backend *backend)
{
	private_kernel_fastswan_xfrmi_t *this;

	if (!ops->xfrmi_supported(backend))
	{
		return NULL;
	}
	INIT(this,
		.public = {
			.create = _create,
			.create_enumerator = _create_enumerator,
			.delete = _delete,
		},
		.ops = ops,
		.backend = backend,
	);
	return &this->public;
}
