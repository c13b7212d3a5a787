//! One binary, a module per room.

mod aggregate;
mod store;
