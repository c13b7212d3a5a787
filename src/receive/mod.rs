//! Bytes from the world into pooled buffers.
