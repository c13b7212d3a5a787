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

/// Has the heap of the first thread lie in large pages, so that the processor finds what lies far apart sooner: what is allocated next, up to so
/// many bytes. They are address space and no memory until something is in them. False where the system has no such pages, or does not leave
/// them to programs, and where there is no room.
///
/// For a program that does its work on that thread; to be called before there are others.
pub fn lie_in_large_pages(bytes: usize) -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: the settings are as above. `malloc` gives so many bytes that nobody else has, or none; the advice is about whole pages among them
        // and changes how they are mapped, not what is in them; `free` takes them back, and nobody uses them after it. They stay the heap's,
        // because it is told before to give nothing back.
        unsafe {
            if libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX) != 1
                || libc::mallopt(libc::M_MMAP_MAX, 0) != 1
            {
                return false;
            }
            let room = libc::malloc(bytes);
            // as many as there were
            libc::mallopt(libc::M_MMAP_MAX, MAPPED_MAX);
            if room.is_null() {
                return false;
            }
            let skipped = room.align_offset(PAGE);
            let whole = bytes.saturating_sub(skipped) / PAGE * PAGE;
            let done = libc::madvise(room.byte_add(skipped), whole, libc::MADV_HUGEPAGE) == 0;
            libc::free(room);
            done
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    {
        let _ = bytes;
        false
    }
}

/// Pieces of memory that may have pages of their own, as the GNU C library has it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_MAX: i32 = 65_536;
/// Bytes of a page on most machines; where pages are larger, the advice is refused.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const PAGE: usize = 4_096;
/// Bytes from which on memory is large: above a column of a flow batch, below a body.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 256 << 10;

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    /// Runs a test in a process of its own: what others did before changes what the library does. False in that process.
    fn is_left_to_another(name: &str) -> bool {
        if std::env::var_os(ALONE).is_some() {
            return false;
        }
        let own = std::env::current_exe().expect("this program");
        let done = std::process::Command::new(own)
            .args(["--exact", &format!("assemble::heap::tests::{name}")])
            .env(ALONE, "1")
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
        true
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_heap_is_to_lie_in_large_pages() {
        if is_left_to_another("the_heap_is_to_lie_in_large_pages") {
            return;
        }
        if !lie_in_large_pages(16 << 20) {
            eprintln!("NOT TESTED: there are no large pages, or no room");
            return;
        }
        // allocating goes on, in small pieces and in large ones
        let pieces: Vec<Vec<u8>> = (0..1_000).map(|n| vec![n as u8; 20 * n]).collect();
        let large = vec![7u8; 40 << 20];
        let same = |(n, piece): (usize, &Vec<u8>)| piece.iter().all(|b| *b == n as u8);
        assert!(pieces.iter().enumerate().all(same) && large[large.len() - 1] == 7);
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("the kernel's list");
        let flags = maps.lines().filter(|l| l.starts_with("VmFlags:"));
        assert!(flags.clone().any(|l| l.contains(" hg")), "{maps}");
    }

    #[test]
    fn what_is_freed_leaves_the_process() {
        if is_left_to_another("what_is_freed_leaves_the_process") {
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
