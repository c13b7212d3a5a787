//! Large pages for tables that are looked into all over.
#![expect(unsafe_code, reason = "the kernel's advice on memory")]

/// An empty vector with room for so many, whose memory is to have pages of 2 MiB where the system has them to give: a table of many MiB
/// that is read at random else waits for the addresses of its pages as long as for what it holds. Where there are none, or it is small,
/// it is a vector like any other.
pub(super) fn in_large_pages<T>(capacity: usize) -> Vec<T> {
    let room: Vec<T> = Vec::with_capacity(capacity);
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        let bytes = room.capacity().saturating_mul(size_of::<T>());
        let start = room.as_ptr().addr().next_multiple_of(PAGE);
        let end = room.as_ptr().addr().saturating_add(bytes) / PAGE * PAGE;
        if (WORTH..=isize::MAX as usize).contains(&bytes) && start < end {
            let first = room.as_ptr().with_addr(start).cast_mut();
            // SAFETY: the range lies within what the vector holds, so that it is mapped as long as `room` lives. The advice changes
            // neither what memory holds nor what may be done with it, but for how large the pages are that stand behind it; where
            // the kernel refuses, everything is as it was.
            unsafe { libc::madvise(first.cast(), end - start, libc::MADV_HUGEPAGE) };
        }
    }
    room
}

/// A multiple of every size of page that there is on the platforms of this program.
#[cfg(all(target_os = "linux", not(miri)))]
const PAGE: usize = 65_536;
/// Below two large pages hardly one is whole.
#[cfg(all(target_os = "linux", not(miri)))]
const WORTH: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_them_stays() {
        for capacity in [0, 3, 1 << 20] {
            let mut numbers = in_large_pages(capacity);
            let before = numbers.as_ptr();
            numbers.extend(0..capacity as u64);
            assert_eq!(before, numbers.as_ptr());
            numbers.push(7);
            assert!((0..capacity as u64).chain([7]).eq(numbers));
        }
        assert_eq!(in_large_pages::<()>(9), []);
    }
}
