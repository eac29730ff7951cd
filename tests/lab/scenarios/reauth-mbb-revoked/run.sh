# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon carol
certificates moon carol
revocations
start moon carol
initiate carol home || return 0
reaches carol 10.1.0.10 2
revocations moon
check "carol forgets the list" sw carol --flush-certs --type x509_crl
check "carol reads the new list" sw carol --load-creds --clear --noprompt
check "carol reauthenticates" sw carol --rekey --reauth --ike home
check "the revocation is found" until_true 30 logs carol 'certificate was revoked.*key compromise'
check "and the SA is deleted" until_true 20 logs carol 'peer certificate verification failed, deleting SA'
check "nothing is left on carol" until_true 20 no_child_sa carol
same "carol: neither SA nor policy in the kernel" "0 0" "$(states carol) $(policies carol all)"
