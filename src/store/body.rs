//! Request bodies: from the network, through content encodings, out of ClickHouse's checksummed blocks.

use super::error::{Exception, Name};
use axum::body::Body;
use bytes::{Buf, Bytes};
use cityhash_rs::cityhash_102_128;
use http_body_util::BodyExt;
use std::io::{BufReader, Read};
use std::time::Duration;
use tokio::runtime::Handle;

/// A request's body as blocking bytes.
pub struct BodyReader {
    body: Body,
    chunk: Bytes,
    handle: Handle,
    stall_max: Duration,
}

impl BodyReader {
    /// Reads `body` from a thread outside the runtime of `handle`.
    pub fn new(body: Body, handle: Handle, stall_max: Duration) -> BodyReader {
        BodyReader {
            body,
            chunk: Bytes::new(),
            handle,
            stall_max,
        }
    }

    fn fill(&mut self) -> std::io::Result<bool> {
        while self.chunk.is_empty() {
            let next = self
                .handle
                .block_on(async { tokio::time::timeout(self.stall_max, self.body.frame()).await });
            match next {
                Err(_) => {
                    return Err(Exception::new(
                        Name::SocketTimeout,
                        "The request's body stopped coming",
                    )
                    .into());
                }
                Ok(None) => return Ok(false),
                Ok(Some(Err(error))) => {
                    return Err(Exception::new(
                        Name::CannotReadAllData,
                        format!("The request's body broke off: {error}"),
                    )
                    .into());
                }
                Ok(Some(Ok(frame))) => self.chunk = frame.into_data().unwrap_or_default(),
            }
        }
        Ok(true)
    }
}

impl Read for BodyReader {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if !self.fill()? {
            return Ok(0);
        }
        let length = self.chunk.len().min(out.len());
        self.chunk.copy_to_slice(&mut out[..length]);
        Ok(length)
    }
}

/// Undoes `Content-Encoding` and, with `blocks`, ClickHouse's compressed blocks.
pub fn decoded<'a>(
    body: impl Read + 'a,
    encoding: &str,
    blocks: bool,
) -> Result<Box<dyn Read + 'a>, Exception> {
    let plain: Box<dyn Read + 'a> = match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Box::new(body),
        "gzip" => Box::new(Named(flate2::read::MultiGzDecoder::new(body))),
        "deflate" => Box::new(Named(flate2::read::ZlibDecoder::new(body))),
        "zstd" => Box::new(Named(zstd::Decoder::new(body)?)),
        "lz4" => Box::new(Named(lz4_flex::frame::FrameDecoder::new(body))),
        other => {
            return Err(Exception::new(
                Name::NotImplemented,
                format!("Unknown Content-Encoding {other}"),
            ));
        }
    };
    Ok(if blocks {
        Box::new(BlockReader::new(plain))
    } else {
        plain
    })
}

/// Gives a decoder's own errors ClickHouse's name.
struct Named<R>(R);

impl<R: Read> Read for Named<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(out).map_err(|error| {
            match error.get_ref().is_some_and(|inner| inner.is::<Exception>()) {
                true => error,
                false => Exception::new(
                    Name::CannotDecompress,
                    format!("Cannot decompress the request's body: {error}"),
                )
                .into(),
            }
        })
    }
}

/// Reads ClickHouse's blocks: CityHash128 of the rest, method, both sizes, data.
pub struct BlockReader<R> {
    inner: BufReader<R>,
    block: Vec<u8>,
    at: usize,
}

impl<R: Read> BlockReader<R> {
    /// Reads blocks from `inner`.
    pub fn new(inner: R) -> BlockReader<R> {
        BlockReader {
            inner: BufReader::with_capacity(1 << 16, inner),
            block: Vec::new(),
            at: 0,
        }
    }

    /// Reads and expands the next block; says no at the end.
    fn next(&mut self) -> std::io::Result<bool> {
        let mut checksum = [0; 16];
        let got = read_full(&mut self.inner, &mut checksum)?;
        if got == 0 {
            return Ok(false);
        }
        let mut frame = vec![0; HEADER_BYTES];
        if got < checksum.len() || read_full(&mut self.inner, &mut frame)? < HEADER_BYTES {
            return Err(truncated());
        }
        let size = |at: usize| {
            u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]) as usize
        };
        let (compressed, expanded) = (size(1), size(5));
        if !(HEADER_BYTES..=BLOCK_BYTES_MAX).contains(&compressed) || expanded > BLOCK_BYTES_MAX {
            return Err(bad_block(format!(
                "compressed block of {compressed} to {expanded} bytes"
            )));
        }
        frame.resize(compressed, 0);
        if read_full(&mut self.inner, &mut frame[HEADER_BYTES..])? < compressed - HEADER_BYTES {
            return Err(truncated());
        }
        if city_hash(&frame) != checksum {
            return Err(Exception::new(
                Name::ChecksumDoesntMatch,
                "Checksum doesn't match: corrupted data in the request's body",
            )
            .into());
        }
        self.block = expand(frame[0], &frame[HEADER_BYTES..], expanded)?;
        self.at = 0;
        Ok(true)
    }
}

impl<R: Read> Read for BlockReader<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.block.len() {
            if !self.next()? {
                return Ok(0);
            }
        }
        let length = out.len().min(self.block.len() - self.at);
        out[..length].copy_from_slice(&self.block[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// One block around `data`, LZ4-compressed.
pub fn block(data: &[u8]) -> Vec<u8> {
    let packed = lz4_flex::block::compress(data);
    let mut frame = Vec::with_capacity(packed.len() + HEADER_BYTES);
    frame.push(METHOD_LZ4);
    frame.extend_from_slice(
        &u32::try_from(packed.len() + HEADER_BYTES)
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    frame.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend_from_slice(&packed);
    let mut out = city_hash(&frame).to_vec();
    out.extend_from_slice(&frame);
    out
}

fn expand(method: u8, data: &[u8], size: usize) -> std::io::Result<Vec<u8>> {
    let expanded = match method {
        METHOD_NONE => data.to_vec(),
        METHOD_LZ4 => {
            lz4_flex::block::decompress(data, size).map_err(|error| bad_block(error.to_string()))?
        }
        METHOD_ZSTD => {
            let mut out = Vec::new();
            let limit = size as u64 + 1;
            zstd::Decoder::new(data)?
                .take(limit)
                .read_to_end(&mut out)
                .map_err(|error| bad_block(error.to_string()))?;
            out
        }
        other => {
            return Err(bad_block(format!(
                "unknown compression method 0x{other:02x}"
            )));
        }
    };
    match expanded.len() == size {
        true => Ok(expanded),
        false => Err(bad_block(format!(
            "expands to {} bytes, not {size}",
            expanded.len()
        ))),
    }
}

/// The checksum as it stands on the wire: the low half first, each half little-endian.
fn city_hash(frame: &[u8]) -> [u8; 16] {
    let hash = cityhash_102_128(frame);
    let (high, low) = ((hash >> 64) as u64, hash as u64);
    let mut out = [0; 16];
    out[..8].copy_from_slice(&high.to_le_bytes());
    out[8..].copy_from_slice(&low.to_le_bytes());
    out
}

fn truncated() -> std::io::Error {
    Exception::new(
        Name::CannotReadAllData,
        "Truncated compressed block in the request's body",
    )
    .into()
}

fn bad_block(why: String) -> std::io::Error {
    Exception::new(
        Name::CannotDecompress,
        format!("Cannot decompress the request's body: {why}"),
    )
    .into()
}

fn read_full(source: &mut impl Read, out: &mut [u8]) -> std::io::Result<usize> {
    let mut got = 0;
    while got < out.len() {
        match source.read(&mut out[got..])? {
            0 => break,
            length => got += length,
        }
    }
    Ok(got)
}

const HEADER_BYTES: usize = 9;
const BLOCK_BYTES_MAX: usize = 256 << 20;
const METHOD_NONE: u8 = 0x02;
const METHOD_LZ4: u8 = 0x82;
const METHOD_ZSTD: u8 = 0x90;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        BlockReader::new(bytes).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn blocks_round_trip() {
        let mut wire = block(b"hello hello hello");
        wire.extend(block(&[7; 100_000]));
        let out = read(&wire).expect("blocks");
        assert_eq!(out.len(), 17 + 100_000);
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let wire = block(b"some data that matters");
        for at in 0..wire.len() {
            let mut bad = wire.clone();
            bad[at] ^= 0x40;
            assert!(read(&bad).is_err(), "byte {at}");
        }
        for length in 1..wire.len() {
            assert_eq!(
                Exception::from(read(&wire[..length]).expect_err("cut")).code,
                33,
                "length {length}"
            );
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(&bytes);
        }
    }
}
