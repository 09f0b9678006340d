//! The VFS behind [`super::image`]: read-only, without locks, one file a registered image.
//!
//! SQLite's C interface is all raw pointers; this file is the only one that deals with them.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::{Mutex, Once, PoisonError};

use rusqlite::ffi;

use super::image::Image;
use crate::error::{Error, Result};

/// A registered image.
pub(super) struct Entry {
    image: Box<dyn Image>,
    /// Number of the page in `page`; 0 for none.
    buffered: u32,
    page: Vec<u8>,
    pub(super) error: Option<Error>,
}

impl Entry {
    pub(super) fn new(image: Box<dyn Image>) -> Self {
        let page = vec![0; image.page_size() as usize];
        Self {
            image,
            buffered: 0,
            page,
            error: None,
        }
    }

    /// Fills `out` from `offset`; returns how many bytes the image has there.
    fn read(&mut self, out: &mut [u8], offset: u64) -> Result<usize> {
        let page_size = u64::from(self.image.page_size());
        let size = page_size * u64::from(self.image.page_count());
        let end = size.min(offset + out.len() as u64);
        let mut at = offset;
        while at < end {
            let page = (at / page_size) as u32 + 1;
            if self.buffered != page {
                self.buffered = 0;
                self.image.page(page, &mut self.page)?;
                if page == 1 {
                    // The image is complete in itself: SQLite must not look for a WAL beside it.
                    self.page[18..20].copy_from_slice(&[1, 1]);
                }
                self.buffered = page;
            }
            let start = (at % page_size) as usize;
            let length = ((page_size - start as u64).min(end - at)) as usize;
            let to = (at - offset) as usize;
            out[to..to + length].copy_from_slice(&self.page[start..start + length]);
            at += length as u64;
        }
        Ok(end.saturating_sub(offset) as usize)
    }
}

pub(super) const VFS_NAME: &CStr = c"snapshot-image";
static IMAGES: Mutex<Option<HashMap<String, Entry>>> = Mutex::new(None);

pub(super) struct Images(std::sync::MutexGuard<'static, Option<HashMap<String, Entry>>>);

impl std::ops::Deref for Images {
    type Target = HashMap<String, Entry>;
    fn deref(&self) -> &Self::Target {
        #[expect(clippy::unwrap_used, reason = "lock_images has just filled it")]
        self.0.as_ref().unwrap()
    }
}

impl std::ops::DerefMut for Images {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.0.get_or_insert_default()
    }
}

pub(super) fn lock_images() -> Images {
    let mut guard = IMAGES.lock().unwrap_or_else(PoisonError::into_inner);
    guard.get_or_insert_default();
    Images(guard)
}

/// What SQLite allocates for an open file: its own part first, then ours.
#[repr(C)]
struct ImageFile {
    base: ffi::sqlite3_file,
    name: *mut String,
}

#[expect(
    unsafe_code,
    reason = "a VFS is registered through SQLite's C interface; there is no other one"
)]
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: called once, after SQLite is initialised by `sqlite3_vfs_find`. The copy of the
        // default VFS keeps its clock, randomness and sleep; it is leaked, as SQLite keeps the pointer.
        unsafe {
            let default = ffi::sqlite3_vfs_find(std::ptr::null());
            let mut vfs = *default;
            vfs.szOsFile = size_of::<ImageFile>() as c_int;
            vfs.zName = VFS_NAME.as_ptr();
            vfs.pNext = std::ptr::null_mut();
            vfs.xOpen = Some(x_open);
            vfs.xDelete = Some(x_delete);
            vfs.xAccess = Some(x_access);
            vfs.xFullPathname = Some(x_full_pathname);
            ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 0);
        }
    });
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(x_close),
    xRead: Some(x_read),
    xWrite: Some(x_write),
    xTruncate: Some(x_truncate),
    xSync: Some(x_sync),
    xFileSize: Some(x_file_size),
    xLock: Some(x_lock),
    xUnlock: Some(x_lock),
    xCheckReservedLock: Some(x_flag_out),
    xFileControl: Some(x_file_control),
    xSectorSize: Some(x_zero),
    xDeviceCharacteristics: Some(x_device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

#[expect(unsafe_code, reason = "SQLite passes raw pointers")]
unsafe extern "C" fn x_open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    _: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let file = file.cast::<ImageFile>();
    // SAFETY: SQLite hands over `szOsFile` bytes for the file and, for a main database, a name.
    unsafe {
        (*file).base.pMethods = std::ptr::null();
        if name.is_null() {
            return ffi::SQLITE_CANTOPEN;
        }
        let name = CStr::from_ptr(name).to_string_lossy().into_owned();
        if !lock_images().contains_key(&name) {
            return ffi::SQLITE_CANTOPEN;
        }
        (*file).name = Box::into_raw(Box::new(name));
        (*file).base.pMethods = &raw const METHODS;
        if !out_flags.is_null() {
            *out_flags = ffi::SQLITE_OPEN_READONLY;
        }
    }
    ffi::SQLITE_OK
}

#[expect(unsafe_code, reason = "SQLite passes raw pointers")]
unsafe extern "C" fn x_close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: `name` was made by `x_open`, and SQLite closes a file once.
    unsafe { drop(Box::from_raw((*file.cast::<ImageFile>()).name)) };
    ffi::SQLITE_OK
}

#[expect(unsafe_code, reason = "SQLite passes raw pointers")]
unsafe extern "C" fn x_read(file: *mut ffi::sqlite3_file, out: *mut c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: `out` has room for `amount` bytes, and `name` lives until `x_close`.
    let (name, out) = unsafe {
        (
            &*(*file.cast::<ImageFile>()).name,
            std::slice::from_raw_parts_mut(out.cast::<u8>(), amount as usize),
        )
    };
    let mut images = lock_images();
    let Some(entry) = images.get_mut(name) else {
        return ffi::SQLITE_IOERR_READ;
    };
    match entry.read(out, offset as u64) {
        Ok(read) if read == out.len() => ffi::SQLITE_OK,
        Ok(read) => {
            out[read..].fill(0);
            ffi::SQLITE_IOERR_SHORT_READ
        }
        Err(error) => {
            entry.error.get_or_insert(error);
            ffi::SQLITE_IOERR_READ
        }
    }
}

#[expect(unsafe_code, reason = "SQLite passes raw pointers")]
unsafe extern "C" fn x_file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: as in `x_read`; `size` is SQLite's.
    unsafe {
        let images = lock_images();
        let Some(entry) = images.get(&*(*file.cast::<ImageFile>()).name) else {
            return ffi::SQLITE_IOERR_FSTAT;
        };
        *size = i64::from(entry.image.page_size()) * i64::from(entry.image.page_count());
    }
    ffi::SQLITE_OK
}

#[expect(unsafe_code, reason = "SQLite passes raw pointers")]
unsafe extern "C" fn x_full_pathname(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: `name` is a C string, `out` has room for `room` bytes.
    unsafe {
        let bytes = CString::from(CStr::from_ptr(name)).into_bytes_with_nul();
        if bytes.len() > room as usize {
            return ffi::SQLITE_CANTOPEN;
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr().cast::<c_char>(), out, bytes.len());
    }
    ffi::SQLITE_OK
}

#[expect(unsafe_code, reason = "SQLite passes raw pointers")]
unsafe extern "C" fn x_access(_: *mut ffi::sqlite3_vfs, _: *const c_char, _: c_int, out: *mut c_int) -> c_int {
    // SAFETY: `out` is SQLite's. No journal, no WAL: the image is complete.
    unsafe { *out = 0 };
    ffi::SQLITE_OK
}

#[expect(unsafe_code, reason = "SQLite passes raw pointers")]
unsafe extern "C" fn x_flag_out(_: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: `out` is SQLite's. Nobody holds a reserved lock.
    unsafe { *out = 0 };
    ffi::SQLITE_OK
}

#[expect(unsafe_code, reason = "the type that SQLite's table of methods asks for")]
unsafe extern "C" fn x_delete(_: *mut ffi::sqlite3_vfs, _: *const c_char, _: c_int) -> c_int {
    ffi::SQLITE_IOERR_DELETE
}

#[expect(unsafe_code, reason = "the type that SQLite's table of methods asks for")]
unsafe extern "C" fn x_write(_: *mut ffi::sqlite3_file, _: *const c_void, _: c_int, _: i64) -> c_int {
    ffi::SQLITE_READONLY
}

#[expect(unsafe_code, reason = "the type that SQLite's table of methods asks for")]
unsafe extern "C" fn x_truncate(_: *mut ffi::sqlite3_file, _: i64) -> c_int {
    ffi::SQLITE_READONLY
}

#[expect(unsafe_code, reason = "the type that SQLite's table of methods asks for")]
unsafe extern "C" fn x_sync(_: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

#[expect(unsafe_code, reason = "the type that SQLite's table of methods asks for")]
unsafe extern "C" fn x_lock(_: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

#[expect(unsafe_code, reason = "the type that SQLite's table of methods asks for")]
unsafe extern "C" fn x_file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

#[expect(unsafe_code, reason = "the type that SQLite's table of methods asks for")]
unsafe extern "C" fn x_zero(_: *mut ffi::sqlite3_file) -> c_int {
    0
}

#[expect(unsafe_code, reason = "the type that SQLite's table of methods asks for")]
unsafe extern "C" fn x_device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    // Nobody writes: SQLite needs no locks and looks for no journal.
    ffi::SQLITE_IOCAP_IMMUTABLE
}
