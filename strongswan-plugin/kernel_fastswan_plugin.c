/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Registration of the plugin.
 *
 * The constructor only checks and registers: strongSwan's tools load plugins
 * too, and charon may load this one and then prefer another. The work begins
 * when charon calls the constructor of kernel_ipsec_t.
 */

#include "kernel_fastswan_plugin.h"

#include "kernel_fastswan_ipsec.h"
#include "kernel_fastswan_version.h"

#include <stdio.h>

#include <daemon.h>
#include <sa/task_manager.h>

/**
 * How long the kernel keeps what an acquire or a reserved SPI made. The tests
 * use another file.
 */
#ifndef ACQ_EXPIRES_FILE
#define ACQ_EXPIRES_FILE "/proc/sys/net/core/xfrm_acq_expires"
#endif

typedef struct private_kernel_fastswan_plugin_t private_kernel_fastswan_plugin_t;

/**
 * Private data of a kernel_fastswan_plugin_t
 */
struct private_kernel_fastswan_plugin_t {

	/**
	 * Public interface
	 */
	kernel_fastswan_plugin_t public;
};

METHOD(plugin_t, get_name, char*,
	private_kernel_fastswan_plugin_t *this)
{
	return "kernel-fastswan";
}

/**
 * Get the name of the plugin that provides kernel-ipsec, if any.
 */
static char *get_provider()
{
	enumerator_t *plugins, *features;
	plugin_feature_t *feature;
	linked_list_t *loaded;
	plugin_t *plugin;
	char *name = NULL;

	plugins = lib->plugins->create_plugin_enumerator(lib->plugins);
	while (plugins->enumerate(plugins, &plugin, &loaded))
	{
		features = loaded->create_enumerator(loaded);
		while (!name && features->enumerate(features, &feature))
		{
			if (feature->kind == FEATURE_PROVIDE &&
				feature->type == FEATURE_CUSTOM &&
				streq(feature->arg.custom, "kernel-ipsec"))
			{
				name = plugin->get_name(plugin);
			}
		}
		features->destroy(features);
		loaded->destroy(loaded);
		if (name)
		{
			break;
		}
	}
	plugins->destroy(plugins);
	return name;
}

/**
 * Set for how long the kernel waits for the SA that an acquire asked for, by
 * default as long as an IKE message is retransmitted.
 */
static void set_acq_expires()
{
	retransmission_t settings;
	int timeout;
	FILE *f;

	timeout = lib->settings->get_int(lib->settings,
							"%s.plugins.kernel-fastswan.xfrm_acq_expires", -1,
							lib->ns);
	if (timeout >= 0)
	{	/* kernel-netlink, which stays loaded for addresses and routes, writes
		 * its own setting to the same file whenever it is reloaded, and that is
		 * after us: both have to say the same */
		lib->settings->set_int(lib->settings,
							"%s.plugins.kernel-netlink.xfrm_acq_expires",
							timeout, lib->ns);
	}
	f = fopen(ACQ_EXPIRES_FILE, "w");
	if (f)
	{
		retransmission_parse_default(&settings);
		timeout = lib->settings->get_int(lib->settings,
							"%s.plugins.kernel-netlink.xfrm_acq_expires",
							retransmission_timeout_total(&settings), lib->ns);
		fprintf(f, "%u", timeout);
		fclose(f);
	}
}

/**
 * Say what ends charon in a moment, if it does: a plugin that is marked as
 * critical has to load all of its features, and kernel-netlink's IPsec half
 * cannot be loaded beside ours.
 */
static void check_critical()
{
	enumerator_t *enumerator;
	char *list, *plugin;

	list = lib->settings->get_str(lib->settings, "%s.load", NULL, lib->ns);
	if (!list || lib->settings->get_bool(lib->settings, "%s.load_modular",
										 FALSE, lib->ns))
	{
		return;
	}
	enumerator = enumerator_create_token(list, " ", " ");
	while (enumerator->enumerate(enumerator, &plugin))
	{
		if (streq(plugin, "kernel-netlink!"))
		{
			DBG1(DBG_KNL, "kernel-netlink is marked as critical in %s.load: "
				 "charon will not start, since one of its features is provided "
				 "by kernel-fastswan now; remove the exclamation mark", lib->ns);
		}
	}
	enumerator->destroy(enumerator);
}

/**
 * Callback of our feature: as kernel_ipsec_register(), but says so if another
 * plugin was faster, which charon itself only mentions at level 2.
 */
static bool register_ipsec(plugin_t *plugin, plugin_feature_t *feature,
						   bool reg, void *data)
{
	u_int attempts = kernel_fastswan_ipsec_attempts();
	char *provider;

	if (kernel_ipsec_register(plugin, feature, reg, data))
	{
		if (reg)
		{
			set_acq_expires();
			check_critical();
		}
		return TRUE;
	}
	if (reg && attempts == kernel_fastswan_ipsec_attempts())
	{	/* the constructor was not even called, so there already is one */
		provider = get_provider();
		DBG1(DBG_KNL, "kernel-fastswan is not active: %s already provides the "
			 "kernel's IPsec interface. The first plugin in load order gets "
			 "it: set load = 2 for kernel-fastswan, or move it before %s in "
			 "%s.load", provider ?: "another plugin",
			 provider ?: "that one", lib->ns);
	}
	return FALSE;
}

METHOD(plugin_t, get_features, int,
	private_kernel_fastswan_plugin_t *this, plugin_feature_t *features[])
{
	static plugin_feature_t f[] = {
		PLUGIN_CALLBACK(register_ipsec, kernel_fastswan_ipsec_create),
			PLUGIN_PROVIDE(CUSTOM, "kernel-ipsec"),
				/* makes addresses and routes available in our constructor and
				 * still in our destructor */
				PLUGIN_SDEPEND(CUSTOM, "kernel-net"),
	};
	*features = f;
	return countof(f);
}

METHOD(plugin_t, reload, bool,
	private_kernel_fastswan_plugin_t *this)
{
	if (!kernel_fastswan_ipsec_reload())
	{
		return FALSE;
	}
	set_acq_expires();
	return TRUE;
}

METHOD(plugin_t, destroy, void,
	private_kernel_fastswan_plugin_t *this)
{
	free(this);
}

/*
 * see header file
 */
plugin_t *kernel_fastswan_plugin_new(const struct fs_ops *ops)
{
	private_kernel_fastswan_plugin_t *this;

	/* before anything that is laid out differently between versions */
	if (!fastswan_version_check())
	{
		return NULL;
	}
	if (!kernel_fastswan_ipsec_init(ops))
	{
		return NULL;
	}
	if (!lib->caps->keep(lib->caps, CAP_NET_ADMIN))
	{	/* without it the core fails in its constructor and says what failed */
		DBG1(DBG_KNL, "kernel-fastswan plugin requires CAP_NET_ADMIN "
			 "capability");
	}

	INIT(this,
		.public = {
			.plugin = {
				.get_name = _get_name,
				.get_features = _get_features,
				.reload = _reload,
				.destroy = _destroy,
			},
		},
	);

	return &this->public.plugin;
}
