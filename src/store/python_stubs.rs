//! The CPython symbols that the engine library of the PyPI wheel refers to, so that it loads without Python.
//!
//! The list is that of the pinned wheel, made with
//! `nm -D _chdb.abi3.so | awk '$1 == "U" && $2 ~ /^_?Py/ {print $2}' | sort`; `library::check_symbols` compares it
//! with the library at hand before anything is loaded.
//!
//! # Why this is sound
//!
//! - Exporting an unmangled symbol is unsafe because it could take the place of one that other code defines. All names
//!   here are CPython's (`Py*`, `_Py*`); this program never links CPython.
//! - `Py_IsInitialized` answers 0, with CPython's signature. The engine asks it before it touches Python objects; its
//!   ADBC entry, the only one we call, has none.
//! - Every other function aborts the process. It never returns and never reads an argument, so the caller's signature
//!   does not matter under the C calling convention.
//! - The data symbols are zeroed, immutable to Rust, and never read by it. They are larger than CPython's own objects of these names
//!   (`PyTypeObject` is about 420 bytes), writable through `UnsafeCell`, and only their addresses are taken by the library.
#![allow(non_snake_case, non_upper_case_globals)]
#![expect(unsafe_code, reason = "exports symbols by name; proof in the header")]

use std::cell::UnsafeCell;

/// Room for one CPython object that is only ever addressed.
#[repr(C, align(16))]
pub struct Object(UnsafeCell<[u64; 64]>);

// SAFETY: Rust never reads or writes the cell; it exists so that the library may hold its address.
unsafe impl Sync for Object {}

macro_rules! functions {
    ($($name:ident),* $(,)?) => { $(
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub extern "C" fn $name() {
            std::process::abort()
        }
    )* };
}

macro_rules! objects {
    ($($name:ident),* $(,)?) => { $(
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub static $name: Object = Object(UnsafeCell::new([0; 64]));
    )* };
}

/// There is no interpreter.
#[unsafe(no_mangle)]
pub extern "C" fn Py_IsInitialized() -> std::ffi::c_int {
    0
}

objects! {
    PyBool_Type, PyByteArray_Type, PyCapsule_Type, PyDict_Type, PyExc_ImportError, PyExc_IndexError,
    PyExc_RuntimeError, PyExc_SystemError, PyExc_TypeError, PyExc_ValueError, PyFloat_Type, PyFrozenSet_Type,
    PyMemoryView_Type, PyProperty_Type, PySet_Type, _Py_FalseStruct, _Py_NoneStruct, _Py_TrueStruct,
}

functions! {
    PyByteArray_AsString, PyByteArray_FromStringAndSize, PyByteArray_Size, PyBytes_AsString, PyBytes_AsStringAndSize,
    PyBytes_FromObject, PyBytes_FromString, PyBytes_FromStringAndSize, PyBytes_Size, PyCallable_Check,
    PyCapsule_GetName, PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_New, PyDict_Contains, PyDict_New,
    PyDict_Next, PyDict_Size, PyErr_Clear, PyErr_Fetch, PyErr_GivenExceptionMatches, PyErr_NormalizeException,
    PyErr_Occurred, PyErr_Print, PyErr_Restore, PyErr_SetString, PyErr_WriteUnraisable, PyEval_RestoreThread,
    PyEval_SaveThread, PyException_SetCause, PyException_SetContext, PyException_SetTraceback, PyFloat_AsDouble,
    PyFloat_FromDouble, PyImport_AddModule, PyImport_ImportModule, PyIndex_Check, PyIter_Next, PyList_Append,
    PyList_GetItem, PyList_New, PyList_Size, PyLong_AsDouble, PyLong_AsLong, PyLong_AsLongLongAndOverflow,
    PyLong_AsUnsignedLong, PyLong_AsUnsignedLongLong, PyLong_FromLong, PyLong_FromLongLong, PyLong_FromSize_t,
    PyLong_FromSsize_t, PyLong_FromString, PyLong_FromUnsignedLong, PyLong_FromUnsignedLongLong, PyModule_AddObject,
    PyModule_Create2, PyModule_GetName, PyNumber_Check, PyNumber_Float, PyNumber_Long, PyObject_Call,
    PyObject_CallFunctionObjArgs, PyObject_CallMethodObjArgs, PyObject_CallObject, PyObject_GetAttr,
    PyObject_GetAttrString, PyObject_GetItem, PyObject_GetIter, PyObject_HasAttrString, PyObject_IsInstance,
    PyObject_IsTrue, PyObject_Repr, PyObject_SetAttr, PyObject_SetAttrString, PyObject_SetItem, PyObject_Size,
    PyObject_Str, PySequence_Check, PySequence_GetItem, PySequence_List, PySequence_Size, PySequence_Tuple,
    PySlice_New, PyThread_tss_get, PyThread_tss_set, PyTuple_GetItem, PyTuple_New, PyTuple_SetItem, PyTuple_Size,
    PyType_GetFlags, PyType_IsSubtype, PyUnicode_AsUTF8String, PyUnicode_DecodeUTF8, PyUnicode_FromString,
    PyUnicode_FromStringAndSize, PyUnicode_InternFromString, PyWeakref_GetObject, PyWeakref_NewRef,
    Py_AddPendingCall, Py_GetVersion, _Py_Dealloc,
}
