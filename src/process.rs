//! What this program does about its own process: memory that Rust cannot get, and its end while a node is still at work.
// The allocator and the end of the process are what this file is for.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use redraft_engine::{aside, memory};

use crate::exit::Exit;

/// The system's allocator. Where the ceiling leaves nothing, it lifts it a little: Rust would end the process for a few bytes, and the node that took
/// too much ends with an error as soon as it can.
pub(crate) struct Allocator;

// SAFETY: every call goes to the system's allocator, some twice, as it came.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        again(layout.size(), || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        again(layout.size(), || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's; a failed call leaves the memory as it was.
        again(size, || unsafe { System.realloc(place, layout, size) })
    }
}

fn again(bytes: usize, take: impl Fn() -> *mut u8) -> *mut u8 {
    let place = take();
    if place.is_null() && memory::lift(bytes) { take() } else { place }
}

/// Set when a node is left at work.
static ABANDONED: AtomicBool = AtomicBool::new(false);

/// Says that the compute thread is left at work: the process is to end without it.
pub(crate) fn abandon() {
    ABANDONED.store(true, Ordering::Relaxed);
}

/// Ends the process, if the compute thread is still at work: without what libraries do at the end, which would take their data from under
/// it. Files that are being written are removed.
pub(crate) fn end_if_abandoned(exit: Exit) {
    if ABANDONED.load(Ordering::Relaxed) {
        end(exit);
    }
}

/// Ends the process at once.
pub(crate) fn end(exit: Exit) -> ! {
    aside::abandon();
    let _ = std::io::stdout().flush();
    // SAFETY: it ends the process.
    unsafe { libc::_exit(exit as i32) }
}
