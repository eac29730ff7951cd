// SPDX-License-Identifier: GPL-2.0-or-later
//! update_sa: an SA, and the one of IPComp that goes with it, move to other addresses.
//!
//! Owns the decision whether an SA can move, the order of the two, and the way back if only one of
//! them could. Called by the methods in `mod.rs`. charon rekeys the CHILD_SA if an SA cannot move, so
//! that every refusal leaves the SAs as they were.

use crate::error::{Error, Result};
use crate::model::{Mode, Offload, Placement, SaId, SaUpdate, Selector};
use crate::sad::SaRecord;
use crate::xfrm::SaMove;

use super::Core;
use super::sa::{comp_id, keeps_selector};

impl Core {
    /// [`Error::NotSupported`] if charon should rekey instead.
    pub(super) fn update_sa(&self, id: &SaId, update: &SaUpdate) -> Result<()> {
        self.try_update_sa(id, update).map_err(|reason| {
            log::info!("unable to update SAD entry with SPI {}: {reason}", id.spi);
            Error::NotSupported(reason)
        })
    }

    fn try_update_sa(&self, id: &SaId, update: &SaUpdate) -> std::result::Result<(), String> {
        let key = id.key();
        let record = self.sad.get(&key);
        let inbound = match (&update.sa, &record) {
            (Some(sa), _) => sa.inbound,
            (None, Some(record)) => record.inbound,
            (None, None) => false,
        };
        let placement = self.placement_after(id, update, record.as_ref(), inbound)?;
        let (comp_selector, selector) = self.selectors_after(update)?;
        let change = SaMove {
            key: &key,
            src: id.src.ip,
            new_src: update.new_src,
            new_dst: update.new_dst,
            encap: update.encap,
            new_encap: update.new_encap,
            new_reqid: update.new_reqid,
            selector,
            inbound,
            placement,
        };
        log::debug!(
            "updating SAD entry with SPI {} from {} === {} to {} === {}",
            id.spi,
            id.src,
            id.dst,
            update.new_src,
            update.new_dst
        );
        // Where the kernel cannot move it, it is deleted and added.
        let _in_hand = self.recovery.take_in_hand(&key);
        match comp_id(id, update.cpi) {
            None => self
                .kernel
                .move_sa(&change)
                .map_err(|error| error.to_string())?,
            Some(comp) => {
                let comp_key = comp.key();
                let comp_change = SaMove {
                    key: &comp_key,
                    encap: false,
                    new_encap: false,
                    selector: comp_selector,
                    placement: Placement::Software,
                    ..change
                };
                self.kernel
                    .move_sa(&comp_change)
                    .map_err(|error| format!("CPI {}: {error}", comp.spi))?;
                if let Err(error) = self.kernel.move_sa(&change) {
                    let old_reqid = update.old_reqid.or(record.map(|record| record.reqid));
                    self.move_back(&comp, &comp_change, old_reqid);
                    return Err(error.to_string());
                }
            }
        }
        self.remember_move(id, update);
        Ok(())
    }

    /// Where the SA may go. An SA that the NIC handles alone stays: only the NIC knows its sequence
    /// number, and a copy would start at 1 again with the same key. One that the NIC only encrypts
    /// for may move as long as the device stays the same.
    fn placement_after(
        &self,
        id: &SaId,
        update: &SaUpdate,
        record: Option<&SaRecord>,
        inbound: bool,
    ) -> std::result::Result<Placement, String> {
        let placement = match (record, &update.sa) {
            (Some(record), _) => record.placement,
            (None, Some(sa)) if sa.offload == Offload::No => Placement::Software,
            // Not ours: the kernel knows where it is.
            (None, _) => {
                self.kernel
                    .get_sa(&id.key(), id.src.ip)
                    .map_err(|error| error.to_string())?
                    .placement
            }
        };
        let old = match placement {
            Placement::Software => return Ok(placement),
            Placement::Packet(ifindex) => {
                return Err(format!(
                    "its sequence number is known to {} only; the CHILD_SA is rekeyed instead",
                    self.device_name(ifindex)
                ));
            }
            Placement::Crypto(ifindex) => ifindex,
        };
        let (local, peer) = if inbound {
            (update.new_dst.ip, update.new_src.ip)
        } else {
            (update.new_src.ip, update.new_dst.ip)
        };
        match self.route_to(peer, Some(local), 0) {
            Some(route) if route.oif == old => Ok(placement),
            _ => Err(format!(
                "the route to {peer} leaves {}; the CHILD_SA is rekeyed instead",
                self.device_name(old)
            )),
        }
    }

    /// New selectors of the IPComp SA and of the SA itself, from what charon says. `None`: the one it
    /// has, with the new addresses where it names the old ones.
    fn selectors_after(
        &self,
        update: &SaUpdate,
    ) -> std::result::Result<(Option<Selector>, Option<Selector>), String> {
        let Some(sa) = &update.sa else {
            return Ok((None, None));
        };
        let selector = |mode: Mode| {
            let ts = (sa.src_ts.as_slice(), sa.dst_ts.as_slice());
            self.sa_selector(mode, ts, sa.interface.as_deref())
                .map_err(|error| error.to_string())
        };
        // As they were added: ESP behind IPComp is in transport mode.
        let own = if update.cpi != 0 && keeps_selector(sa.mode) {
            Mode::Transport
        } else {
            sa.mode
        };
        Ok((selector(sa.mode)?, selector(own)?))
    }

    /// The IPComp SA moved, the SA itself did not: both stay.
    fn move_back(&self, comp: &SaId, moved: &SaMove<'_>, old_reqid: Option<u32>) {
        let key = SaId {
            src: moved.new_src,
            dst: moved.new_dst,
            ..*comp
        }
        .key();
        let back = self.kernel.move_sa(&SaMove {
            key: &key,
            src: moved.new_src.ip,
            new_src: comp.src,
            new_dst: comp.dst,
            new_reqid: moved.new_reqid.and(old_reqid),
            selector: None,
            ..*moved
        });
        if let Err(error) = back {
            log::error!(
                "unable to move SAD entry with CPI {} back to {} === {}: {error}",
                comp.spi,
                comp.src,
                comp.dst
            );
        }
    }

    fn remember_move(&self, id: &SaId, update: &SaUpdate) {
        let Some(mut record) = self.sad.remove(&id.key()) else {
            return;
        };
        record.id.src = update.new_src;
        record.id.dst = update.new_dst;
        let reqid = update.new_reqid.unwrap_or(record.reqid);
        self.units.rename_sa(
            (record.reqid, (id.dst.ip, id.spi)),
            (reqid, record.id.key(), record.id.src.ip),
        );
        record.reqid = reqid;
        self.sad.insert(record);
    }
}
