//! Calling memory into the cache before it is needed.
#![expect(unsafe_code, reason = "the processor's prefetch instruction")]

/// Asks the processor for the cache lines of a value; they come while something else is done. Where there is no such
/// instruction it does nothing.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = std::ptr::from_ref(value).cast::<i8>();
        for line in (0..size_of::<T>()).step_by(LINE) {
            // SAFETY: a prefetch is a hint: it reads nothing that the program can see, writes nothing and never faults,
            // whatever the address. SSE, which it needs, is part of x86_64. The address is computed without any claim
            // about the memory behind it (`wrapping_add`).
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line)) };
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = value;
}

/// Bytes of a cache line.
#[cfg(all(target_arch = "x86_64", not(miri)))]
const LINE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_changes_nothing() {
        let values: Vec<[u64; 40]> = (0..9).map(|n| [n; 40]).collect();
        values.iter().for_each(prefetch);
        prefetch(&());
        assert!((0..9).zip(&values).all(|(n, v)| *v == [n; 40]));
    }
}
