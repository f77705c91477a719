//! Reads volumes from the specification.

use super::json::{Raw, elements, pick, text};
use super::{Tally, limits};
use crate::model::{ClaimedVolume, Vmi};

/// Reads those of `spec.volumes` that a claim is behind.
pub(super) fn read(spec: Raw<'_>, vmi: &mut Vmi, tally: &mut Tally) {
    let [volumes] = pick(spec, ["volumes"], tally);
    let mut claimed = Vec::new();
    elements(volumes, limits::VOLUMES, tally, |raw, tally| {
        let [name, claim, data_volume, ephemeral] =
            pick(Some(raw), ["name", "persistentVolumeClaim", "dataVolume", "ephemeral"], tally);
        // What an ephemeral disk writes is lost; a claim is behind what it reads.
        let [behind] = pick(ephemeral, ["persistentVolumeClaim"], tally);
        let claim = claim.or(behind);
        let [claim] = pick(claim, ["claimName"], tally);
        let [data_volume] = pick(data_volume, ["name"], tally);
        let claim = text(claim, limits::NAME, tally);
        let data_volume = text(data_volume, limits::NAME, tally);
        // A DataVolume's claim has its name.
        let Some(claim) = claim.or_else(|| data_volume.clone()) else { return };
        let Some(name) = text(name, limits::NAME, tally) else { return };
        claimed.push(ClaimedVolume { name, claim, of_data_volume: data_volume.is_some() });
    });
    claimed.sort_by(|one: &ClaimedVolume, other| one.name.cmp(&other.name));
    vmi.volumes = claimed.into();
}
