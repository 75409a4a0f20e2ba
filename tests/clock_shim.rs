//! Preloaded into the host: a clock that stands before 1970.
//!
//! Compiled by the test itself with plain `rustc --crate-type cdylib`, so it depends on nothing.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::sync::OnceLock;

const NEXT: *mut c_void = -1_isize as *mut c_void;
const REALTIME: c_int = 0;
/// A century back.
const BACK_S: i64 = 100 * 365 * 24 * 3600;

#[repr(C)]
pub struct Time {
    seconds: i64,
    nanoseconds: c_long,
}

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// Stands before the function of the C library.
///
/// # Safety
/// As that one's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Time) -> c_int {
    static REAL: OnceLock<usize> = OnceLock::new();
    let address = *REAL.get_or_init(|| unsafe { dlsym(NEXT, c"clock_gettime".as_ptr()) } as usize);
    let real = unsafe { std::mem::transmute::<usize, extern "C" fn(c_int, *mut Time) -> c_int>(address) };
    let done = real(clock, time);
    if done == 0 && clock == REALTIME {
        unsafe { (*time).seconds -= BACK_S };
    }
    done
}
