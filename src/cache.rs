//! Results that last from process to process: where they lie, and `redraft cache`.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use indexmap::IndexMap;
use redraft_engine::cache::disk::{self, Disk, Entry, Found};
use redraft_engine::digests::{self, Digests};
use redraft_engine::folders::FolderPaths;
use redraft_engine::memory::in_words;
use serde_json::json;

use crate::args::{CacheArgs, CacheCommand, Directories, Keeping};
use crate::exit::{Exit, Outcome, Stop};
use crate::out::{say, say_json, tell};

/// The most that results take if nobody says more: this, or this share of the disk.
const USUAL_LIMIT: u64 = 10 << 30;
const SHARE_OF_DISK: u64 = 10;

/// Opens what earlier runs have left, if it is to be used.
pub(crate) fn open(directories: &Directories, keeping: &Keeping, folders: &mut FolderPaths) -> Option<Disk> {
    if keeping.no_cache {
        return None;
    }
    let own = directories.cache_directory.clone().or_else(usual_folder);
    for other in keeping.cache_from.iter().filter(|other| !other.is_dir()) {
        tell(format!("warning: --cache-from: there is no folder {}; nothing is taken from it", other.display()));
    }
    if own.is_none() && keeping.cache_from.is_empty() {
        return None;
    }
    let below = |name: &str| keeping.cache_from.iter().map(|folder| folder.join(name)).collect();
    folders.digests = Digests::kept_in(own.as_deref().map(digests_in), below(DIGESTS));
    let limit = || own.as_deref().map_or(0, usual_limit);
    let limit = keeping.cache_size.unwrap_or_else(limit);
    Some(Disk::new(own.as_deref().map(results_in), below(RESULTS), limit))
}

const RESULTS: &str = "results";
const DIGESTS: &str = "digests";

fn results_in(cache: &Path) -> PathBuf {
    cache.join(RESULTS)
}

fn digests_in(cache: &Path) -> PathBuf {
    cache.join(DIGESTS)
}

/// What the environment names, or where programs keep what they can make again, by the XDG Base Directory Specification.
fn usual_folder() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("REDRAFT_CACHE_DIR").filter(|named| !named.is_empty()) {
        return Some(PathBuf::from(named));
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    cache.map(|cache| cache.join("redraft"))
}

/// How much results may take in a cache directory, in bytes.
fn usual_limit(cache: &Path) -> u64 {
    #[cfg(unix)]
    let disk = cache
        .ancestors()
        .find_map(|folder| rustix::fs::statvfs(folder).ok())
        .map_or(u64::MAX, |disk| disk.f_blocks.saturating_mul(disk.f_frsize));
    #[cfg(not(unix))]
    let disk = u64::MAX;
    USUAL_LIMIT.min(disk / SHARE_OF_DISK)
}

/// `redraft cache`.
pub(crate) fn cache(args: &CacheArgs) -> Outcome {
    let cache = args.cache_directory.clone().or_else(usual_folder);
    let cache = cache.ok_or_else(|| Stop::wrong("there is no cache directory; name one with --cache-directory"))?;
    let results = results_in(&cache);
    match &args.command {
        CacheCommand::Info { json } => info(&cache, *json),
        CacheCommand::Clear => {
            let wrong = |folder: &Path, error| Stop::wrong(format!("{}: {error}", folder.display()));
            disk::clear(&results).map_err(|error| wrong(&results, error))?;
            let digests = digests_in(&cache);
            digests::clear(&digests).map_err(|error| wrong(&digests, error))?;
            Ok(Exit::Done)
        }
        CacheCommand::Verify => Ok(verify(&results)),
        CacheCommand::Prune { size, unused_for } => {
            let before = disk::entries(&results);
            if let Some(days) = unused_for {
                remove_older(&before, *days)?;
            }
            disk::shrink(&results, size.unwrap_or_else(|| usual_limit(&cache)));
            let after = disk::entries(&results);
            let freed = total(&before).saturating_sub(total(&after));
            say(format!("removed {} results, {}", before.len().saturating_sub(after.len()), in_words(freed)));
            Ok(Exit::Done)
        }
    }
}

fn total(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.bytes).sum()
}

fn remove_older(entries: &[Entry], days: f64) -> Outcome<()> {
    let wrong = || Stop::wrong(format!("--unused-for: {days} is no number of days; write 30"));
    let age = Duration::try_from_secs_f64(days * 86400.0).map_err(|_| wrong())?;
    let Some(before) = SystemTime::now().checked_sub(age) else { return Ok(()) };
    for entry in entries.iter().filter(|entry| entry.used < before) {
        // Another process may have removed it.
        let _ = std::fs::remove_file(&entry.path);
    }
    Ok(())
}

/// What a class has among the results.
#[derive(Default)]
struct Share {
    results: usize,
    bytes: u64,
    seconds: f64,
}

fn info(cache: &Path, as_json: bool) -> Outcome {
    let entries = disk::entries(&results_in(cache));
    let mut shares: IndexMap<String, Share> = IndexMap::new();
    for entry in &entries {
        let described = disk::describe(&entry.path);
        let (class, seconds) = described.map_or(("(damaged)".to_owned(), 0.0), |d| (d.class, d.seconds));
        let share = shares.entry(class).or_default();
        share.results += 1;
        share.bytes += entry.bytes;
        share.seconds += seconds;
    }
    shares.sort_by(|_, a, _, b| b.bytes.cmp(&a.bytes));
    let (bytes, limit) = (total(&entries), usual_limit(cache));
    if as_json {
        let classes: serde_json::Map<_, _> = shares
            .into_iter()
            .map(|(class, Share { results, bytes, seconds })| {
                (class, json!({ "results": results, "bytes": bytes, "seconds": seconds }))
            })
            .collect();
        let all = json!({
            "directory": cache.display().to_string(), "results": entries.len(), "bytes": bytes, "limit": limit,
            "classes": classes,
        });
        say_json(&all, true);
        return Ok(Exit::Done);
    }
    say(format!("{}: {} results, {} of {}", cache.display(), entries.len(), in_words(bytes), in_words(limit)));
    for (class, Share { results, bytes, seconds }) in shares {
        say(format!("  {class}: {results} results, {}, {seconds:.1} s to make", in_words(bytes)));
    }
    Ok(Exit::Done)
}

/// Reads all results; removes those that are damaged.
fn verify(results: &Path) -> Exit {
    let (mut whole, mut damaged, mut unread, mut others) = (0, 0, 0, 0);
    for entry in disk::entries(results) {
        match disk::examine(&entry.path) {
            Found::Whole(_) => whole += 1,
            Found::OfAnotherVersion => others += 1,
            // Another process has removed it meanwhile.
            _ if !entry.path.exists() => {}
            Found::Unread(error) => {
                unread += 1;
                tell(format!("{}: cannot be read: {error}; it stays", entry.path.display()));
            }
            Found::Damaged(why) => {
                damaged += 1;
                match std::fs::remove_file(&entry.path) {
                    Ok(()) => tell(format!("{}: {why}; it is removed", entry.path.display())),
                    Err(error) => tell(format!("{}: {why}; it cannot be removed: {error}", entry.path.display())),
                }
            }
        }
    }
    let further = [(others, "are of another version of redraft"), (unread, "cannot be read")];
    let further = further.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    say(format!("{whole} results are whole, {damaged} were damaged{}", further.collect::<String>()));
    if damaged + unread > 0 { Exit::NodeFailed } else { Exit::Done }
}
