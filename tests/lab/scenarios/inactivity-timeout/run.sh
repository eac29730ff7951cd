# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon carol
start moon carol
initiate carol home || return 0
traffic_start carol 10.1.0.10 10 1
traffic_end carol "pings for longer than the limit"
refute "the CHILD_SA in use is not deleted" 'of inactivity' log carol
sa carol "the time of last use is known" 'use-in=[0-5] .*use-out=[0-5]'
check "unused, it is" until_true 25 logs carol 'deleting CHILD_SA after 6 seconds of inactivity'
check "carol tells moon" until_true 10 logs carol 'sending DELETE for ESP CHILD_SA'
check "moon deletes its own" until_true 10 no_child_sa moon
same "carol: neither SA nor policy in the kernel" "0 0" "$(states carol) $(policies carol all)"
