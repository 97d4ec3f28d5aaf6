# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
"""The compiled engine: a memory-mapped LMDB store and, above it, finished results in memory that never go stale."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_CheckExact, PyUnicode_Compare, PyUnicode_DecodeUTF8
from libc.errno cimport errno, EACCES, EAGAIN, EDQUOT, EINVAL, EIO, ENOMEM, ENOSPC, EPERM, EROFS
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset
from posix.fcntl cimport FD_CLOEXEC, F_GETFD, F_SETFD, fcntl
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, MAP_SHARED, PROT_NONE, PROT_READ, mmap, munmap
from posix.stat cimport fstat, struct_stat
from posix.types cimport off_t
from posix.unistd cimport SEEK_END, lseek
from posix.time cimport clock_gettime, timespec

from clmdb cimport *

import os
import threading
import weakref
from contextlib import nullcontext

from warmtoken.errors import CacheCorruptError, CacheError, CacheFullError, CacheRefusedError
from warmtoken.models import Account, AuthenticationResult, ResultMetadata

cdef extern from "Python.h":
    ctypedef struct PyListObject:
        PyObject **ob_item

    ctypedef struct PyTupleObject:
        PyObject *ob_item[1]

    ctypedef struct PyTypeObject:
        object (*tp_alloc)(PyTypeObject *kind, Py_ssize_t size)
        int (*tp_descr_set)(object descriptor, object instance, object value) except -1

    ctypedef struct PyMethodDef:
        void *ml_meth
        int ml_flags

    ctypedef struct PyMethodDescrObject:
        PyMethodDef *d_method

    int METH_FASTCALL, METH_KEYWORDS

    PyTypeObject *Py_TYPE(object instance)

    ctypedef struct PyInterpreterState:
        pass

    PyInterpreterState *PyInterpreterState_Get()
    PyInterpreterState *PyInterpreterState_Main()

# A `with gil` waits for the main interpreter's lock (PyGILState_Ensure), which another one that waits for us may hold.
if PyInterpreterState_Get() != PyInterpreterState_Main():
    raise ImportError(
        "expected the main interpreter of the process, got a sub-interpreter, which warmtoken does not support; "
        "with mod_wsgi set WSGIApplicationGroup to %{GLOBAL}"
    )

cdef extern from "<time.h>" nogil:
    int CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE

cdef extern from "native.h" nogil:
    uint64_t wt_load_acquire(const uint64_t *word)
    uint64_t wt_load_last(const uint64_t *word)
    int64_t wt_le32(const unsigned char *bytes)
    int64_t wt_le64(const unsigned char *bytes)
    int64_t wt_be64(const unsigned char *bytes)
    int wt_extend(int fd, off_t start, off_t end)
    int wt_random(unsigned char *bytes, size_t size)
    void wt_put_le64(unsigned char *bytes, int64_t value)
    void wt_put_le32(unsigned char *bytes, uint32_t value)
    void wt_put_be64(unsigned char *bytes, uint64_t value)
    int wt_watch_forks()
    uint64_t wt_fork_count()
    int wt_file_system(const char *path, uint64_t *kind)
    size_t wt_mutex_size()

include "clock.pxi"
include "errors.pxi"
include "layout.pxi"
include "registry.pxi"
include "store.pxi"
include "reading.pxi"
include "writing.pxi"
include "tokens.pxi"
include "room.pxi"
include "witnesses.pxi"
include "sealing.pxi"
include "loading.pxi"
include "results.pxi"
include "readers.pxi"
include "machine.pxi"
include "hits.pxi"
include "front.pxi"


def _forget_locks_of_parent():
    global _stores_lock
    _stores_lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_locks_of_parent)
if wt_watch_forks() != 0:
    raise ImportError("cannot register a fork handler")
