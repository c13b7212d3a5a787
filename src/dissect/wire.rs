//! Reads that know where the bytes end; big-endian unless the name says otherwise.

/// The octet at `at`.
#[inline(always)]
pub(super) fn u8_at(b: &[u8], at: usize) -> Option<u8> {
    b.get(at).copied()
}

/// The 16-bit number at `at`.
#[inline(always)]
pub(super) fn u16_at(b: &[u8], at: usize) -> Option<u16> {
    array_at(b, at).map(u16::from_be_bytes)
}

/// The 32-bit number at `at`.
#[inline(always)]
pub(super) fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    array_at(b, at).map(u32::from_be_bytes)
}

/// The 32-bit number at `at`, little-endian.
#[inline(always)]
pub(super) fn u32_le_at(b: &[u8], at: usize) -> Option<u32> {
    array_at(b, at).map(u32::from_le_bytes)
}

/// The 48 bits at `at`, a MAC address.
#[inline(always)]
pub(super) fn mac_at(b: &[u8], at: usize) -> Option<u64> {
    let m: [u8; 6] = array_at(b, at)?;
    Some(u64::from_be_bytes([
        0, 0, m[0], m[1], m[2], m[3], m[4], m[5],
    ]))
}

/// `N` octets at `at`.
#[inline(always)]
pub(super) fn array_at<const N: usize>(b: &[u8], at: usize) -> Option<[u8; N]> {
    b.get(at..at.checked_add(N)?)?.try_into().ok()
}
