//! How the C library's heap treats large pieces of memory.
#![expect(unsafe_code, reason = "the C library's settings of its heap")]

/// Gives every large piece of memory pages of its own, which go back to the system when it is free. Left to itself the GNU C library
/// learns after the first few frees to keep pieces of up to 32 MiB in heaps, one for each thread that ever asked for one; bodies of a
/// few MiB that are made, read and freed by many threads then add up to several times what is in use. False where the C library has no
/// such setting, or refused.
///
/// To be called before there are threads.
pub fn return_large_memory() -> bool {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: the call takes two integers by value and writes a variable of the allocator. That it is not safe beside other
        // threads means that they may see the old value for a while: both are valid, and what was allocated stays as it is.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) == 1 }
    }
    #[cfg(not(target_env = "gnu"))]
    false
}

/// Bytes from which on memory is large: above a column of a flow batch, below a body.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 256 << 10;

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_freed_leaves_the_process() {
        // what other tests freed before teaches the library otherwise: this one has a process of its own
        if std::env::var_os(ALONE).is_none() {
            let name = "assemble::heap::tests::what_is_freed_leaves_the_process";
            let own = std::env::current_exe().expect("this program");
            let done = std::process::Command::new(own)
                .args(["--exact", name])
                .env(ALONE, "1")
                .output()
                .expect("it runs");
            let said = String::from_utf8_lossy(&done.stdout);
            assert!(done.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        assert!(return_large_memory());
        // this is what teaches the library to keep such pieces
        drop(vec![1u8; 16 << 20]);
        let piece = vec![1u8; 8 << 20];
        let before = resident();
        drop(piece);
        assert!(resident() + (4 << 20) < before, "it is kept");
    }

    const ALONE: &str = "FLOWHOUSE_TEST_ALONE";

    fn resident() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("the kernel's figures");
        let pages = statm
            .split(' ')
            .nth(1)
            .and_then(|n| n.parse::<usize>().ok());
        pages.expect("a number") * 4096
    }
}
