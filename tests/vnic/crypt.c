// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The card's crypto engine: AES-GCM with a 16 byte ICV over one linear ESP
 * packet, by the kernel's crypto API. Called by the transmit and receive paths
 * in softirq context, so only synchronous transforms are used, and by sa.c for
 * the keys. It must not know where a packet comes from, and must never enter
 * the kernel's own ESP code (esp4, esp6).
 */
#include <crypto/aead.h>
#include <linux/scatterlist.h>

#include "vnic.h"

struct vnic_creq {
	u8			iv[VNIC_SALT_LEN + VNIC_IV_LEN];
	__be32			aad[3];
	struct scatterlist	sg[2];
	struct aead_request	req;	/* last: the transform's context follows */
};

/* The key's own copy: x->aead is gone before the state is freed. */
int vnic_key_init(struct vnic_key *key, const struct xfrm_algo_aead *alg)
{
	unsigned int len = (alg->alg_key_len + 7) / 8 - VNIC_SALT_LEN;
	struct crypto_aead *tfm;
	int err;

	tfm = crypto_alloc_aead("gcm(aes)", 0, CRYPTO_ALG_ASYNC);
	if (IS_ERR(tfm))
		return PTR_ERR(tfm);

	err = crypto_aead_setkey(tfm, alg->alg_key, len);
	if (!err)
		err = crypto_aead_setauthsize(tfm, VNIC_ICV_LEN);
	if (err) {
		crypto_free_aead(tfm);
		return err;
	}
	memcpy(key->salt, alg->alg_key + len, VNIC_SALT_LEN);
	key->tfm = tfm;
	return 0;
}

void vnic_key_free(struct vnic_key *key)
{
	if (key->tfm)
		crypto_free_aead(key->tfm);
	memzero_explicit(key, sizeof(*key));
}

/*
 * @esph: ESP header, followed by the IV, @clen bytes of payload with trailer,
 * and the ICV. In place. Returns -EBADMSG for a wrong ICV.
 */
int vnic_crypt(const struct vnic_sa *sa, bool encrypt, u64 seq, u8 *esph,
	       unsigned int clen)
{
	const struct ip_esp_hdr *hdr = (const struct ip_esp_hdr *)esph;
	u8 *iv = esph + sizeof(*hdr);
	struct vnic_creq *c;
	unsigned int alen;
	int err;

	c = kmalloc(sizeof(*c) + crypto_aead_reqsize(sa->key.tfm), GFP_ATOMIC);
	if (!c)
		return -ENOMEM;

	memcpy(c->iv, sa->key.salt, VNIC_SALT_LEN);
	memcpy(c->iv + VNIC_SALT_LEN, iv, VNIC_IV_LEN);

	/* RFC 4106: with ESN the high half stands between SPI and low half */
	c->aad[0] = hdr->spi;
	if (sa->esn) {
		c->aad[1] = cpu_to_be32(upper_32_bits(seq));
		c->aad[2] = hdr->seq_no;
		alen = 12;
	} else {
		c->aad[1] = hdr->seq_no;
		alen = 8;
	}

	sg_init_table(c->sg, 2);
	sg_set_buf(&c->sg[0], c->aad, alen);
	sg_set_buf(&c->sg[1], iv + VNIC_IV_LEN, clen + VNIC_ICV_LEN);

	aead_request_set_tfm(&c->req, sa->key.tfm);
	aead_request_set_callback(&c->req, 0, NULL, NULL);
	aead_request_set_ad(&c->req, alen);
	if (encrypt) {
		aead_request_set_crypt(&c->req, c->sg, c->sg, clen, c->iv);
		err = crypto_aead_encrypt(&c->req);
	} else {
		aead_request_set_crypt(&c->req, c->sg, c->sg,
				       clen + VNIC_ICV_LEN, c->iv);
		err = crypto_aead_decrypt(&c->req);
	}
	kfree_sensitive(c);
	return err;
}
