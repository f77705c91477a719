//! Start timestamps of series. Pure.
//!
//! The start of the incarnation if that was observed; else *exactly* the timestamp of the first reading, since
//! receivers take a start before the first point as a promise that everything counted happened since. A counter that
//! goes back moves the start of its set to the timestamp of that reading: a value never drops while its start stays.

use crate::model::{Since, Timestamp};

/// Something that has counters.
pub(super) trait Counters {
    /// An array with a place for each of its counters in the catalogue.
    type Values: AsRef<[Option<u64>]> + AsMut<[Option<u64>]> + Copy + Default + std::fmt::Debug;

    /// The values of its counters; `None` where libvirt reported none.
    fn counters(&self) -> Self::Values;
}

/// One of several things of a kind, identified by a name that does not change.
pub(super) trait Named {
    /// The name.
    type Name: Clone + PartialEq + std::fmt::Debug;

    /// Its name.
    fn name(&self) -> &Self::Name;
}

/// A set of counters that share a start: those of the CPU, of one disk, of one interface.
#[derive(Debug, Clone, Copy)]
pub(super) struct Series<V> {
    start: Timestamp,
    /// Whether the counters stood at zero at `start`. If not, `start` is the timestamp of a first reading, and a
    /// counter that appears later cannot share it.
    from_zero: bool,
    last: V,
}

impl<V: AsRef<[Option<u64>]> + AsMut<[Option<u64>]> + Copy> Series<V> {
    fn begin(seen: Option<Timestamp>, at: Timestamp, values: V) -> Self {
        Self { start: seen.unwrap_or(at), from_zero: seen.is_some(), last: values }
    }

    /// Whether one of these is lower than it was.
    pub(super) fn went_back(&self, values: &V) -> bool {
        let mut pairs = self.last.as_ref().iter().zip(values.as_ref());
        pairs.any(|(last, value)| matches!((last, value), (Some(last), Some(value)) if value < last))
    }

    /// Takes in the next reading, and returns its start.
    fn follow(&mut self, at: Timestamp, values: V) -> Timestamp {
        if self.went_back(&values) {
            *self = Self::begin(None, at, values);
            return at;
        }
        let mut appeared = false;
        for (last, value) in self.last.as_mut().iter_mut().zip(values.as_ref()) {
            appeared |= last.is_none() && value.is_some();
            // A value that is absent this time is remembered: it may come back lower.
            *last = value.or(*last);
        }
        if appeared && !self.from_zero {
            self.start = at;
        }
        self.start
    }
}

/// Devices of one kind that come and go, each with its own start.
#[derive(Debug, Clone)]
pub(super) struct Devices<N, V> {
    start: Timestamp,
    each: Vec<(N, Series<V>)>,
}

impl<N: Clone + PartialEq, V: AsRef<[Option<u64>]> + AsMut<[Option<u64>]> + Copy> Devices<N, V> {
    /// The series of this name; looks at its old place first, since most lists never change.
    fn find(&self, place: usize, name: &N) -> Option<&Series<V>> {
        match self.each.get(place) {
            Some((found, series)) if found == name => Some(series),
            _ => self.each.iter().find(|(found, _)| found == name).map(|(_, series)| series),
        }
    }
}

/// Follows one set of counters.
pub(super) fn one<T: Counters>(
    series: &mut Option<Series<T::Values>>,
    seen: Option<Timestamp>,
    at: Timestamp,
    value: &T,
) -> Timestamp {
    match series {
        Some(series) => series.follow(at, value.counters()),
        None => series.insert(Series::begin(seen, at, value.counters())).start,
    }
}

/// Follows a whole list. An entry missing from it is forgotten: when it comes back it starts again.
pub(super) fn each<T: Counters + Named>(
    devices: &mut Option<Devices<T::Name, T::Values>>,
    seen: Option<Timestamp>,
    at: Timestamp,
    values: Vec<T>,
) -> (Timestamp, Vec<Since<T>>) {
    // Those of the first list were there when the incarnation began; later ones were plugged in since.
    let (start, born) = match devices {
        Some(devices) => (devices.start, None),
        None => (seen.unwrap_or(at), seen),
    };
    let mut followed = Vec::with_capacity(values.len());
    let mut since = Vec::with_capacity(values.len());
    for (place, value) in values.into_iter().enumerate() {
        let known = devices.as_ref().and_then(|devices| devices.find(place, value.name()));
        let series = match known {
            Some(series) => {
                let mut series = *series;
                series.follow(at, value.counters());
                series
            }
            None => Series::begin(born, at, value.counters()),
        };
        followed.push((value.name().clone(), series));
        since.push(Since { start: series.start, value });
    }
    *devices = Some(Devices { start, each: followed });
    (start, since)
}

/// Forgets the entries at the end that are not shown.
pub(super) fn keep<N, V>(devices: &mut Option<Devices<N, V>>, shown: Option<usize>) {
    if let Some((devices, shown)) = devices.as_mut().zip(shown) {
        devices.each.truncate(shown);
        devices.each.shrink_to_fit();
    }
}

/// Whether a counter of one of these went back.
pub(super) fn any_went_back<T: Counters + Named>(
    devices: Option<&Devices<T::Name, T::Values>>,
    values: Option<&[T]>,
) -> bool {
    let (Some(devices), Some(values)) = (devices, values) else { return false };
    values.iter().enumerate().any(|(place, value)| {
        devices.find(place, value.name()).is_some_and(|series| series.went_back(&value.counters()))
    })
}
