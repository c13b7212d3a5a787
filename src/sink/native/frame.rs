//! Compressed frames as ClickHouse reads them with `decompress=1`: 16 bytes of CityHash 1.0.2, then method, length
//! with this header, raw length (both u32, little-endian), then the LZ4 block.

use bytes::Bytes;
use lz4_flex::block::{compress_into, get_maximum_output_size};

/// Compresses `raw` into frames of 1 MiB, into `out`, which is emptied first.
pub(super) fn lz4(raw: &[u8], mut out: Vec<u8>) -> Bytes {
    let most = |n: usize| HEAD + get_maximum_output_size(n);
    let mut at = 0;
    for chunk in raw.chunks(FRAME) {
        let end = at + most(chunk.len());
        if out.len() < end {
            out.resize(end, 0);
        }
        let frame = &mut out[at..end];
        // the output has the room that the codec asks for, so it cannot fail; a frame of 0 bytes would be refused
        let packed = compress_into(chunk, &mut frame[HEAD..]).unwrap_or(0);
        let len = HEAD + packed;
        frame[SUM] = LZ4;
        let packed_len = (len - SUM) as u32;
        frame[SUM + 1..SUM + 5].copy_from_slice(&packed_len.to_le_bytes());
        frame[SUM + 5..HEAD].copy_from_slice(&(chunk.len() as u32).to_le_bytes());
        let sum = cityhash_rs::cityhash_102_128(&frame[SUM..len]).rotate_right(64);
        frame[..SUM].copy_from_slice(&sum.to_le_bytes());
        at += len;
    }
    out.truncate(at);
    Bytes::from(out)
}

/// The raw bytes of frames; `None` where they are damaged.
pub(super) fn unpack(mut packed: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while !packed.is_empty() {
        let word = |at: usize| {
            let bytes = packed.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(bytes) as usize)
        };
        let (len, raw) = (word(SUM + 1)?, word(SUM + 5)?);
        let end = SUM.checked_add(len).filter(|e| *e <= packed.len())?;
        let block = packed.get(HEAD..end)?;
        if packed[SUM] != LZ4 || raw > FRAME {
            return None;
        }
        out.extend(lz4_flex::block::decompress(block, raw).ok()?);
        packed = &packed[end..];
    }
    Some(out)
}

const FRAME: usize = 1 << 20;
const SUM: usize = 16;
const HEAD: usize = SUM + 9;
const LZ4: u8 = 0x82;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_decompress_to_what_went_in() {
        let raw: Vec<u8> = (0..FRAME + 1000).map(|i| (i / 7) as u8).collect();
        let packed = lz4(&raw, vec![1; 3]);
        assert_eq!(unpack(&packed), Some(raw));
        assert_eq!(unpack(&packed[..packed.len() - 1]), None);
    }
}
