//! Live capture: frames from interfaces, and from files that others write into a folder, to the capture shards.
//!
//! Owns: [`Tap`] (an interface, read by one thread), [`Watch`] (a folder, read by another), [`FrameRouter`] (frames to shards), [`FrameBatch`] (what carries
//! them), [`CaptureStats`] (what control reads). Why one reader an interface that hashes, and not the kernel's fan-out:
//! that takes the ports into its hash where there are any, so the fragments of a packet and the outside of a tunnel
//! would be scattered over shards that share nothing.

mod batch;
mod published;
mod route;
mod seen;
mod settings;
mod tap;
mod watch;

pub use batch::{FrameBatch, Spread};
pub use published::CaptureStats;
pub use route::FrameRouter;
pub use settings::{Direction, Settings};
pub use tap::{Tap, open};
pub use watch::{FileCounts, Watch};
