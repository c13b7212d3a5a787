//! The reader of spool files: any bytes, and any bytes behind a valid prefix.

#![no_main]

use flowhouse::sink::spool::{Positions, format};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = format::image(bytes);
    let _ = Positions::decode(bytes);
    let mut file = format::MAGIC.to_vec();
    file.extend(format::VERSION.to_le_bytes());
    let header = bytes.len() / 2;
    file.extend((header as u32).to_le_bytes());
    file.extend(format::checksum(&bytes[..header]).to_le_bytes());
    file.extend(bytes);
    let _ = format::image(&file);
});
