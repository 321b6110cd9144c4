//! How much memory the process may take: one ceiling, for Rust as for libtorch.
//!
//! Rust ends a process that it cannot give memory, so that whoever is about to take much asks first ([`ask`]). What libtorch takes is held
//! to the ceiling by the system (`RLIMIT_DATA`): its allocator then fails with an error, which is the node's. Mapped files do not count.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::OutOfMemory;

/// In bytes; everything until [`set_ceiling`] is called.
static CEILING: AtomicU64 = AtomicU64::new(u64::MAX);
/// Bytes that the system counts as the process's own, and we do not: files mapped privately.
static MAPPED: AtomicU64 = AtomicU64::new(0);
/// Memory beyond the ceiling was taken, because the alternative was the end of the process.
static EXCEEDED: AtomicBool = AtomicBool::new(false);

/// From this size on it is worth asking.
const LARGE: u64 = 1 << 20;

/// Bytes of memory of the machine, or of the container or the shell's limits if these are lower.
pub fn total() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory_specifics(sysinfo::MemoryRefreshKind::nothing().with_ram());
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
    system.total_memory().min(limit).min(limits::least())
}

/// The ceiling that is used if nobody names one: nine tenths of [`total`].
pub fn usual_ceiling() -> u64 {
    total() / 10 * 9
}

/// Sets the ceiling, in bytes. `libtorch` says whether the system shall hold libtorch to it, too: not where a GPU's driver reserves more
/// addresses than there is memory.
pub fn set_ceiling(bytes: u64, libtorch: bool) {
    CEILING.store(bytes, Ordering::Relaxed);
    if libtorch {
        limits::enforce(bytes.saturating_add(MAPPED.load(Ordering::Relaxed)));
    }
}

/// The ceiling, in bytes.
pub fn ceiling() -> u64 {
    CEILING.load(Ordering::Relaxed)
}

/// Bytes that the process holds of its own: neither files that it maps nor what it only reserved. 0 where the system does not tell.
pub fn used() -> u64 {
    // Pages: of the program in all, of those in memory, of those that stem from files.
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = statm.split_whitespace().skip(1).map(|number| number.parse::<u64>().unwrap_or(0));
    let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    resident.saturating_sub(shared).saturating_mul(limits::page())
}

/// Asks for memory before it is taken: `bytes` for `what` (`a text`, `the picture`).
///
/// # Errors
/// If the process would then hold more than the ceiling.
pub fn ask(bytes: impl TryInto<u64>, what: &str) -> Result<(), OutOfMemory> {
    let bytes = bytes.try_into().unwrap_or(u64::MAX);
    if bytes < LARGE && !EXCEEDED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let (used, ceiling) = (used(), ceiling());
    if used.checked_add(bytes).is_some_and(|sum| sum <= ceiling && bytes < u64::MAX) {
        return Ok(());
    }
    Err(OutOfMemory(format!(
        "out of memory: {what} needs {}, {} of {} are in use",
        in_words(bytes),
        in_words(used),
        in_words(ceiling)
    )))
}

/// The longest text that a node makes, in bytes: no text encoder and no file needs more.
const LONGEST_TEXT: usize = 1 << 30;

/// Asks for a text before it is made.
///
/// # Errors
/// Those of [`ask`], and a text of more than a gigabyte.
pub fn ask_text(bytes: usize) -> Result<(), OutOfMemory> {
    if bytes > LONGEST_TEXT {
        let (size, most) = (in_words(bytes as u64), in_words(LONGEST_TEXT as u64));
        return Err(OutOfMemory(format!("out of memory: a text of {size} is longer than {most}; join fewer")));
    }
    ask(bytes, "a text")
}

/// The product of sizes in bytes; more than there can be if one is negative or the product too large.
pub fn product(sizes: &[i64], each: u64) -> u64 {
    sizes.iter().try_fold(each, |bytes, size| bytes.checked_mul(u64::try_from(*size).ok()?)).unwrap_or(u64::MAX)
}

/// Says that a file of so many bytes is about to be mapped privately, which does not count.
pub fn mapped(bytes: u64) {
    let mapped = MAPPED.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
    if limits::is_enforced() {
        limits::enforce(ceiling().saturating_add(mapped));
    }
}

/// Takes back what [`mapped`] said: the file is mapped no longer, or could not be.
pub fn unmapped(bytes: u64) {
    let left = |mapped: u64| Some(mapped.saturating_sub(bytes));
    let _ = MAPPED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
    if limits::is_enforced() {
        limits::enforce(ceiling().saturating_add(MAPPED.load(Ordering::Relaxed)));
    }
}

/// For the program's allocator: lifts the system's limit a little, because Rust cannot get `bytes` of memory any more. Whether that may
/// have helped. [`settle`] tells of it, and sets the limit again.
pub fn lift(bytes: usize) -> bool {
    /// More than the rest of a call needs for its own bookkeeping.
    const MARGIN: u64 = 64 << 20;
    let lifted = limits::is_enforced() && limits::lift(MARGIN.saturating_add(bytes as u64));
    EXCEEDED.fetch_or(lifted, Ordering::Relaxed);
    lifted
}

/// Between two calls of nodes: fails once if the ceiling was exceeded since.
pub(crate) fn settle() -> Result<(), OutOfMemory> {
    if !EXCEEDED.swap(false, Ordering::Relaxed) {
        return Ok(());
    }
    limits::enforce(ceiling().saturating_add(MAPPED.load(Ordering::Relaxed)));
    Err(OutOfMemory(format!("out of memory: more than {} would be in use", in_words(ceiling()))))
}

/// `1.5 GiB`, `300 MiB`.
pub fn in_words(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    match mib {
        mib if mib >= 1024.0 * 1024.0 * 1024.0 => "more than any memory".to_owned(),
        mib if mib >= 1024.0 => format!("{:.1} GiB", mib / 1024.0),
        mib if mib >= 1.0 => format!("{mib:.0} MiB"),
        _ => format!("{bytes} bytes"),
    }
}

#[cfg(unix)]
mod limits {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    static ENFORCED: AtomicBool = AtomicBool::new(false);

    pub(super) fn is_enforced() -> bool {
        ENFORCED.load(Ordering::Relaxed)
    }

    /// The least of what the shell allows.
    pub(super) fn least() -> u64 {
        let limits = [Resource::As, Resource::Data].map(|resource| getrlimit(resource).current.unwrap_or(u64::MAX));
        limits.into_iter().min().unwrap_or(u64::MAX)
    }

    /// A limit that the system refuses is none of ours, and none goes above what the shell allows at most.
    pub(super) fn enforce(bytes: u64) {
        let maximum = getrlimit(Resource::Data).maximum;
        let current = maximum.map_or(bytes, |maximum| maximum.min(bytes));
        let set = setrlimit(Resource::Data, Rlimit { current: Some(current), maximum });
        ENFORCED.store(set.is_ok(), Ordering::Relaxed);
    }

    pub(super) fn lift(bytes: u64) -> bool {
        let Rlimit { current, maximum } = getrlimit(Resource::Data);
        let Some(current) = current.filter(|current| maximum.is_none_or(|maximum| *current < maximum)) else {
            return false;
        };
        let more = current.saturating_add(bytes);
        let more = maximum.map_or(more, |maximum| maximum.min(more));
        setrlimit(Resource::Data, Rlimit { current: Some(more), maximum }).is_ok()
    }

    pub(super) fn page() -> u64 {
        rustix::param::page_size() as u64
    }
}

#[cfg(not(unix))]
mod limits {
    pub(super) fn is_enforced() -> bool {
        false
    }

    pub(super) fn least() -> u64 {
        u64::MAX
    }

    pub(super) fn enforce(_: u64) {}

    pub(super) fn lift(_: u64) -> bool {
        false
    }

    pub(super) fn page() -> u64 {
        4096
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_words() {
        for (bytes, words) in
            [(5, "5 bytes"), (3 << 20, "3 MiB"), (3 << 29, "1.5 GiB"), (u64::MAX, "more than any memory")]
        {
            assert_eq!(in_words(bytes), words);
        }
    }

    #[test]
    fn products_beyond_a_number_are_too_much() {
        assert_eq!(product(&[2, 3], 4), 24);
        assert_eq!(product(&[-1, 3], 4), u64::MAX);
        assert_eq!(product(&[i64::MAX, i64::MAX], 4), u64::MAX);
        assert!(ask(u64::MAX, "a test").is_err());
        assert!(ask(-1_i64, "a test").is_err());
    }
}
