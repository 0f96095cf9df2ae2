//! Files by the lane: read with owned buffers, none of them ever given up.

use std::io;
use std::path::Path;
#[cfg(feature = "http")]
use std::sync::Arc;
#[cfg(feature = "http")]
use std::time::Duration;

use tokio_uring::fs::File;

use super::call::call;
use crate::error::Result;

/// The first buffer of a file whose length is not known.
const FIRST_BYTES: usize = 64 * 1024;

/// Reads a whole file, if it has no more than `bytes_max`.
///
/// ```no_run
/// # async fn example() -> skyring::Result<()> {
/// let name = skyring::lane::read("/etc/hostname", 4096).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The file cannot be read, or is longer (`FileTooLarge`); and what [`call`] errs with.
///
/// # Panics
/// When polled outside of a reactor.
pub async fn read(path: impl AsRef<Path>, bytes_max: usize) -> Result<Vec<u8>> {
    let path = path.as_ref().to_owned();
    Ok(call(async move || {
        let file = File::open(path).await?;
        let read = read_all(&file, bytes_max).await;
        file.close().await?;
        read
    })
    .await??)
}

/// Writes a whole file, new or in the place of what it held.
///
/// # Errors
/// The file cannot be written; and what [`call`] errs with.
///
/// # Panics
/// When polled outside of a reactor.
pub async fn write(path: impl AsRef<Path>, bytes: Vec<u8>) -> Result<()> {
    let path = path.as_ref().to_owned();
    Ok(call(async move || {
        let file = File::create(path).await?;
        let (written, _) = file.write_all_at(bytes, 0).await;
        file.close().await?;
        written
    })
    .await??)
}

async fn read_all(file: &File, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(FIRST_BYTES.min(bytes_max.saturating_add(1)));
    let mut length = 0;
    loop {
        // One byte beyond the bound tells a file that is longer from one that just fits.
        if length == buffer.capacity() {
            let wanted = (2 * length).min(bytes_max.saturating_add(1));
            buffer.reserve_exact(wanted - buffer.len());
        }
        let slice = tokio_uring::buf::BoundedBuf::slice(buffer, length..);
        let (read, slice) = file.read_at(slice, length as u64).await;
        buffer = slice.into_inner();
        match read? {
            0 => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            count => length += count,
        }
        if length > bytes_max {
            let words = format!("the file has more than {bytes_max} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, words));
        }
    }
}

/// How long a caller waits for a piece of a file: a disk may have to wake up.
#[cfg(feature = "http")]
const PIECE_TIME: Duration = Duration::from_secs(30);

/// Reads `count` bytes from `at` on.
///
/// # Errors
/// The file ended before, or cannot be read.
#[cfg(feature = "http")]
pub(crate) async fn read_exact_at(
    file: Arc<std::fs::File>,
    count: usize,
    at: u64,
) -> Result<Vec<u8>> {
    Ok(call(async move || {
        // tokio-uring closes what it has: a descriptor of its own for each read.
        let file = File::from_std(file.try_clone()?);
        let (read, buffer) = file.read_exact_at(Vec::with_capacity(count), at).await;
        file.close().await?;
        read.map(|()| buffer)
    })
    .timeout(PIECE_TIME)
    .await??)
}
