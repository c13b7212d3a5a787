//! Usage: bandwidth per application, QoS class and interface, pro-rated over minutes (contracts section 5); the same between
//! named networks; and by the addresses that talk most.
//!
//! Owns: [`Usage`], the sums of an open bundle; the talkers of some seconds; [`Quality`], histograms of what packets tell. Never: clocks, names, I/O. Why: computed per sealed bundle and shipped
//! in it, so a crash loses flows and their usage together or not at all.
//!
//! What is booked where. Every flow counts for (`in_if`, ingress) and, where `out_if` is known and not 0, for
//! (`out_if`, egress). Element 61 says at which of the two the record was metered; without it that is the ingress. The
//! other one is inferred: marked, and left out once the exporter has sent a record metered there. A record metered at
//! an egress that it does not name counts for its ingress, not inferred. Element 61 is learned row by row, so the
//! result does not depend on where batches or bundles end.
//!
//! `in_if` 0 is an interface that the exporter does not know. sFlow packs more than an ifIndex into its interfaces:
//! `in_if` 0x3fffffff is the exporter itself and is booked under that number; an `out_if` of 0x3fffffff (the exporter
//! itself), with format 1 (discarded) or format 2 (several) in its two top bits is no interface: nothing is booked for
//! the egress.

mod doubt;
mod metered;
mod pending;
mod quality;
mod series;
mod settings;
mod shares;
mod state;
mod sums;
mod talkers;
mod usage;

pub use quality::{Histogram, QUALITY_MEASURES, Quality, QualityMeasure};
pub use series::{Bandwidth, OTHER, Series};
pub use settings::{Reference, Settings};
pub use state::StateError;
pub use usage::Usage;
