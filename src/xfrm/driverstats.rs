// SPDX-License-Identifier: GPL-2.0-or-later
//! The counters that a driver keeps under names of its own: `ethtool -S`.
//!
//! Owns three requests of SIOCETHTOOL, since ethtool's netlink has only counters that standards
//! name. Called by `bin/fastswanctl`; the plugin has no use for it. Must not ask for more room than
//! a driver can mean.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// `SIOCETHTOOL`
const SIOCETHTOOL: libc::c_ulong = 0x8946;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
/// The set of strings that names the counters.
const ETH_SS_STATS: u32 = 1;
/// `ETH_GSTRING_LEN`
const NAME_LEN: usize = 32;
/// mlx5 has some thousands, with many queues.
const COUNTERS_MAX: usize = 32_768;
/// Room for so many: kernels before 6.18 write as many as the device has at that moment, whatever
/// they are told to expect, and a device may get more queues meanwhile.
const ROOM: usize = 4 * COUNTERS_MAX;

/// `struct ifreq` with a pointer in its union.
#[repr(C)]
struct Ifreq {
    name: [u8; libc::IFNAMSIZ],
    data: *mut u64,
    /// The union is 24 bytes long.
    rest: [u64; 2],
}

/// Room of 64-bit words, since the structs hold some, whose first 8 bytes are two 32-bit numbers.
fn words(first: u32, second: u32, bytes: usize) -> Vec<u64> {
    let mut room = vec![0; 1 + bytes.div_ceil(8)];
    put(&mut room, 0, first);
    put(&mut room, 1, second);
    room
}

fn put(room: &mut [u64], place: usize, value: u32) {
    let mut bytes = room[place / 2].to_ne_bytes();
    bytes[place % 2 * 4..][..4].copy_from_slice(&value.to_ne_bytes());
    room[place / 2] = u64::from_ne_bytes(bytes);
}

fn get(room: &[u64], place: usize) -> u32 {
    let bytes = room[place / 2].to_ne_bytes();
    let half = &bytes[place % 2 * 4..][..4];
    u32::from_ne_bytes([half[0], half[1], half[2], half[3]])
}

/// One request, whose answer is written into `room`.
fn ask(socket: &UdpSocket, device: &str, room: &mut [u64]) -> io::Result<()> {
    let mut request = Ifreq {
        name: [0; libc::IFNAMSIZ],
        data: room.as_mut_ptr(),
        rest: [0; 2],
    };
    let name = device.as_bytes();
    // One byte is left for the zero at the end.
    if name.len() >= request.name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    request.name[..name.len()].copy_from_slice(name);
    // SAFETY: The request outlives the call, and its pointer is to memory of our own. The kernel
    // writes one word per counter or a name of 32 bytes (net/ethtool/ioctl.c: ethtool_get_stats,
    // ethtool_get_strings), and there is room for ROOM of them, while a device whose count was asked
    // a moment ago had COUNTERS_MAX at most.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// How many counters a device has; 0 if none.
fn count(socket: &UdpSocket, device: &str) -> io::Result<usize> {
    // struct ethtool_sset_info: cmd, reserved, a mask of 64 bits, then the lengths.
    let mut room = words(ETHTOOL_GSSET_INFO, 0, 16);
    room[1] = 1 << ETH_SS_STATS;
    match ask(socket, device, &mut room) {
        Ok(()) if room[1] == 0 => Ok(0),
        Ok(()) => Ok(usize::try_from(get(&room, 4)).unwrap_or(usize::MAX)),
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Names and values of all counters of a device; none if its driver keeps none.
pub fn driver_stats(device: &str) -> io::Result<Vec<(String, u64)>> {
    // Any socket does; nothing is sent.
    let socket = UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("[::1]:0"))?;
    let count = count(&socket, device)?;
    if count == 0 {
        return Ok(Vec::new());
    }
    if count > COUNTERS_MAX {
        return Err(io::Error::other(format!("{count} counters are too many")));
    }
    let number = u32::try_from(count).unwrap_or(0);
    // struct ethtool_gstrings: cmd, string_set, len, names.
    let mut names = words(ETHTOOL_GSTRINGS, ETH_SS_STATS, 8 + ROOM * NAME_LEN);
    put(&mut names, 2, number);
    ask(&socket, device, &mut names)?;
    // struct ethtool_stats: cmd, n_stats, values.
    let mut values = words(ETHTOOL_GSTATS, number, ROOM * 8);
    ask(&socket, device, &mut values)?;
    if get(&names, 2) != number || get(&values, 1) != number {
        return Err(io::Error::other(
            "the driver's counters changed while they were read",
        ));
    }
    let text: Vec<u8> = names
        .iter()
        .take(2 + count * NAME_LEN / 8)
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    Ok(text[12..]
        .chunks_exact(NAME_LEN)
        .zip(&values[1..])
        .take(count)
        .map(|(name, value)| {
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(NAME_LEN);
            (String::from_utf8_lossy(&name[..end]).into_owned(), *value)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_words_are_kept_apart() {
        let mut room = words(1, 2, 8);
        assert_eq!((room.len(), get(&room, 0), get(&room, 1)), (2, 1, 2));
        put(&mut room, 2, 3);
        put(&mut room, 3, 4);
        assert_eq!((get(&room, 2), get(&room, 3)), (3, 4));
        assert_eq!((get(&room, 0), get(&room, 1)), (1, 2));
    }

    #[test]
    fn the_loopback_device_has_none_and_one_that_is_not_there_is_an_error() {
        assert_eq!(driver_stats("lo").unwrap(), []);
        let error = driver_stats("nosuch0").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        let error = driver_stats("a-name-that-is-too-long").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
