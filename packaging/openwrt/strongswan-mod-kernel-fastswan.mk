# SPDX-License-Identifier: GPL-2.0-or-later
#
# What net/strongswan/Makefile of OpenWrt's packages feed gains for the package
# strongswan-mod-kernel-fastswan: these lines, in the places that are named, and
# packaging/strongswan/kernel-fastswan-6.1.0.patch among its patches with the
# release unpacked by Build/Prepare. The feed builds all plugins in strongSwan's
# own tree, so this one is built there too. It has not been built in OpenWrt.

# 1. among PLUGINS in PKG_MOD_AVAILABLE (sorted by name):
PKG_MOD_AVAILABLE += kernel-fastswan

# 2. beside the other includes, before package.mk; Rust's target, cargo and the
#    C library (musl) come from the feed's lang/rust:
PKG_BUILD_DEPENDS += rust/host
include ../../lang/rust/rust-values.mk

# 3. the release, beside PKG_SOURCE:
FASTSWAN_VERSION := 0.1.0
FASTSWAN_SOURCE := kernel-fastswan-$(FASTSWAN_VERSION).tar.xz

define Build/Prepare/kernel-fastswan
	mkdir -p $(PKG_BUILD_DIR)/kernel-fastswan
	$(TAR) -C $(PKG_BUILD_DIR)/kernel-fastswan --strip-components=1 \
		-xf $(DL_DIR)/$(FASTSWAN_SOURCE)
	sh $(PKG_BUILD_DIR)/kernel-fastswan/packaging/strongswan/apply.sh \
		$(PKG_BUILD_DIR)/kernel-fastswan $(PKG_BUILD_DIR)
endef

# 4. CONFIGURE_ARGS; as with every other plugin, it is built if it is selected:
CONFIGURE_ARGS += \
	$(if $(CONFIG_PACKAGE_strongswan-mod-kernel-fastswan),--enable-kernel-fastswan,--disable-kernel-fastswan)
CONFIGURE_VARS += \
	CARGO="$(CARGO_VARS) cargo" \
	RUST_TARGET="$(RUSTC_TARGET_ARCH)"

# 5. the package: .so and .conf as BuildPlugin installs them. Only few cards of
#    routers have packet offload, so it is not part of strongswan-full.
$(eval $(call BuildPlugin,kernel-fastswan,kernel interface that programs IPsec into the NIC,+strongswan-charon +strongswan-mod-kernel-netlink))
