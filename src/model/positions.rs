//! How far each sequence had come when a bundle was sealed: the list that a bundle carries, decode writes and reads, and a
//! spool keeps.
//!
//! An entry is the length of its key (u16), the key and a value (u64), little-endian. What a key is only its writer knows, but
//! for its first byte; of equal keys the later entry counts.

/// Writes one entry to the end of a list.
///
/// # Errors
/// The key, when it is longer than 65,535 bytes.
pub fn put<'k>(list: &mut Vec<u8>, key: &'k [u8], value: u64) -> Result<(), &'k [u8]> {
    let len = u16::try_from(key.len()).map_err(|_| key)?;
    list.extend(len.to_le_bytes());
    list.extend(key);
    list.extend(value.to_le_bytes());
    Ok(())
}

/// Key and value of the first entry, and the list behind it; `None` where it is not whole.
pub fn first(list: &[u8]) -> Option<(&[u8], u64, &[u8])> {
    let (len, rest) = list.split_first_chunk::<2>()?;
    let (key, rest) = rest.split_at_checked(u16::from_le_bytes(*len).into())?;
    let (value, rest) = rest.split_first_chunk::<8>()?;
    Some((key, u64::from_le_bytes(*value), rest))
}

/// Keys and values of a list; it ends where an entry is not whole.
pub fn entries(mut list: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    std::iter::from_fn(move || {
        let (key, value, rest) = first(list)?;
        list = rest;
        Some((key, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read_up_to_the_first_entry_that_is_cut() {
        let long = [7; u16::MAX as usize];
        let all: [(&[u8], u64); 3] = [(b"", 1), (b"key", u64::MAX), (&long, 3)];
        let (mut list, mut ends) = (vec![], vec![0]);
        for (key, value) in all {
            put(&mut list, key, value).expect("not too long");
            ends.push(list.len());
        }
        for cut in (0..40).chain([list.len() - 1, list.len()]) {
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let read: Vec<_> = entries(&list[..cut]).collect();
            assert_eq!(read, all[..whole], "{cut}");
        }
        let longer = [7; u16::MAX as usize + 1];
        assert_eq!(put(&mut list, &longer, 1), Err(&longer[..]));
        assert_eq!(list.len(), ends[3], "nothing was written");
    }
}
