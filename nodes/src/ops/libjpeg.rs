//! What libjpeg reports, as Rust's errors.
//!
//! libjpeg reports through functions that it is given. An error must not return to it, so these functions unwind, and
//! [`caught`] stops the unwinding. The C code is compiled with unwind tables for that.
// A function that C code calls with pointers is what this file is for.
#![allow(unsafe_code)]

use std::os::raw::{c_int, c_long};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use mozjpeg_sys::{
    J_MESSAGE_CODE, JTRC_SOS, JWRN_HIT_MARKER, JWRN_HUFF_BAD_CODE, JWRN_JPEG_EOF, JWRN_MUST_RESYNC, jpeg_common_struct,
    jpeg_error_mgr, jpeg_std_error,
};

/// A progressive file may send the same coefficients in many scans; honest ones have about ten.
const MAX_SCANS: c_long = 200;
/// libjpeg's state while it gives out rows (`DSTATE_SCANNING`). An end of the file before that means that data is
/// missing.
const GIVES_OUT_ROWS: c_int = 205;

/// Why a file was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// One of libjpeg's messages.
    Message(J_MESSAGE_CODE),
    TooManyScans,
    /// Whatever else went wrong in the decoder.
    Other,
}

/// Functions for a decoder that runs inside of [`caught`]. If a part of a picture is missing or damaged, libjpeg itself
/// only warns and fills it with grey; these functions make it an error. A missing end marker is no error.
pub fn strict_errors() -> jpeg_error_mgr {
    // SAFETY: the struct holds numbers, pointers and optional functions, for all of which zero is a value; libjpeg fills it.
    let mut errors: jpeg_error_mgr = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid, and libjpeg does not keep it.
    unsafe { jpeg_std_error(&mut errors) };
    errors.error_exit = Some(give_up);
    errors.emit_message = Some(hear);
    errors
}

/// The same functions, but what is missing or damaged is filled with grey: for a file that is known to be truncated.
pub fn lenient_errors() -> jpeg_error_mgr {
    let mut errors = strict_errors();
    errors.emit_message = Some(count_scans);
    errors
}

/// The result of `decode`, or why it gave the file up.
pub fn caught<T>(decode: impl FnOnce() -> std::io::Result<T>) -> Result<T, Failure> {
    // The unwinding drops the decoder, so that nobody uses it afterwards.
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(done) => done.map_err(|_| Failure::Other),
        Err(payload) => Err(payload.downcast_ref().copied().unwrap_or(Failure::Other)),
    }
}

extern "C-unwind" fn give_up(decoder: &mut jpeg_common_struct) {
    // SAFETY: libjpeg calls with a decoder whose error manager is the one that it was made with.
    let code = unsafe { (*decoder.err).msg_code };
    resume_unwind(Box::new(Failure::Message(code)))
}

/// As [`hear`], for a file that is known to be truncated.
extern "C-unwind" fn count_scans(decoder: &mut jpeg_common_struct, level: c_int) {
    // SAFETY: as in `give_up`.
    if unsafe { (*decoder.err).msg_code } == JTRC_SOS {
        hear(decoder, level);
    }
}

/// Is given warnings (level -1) and messages about progress (levels from 0 on).
extern "C-unwind" fn hear(decoder: &mut jpeg_common_struct, _level: c_int) {
    // SAFETY: as in `give_up`.
    let errors = unsafe { &mut *decoder.err };
    match errors.msg_code {
        JWRN_HIT_MARKER | JWRN_HUFF_BAD_CODE | JWRN_MUST_RESYNC => {}
        JWRN_JPEG_EOF if decoder.global_state < GIVES_OUT_ROWS => {}
        JTRC_SOS => {
            // libjpeg leaves this counter to whoever handles its messages. Here it counts scans.
            errors.num_warnings += 1;
            if errors.num_warnings > MAX_SCANS {
                resume_unwind(Box::new(Failure::TooManyScans));
            }
            return;
        }
        _ => return,
    }
    resume_unwind(Box::new(Failure::Message(errors.msg_code)))
}
