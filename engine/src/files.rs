//! Opening files that strangers may have made: a file is opened once, and then it is looked at what was opened.

use std::fs::{File, OpenOptions};
use std::io::{self, Error, ErrorKind, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by whoever maps files and finds that one was shortened: what was read of it since is not to be trusted.
pub static SHORTENED: AtomicBool = AtomicBool::new(false);

/// Between two calls of nodes: whether a file was shortened while it was in use, once.
pub(crate) fn was_shortened() -> bool {
    SHORTENED.swap(false, Ordering::Relaxed)
}

/// Opens a regular file for reading, where a link leads if it is one. Never waits, as a pipe without a writer would have it.
///
/// # Errors
/// If it cannot be opened, or is a folder, pipe, device or socket.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    let kind = file.metadata()?.file_type();
    match kind.is_file() {
        true => Ok(file),
        false if kind.is_dir() => Err(refused("is a directory, not a file; name a file in it")),
        false => Err(refused("is a pipe, a device or a socket, not a file; name a file")),
    }
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, why)
}

/// The whole of a regular file of at most `limit` bytes.
///
/// # Errors
/// Those of [`open`], and a file that is longer.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(file.metadata()?.len().min(limit)).unwrap_or(0));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 <= limit {
        true => Ok(bytes),
        false => Err(refused(&format!("is longer than {limit} bytes; name a shorter file"))),
    }
}

/// Removes a file, which another process may have removed meanwhile.
///
/// # Errors
/// If it is there and cannot be removed.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether an output may be written to a path: nothing is there, or a regular file, which is no link.
///
/// # Errors
/// If anything else is there, in words.
pub fn may_be_written(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(meta) if meta.file_type().is_file() => Ok(()),
        Ok(meta) if meta.file_type().is_symlink() => {
            Err(refused("is a symbolic link, and what it leads to is not written; name the file itself"))
        }
        Ok(meta) if meta.file_type().is_dir() => Err(refused("is a directory; name a file in it")),
        Ok(_) => Err(refused("is a pipe, a device or a socket; name a file")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "four").unwrap();
        assert_eq!(read(&file, 4).unwrap(), b"four");
        assert_eq!(read(&file, 3).unwrap_err().to_string(), "is longer than 3 bytes; name a shorter file");
        assert_eq!(open(dir.path()).unwrap_err().to_string(), "is a directory, not a file; name a file in it");
        assert_eq!(open(&dir.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
        may_be_written(&file).unwrap();
        may_be_written(&dir.path().join("none")).unwrap();
        assert!(may_be_written(dir.path()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for path in [&pipe, &socket, &link, Path::new("/dev/null"), Path::new("/dev/zero")] {
            assert!(open(path).is_err(), "{}", path.display());
            assert!(may_be_written(path).is_err(), "{}", path.display());
        }
    }
}
