//! What is read of a mapped file that another process shortens: zeros, and an error afterwards, in place of the end of this process.
//!
//! The system answers the read of a page that is no longer in its file with the signal SIGBUS. The handler here puts an empty page in its
//! place, if the page lies in a map that is watched, and notes it.
// The handler of a signal, and maps, are what this file is for.
#![allow(unsafe_code)]

use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::Mmap;
use redraft_engine::files::SHORTENED;
use redraft_engine::memory;

/// How many maps are watched at once; of further ones the process dies, as it does where there are no signals.
const MOST: usize = 1024;

/// First byte and byte after the last of each watched map; both 0 where there is none.
static WATCHED: [(AtomicUsize, AtomicUsize); MOST] = [const { (AtomicUsize::new(0), AtomicUsize::new(0)) }; MOST];

/// Whether no page of a watched map was missing lately.
pub(super) fn is_whole() -> bool {
    !SHORTENED.load(Ordering::Relaxed)
}

/// Watches a map that a tensor owns. Nobody says when that goes: it is forgotten when another map takes its place.
pub(super) fn watch(start: usize, length: usize) {
    system::install();
    for (first, end) in &WATCHED {
        let (old, old_end) = (first.load(Ordering::Acquire), end.load(Ordering::Acquire));
        if old != 0 && old < start + length && start < old_end {
            end.store(0, Ordering::Release);
            first.store(0, Ordering::Release);
            memory::unmapped((old_end - old) as u64);
        }
    }
    for (first, end) in &WATCHED {
        if first.compare_exchange(0, start, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            end.store(start + length, Ordering::Release);
            return;
        }
    }
}

fn forget(start: usize) {
    if let Some((first, end)) = WATCHED.iter().find(|(first, _)| first.load(Ordering::Acquire) == start) {
        end.store(0, Ordering::Release);
        first.store(0, Ordering::Release);
    }
}

/// A map that is watched.
pub(super) struct Guarded(Mmap);

impl Guarded {
    pub(super) fn new(map: Mmap) -> Self {
        watch(map.as_ptr() as usize, map.len());
        Self(map)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn map(&self) -> &Mmap {
        &self.0
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        forget(self.0.as_ptr() as usize);
    }
}

/// A path that leads to an opened file, whatever has become of its name.
pub(super) fn path_of(file: &File) -> Option<String> {
    system::path_of(file)
}

#[cfg(unix)]
mod system {
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;
    use std::sync::Once;
    use std::sync::atomic::Ordering;

    use super::{SHORTENED, WATCHED};

    pub(super) fn path_of(file: &File) -> Option<String> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let (opened, found) = (file.metadata().ok()?, std::fs::metadata(&path).ok()?);
        ((opened.dev(), opened.ino()) == (found.dev(), found.ino())).then_some(path)
    }

    pub(super) fn install() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: all fields of the action are set; the handler calls nothing that a signal handler may not.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = missing as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigemptyset(&mut action.sa_mask);
                libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
            }
        });
    }

    extern "C" fn missing(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the system calls this with valid information of a SIGBUS; a page of a watched map is replaced by an empty one, which its
        // readers may read. `sysconf`, `mmap` and `signal` are system calls.
        unsafe {
            let page = libc::sysconf(libc::_SC_PAGESIZE).max(4096) as usize;
            let address = (*info).si_addr() as usize;
            let watched = WATCHED.iter().any(|(first, end)| {
                let first = first.load(Ordering::Acquire);
                first != 0 && (first..end.load(Ordering::Acquire).next_multiple_of(page)).contains(&address)
            });
            if watched {
                let place = (address & !(page - 1)) as *mut libc::c_void;
                let protection = libc::PROT_READ | libc::PROT_WRITE;
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
                if libc::mmap(place, page, protection, flags, -1, 0) != libc::MAP_FAILED {
                    SHORTENED.store(true, Ordering::Relaxed);
                    return;
                }
            }
            // Whatever else it is ends the process, when the instruction is tried again.
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

#[cfg(not(unix))]
mod system {
    pub(super) fn path_of(_: &std::fs::File) -> Option<String> {
        None
    }

    pub(super) fn install() {}
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_file_that_is_shortened_reads_as_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, vec![7; 1 << 16]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        // SAFETY: the map is guarded.
        let map = Guarded::new(unsafe { Mmap::map(&file) }.unwrap());
        file.set_len(10).unwrap();
        assert_eq!((map.bytes()[5], map.bytes()[1 << 15]), (7, 0));
        assert_eq!(std::fs::read(path_of(&file).unwrap()).unwrap(), [7; 10]);
    }
}
