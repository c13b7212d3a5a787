//! Integration tests, one module a room.

mod decode;
