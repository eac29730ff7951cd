// SPDX-License-Identifier: GPL-2.0-or-later
//! IKE transform numbers (IANA "Internet Key Exchange Version 2 Parameters") and the names under
//! which the kernel's crypto API knows them.
//!
//! Owns the table. Called by `backend/` when an SA is added. Must not judge whether a NIC can do an
//! algorithm: that is `offload/`.

use std::borrow::Cow;
use std::fmt;

/// `ENCR_NULL`
pub const ENCR_NULL: u16 = 11;
/// `ENCR_AES_GCM_ICV16`, RFC 4106: the one algorithm that NICs take in packet mode.
pub const ENCR_AES_GCM_ICV16: u16 = 20;
/// strongSwan's `ENCR_UNDEFINED` and `AUTH_UNDEFINED`: no algorithm.
pub const UNDEFINED: u16 = 1024;

/// Which table a number belongs to; the values are strongSwan's `transform_type_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlgorithmKind {
    /// `ENCRYPTION_ALGORITHM`
    Encryption = 1,
    /// `INTEGRITY_ALGORITHM`
    Integrity = 3,
}

impl fmt::Display for AlgorithmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AlgorithmKind::Encryption => "encryption",
            AlgorithmKind::Integrity => "integrity",
        })
    }
}

/// An algorithm number that neither the table nor another plugin knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownAlgorithm {
    /// The table.
    pub kind: AlgorithmKind,
    /// The number.
    pub number: u16,
}

impl fmt::Display for UnknownAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "algorithm {} ({} transform {}) not supported by kernel",
            name(self.kind, self.number),
            self.kind,
            self.number
        )
    }
}

/// What the kernel is told about the cryptography of an SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transforms {
    /// Combined mode (`XFRMA_ALG_AEAD`).
    Aead {
        /// Name in the crypto API.
        name: Cow<'static, str>,
        /// Length of the integrity check value in bits.
        icv_bits: u32,
    },
    /// Encryption and integrity apart (`XFRMA_ALG_CRYPT`, `XFRMA_ALG_AUTH_TRUNC`).
    Separate {
        /// Name of the cipher.
        crypt: Option<Cow<'static, str>>,
        /// Name of the authenticator and, if not the kernel's default, its truncation in bits.
        auth: Option<(Cow<'static, str>, Option<u32>)>,
    },
}

struct Encryption {
    number: u16,
    name: &'static str,
    kernel: &'static str,
    icv_bits: Option<u32>,
}

const fn cipher(number: u16, name: &'static str, kernel: &'static str) -> Encryption {
    Encryption {
        number,
        name,
        kernel,
        icv_bits: None,
    }
}

const fn aead(number: u16, name: &'static str, kernel: &'static str, icv_bits: u32) -> Encryption {
    Encryption {
        number,
        name,
        kernel,
        icv_bits: Some(icv_bits),
    }
}

/// `rfc4106(gcm(aes))` and its siblings are the names of net/xfrm/xfrm_algo.c. 1026 and 1027 are
/// strongSwan's numbers of private use for Serpent and Twofish.
const ENCRYPTION: &[Encryption] = &[
    cipher(2, "DES_CBC", "des"),
    cipher(3, "3DES_CBC", "des3_ede"),
    cipher(6, "CAST_CBC", "cast5"),
    cipher(7, "BLOWFISH_CBC", "blowfish"),
    cipher(ENCR_NULL, "NULL", "cipher_null"),
    cipher(12, "AES_CBC", "aes"),
    cipher(13, "AES_CTR", "rfc3686(ctr(aes))"),
    aead(14, "AES_CCM_8", "rfc4309(ccm(aes))", 64),
    aead(15, "AES_CCM_12", "rfc4309(ccm(aes))", 96),
    aead(16, "AES_CCM_16", "rfc4309(ccm(aes))", 128),
    aead(18, "AES_GCM_8", "rfc4106(gcm(aes))", 64),
    aead(19, "AES_GCM_12", "rfc4106(gcm(aes))", 96),
    aead(ENCR_AES_GCM_ICV16, "AES_GCM_16", "rfc4106(gcm(aes))", 128),
    aead(21, "NULL_AES_GMAC", "rfc4543(gcm(aes))", 128),
    cipher(23, "CAMELLIA_CBC", "cbc(camellia)"),
    aead(
        28,
        "CHACHA20_POLY1305",
        "rfc7539esp(chacha20,poly1305)",
        128,
    ),
    cipher(1026, "SERPENT_CBC", "serpent"),
    cipher(1027, "TWOFISH_CBC", "twofish"),
];

struct Integrity {
    number: u16,
    name: &'static str,
    kernel: &'static str,
    truncation: Option<u32>,
}

const fn auth(
    number: u16,
    name: &'static str,
    kernel: &'static str,
    truncation: Option<u32>,
) -> Integrity {
    Integrity {
        number,
        name,
        kernel,
        truncation,
    }
}

/// The truncation is named where the kernel's default for the digest is another. 1026 to 1029
/// are strongSwan's numbers of private use.
const INTEGRITY: &[Integrity] = &[
    auth(1, "HMAC_MD5_96", "md5", None),
    auth(2, "HMAC_SHA1_96", "sha1", None),
    auth(5, "AES_XCBC_96", "xcbc(aes)", None),
    auth(6, "HMAC_MD5_128", "hmac(md5)", Some(128)),
    auth(7, "HMAC_SHA1_160", "hmac(sha1)", Some(160)),
    auth(8, "AES_CMAC_96", "cmac(aes)", None),
    auth(12, "HMAC_SHA2_256_128", "hmac(sha256)", Some(128)),
    auth(13, "HMAC_SHA2_384_192", "hmac(sha384)", None),
    auth(14, "HMAC_SHA2_512_256", "hmac(sha512)", None),
    auth(1026, "HMAC_SHA2_256_96", "sha256", None),
    auth(1027, "HMAC_SHA2_256_256", "hmac(sha256)", Some(256)),
    auth(1028, "HMAC_SHA2_384_384", "hmac(sha384)", Some(384)),
    auth(1029, "HMAC_SHA2_512_512", "hmac(sha512)", Some(512)),
];

/// Algorithms that the kernel has no name for, unless another plugin registers one; the names are for
/// messages.
const NAMELESS_ENCRYPTION: &[(u16, &str)] = &[
    (1, "DES_IV64"),
    (4, "RC5_CBC"),
    (5, "IDEA_CBC"),
    (8, "3IDEA"),
    (9, "DES_IV32"),
    (24, "CAMELLIA_CTR"),
    (25, "CAMELLIA_CCM_8"),
    (26, "CAMELLIA_CCM_12"),
    (27, "CAMELLIA_CCM_16"),
];
const NAMELESS_INTEGRITY: &[(u16, &str)] = &[
    (3, "DES_MAC"),
    (4, "KPDK_MD5"),
    (9, "AES_128_GMAC"),
    (10, "AES_192_GMAC"),
    (11, "AES_256_GMAC"),
];

/// Combined modes without a kernel name of their own: they come with the name that another plugin
/// registered.
fn icv_bits_of_registered(number: u16) -> Option<u32> {
    match number {
        25 => Some(64),
        26 => Some(96),
        27 => Some(128),
        _ => None,
    }
}

/// The algorithms of an SA with the lengths of their keys in bits, for messages.
pub fn describe(encryption: (u16, usize), integrity: (u16, usize)) -> String {
    let one = |kind, (number, bits): (u16, usize)| {
        (number != UNDEFINED).then(|| match bits {
            0 => name(kind, number).into_owned(),
            bits => format!("{} with a key of {bits} bits", name(kind, number)),
        })
    };
    let both = [
        one(AlgorithmKind::Encryption, encryption),
        one(AlgorithmKind::Integrity, integrity),
    ];
    let both: Vec<_> = both.into_iter().flatten().collect();
    if both.is_empty() {
        "no algorithm".to_owned()
    } else {
        both.join(", ")
    }
}

/// The usual name of an algorithm number, or the number itself.
pub fn name(kind: AlgorithmKind, number: u16) -> Cow<'static, str> {
    let nameless = |list: &[(u16, &'static str)]| {
        let entry = list.iter().find(|(known, _)| *known == number);
        entry.map(|(_, name)| *name)
    };
    let known = match kind {
        AlgorithmKind::Encryption => ENCRYPTION
            .iter()
            .find(|entry| entry.number == number)
            .map(|entry| entry.name)
            .or_else(|| nameless(NAMELESS_ENCRYPTION)),
        AlgorithmKind::Integrity => INTEGRITY
            .iter()
            .find(|entry| entry.number == number)
            .map(|entry| entry.name)
            .or_else(|| nameless(NAMELESS_INTEGRITY)),
    };
    known.map_or_else(|| Cow::Owned(number.to_string()), Cow::Borrowed)
}

/// Finds the kernel's names. `registered` is asked for what the table does not have: algorithms
/// that another plugin registered with charon.
pub fn resolve(
    encryption: u16,
    integrity: u16,
    registered: impl Fn(AlgorithmKind, u16) -> Option<String>,
) -> Result<Transforms, UnknownAlgorithm> {
    let unknown = |kind, number| UnknownAlgorithm { kind, number };
    let crypt = match encryption {
        UNDEFINED => None,
        number => match ENCRYPTION.iter().find(|entry| entry.number == number) {
            Some(entry) => {
                if let Some(icv_bits) = entry.icv_bits {
                    return Ok(Transforms::Aead {
                        name: entry.kernel.into(),
                        icv_bits,
                    });
                }
                Some(Cow::Borrowed(entry.kernel))
            }
            None => {
                let name = registered(AlgorithmKind::Encryption, number)
                    .ok_or(unknown(AlgorithmKind::Encryption, number))?;
                if let Some(icv_bits) = icv_bits_of_registered(number) {
                    return Ok(Transforms::Aead {
                        name: name.into(),
                        icv_bits,
                    });
                }
                Some(Cow::Owned(name))
            }
        },
    };
    let auth = match integrity {
        UNDEFINED => None,
        number => match INTEGRITY.iter().find(|entry| entry.number == number) {
            Some(entry) => Some((Cow::Borrowed(entry.kernel), entry.truncation)),
            None => Some((
                Cow::Owned(
                    registered(AlgorithmKind::Integrity, number)
                        .ok_or(unknown(AlgorithmKind::Integrity, number))?,
                ),
                None,
            )),
        },
    };
    Ok(Transforms::Separate { crypt, auth })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody(_: AlgorithmKind, _: u16) -> Option<String> {
        None
    }

    #[test]
    fn combined_modes_need_no_integrity() {
        assert_eq!(
            resolve(20, UNDEFINED, nobody),
            Ok(Transforms::Aead {
                name: "rfc4106(gcm(aes))".into(),
                icv_bits: 128
            })
        );
    }

    #[test]
    fn separate_algorithms_carry_their_truncation() {
        assert_eq!(
            resolve(12, 12, nobody),
            Ok(Transforms::Separate {
                crypt: Some("aes".into()),
                auth: Some(("hmac(sha256)".into(), Some(128)))
            })
        );
    }

    #[test]
    fn what_nobody_knows_is_named() {
        let error = resolve(4711, 12, nobody).unwrap_err();
        assert_eq!(
            error.to_string(),
            "algorithm 4711 (encryption transform 4711) not supported by kernel"
        );
    }

    /// kernel_netlink_ipsec.c: encryption_algs, integrity_algs and the lengths in add_sa, row by row.
    #[test]
    fn every_algorithm_of_kernel_netlink_has_its_name_and_lengths() {
        let aead = |name: &str, icv_bits| Transforms::Aead {
            name: name.to_owned().into(),
            icv_bits,
        };
        let cipher = |name: &str| Transforms::Separate {
            crypt: Some(name.to_owned().into()),
            auth: None,
        };
        for (number, want) in [
            (2, cipher("des")),
            (3, cipher("des3_ede")),
            (6, cipher("cast5")),
            (7, cipher("blowfish")),
            (11, cipher("cipher_null")),
            (12, cipher("aes")),
            (13, cipher("rfc3686(ctr(aes))")),
            (14, aead("rfc4309(ccm(aes))", 64)),
            (15, aead("rfc4309(ccm(aes))", 96)),
            (16, aead("rfc4309(ccm(aes))", 128)),
            (18, aead("rfc4106(gcm(aes))", 64)),
            (19, aead("rfc4106(gcm(aes))", 96)),
            (20, aead("rfc4106(gcm(aes))", 128)),
            (21, aead("rfc4543(gcm(aes))", 128)),
            (23, cipher("cbc(camellia)")),
            (28, aead("rfc7539esp(chacha20,poly1305)", 128)),
            (1026, cipher("serpent")),
            (1027, cipher("twofish")),
        ] {
            assert_eq!(resolve(number, UNDEFINED, nobody), Ok(want), "{number}");
        }
        assert_eq!(ENCRYPTION.len(), 18);
        for (number, name, truncation) in [
            (1, "md5", None),
            (6, "hmac(md5)", Some(128)),
            (2, "sha1", None),
            (7, "hmac(sha1)", Some(160)),
            (1026, "sha256", None),
            (12, "hmac(sha256)", Some(128)),
            (1027, "hmac(sha256)", Some(256)),
            (13, "hmac(sha384)", None),
            (1028, "hmac(sha384)", Some(384)),
            (14, "hmac(sha512)", None),
            (1029, "hmac(sha512)", Some(512)),
            (5, "xcbc(aes)", None),
            (8, "cmac(aes)", None),
        ] {
            let want = Transforms::Separate {
                crypt: None,
                auth: Some((name.into(), truncation)),
            };
            assert_eq!(resolve(UNDEFINED, number, nobody), Ok(want), "{number}");
        }
        assert_eq!(INTEGRITY.len(), 13);
    }

    #[test]
    fn algorithms_are_named_with_their_keys() {
        assert_eq!(
            describe((12, 192), (12, 256)),
            "AES_CBC with a key of 192 bits, HMAC_SHA2_256_128 with a key of 256 bits"
        );
        assert_eq!(
            describe((20, 288), (UNDEFINED, 0)),
            "AES_GCM_16 with a key of 288 bits"
        );
        assert_eq!(
            describe((11, 0), (2, 160)),
            "NULL, HMAC_SHA1_96 with a key of 160 bits"
        );
        assert_eq!(describe((UNDEFINED, 0), (UNDEFINED, 0)), "no algorithm");
        // IANA's names also for what the kernel does not have, numbers for the rest.
        let error = resolve(24, UNDEFINED, nobody).unwrap_err();
        assert!(error.to_string().starts_with("algorithm CAMELLIA_CTR "));
        let error = resolve(12, 10, nobody).unwrap_err();
        assert!(error.to_string().starts_with("algorithm AES_192_GMAC "));
        for (encryption, integrity) in [(0, 12), (12, 0)] {
            assert!(resolve(encryption, integrity, nobody).is_err());
        }
    }

    #[test]
    fn a_registered_combined_mode_is_one() {
        let registered = |_, number| {
            (25..=27)
                .contains(&number)
                .then(|| "ccm(camellia)".to_owned())
        };
        for (number, icv_bits) in [(25, 64), (26, 96), (27, 128)] {
            let want = Transforms::Aead {
                name: "ccm(camellia)".into(),
                icv_bits,
            };
            assert_eq!(resolve(number, UNDEFINED, registered), Ok(want));
        }
    }

    #[test]
    fn other_plugins_may_register_algorithms() {
        let registered = |kind, number| {
            (kind == AlgorithmKind::Encryption && number == 4711).then(|| "cbc(x)".to_owned())
        };
        assert_eq!(
            resolve(4711, UNDEFINED, registered),
            Ok(Transforms::Separate {
                crypt: Some("cbc(x)".into()),
                auth: None
            })
        );
    }
}
