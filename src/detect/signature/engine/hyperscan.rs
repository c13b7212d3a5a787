//! Hyperscan (or Vectorscan, which has the same interface), where the system has it: contents looked for at once, several times as fast as
//! `aho-corasick` can. The library is opened when rules are arranged, so neither building nor running needs it.
#![expect(
    unsafe_code,
    reason = "a library of C, opened at run time (its reference: intel.github.io/hyperscan, `hs_compile.h`, `hs_runtime.h`)"
)]

use libloading::{Library, Symbol};
use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};
use std::ptr::{null, null_mut};
use std::sync::{Arc, OnceLock};

/// The functions that are used, as the headers of version 5 declare them.
struct Functions {
    compile_literals: CompileLiterals,
    free_error: unsafe extern "C" fn(*mut c_void) -> c_int,
    free_database: unsafe extern "C" fn(*mut c_void) -> c_int,
    alloc_scratch: unsafe extern "C" fn(*const c_void, *mut *mut c_void) -> c_int,
    free_scratch: unsafe extern "C" fn(*mut c_void) -> c_int,
    scan: Scan,
    serialize: unsafe extern "C" fn(*const c_void, *mut *mut c_char, *mut usize) -> c_int,
    deserialize: unsafe extern "C" fn(*const c_char, usize, *mut *mut c_void) -> c_int,
    version: unsafe extern "C" fn() -> *const c_char,
    /// Keeps the functions above where they are.
    _library: Library,
}

type CompileLiterals = unsafe extern "C" fn(
    *const *const c_char,
    *const c_uint,
    *const c_uint,
    *const usize,
    c_uint,
    c_uint,
    *const c_void,
    *mut *mut c_void,
    *mut *mut c_void,
) -> c_int;

type Scan = unsafe extern "C" fn(
    *const c_void,
    *const c_char,
    c_uint,
    c_uint,
    *mut c_void,
    OnMatch,
    *mut c_void,
) -> c_int;

type OnMatch = unsafe extern "C" fn(c_uint, c_ulonglong, c_ulonglong, c_uint, *mut c_void) -> c_int;

/// Compiled contents.
pub(super) struct Database {
    functions: Arc<Functions>,
    compiled: *mut c_void,
}

/// What a scan writes to; one for each thread.
pub(super) struct Scratch {
    functions: Option<Arc<Functions>>,
    memory: *mut c_void,
}

// SAFETY: a compiled database is only read ("can be used by any number of threads at once", chapter Runtime of the reference), and the one
// function that ends it takes it when the last owner is gone.
unsafe impl Send for Database {}
// SAFETY: as above; no method gives it out for writing.
unsafe impl Sync for Database {}
// SAFETY: a scratch may be used by one thread at a time, whichever; every use needs `&mut`.
unsafe impl Send for Scratch {}

impl Database {
    /// Compiles contents, which match in any case of ASCII letters; the number of a content is its place. `None` without the library, and where it
    /// refuses (a processor without SSSE3).
    pub fn new(contents: &[Vec<u8>]) -> Option<Self> {
        let functions = functions()?;
        let count = c_uint::try_from(contents.len()).ok().filter(|n| *n > 0)?;
        if contents.iter().any(Vec::is_empty) {
            return None;
        }
        let pointers: Vec<*const c_char> = contents.iter().map(|c| c.as_ptr().cast()).collect();
        let lengths: Vec<usize> = contents.iter().map(Vec::len).collect();
        let flags = vec![CASELESS | SINGLE_MATCH; contents.len()];
        let ids: Vec<c_uint> = (0..count).collect();
        let (mut compiled, mut error) = (null_mut(), null_mut());
        // SAFETY: four arrays of `count` elements that outlive the call, contents with their lengths (they need no end mark), no platform (this one), and two places
        // for results. The function keeps none of the pointers.
        let code = unsafe {
            (functions.compile_literals)(
                pointers.as_ptr(),
                flags.as_ptr(),
                ids.as_ptr(),
                lengths.as_ptr(),
                count,
                MODE_BLOCK,
                null(),
                &raw mut compiled,
                &raw mut error,
            )
        };
        if !error.is_null() {
            // SAFETY: the error is one that the call above made, and it is not used any more.
            unsafe { (functions.free_error)(error) };
        }
        (code == 0 && !compiled.is_null()).then_some(Database {
            functions,
            compiled,
        })
    }

    /// A database that [`Database::to_bytes`] gave, of this version of the library on a processor of this kind. The bytes have to be those:
    /// the library proves their length, version, platform and checksum, not what the database makes it do.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let functions = functions()?;
        let mut compiled = null_mut();
        // SAFETY: as many bytes as are said, which the function copies what it needs of, and a place for the result.
        let code = unsafe {
            (functions.deserialize)(bytes.as_ptr().cast(), bytes.len(), &raw mut compiled)
        };
        (code == 0 && !compiled.is_null()).then_some(Database {
            functions,
            compiled,
        })
    }

    /// It as bytes.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let (mut start, mut length) = (null_mut(), 0);
        // SAFETY: the database is alive, and there are two places for results.
        let code =
            unsafe { (self.functions.serialize)(self.compiled, &raw mut start, &raw mut length) };
        if code != 0 || start.is_null() {
            return None;
        }
        // SAFETY: the function gave so many bytes at that place, and nobody else has them.
        let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) }.to_vec();
        // SAFETY: they come from `malloc`, which the library takes memory from unless it is told otherwise, which nobody does; they are not
        // used any more.
        unsafe { free(start.cast()) };
        Some(bytes)
    }

    /// Says the number of each content that is in the bytes. `false`: it could not look, or not to the end.
    pub fn scan(
        &self,
        bytes: &[u8],
        scratch: &mut Scratch,
        mut found: &mut dyn FnMut(u32),
    ) -> bool {
        let Ok(length) = c_uint::try_from(bytes.len()) else {
            return false;
        };
        if scratch.memory.is_null() {
            return false;
        }
        let context: *mut &mut dyn FnMut(u32) = &raw mut found;
        // SAFETY: the database is alive, the bytes are `length` long, the scratch is only here while it is borrowed, and `context` points to a closure that lives until
        // the call is over, which is what `on_match` takes it for. A scratch that was not made fit for this database is refused by its own mark (error, no access).
        let code = unsafe {
            (self.functions.scan)(
                self.compiled,
                bytes.as_ptr().cast(),
                length,
                0,
                scratch.memory,
                on_match,
                context.cast(),
            )
        };
        code == 0
    }
}

impl Default for Scratch {
    /// Fit for nothing yet.
    fn default() -> Self {
        Scratch {
            functions: None,
            memory: null_mut(),
        }
    }
}

impl Scratch {
    /// Makes it fit for one more database.
    pub fn fit(&mut self, database: &Database) {
        let functions = &database.functions;
        // SAFETY: the database is alive; `memory` is null or what this function gave before, and it is replaced by what it gives now.
        let code = unsafe { (functions.alloc_scratch)(database.compiled, &raw mut self.memory) };
        if code == 0 {
            self.functions = Some(functions.clone());
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: it was made by `compile_literals`, and nobody has it any more.
        unsafe { (self.functions.free_database)(self.compiled) };
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(functions) = &self.functions {
            // SAFETY: it was made by `alloc_scratch`, and nobody has it any more.
            unsafe { (functions.free_scratch)(self.memory) };
        }
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Database")
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scratch")
    }
}

/// Calls the closure; 0 goes on.
unsafe extern "C" fn on_match(
    id: c_uint,
    _from: c_ulonglong,
    _to: c_ulonglong,
    _flags: c_uint,
    context: *mut c_void,
) -> c_int {
    // SAFETY: `scan` is the only one who hands this function out, always with a pointer to such a closure that nobody else uses until it returns.
    let found = unsafe { &mut *context.cast::<&mut dyn FnMut(u32)>() };
    found(id);
    0
}

unsafe extern "C" {
    /// Of the C library that the process has (ISO C, 7.22.3.3), whose `malloc` the library calls, too.
    fn free(memory: *mut c_void);
}

/// The version of the library; none where it is not there.
pub(super) fn version() -> Option<String> {
    let functions = functions()?;
    // SAFETY: the function takes nothing and gives a text that ends with a zero and stays as long as the library does.
    let text = unsafe { std::ffi::CStr::from_ptr((functions.version)()) };
    Some(text.to_string_lossy().into_owned())
}

/// The library, opened once.
fn functions() -> Option<Arc<Functions>> {
    static FUNCTIONS: OnceLock<Option<Arc<Functions>>> = OnceLock::new();
    FUNCTIONS.get_or_init(|| open().map(Arc::new)).clone()
}

fn open() -> Option<Functions> {
    // SAFETY: the library has no initialiser beyond the choice of code by processor. Its name has the number of the interface, 5, whose functions have the types
    // that are said above; they are not called once the library is gone, because it is kept beside them.
    unsafe {
        let library = Library::new("libhs.so.5").ok()?;
        let valid: Symbol<'_, unsafe extern "C" fn() -> c_int> =
            library.get(b"hs_valid_platform\0").ok()?;
        if valid() != 0 {
            return None;
        }
        Some(Functions {
            compile_literals: *library.get(b"hs_compile_lit_multi\0").ok()?,
            free_error: *library.get(b"hs_free_compile_error\0").ok()?,
            free_database: *library.get(b"hs_free_database\0").ok()?,
            alloc_scratch: *library.get(b"hs_alloc_scratch\0").ok()?,
            free_scratch: *library.get(b"hs_free_scratch\0").ok()?,
            scan: *library.get(b"hs_scan\0").ok()?,
            serialize: *library.get(b"hs_serialize_database\0").ok()?,
            deserialize: *library.get(b"hs_deserialize_database\0").ok()?,
            version: *library.get(b"hs_version\0").ok()?,
            _library: library,
        })
    }
}

const CASELESS: c_uint = 1;
const SINGLE_MATCH: c_uint = 8;
const MODE_BLOCK: c_uint = 1;
