# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
matrix shapes hold
